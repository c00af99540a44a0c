"""``newsmill doctor``: every setting, connection and right, and what on the broker's side loses data."""

# ruff: noqa: PLC0415 - doors are imported by the check that opens them: `--help` stays quick

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import typer

from config.brokers import is_redis, tls_options, verifies
from config.settings import VARIABLES, Settings, Variable
from worker.cli import context, show
from worker.cli.doors import MIGRATE, missing_file, now_utc, schema_trouble
from worker.cli.inspect import DAMAGED, beat_trouble
from worker.errors import NewsmillError, UnavailableError, UsageError

Mark = Literal["ok", "warn", "fail"]

STYLES = {"ok": "", "warn": "yellow", "fail": "red"}
REDIS_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the examination; ``cure`` says what to do, and is there unless all is well."""

    name: str
    mark: Mark
    found: str
    cure: str | None = None


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check every setting, connection and right. Exits 1 when something would not work."""
    settings = context.settings()
    checks = [check for examine in EXAMINATIONS for check in _examined(examine, settings)]
    variables = shown_settings(settings)
    if as_json:
        show.as_json({"settings": variables, "checks": [asdict(check) for check in checks]})
    else:
        show.table(("setting", "value"), list(variables.items()))
        show.line("")
        for check in checks:
            show.line(f"{check.mark:4}  {check.name}: {check.found}", style=STYLES[check.mark])
            if check.cure is not None:
                show.line(f"      {check.cure}")
    if any(check.mark == "fail" for check in checks):
        raise typer.Exit(1)


def _examined(examine: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    """One examination that breaks must not hide the others."""
    name = examine.__name__.strip("_").replace("_", " ")
    try:
        yield from examine(settings)
    except NewsmillError as error:
        yield Check(name=name, mark="fail", found=str(error), cure="Make it reachable, or correct its setting.")
    except Exception as error:  # noqa: BLE001 - what it says may hold a secret, so only its name is told
        found = f"could not be examined: {type(error).__name__}"
        yield Check(name=name, mark="fail", found=found, cure="This is a bug in newsmill: please report it.")


# ---------------------------------------------------------------- settings


def shown_settings(settings: Settings) -> dict[str, str]:
    """Every variable and its effective value; no secret in it."""
    shown = {}
    for variable in VARIABLES:
        name = variable.name.lower()
        value = getattr(settings, name, getattr(settings, name.removeprefix("newsmill_"), None))
        if value is not None:
            shown[variable.name] = _shown(variable, value)
    shown["NEWSMILL_FEEDS"] = str(settings.feeds_path)
    shown["NEWSMILL_GATES"] = str(settings.gates_path)
    return shown


def _shown(variable: Variable, value: Any) -> str:
    if variable.secret:
        return show.bare_url(value) if value else "not set"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, tuple | frozenset):
        return ",".join(str(part) for part in sorted(value, key=str)) or "none"
    return str(value) or "not set"


def _user_agent(settings: Settings) -> Iterator[Check]:
    example = next(variable.default for variable in VARIABLES if variable.name == "NEWSMILL_USER_AGENT")
    if settings.user_agent == example:
        cure = "Set NEWSMILL_USER_AGENT to a name and the address of a page that says who you are."
        yield Check(name="user agent", mark="warn", found="still the example; sites cannot tell who asks", cure=cure)
    else:
        yield Check(name="user agent", mark="ok", found=settings.user_agent)


def _flower(settings: Settings) -> Iterator[Check]:
    if not settings.shows_flower:
        cure = "Set FLOWER_BASIC_AUTH=user:password to see it."
        found = "off: its port is open to others (NEWSMILL_PUBLIC_URL), and it has no password"
        yield Check(name="Flower", mark="warn", found=found, cure=cure)
        return
    found = "asks for a password" if settings.flower_basic_auth else "no FLOWER_BASIC_AUTH: it binds to loopback only"
    yield Check(name="Flower", mark="ok", found=found)


def _websub(settings: Settings) -> Iterator[Check]:
    if not settings.public_url:
        yield Check(name="WebSub", mark="ok", found="no NEWSMILL_PUBLIC_URL: feeds are only polled")
    elif settings.public_url.startswith("http://"):
        cure = "Say https://, if the web process can be reached by it."
        found = f"hubs push to {settings.public_url} unprotected: others can read along"
        yield Check(name="WebSub", mark="warn", found=found, cure=cure)
    else:
        yield Check(name="WebSub", mark="ok", found=f"hubs push to {settings.public_url}")


# ---------------------------------------------------------------- our own house


def _database(settings: Settings) -> Iterator[Check]:
    from worker.ledger.bundles import count_problems
    from worker.ledger.migrate import current
    from worker.ledger.publications import ticks
    from worker.ledger.session import Ledger

    where = show.bare_url(settings.database_url)
    if missing_file(settings):
        cure = f"{MIGRATE.capitalize()}."
        yield Check(name="database", mark="fail", found=f"{where} does not exist yet", cure=cure)
        return
    ledger = Ledger(settings.database_url)
    try:
        revision = current(ledger)
        if (trouble := schema_trouble(revision)) is not None:
            what, cure = trouble
            yield Check(name="database", mark="fail", found=f"{where}: {what}", cure=f"{cure.capitalize()}.")
            return
        yield Check(name="database", mark="ok", found=f"{where}, schema {revision}")
        with ledger.reading() as connection:
            ticked = ticks(connection)
            damaged = count_problems(connection)
    finally:
        ledger.close()
    now = now_utc()
    silence = beat_trouble(ticked, now=now, tick_s=settings.tick_s)
    if silence:
        yield Check(name="beat", mark="warn", found=silence, cure="Start it: `celery -A tasks.main beat`.")
    else:
        yield Check(name="beat", mark="ok", found=f"ticked {show.distance(max(ticked.values()), now)}")
    if damaged:
        yield Check(name="bundles", mark="warn", found=f"{damaged} missing or changed", cure=f"{DAMAGED}.")


