"""Every setting: one line with its unit, bounds and default. Read once, checked at start.

Only an entry point hands ``os.environ`` to ``Settings.from_env``. A wrong value stops the process with a sentence that
says what to do, not the first task at night. The README's table and ``newsmill doctor`` are made from ``VARIABLES``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from config.brokers import checked, taken_apart, unverified


class SettingsError(ValueError):
    """A setting is missing, unknown, out of bounds or contradicts another; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable, as the README and ``doctor`` show it."""

    name: str
    default: str
    help: str
    read: Callable[[str], Any]
    secret: bool = False


def _text(raw: str) -> str:
    return raw.strip()


def _flag(raw: str) -> bool:
    lowered = raw.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("say 1 or 0")


def _flag_or_not_said(raw: str) -> bool | None:
    return _flag(raw) if raw else None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(raw: str) -> float:
        value = float(raw)
        if not low <= value <= high:
            raise ValueError(f"must lie between {low:.15g} and {high:.15g}")
        return value

    return read


def _ports(raw: str) -> frozenset[int]:
    ports = frozenset(int(part) for part in raw.split(",") if part.strip())
    if not ports or not all(1 <= port <= LAST_PORT for port in ports):
        raise ValueError(f"name ports between 1 and {LAST_PORT}")
    return ports


def _networks(raw: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())


def _namespace(raw: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}|", raw):
        raise ValueError("use lower-case letters, digits and hyphens, at most 31")
    if raw == OWN_NAMES:
        raise ValueError("these are the names of an installation without a namespace; choose another word")
    return raw


def _user_agent(raw: str) -> str:
    if not (raw.isascii() and raw.isprintable()):
        raise ValueError("it is sent as a header: use ASCII characters only")
    return raw


def _passwords(raw: str) -> str:
    if raw and not all(all(part.partition(":")[::2]) for part in raw.split(",")):
        raise ValueError("write user:password, without a comma in either")
    return raw


def _public_url(raw: str) -> str:
    parts = taken_apart(raw)
    plain = re.fullmatch(r"[!-~]*", raw) and not {"@", "?", "#"} & set(raw)
    if raw and not (parts.scheme in {"http", "https"} and parts.hostname and plain):
        raise ValueError("write https://host or https://host/prefix, as others reach PORT of this installation")
    return raw.rstrip("/")


def _dsn(raw: str) -> str:
    parts = taken_apart(raw)
    complete = parts.hostname and parts.username and parts.path.rpartition("/")[2].isdecimal()
    if raw and not (parts.scheme in {"http", "https"} and complete):
        raise ValueError("write https://key@host/number, as Sentry shows it")
    return raw


def _endpoint(raw: str) -> str:
    parts = taken_apart(raw)
    plain = re.fullmatch(r"[!-~]*", raw) and not {"@", "?", "#"} & set(raw)
    host = re.fullmatch(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:]+", parts.hostname or "")
    if raw and not (parts.scheme in {"http", "https"} and host and plain):
        raise ValueError("write https://host:port; keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return raw


def _kms_key(raw: str) -> str:
    if not re.fullmatch(r"[!-~]*", raw):
        raise ValueError("it is sent as a header: use ASCII characters without blanks only")
    return raw


# user and password may hold anything but @ (and : in a user's name), as SQLAlchemy reads them
_POSTGRES = re.compile(
    r"(?:[^:/@]*(?::[^@]*)?@)?(?:\[[0-9A-Fa-f:.]+\]|[^/:?@\[\]]*)(?::[0-9]{1,5})?(?:/[^?@]*)?(?:\?[^@]*)?"
)


def _database(raw: str) -> str:
    scheme, _, rest = raw.partition("://")
    if not raw:
        return raw
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        if not _POSTGRES.fullmatch(rest):
            raise ValueError(
                "write postgres://user:password@host:port/database; a port is a number, a password's @ is %40"
            )
        return f"postgresql+psycopg://{rest}"
    if scheme != "sqlite":
        raise ValueError("use postgres:// or sqlite:///")
    if not rest.strip("/") or not rest.startswith("/") or rest == "/:memory:" or "?" in rest:
        raise ValueError(
            "write sqlite:////folder/file.db, or sqlite:///file.db for one in the working folder; no options, and a "
            "name's ? is %3F"
        )
    return raw


def _archive(raw: str) -> str:
    parts = taken_apart(raw)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(
            "neither options nor keys belong into it: keys are AWS_*, and a name's ? and # are %3F and %23"
        )
    if parts.scheme == "file" and not (raw.startswith("file:///") and parts.path.strip("/")):
        raise ValueError("write file:///folder, with three slashes before the whole path")
    if parts.scheme == "s3" and not parts.netloc:
        raise ValueError("the bucket is missing: write s3://bucket/prefix")
    if raw and parts.scheme not in {"file", "s3"}:
        raise ValueError("use file:///folder or s3://bucket/prefix")
    return raw


def _broker_url(raw: str) -> str:
    return checked(raw) if raw else raw


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw not in allowed:
            raise ValueError("say one of " + ", ".join(allowed))
        return raw

    return read


MIB = 1024 * 1024
LAST_PORT = 65535
S3_REGION = "us-east-1"  # what S3 takes for none; other services mostly do not care
OWN_NAMES = "newsmill"  # how names on a broker begin when there is no namespace

# One setting, one line: the table is read down, not across.
# fmt: off
VARIABLES: tuple[Variable, ...] = (
    Variable(name="NEWSMILL_HOME", default="./var", help="Folder for everything local: database, archive, embedded broker.", read=_text),
    Variable(name="DATABASE_URL", default="", help="Ledger; postgres:// or sqlite:///. Default: SQLite below NEWSMILL_HOME.", read=_database, secret=True),
    Variable(name="BROKER_URL", default="", help="Celery's broker; wins over CLOUDAMQP_URL and REDIS_URL. Default: the embedded Redis below NEWSMILL_HOME.", read=_broker_url, secret=True),
    Variable(name="CLOUDAMQP_URL", default="", help="RabbitMQ, as Heroku names it.", read=_broker_url, secret=True),
    Variable(name="REDIS_URL", default="", help="Redis, as Heroku names it.", read=_broker_url, secret=True),
    Variable(name="PUBLISH_URL", default="", help="Broker that receives the articles. Default: the broker.", read=_broker_url, secret=True),
    Variable(name="ARCHIVE_URL", default="", help="file:///folder or s3://bucket/prefix. Default: a folder below NEWSMILL_HOME.", read=_archive, secret=True),
    Variable(name="NEWSMILL_S3_ENDPOINT", default="", help="Endpoint of an S3-compatible store; empty: AWS.", read=_endpoint, secret=True),
    Variable(name="NEWSMILL_S3_PATH_STYLE", default="", help="1: the bucket stands in the path (https://host/bucket), 0: before the host. Default: 1 with an endpoint or a bucket whose name has a dot, else 0.", read=_flag_or_not_said),
    Variable(name="NEWSMILL_S3_ENCRYPTION", default="", help="How the store shall encrypt what it is given: AES256 or aws:kms; empty: as the bucket says.", read=_choice("", "AES256", "aws:kms")),
    Variable(name="NEWSMILL_S3_KMS_KEY", default="", help="Key for aws:kms, by id or ARN; empty: the account's own.", read=_kms_key),
    Variable(name="NEWSMILL_WARC_BYTES", default=str(256 * MIB), help="Size of the large WARC files that bundles are joined into, bytes: so large that an archive has few, so small that one is written and read back in a minute.", read=_whole(4096, 4096 * MIB)),
    Variable(name="PORT", default="5555", help="Port of Flower, and of the callbacks that hubs reach.", read=_whole(1, LAST_PORT)),
    Variable(name="SENTRY_DSN", default="", help="Where unexpected errors are reported; empty: nowhere.", read=_dsn, secret=True),
    Variable(name="FLOWER_BASIC_AUTH", default="", help="user:password for Flower; without it Flower binds to loopback only, or is off where NEWSMILL_PUBLIC_URL opens its port.", read=_passwords, secret=True),
    Variable(name="NEWSMILL_PUBLIC_URL", default="", help="https://host[/prefix] at which others reach PORT: hubs are asked to push there (WebSub). Empty: feeds are only polled.", read=_public_url, secret=True),
    Variable(name="NEWSMILL_NAMESPACE", default="", help="Prefix of exchanges, queues and Redis keys, so that installations can share a broker.", read=_namespace),
    Variable(name="NEWSMILL_FEEDS", default="", help="Path of the reviewed list of feeds. Default: config/feeds.toml of the installation.", read=_text),
    Variable(name="NEWSMILL_GATES", default="", help="Path of the reviewed list of host gates: which names share one, and its pace. Default: config/gates.toml of the installation.", read=_text),
    Variable(name="NEWSMILL_USER_AGENT", default="newsmill/0.1 (+https://newsmill.example/about)", help="Who we say we are; name a page with a contact.", read=_user_agent),
    Variable(name="NEWSMILL_ALLOW_NETWORKS", default="", help="Networks (CIDR, comma-separated) that may be fetched although not public.", read=_networks),
    Variable(name="NEWSMILL_ALLOW_PORTS", default="80,443,8080,8443", help="Ports that may be fetched (comma-separated); any port inside NEWSMILL_ALLOW_NETWORKS.", read=_ports),
    Variable(name="NEWSMILL_ALLOW_DOWNGRADE", default="0", help="Follow redirects that lead from https to http.", read=_flag),
    Variable(name="NEWSMILL_FETCH_TIMEOUT_S", default="30", help="Total time of one visit, redirects and robots.txt included, seconds.", read=_number(0.1, 90)),
    Variable(name="NEWSMILL_CONNECT_TIMEOUT_S", default="10", help="Time to connect, seconds.", read=_number(0.1, 60)),
    Variable(name="NEWSMILL_PAGE_CAP_BYTES", default=str(10 * MIB), help="Largest page or feed, decoded, bytes.", read=_whole(1024, 100 * MIB)),
    Variable(name="NEWSMILL_PICTURE_CAP_BYTES", default=str(20 * MIB), help="Largest picture, bytes.", read=_whole(1024, 100 * MIB)),
    Variable(name="NEWSMILL_PICTURE_CAP_PIXELS", default="60000000", help="Largest picture, pixels.", read=_whole(10_000, 500_000_000)),
    Variable(name="NEWSMILL_HOST_DELAY_S", default="1", help="Least time between two requests to a site, seconds.", read=_number(0, 3600)),
    Variable(name="NEWSMILL_HOST_CONNECTIONS", default="2", help="Requests to a site at a time.", read=_whole(1, 100)),
    Variable(name="NEWSMILL_OBEY_ROBOTS", default="1", help="Obey robots.txt.", read=_flag),
    Variable(name="NEWSMILL_BATCH", default="16", help="Articles that may share a chain under backlog.", read=_whole(1, 256)),
    Variable(name="NEWSMILL_MAX_IN_FLIGHT", default="256", help="Articles in queues and workers at a time.", read=_whole(1, 100_000)),
    Variable(name="NEWSMILL_CONCURRENCY", default="2", help="Worker children; dispatch shares batches out among them.", read=_whole(1, 256)),
    Variable(name="NEWSMILL_MAX_ATTEMPTS", default="10", help="Attempts per stage before quarantine: four hours with the waits below.", read=_whole(1, 100)),
    Variable(name="NEWSMILL_RETRY_BASE_S", default="30", help="First wait after a failure, seconds; doubles.", read=_number(0.01, 3600)),
    Variable(name="NEWSMILL_RETRY_CAP_S", default="21600", help="Longest wait after a failure, seconds.", read=_number(0.01, 7 * 86400)),
    Variable(name="NEWSMILL_LEASE_S", default="150", help="How long a stage may work before its articles are given to another, seconds.", read=_number(1, 3600)),
    Variable(name="NEWSMILL_QUEUED_LEASE_S", default="600", help="How long a started chain may wait in the broker, seconds.", read=_number(1, 86400)),
    Variable(name="NEWSMILL_POLL_FLOOR_S", default="300", help="Shortest adaptive polling interval, seconds.", read=_number(1, 86400)),
    Variable(name="NEWSMILL_POLL_CEILING_S", default="86400", help="Longest adaptive polling interval, seconds.", read=_number(1, 30 * 86400)),
    Variable(name="NEWSMILL_POLL_PATIENCE_S", default="360", help="How long the items that are probably new may wait before a poll is worth it, all their seconds together; more means fewer polls.", read=_number(1, 86400)),
    Variable(name="NEWSMILL_TICK_S", default="10", help="Beat's tick: the safety net behind dispatch, seconds.", read=_number(1, 60)),
    Variable(name="NEWSMILL_MESSAGE_CAP_BYTES", default="65536", help="Largest message body, bytes; a longer text is referenced.", read=_whole(4096, 16 * MIB)),
    Variable(name="NEWSMILL_HOLDING_CAP", default="100000", help="Unroutable messages that are held.", read=_whole(1, 10_000_000)),
    Variable(name="NEWSMILL_MAX_ENTRIES", default="5000", help="Items taken from one feed document.", read=_whole(1, 100_000)),
    Variable(name="NEWSMILL_LOG_LEVEL", default="info", help="debug, info, warning or error.", read=_choice("debug", "info", "warning", "error")),
    Variable(name="NEWSMILL_LOG_FORMAT", default="logfmt", help="logfmt or json.", read=_choice("logfmt", "json")),
)
# fmt: on

_BY_NAME = {variable.name: variable for variable in VARIABLES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every process of one installation agrees on. Secrets stay out of ``repr``."""

    home: Path
    database_url: str = field(repr=False)  # SQLAlchemy form: postgresql+psycopg://… or sqlite:///…
    broker_url: str = field(repr=False)
    broker_is_embedded: bool
    publish_url: str = field(repr=False)
    archive_url: str
    s3_endpoint: str
    s3_path_style: bool
    s3_encryption: str
    s3_kms_key: str
    s3_access_key_id: str
    s3_secret_access_key: str = field(repr=False)
    s3_session_token: str = field(repr=False)
    s3_region: str
    warc_bytes: int
    port: int
    sentry_dsn: str = field(repr=False)
    flower_basic_auth: str = field(repr=False)
    public_url: str
    namespace: str
    feeds_path: Path
    gates_path: Path
    user_agent: str
    allow_networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    allow_ports: frozenset[int]
    allow_downgrade: bool
    fetch_timeout_s: float
    connect_timeout_s: float
    page_cap_bytes: int
    picture_cap_bytes: int
    picture_cap_pixels: int
    host_delay_s: float
    host_connections: int
    obey_robots: bool
    batch: int
    max_in_flight: int
    concurrency: int
    max_attempts: int
    retry_base_s: float
    retry_cap_s: float
    lease_s: float
    queued_lease_s: float
    poll_floor_s: float
    poll_ceiling_s: float
    poll_patience_s: float
    tick_s: float
    message_cap_bytes: int
    holding_cap: int
    max_entries: int
    log_level: str
    log_format: str
    variables: Mapping[str, str] = field(repr=False)  # for ${NAME} in feeds' headers

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read and check everything.

        Raises: SettingsError: naming the variable, what is wrong and what to do.
        """
        _refuse_unknown(env)
        values = {variable.name: _read(variable, env) for variable in VARIABLES}
        home = Path(values["NEWSMILL_HOME"] or "./var").absolute()
        broker_url = values["BROKER_URL"] or values["CLOUDAMQP_URL"] or _redis_url(values["REDIS_URL"], env)
        archive_url = values["ARCHIVE_URL"] or _added_archive(env) or (home / "archive").as_uri()
        embedded_url = f"redis+socket://{quote(str(embedded_socket(home)))}?virtual_host=0"
        derived: dict[str, Any] = {
            "variables": dict(env),
            "home": home,
            "database_url": values["DATABASE_URL"] or f"sqlite:///{quote(str(home / 'newsmill.db'))}",
            "broker_url": broker_url or embedded_url,
            "broker_is_embedded": not broker_url,
            "publish_url": values["PUBLISH_URL"] or broker_url or embedded_url,
            "archive_url": archive_url,
            "s3_path_style": _path_style(values, archive_url),
            **_s3_keys(env, archive_url),
            "feeds_path": Path(values["NEWSMILL_FEEDS"])
            if values["NEWSMILL_FEEDS"]
            else Path(__file__).with_name("feeds.toml"),
            "gates_path": Path(values["NEWSMILL_GATES"])
            if values["NEWSMILL_GATES"]
            else Path(__file__).with_name("gates.toml"),
        }
        plain = {
            f.name: values[name]
            for f in fields(cls)
            if (name := _variable_of(f.name)) in values and f.name not in derived
        }
        settings = cls(**plain, **derived)
        settings._check_together()
        return settings

    @property
    def web_address(self) -> str:
        """Where the web process listens: for everybody only behind a password, or for hubs."""
        return "0.0.0.0" if self.flower_basic_auth or self.public_url else "127.0.0.1"  # noqa: S104 - see above

    @property
    def shows_flower(self) -> bool:
        """Without a password Flower must not be on a port that is open to others."""
        return bool(self.flower_basic_auth) or not self.public_url

    def _check_together(self) -> None:
        if self.s3_kms_key and self.s3_encryption != "aws:kms":
            raise SettingsError("NEWSMILL_S3_KMS_KEY needs NEWSMILL_S3_ENCRYPTION=aws:kms: set that, or unset the key.")
        if bool(self.s3_access_key_id) != bool(self.s3_secret_access_key):
            raise SettingsError(
                "Half of the archive's keys is missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (of Heroku's "
                "add-on BUCKETEER_AWS_ACCESS_KEY_ID and BUCKETEER_AWS_SECRET_ACCESS_KEY) both, or neither."
            )
        if self.poll_floor_s > self.poll_ceiling_s:
            raise SettingsError("NEWSMILL_POLL_FLOOR_S is above NEWSMILL_POLL_CEILING_S: make it smaller.")
        if self.fetch_timeout_s >= self.lease_s:
            raise SettingsError(
                "NEWSMILL_FETCH_TIMEOUT_S must be below NEWSMILL_LEASE_S, or a slow page loses its lease."
            )


def _variable_of(field_name: str) -> str:
    upper = field_name.upper()
    return upper if upper in _BY_NAME else f"NEWSMILL_{upper}"


def embedded_socket(home: Path) -> Path:
    """Where the embedded broker listens. A Unix socket's path may hold 107 bytes only: long homes get one in /tmp."""
    path = home / "broker" / "redis.sock"
    if len(str(path).encode()) <= 100:  # noqa: PLR2004 - sun_path is 108 with its NUL; some room for suffixes
        return path
    return Path("/tmp") / f"newsmill-{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.sock"  # noqa: S108 - the folder's length is the point; the socket itself is 0700


