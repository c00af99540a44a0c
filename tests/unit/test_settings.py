"""Settings: read once, checked at the start, said in the README, secret where they must be."""

from __future__ import annotations

import json
import logging
import re
import ssl
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from config.brokers import tls_options, verifies, without_tls_options
from config.celeryconfig import celery_settings
from config.log import formatter
from config.schedule import beat_schedule
from config.settings import VARIABLES, Settings, SettingsError, embedded_socket, sqlite_path
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
        ({"DATABASE_URL": "postgres://u:hunter2@db:54x/n"}, "a port is a number"),
        ({"DATABASE_URL": "postgres://u:hunter@2@db/n"}, "a password's @ is %40"),
        ({"DATABASE_URL": "sqlite://rel.db"}, "sqlite:///file.db"),
        ({"DATABASE_URL": "sqlite:///"}, "sqlite:///file.db"),
        ({"DATABASE_URL": "sqlite:///:memory:"}, "sqlite:///file.db"),
        ({"DATABASE_URL": "sqlite:////a.db?mode=ro"}, "no options"),
        ({"NEWSMILL_PUBLIC_URL": "news.example"}, "https://host"),
        ({"NEWSMILL_PUBLIC_URL": "https:///mill"}, "https://host"),
        ({"NEWSMILL_PUBLIC_URL": "https://me:hunter2@news.example"}, "https://host"),
        ({"NEWSMILL_PUBLIC_URL": "https://news.example/?a=b"}, "https://host"),
        ({"ARCHIVE_URL": "ftp://archive"}, "s3://bucket/prefix"),
        ({"ARCHIVE_URL": "file://data/archive"}, "three slashes"),
        ({"ARCHIVE_URL": "file:archive"}, "three slashes"),
        ({"ARCHIVE_URL": "file:///"}, "three slashes"),
        ({"ARCHIVE_URL": "file:///data/no#1"}, "%23"),
        ({"ARCHIVE_URL": "s3:///prefix"}, "the bucket is missing"),
        ({"ARCHIVE_URL": "s3://key:hunter2@bucket/prefix"}, "AWS_*"),
        ({"NEWSMILL_S3_ENDPOINT": "store.example:9000"}, "https://host:port"),
        ({"NEWSMILL_S3_ENDPOINT": "https://key:hunter2@store.example"}, "AWS_SECRET_ACCESS_KEY"),
        ({"NEWSMILL_S3_ENDPOINT": "https://"}, "https://host:port"),
        ({"NEWSMILL_S3_ENDPOINT": "https://st ore.example"}, "https://host:port"),
        ({"NEWSMILL_S3_ENDPOINT": "https://store.example/?key=hunter2"}, "https://host:port"),
        ({"NEWSMILL_S3_PATH_STYLE": "maybe"}, "say 1 or 0"),
        ({"NEWSMILL_S3_ENCRYPTION": "aes128"}, "AES256, aws:kms"),
        ({"NEWSMILL_S3_KMS_KEY": "k", "NEWSMILL_S3_ENCRYPTION": "AES256"}, "NEWSMILL_S3_ENCRYPTION=aws:kms"),
        ({"NEWSMILL_S3_KMS_KEY": "k\r\nX: y", "NEWSMILL_S3_ENCRYPTION": "aws:kms"}, "ASCII"),
        ({"ARCHIVE_URL": "s3://b", "AWS_ACCESS_KEY_ID": "hunter2"}, "Half of the archive's keys is missing"),
        ({"BUCKETEER_BUCKET_NAME": "b", "BUCKETEER_AWS_ACCESS_KEY_ID": "hunter2"}, "BUCKETEER_AWS_SECRET_ACCESS_KEY"),
        ({"SENTRY_DSN": "garbage"}, "https://key@host/number"),
        ({"SENTRY_DSN": "https://hunter2@sentry.example"}, "https://key@host/number"),
        ({"SENTRY_DSN": "https://key:hunter2/@sentry.example/1"}, "it is no URL"),
        ({"FLOWER_BASIC_AUTH": "hunter2"}, "user:password"),
        ({"NEWSMILL_USER_AGENT": "Mühle/1"}, "ASCII"),
        ({"NEWSMILL_USER_AGENT": "mill/1\r\nX: y"}, "ASCII"),
        ({"NEWSMILL_ALLOW_PORTS": "80,65536"}, "between 1 and 65535"),
        ({"NEWSMILL_ALLOW_PORTS": "0"}, "between 1 and 65535"),
        ({"NEWSMILL_ALLOW_PORTS": ","}, "name ports"),
        ({"NEWSMILL_RETRY_CAP_S": "1e9"}, "between 0.01 and 604800"),
        ({"NEWSMILL_POLL_CEILING_S": "1e9"}, "between 1 and 2592000"),
        ({"NEWSMILL_NAMESPACE": "newsmill"}, "choose another word"),
        ({"BROKER_URL": "hunter2"}, "amqp://user:password@host//"),
        ({"BROKER_URL": "redis://r/notadb"}, "the number of a database"),
        ({"BROKER_URL": "redis://r/0?password=hunter2"}, "options that begin with ssl_ only"),
        ({"REDIS_URL": "rediss://r/0?ssl_cert_reqs=maybe"}, "none, optional, required"),
        ({"REDIS_URL": "redis://:hunter2/x@r/0"}, "%2F"),
        ({"REDIS_URL": "redis://:1/hunter2@r/0"}, "%2F"),
        ({"PUBLISH_URL": "amqp://u:hunter2#@h//"}, "%23"),
        ({"PUBLISH_URL": "amqp://u:hunter2;@h//"}, "%3B"),
        ({"PUBLISH_URL": "sentinel://s:26379"}, "name the Redis itself"),
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


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        pytest.param(
            {"ARCHIVE_URL": "s3://mine"}, ("aws", "aws-secret", "aws-token", "eu-west-1"), id="Amazon's names"
        ),
        pytest.param({}, ("added", "added-secret", "", "us-west-2"), id="the add-on's for its bucket"),
        pytest.param(
            {"ARCHIVE_URL": "s3://added/below"},
            ("added", "added-secret", "", "us-west-2"),
            id="and below a prefix in it",
        ),
        pytest.param({"ARCHIVE_URL": "file:///srv"}, ("", "", "", ""), id="none for a folder"),
    ],
)
def test_the_archive_s_keys_belong_to_its_bucket(env: dict[str, str], wanted: tuple[str, ...]) -> None:
    both = {
        "AWS_ACCESS_KEY_ID": "aws",
        "AWS_SECRET_ACCESS_KEY": "aws-secret",
        "AWS_SESSION_TOKEN": "aws-token",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "BUCKETEER_BUCKET_NAME": "added",
        "BUCKETEER_AWS_ACCESS_KEY_ID": "added",
        "BUCKETEER_AWS_SECRET_ACCESS_KEY": "added-secret",
        "BUCKETEER_AWS_REGION": "us-west-2",
    }
    settings = Settings.from_env(both | env)
    found = (settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token, settings.s3_region)
    assert found == wanted


