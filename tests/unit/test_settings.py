"""Settings: read once, checked at the start, said in the README, secret where they must be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.celeryconfig import celery_settings
from config.settings import VARIABLES, Settings, SettingsError, embedded_socket
from tests.conftest import REPOSITORY


def test_with_nothing_set_everything_lives_below_one_folder() -> None:
    settings = Settings.from_env({"NEWSMILL_HOME": "/srv/news"})
    assert settings.database_url == "sqlite:////srv/news/newsmill.db"
    assert settings.archive_url == "file:///srv/news/archive"
    assert settings.broker_url == settings.publish_url == "redis+socket:///srv/news/broker/redis.sock?virtual_host=0"
    assert settings.broker_is_embedded


@pytest.mark.parametrize(
    ("env", "field", "value"),
    [
        ({"DATABASE_URL": "postgres://u:p@db/n"}, "database_url", "postgresql+psycopg://u:p@db/n"),
        ({"REDIS_URL": "redis://r/0"}, "broker_url", "redis://r/0"),
        ({"REDIS_URL": "redis://r/0", "CLOUDAMQP_URL": "amqps://a/v"}, "broker_url", "amqps://a/v"),
        ({"BROKER_URL": "redis://b/1", "CLOUDAMQP_URL": "amqps://a/v"}, "broker_url", "redis://b/1"),
        ({"CLOUDAMQP_URL": "amqps://a/v"}, "publish_url", "amqps://a/v"),
        ({"CLOUDAMQP_URL": "amqps://a/v", "PUBLISH_URL": "redis://p/0"}, "publish_url", "redis://p/0"),
        ({"BUCKETEER_BUCKET_NAME": "bucket-7"}, "archive_url", "s3://bucket-7"),
        ({"ARCHIVE_URL": "s3://mine/news", "BUCKETEER_BUCKET_NAME": "b"}, "archive_url", "s3://mine/news"),
    ],
)
def test_the_platform_s_own_names_work_as_they_are(env: dict[str, str], field: str, value: str) -> None:
    assert getattr(Settings.from_env(env), field) == value


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"NEWSMILL_BATHC": "7"}, "NEWSMILL_BATHC"),
        ({"NEWSMILL_BATCH": "many"}, "NEWSMILL_BATCH"),
        ({"NEWSMILL_BATCH": "0"}, "between 1 and 256"),
        ({"DATABASE_URL": "mysql://u:hunter2@db/n"}, "postgres://"),
        ({"ARCHIVE_URL": "ftp://archive"}, "s3://bucket/prefix"),
        ({"NEWSMILL_ALLOW_NETWORKS": "127.0.0.1/8/9"}, "NEWSMILL_ALLOW_NETWORKS"),
        ({"NEWSMILL_NAMESPACE": "Has Blanks"}, "lower-case"),
        ({"NEWSMILL_LEASE_S": "20", "NEWSMILL_FETCH_TIMEOUT_S": "30"}, "NEWSMILL_LEASE_S"),
        ({"NEWSMILL_POLL_FLOOR_S": "900", "NEWSMILL_POLL_CEILING_S": "60"}, "NEWSMILL_POLL_CEILING_S"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_what_to_do(env: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)) as refused:
        Settings.from_env(env)
    assert "hunter2" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    secrets = {
        "DATABASE_URL": "postgres://u:hunter2@db/n",
        "BROKER_URL": "redis://:hunter2@r/0",
        "PUBLISH_URL": "amqp://u:hunter2@a/v",
        "SENTRY_DSN": "https://hunter2@sentry.example/1",
        "FLOWER_BASIC_AUTH": "ops:hunter2",
        "SOME_TOKEN": "hunter2",
    }
    assert "hunter2" not in repr(Settings.from_env(secrets))


def test_a_long_home_gets_a_socket_that_the_system_takes() -> None:
    assert len(str(embedded_socket(Path("/" + "long/" * 40))).encode()) <= 100


def test_the_readme_s_table_is_made_from_the_settings() -> None:
    table = (REPOSITORY / "README.md").read_text().split("<!-- settings -->", 1)[1].split("<!-- /settings -->", 1)[0]
    rows = [line for line in table.strip().splitlines() if line.startswith("| `")]
    wanted = [f"| `{v.name}` | {f'`{v.default}`' if v.default else ''} | {v.help} |" for v in VARIABLES]
    assert rows == wanted


def test_a_certificate_of_redis_is_checked_unless_the_url_says_otherwise() -> None:
    checked = celery_settings(Settings.from_env({"REDIS_URL": "rediss://:x@r:6380/0"}))
    assert checked["broker_use_ssl"]["ssl_cert_reqs"].name == "CERT_REQUIRED"
    unchecked = celery_settings(Settings.from_env({"REDIS_URL": "rediss://:x@r:6380/0?ssl_cert_reqs=none"}))
    assert unchecked["broker_use_ssl"]["ssl_cert_reqs"].name == "CERT_NONE"
    assert unchecked["broker_url"] == "rediss://:x@r:6380/0"


def test_celery_keeps_no_results_and_takes_json_only() -> None:
    settings = celery_settings(Settings.from_env({}))
    assert settings["result_backend"] is None
    assert settings["accept_content"] == ["json"]