def _archive(settings: Settings) -> Iterator[Check]:
    from worker import wiring

    wiring.open_store(settings).check()
    yield Check(
        name="archive", mark="ok", found=f"{show.bare_url(settings.archive_url)}: writes, reads, lists and deletes"
    )


def _list_of_feeds(settings: Settings) -> Iterator[Check]:
    from worker.cli.feeds import read_list

    try:
        listed = read_list(settings.feeds_path)
    except UsageError as error:
        cure = "Correct the file, or say another with NEWSMILL_FEEDS."
        yield Check(name="list of feeds", mark="fail", found=str(error), cure=cure)
        return
    enabled = sum(feed.enabled for feed in listed)
    found = f"{settings.feeds_path}: {show.count(len(listed), 'feed')}, {enabled} enabled"
    yield Check(name="list of feeds", mark="ok", found=found)


def _list_of_gates(settings: Settings) -> Iterator[Check]:
    from worker import wiring

    try:
        gates = wiring.open_gates(settings)
    except UsageError as error:
        cure = "Correct the file, or say another with NEWSMILL_GATES."
        yield Check(name="list of gates", mark="fail", found=str(error), cure=cure)
        return
    found = f"{settings.gates_path}: {show.count(len(gates), 'gate')} beside one for each domain"
    yield Check(name="list of gates", mark="ok", found=found)


# ---------------------------------------------------------------- brokers


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.broker_is_embedded and not _embedded_runs(settings):
        found = "none is set, and the embedded one does not run at the moment"
        cure = "`newsmill up` starts it; or set BROKER_URL."
        yield Check(name="broker", mark="warn", found=found, cure=cure)
        return
    yield from _broker_at(settings, settings.broker_url, "broker")


def _output(settings: Settings) -> Iterator[Check]:
    if settings.publish_url != settings.broker_url:
        yield from _broker_at(settings, settings.publish_url, "output broker")
    elif not settings.broker_is_embedded:
        yield Check(name="output broker", mark="ok", found="the broker; PUBLISH_URL would name another")


def _broker_at(settings: Settings, url: str, name: str) -> Iterator[Check]:
    """Connect, declare the exchanges, and ask after settings that lose messages."""
    from worker import wiring

    publisher = wiring.publisher_at(settings, url)
    try:
        warnings = publisher.check()
    except UnavailableError as error:
        setting = "BROKER_URL" if name == "broker" else "PUBLISH_URL"
        cure = f"Start it, or correct {setting} (or CLOUDAMQP_URL, REDIS_URL)."
        yield Check(name=name, mark="fail", found=str(error), cure=cure)
        return
    finally:
        publisher.close()
    yield Check(name=name, mark="ok", found=f"{show.bare_url(url)}: connected, exchanges declared")
    if not verifies(url):
        cure = "Say ?ssl_cert_reqs=required behind its URL where the certificate can be verified (Heroku's cannot)."
        found = "its certificate is not verified: whoever can redirect the connection can read along"
        yield Check(name=name, mark="warn", found=found, cure=cure)
    for sentence in warnings:
        yield Check(name=name, mark="warn", found=sentence, cure="Change it in the broker's own settings.")
    if is_redis(url):
        yield from _redis_policy(url, name)


def _redis_policy(url: str, name: str) -> Iterator[Check]:
    """A Redis with a memory limit and any other policy throws queued messages away."""
    import redis

    client = redis_client(url)
    try:
        memory: dict[str, Any] = client.info("memory")
    except redis.RedisError as error:
        cure = "Make sure by hand that maxmemory-policy is noeviction."
        yield Check(name=name, mark="warn", found=f"INFO memory: {type(error).__name__}", cure=cure)
        return
    finally:
        client.close()
    policy = memory.get("maxmemory_policy")
    if policy == "noeviction":
        yield Check(name=name, mark="ok", found="maxmemory-policy noeviction")
    else:
        cure = "Set maxmemory-policy to noeviction: any other throws queued messages away when memory is short."
        yield Check(name=name, mark="fail", found=f"maxmemory-policy {policy}", cure=cure)


def redis_client(url: str) -> Any:
    """A client for one of kombu's Redis URLs, the first of several."""
    import redis

    first = url.partition(";")[0]
    if first.startswith("redis+socket://"):
        return redis.Redis(unix_socket_path=unquote(urlsplit(first).path), socket_timeout=REDIS_WAIT_S)
    bare = first.partition("?")[0]
    limits = {"socket_timeout": REDIS_WAIT_S, "socket_connect_timeout": REDIS_WAIT_S}
    return redis.Redis.from_url(bare, **limits, **tls_options(first))


def _embedded_runs(settings: Settings) -> bool:
    """Does somebody listen at the embedded broker's socket? A killed launcher leaves one that is dead."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(REDIS_WAIT_S)
        return probe.connect_ex(unquote(urlsplit(settings.broker_url).path)) == 0


EXAMINATIONS = (_user_agent, _flower, _websub, _database, _archive, _list_of_feeds, _list_of_gates, _broker, _output)