def test_secrets_are_not_shown() -> None:
    secrets = {
        "ARCHIVE_URL": "s3://bucket",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_SESSION_TOKEN": "hunter2",
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


@pytest.mark.parametrize(
    ("env", "check"),
    [
        pytest.param({"REDIS_URL": "rediss://:x@r:6380/0"}, "CERT_REQUIRED", id="always"),
        pytest.param(
            {"REDIS_URL": "rediss://:x@r:6380/0?ssl_cert_reqs=none"}, "CERT_NONE", id="unless the URL says no"
        ),
        pytest.param({"REDIS_URL": "rediss://:x@r:6380/0", "DYNO": "web.1"}, "CERT_NONE", id="not on Heroku"),
        pytest.param(
            {"REDIS_URL": "rediss://:x@r:6380/0?ssl_cert_reqs=required", "DYNO": "web.1"},
            "CERT_REQUIRED",
            id="on Heroku when asked for",
        ),
        pytest.param(
            {"BROKER_URL": "rediss://:x@r:6380/0", "DYNO": "web.1"}, "CERT_REQUIRED", id="another's on Heroku"
        ),
    ],
)
def test_a_certificate_of_redis_is_checked(env: dict[str, str], check: str) -> None:
    settings = Settings.from_env(env)
    celery = celery_settings(settings)
    assert celery["broker_use_ssl"]["ssl_cert_reqs"].name == check
    assert celery["broker_url"] == "rediss://:x@r:6380/0"
    assert tls_options(settings.publish_url) == celery["broker_use_ssl"]


def test_several_hosts_and_other_options_of_tls_are_kept_apart_from_the_url() -> None:
    url = "rediss://a:1/0?ssl_cert_reqs=none&ssl_check_hostname=false;rediss://b:2/0?ssl_ca_certs=%2Fca.pem"
    assert without_tls_options(url) == "rediss://a:1/0;rediss://b:2/0"
    assert tls_options(url) == {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    assert not verifies(url)
    assert verifies("amqp://h//")


@pytest.mark.parametrize(
    "url", ["redis://:p%2Fw@r:6379/0", "amqp://u:p@h:5672/v;amqp://u:p@i//", "redis+socket:///a/b.sock", "memory://"]
)
def test_a_broker_is_taken_as_it_is_named(url: str) -> None:
    assert Settings.from_env({"BROKER_URL": url}).broker_url == url


@pytest.mark.parametrize("home", ["/srv/a%20b", "/srv/what?", "/srv/no #1"])
def test_a_home_of_any_name_holds_its_database(home: str) -> None:
    settings = Settings.from_env({"NEWSMILL_HOME": home})
    assert sqlite_path(settings.database_url) == Path(home) / "newsmill.db"
    assert make_url(settings.database_url).database == f"{home}/newsmill.db"


@pytest.mark.parametrize("rest", ["u:p/w?x@db:5432/n", "/n", "[::1]:5432/n?sslmode=require", "u@db"])
def test_a_postgres_that_the_driver_understands_is_taken(rest: str) -> None:
    assert Settings.from_env({"DATABASE_URL": f"postgres://{rest}"}).database_url == f"postgresql+psycopg://{rest}"


def test_installations_share_no_exchange_and_no_queue() -> None:
    names = [
        {settings[name] for name in ("control_exchange", "event_exchange", "event_queue_prefix", "task_default_queue")}
        for settings in (
            celery_settings(Settings.from_env({"NEWSMILL_NAMESPACE": namespace})) for namespace in ("", "a", "b")
        )
    ]
    assert len(set.union(*names)) == 12 - 3  # events' exchange and queues share a word


def test_celery_keeps_no_results_and_takes_json_only() -> None:
    settings = celery_settings(Settings.from_env({}))
    assert settings["result_backend"] is None
    assert settings["accept_content"] == ["json"]


@pytest.mark.parametrize("kind", ["json", "logfmt"])
def test_no_control_character_reaches_a_terminal(kind: str) -> None:
    controls = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    record = logging.makeLogRecord({"msg": "said", "levelname": "INFO", "title": f"新闻{controls}"})
    line = formatter(kind).format(record)
    assert not set(controls) & set(line)
    if kind == "json":
        assert json.loads(line)["title"] == f"新闻{controls}"


@pytest.mark.parametrize(
    ("env", "address", "shows_flower", "asks_hubs"),
    [
        pytest.param({}, "127.0.0.1", True, False, id="neither password nor public URL"),
        pytest.param({"FLOWER_BASIC_AUTH": "a:b"}, "0.0.0.0", True, False, id="a password"),
        pytest.param({"NEWSMILL_PUBLIC_URL": "https://x.example/mill/"}, "0.0.0.0", False, True, id="a public URL"),
        pytest.param(
            {"NEWSMILL_PUBLIC_URL": "http://x.example", "FLOWER_BASIC_AUTH": "a:b"}, "0.0.0.0", True, True, id="both"
        ),
    ],
)
def test_a_port_that_is_open_to_others_shows_no_flower_without_a_password(
    env: dict[str, str], address: str, shows_flower: bool, asks_hubs: bool
) -> None:
    settings = Settings.from_env(env)
    assert (settings.web_address, settings.shows_flower) == (address, shows_flower)
    assert ("websub.renew" in beat_schedule(settings)) is asks_hubs
    assert not settings.public_url.endswith("/")