def _refuse_unknown(env: Mapping[str, str]) -> None:
    unknown = sorted(name for name in env if name.startswith("NEWSMILL_") and name not in _BY_NAME)
    if unknown:
        raise SettingsError(f"Unknown setting {', '.join(unknown)}: see the table in the README, or unset it.")


def _read(variable: Variable, env: Mapping[str, str]) -> Any:
    raw = env.get(variable.name, "").strip() or variable.default
    try:
        return variable.read(raw)
    except ValueError as error:
        shown = "the value" if variable.secret else repr(raw)
        raise SettingsError(f"{variable.name}: {shown} will not do: {error}. {variable.help}") from error


def _redis_url(raw: str, env: Mapping[str, str]) -> str:
    """Heroku's Redis shows a certificate that it signed itself; it can only be had unverified.

    Source: https://devcenter.heroku.com/articles/connecting-heroku-redis
    """
    return unverified(raw) if env.get("DYNO") else raw


def sqlite_path(database_url: str) -> Path | None:
    """The file behind a SQLite URL; None: it is another database's."""
    scheme, _, path = database_url.partition(":///")
    return Path(unquote(path)) if scheme == "sqlite" else None


def _added_archive(env: Mapping[str, str]) -> str:
    """The bucket that Heroku's add-on brings; empty: there is none."""
    return f"s3://{env['BUCKETEER_BUCKET_NAME']}" if env.get("BUCKETEER_BUCKET_NAME") else ""


