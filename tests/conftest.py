"""What every test may ask for: the recorded data beside the repository, and the servers of this machine."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from kombu import Connection

from tests import s3
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("NEWSMILL_TEST_SHARED", REPOSITORY.parent / "shared"))
REQUIRED = os.environ.get("NEWSMILL_TEST_REQUIRE", "")  # CI: "all"; a missing part is then an error, not a skip

# Public tools that read what we archive, in a virtual environment of their own: what they need would not fit with ours.
TOOLS = Path(os.environ.get("NEWSMILL_TEST_TOOLS", REPOSITORY / ".venv-tools")) / "bin"
CHROMIUM = shutil.which("chromium")

POSTGRES = os.environ.get("NEWSMILL_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `make test &`: so would be every process that a test interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _postgres_lets_us_in() -> bool:
    try:
        with psycopg.connect(POSTGRES, connect_timeout=2) as admin:
            return bool(admin.execute("SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone())
    except psycopg.Error:
        return False


def _redis_lets_us_in() -> bool:
    with redis.Redis(port=6379, socket_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _rabbitmq_lets_us_in() -> bool:
    with Connection(RABBITMQ, connect_timeout=2) as connection:
        try:
            connection.connect()
        except (OSError, *connection.connection_errors):
            return False
        return True


NEEDS = {
    "shared": (SHARED.is_dir, f"the recorded data is not at {SHARED}"),
    "postgres": (_postgres_lets_us_in, "no PostgreSQL on 127.0.0.1:5432 lets us make databases as root"),
    "redis": (_redis_lets_us_in, "no Redis on 127.0.0.1:6379 answers without a password"),
    "rabbitmq": (_rabbitmq_lets_us_in, "no RabbitMQ on 127.0.0.1:5672 lets guest in"),
    "tools": ((TOOLS / "wayback").exists, "pywb, wacz and cdxj-indexer are not installed: `make tools`"),
    "browser": (lambda: CHROMIUM is not None, "no chromium is on the PATH: Debian's package chromium has it"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {name: reason for name, (there, reason) in NEEDS.items() if not there()}
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name):
                if REQUIRED == "all":
                    raise pytest.UsageError(f"NEWSMILL_TEST_REQUIRE=all, but {reason}")
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The recorded data; use with ``@pytest.mark.shared``."""
    return SHARED


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """A PostgreSQL database of this test process's own, empty; use with ``@pytest.mark.postgres``."""
    with psycopg.connect(postgres_database.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute("DROP SCHEMA public CASCADE")
        owner.execute("CREATE SCHEMA public")
    return postgres_database


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    name = f"newsmill_test_{os.getpid()}_{secrets.token_hex(3)}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    base = POSTGRES.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://")
    yield f"{base}/{name}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty, migrated ledger, on either database."""
    url = (
        f"sqlite:///{tmp_path / 'ledger.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    opened = Ledger(url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of a real S3 endpoint of this test process's own."""
    with s3.endpoint() as url:
        yield url


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """An empty bucket there."""
    return s3.new_bucket(s3_endpoint)