def _path_style(values: Mapping[str, Any], archive_url: str) -> bool:
    """A certificate for *.host is good for one more name only, so a bucket with a dot cannot stand before it."""
    said: bool | None = values["NEWSMILL_S3_PATH_STYLE"]
    return said if said is not None else bool(values["NEWSMILL_S3_ENDPOINT"]) or "." in urlsplit(archive_url).netloc


def _s3_keys(env: Mapping[str, str], archive_url: str) -> dict[str, str]:
    """Keys of the archive's bucket: the add-on's for the bucket that it brought, else Amazon's usual names.

    Empty ones: the machine, container or pod has a role, or there are none.
    """
    parts = urlsplit(archive_url)
    if parts.scheme != "s3":
        return dict.fromkeys(("s3_access_key_id", "s3_secret_access_key", "s3_session_token", "s3_region"), "")
    added = parts.netloc == env.get("BUCKETEER_BUCKET_NAME") and "BUCKETEER_AWS_ACCESS_KEY_ID" in env
    names = "BUCKETEER_AWS" if added else "AWS"
    return {
        "s3_access_key_id": env.get(f"{names}_ACCESS_KEY_ID", ""),
        "s3_secret_access_key": env.get(f"{names}_SECRET_ACCESS_KEY", ""),
        "s3_session_token": env.get(f"{names}_SESSION_TOKEN", ""),
        "s3_region": env.get(f"{names}_REGION") or env.get(f"{names}_DEFAULT_REGION") or S3_REGION,
    }
