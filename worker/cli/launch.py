"""The whole system on this machine: started, watched, drained. What ``newsmill up`` does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text

from config.settings import Settings, embedded_socket, sqlite_path
from worker import wiring
from worker.cli import context, show
from worker.cli.announce import Confirmations, article_lines
from worker.cli.children import RESTARTS, Children, Death
from worker.cli.doors import now_utc
from worker.cli.feeds import read_list, synced
from worker.embedded import EmbeddedRedis
from worker.errors import UnavailableError, UsageError
from worker.ledger import articles, feeds
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.sample.newsroom import DEFAULT_PORT, Newsroom
from worker.text import escape_control
from worker.urls import gate_key

LOOK_EVERY_S = 0.25
DRAIN_S = 17.0  # for worker, beat and Flower; the embedded broker may need 5 s more, and 25 s is the promise
PORTS_TRIED = 50
SAMPLE_ORIGIN = "sample"  # feeds of the newsroom: switched off when it does not run
TICK_S = "2"  # one machine, one database file: a look costs next to nothing
SAMPLE_HOST_DELAY_S = "0.2"
SAMPLE_NETWORK = "127.0.0.0/8"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_everything(*, sample: bool, port: int | None) -> bool:
    """Start all, announce articles until we are asked to stop, drain.

    Returns: False: a process could not be kept alive, or had to be killed.
    Raises: SettingsError, UsageError, UnavailableError: it cannot be started, or the broker cannot be kept.
            Nothing is left running then.
    """
    console = Console(highlight=False)
    environment = launch_environment(context.environment(), sample=sample, port=port)
    with stop_signals() as stop, ExitStack() as house:
        launch = _Launch(
            settings=Settings.from_env(environment),
            environment=environment,
            sample=sample,
            console=console,
            stop=stop,
            house=house,
        )
        return launch.run()


def launch_environment(environment: Mapping[str, str], *, sample: bool, port: int | None) -> dict[str, str]:
    """The environment of the launcher's children: the operator's, with defaults for what it leaves open.

    Raises: SettingsError: a setting is wrong.
    """
    said = {name for name, value in environment.items() if value.strip()}
    ours = {"NEWSMILL_TICK_S": TICK_S}
    if sample:
        ours |= {"NEWSMILL_ALLOW_NETWORKS": SAMPLE_NETWORK, "NEWSMILL_HOST_DELAY_S": SAMPLE_HOST_DELAY_S}
    whole = {**environment, **{name: value for name, value in ours.items() if name not in said}}
    whole.pop("REMAP_SIGTERM", None)  # with it, Celery's SIGTERM is the soft shutdown, which sleeps while a task runs
    settings = Settings.from_env(whole)
    whole["NEWSMILL_HOME"] = str(settings.home)
    whole["PORT"] = str(port or settings.port)
    return whole


@dataclass(slots=True)
class Stop:
    """How often somebody asked us to stop: once means drain, twice means now.

    A closed terminal asks once, however many signals and failed lines it is told by.
    """

    asked: int = 0
    heard: threading.Event = field(default_factory=threading.Event)

    def ask(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.wish()
        else:
            self.asked += 1
            self.heard.set()

    def wish(self) -> None:
        """Somebody who is gone would want it."""
        self.asked = max(self.asked, 1)
        self.heard.set()

    def insisted(self) -> bool:
        return self.asked > 1


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and a closed terminal are wishes inside this block, not ends."""
    stop = Stop()
    before = {number: signal.signal(number, stop.ask) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True, kw_only=True)
class _Launch:
    """One run of ``up``: what is started is ended by ``house``, the last first."""

    settings: Settings
    environment: dict[str, str]
    sample: bool
    console: Console
    stop: Stop
    house: ExitStack
    told: dict[str, str] = field(default_factory=dict)  # last words that are on the screen already

    def run(self) -> bool:
        """Returns: False: a process could not be kept alive, or had to be killed."""
        make_home(self.settings.home)
        broker = self._broker()
        ledger = Ledger(self.settings.database_url)
        self.house.callback(ledger.close)
        migrate(ledger)
        follow_reviewed_list(ledger, self.settings.feeds_path)
        self._try_doors()
        newsroom = self._newsroom() if self.sample else None
        since = now_utc()
        follow_sample(ledger, newsroom)
        self.environment["PORT"] = str(self._flower_port())
        children = self._children()
        self._header(ledger, newsroom)
        confirmations = Confirmations(ledger=ledger, since=since)
        well = self._until_stopped(children, broker, confirmations)
        return self._drained(children, ledger, confirmations) and well

    def say(self, text: str) -> None:
        """Lines, whatever is in them."""
        for line in text.splitlines():
            self._print(Text(escape_control(line)))

    def _print(self, line: Text) -> None:
        """All that ``up`` says passes here. A closed terminal or a pipe without a reader is a wish to stop."""
        try:
            self.console.print(line, soft_wrap=True)
        except (OSError, SystemExit):  # Rich makes the latter of a broken pipe
            show.hush()
            self.stop.wish()

    def _announce(self, confirmations: Confirmations) -> None:
        for line in article_lines(self.console, confirmations.look()):
            self._print(line)

    def _broker(self) -> EmbeddedRedis | None:
        if not self.settings.broker_is_embedded:
            return None
        broker = EmbeddedRedis(self.settings.home / "broker", embedded_socket(self.settings.home))
        self.house.callback(broker.stop)
        broker.start()
        return broker

    def _try_doors(self) -> None:
        """Behind a closed door nothing would ever be published, and only the children's logs would say why.

        Raises:
            UnavailableError: the archive cannot be written, or a broker does not answer.
            UsageError: the list of gates is not one.
        """
        wiring.open_gates(self.settings)
        wiring.open_store(self.settings).check()
        for url in {self.settings.broker_url, self.settings.publish_url}:
            with wiring.publisher_at(self.settings, url) as publisher:
                publisher.check()

    def _newsroom(self) -> Newsroom:
        newsroom = started_newsroom(self.settings.home / "sample-port")
        self.house.callback(newsroom.stop)
        return newsroom

    def _flower_port(self) -> int:
        wanted = int(self.environment["PORT"])
        host, last = self.settings.web_address, min(wanted + PORTS_TRIED, 65536)
        port = next((p for p in range(wanted, last) if _is_free(host, p)), None)
        if port is None:
            raise UsageError(
                f"Port {wanted} and the next {PORTS_TRIED} are taken: name another for Flower with --port."
            )
        if port != wanted:
            self.say(f"Port {wanted} is taken: Flower listens on {port}.")
        return port

    def _children(self) -> Children:
        celery = [sys.executable, "-m", "celery", "-A", "tasks.main"]
        children = Children(environment=self.environment, log_folder=self.settings.home / "log")
        self.house.callback(lambda: children.stop(within_s=0, hurry=self.stop.insisted))  # when the launch fails
        children.start("worker", [*celery, "worker", "--without-gossip", "--without-mingle", "-n", "newsmill@%h"])
        children.start("beat", [*celery, "beat", "--schedule", str(self.settings.home / "beat"), "--pidfile="])
        children.start("flower", [sys.executable, "-m", "tasks.flower"])
        return children

    # ------------------------------------------------------------ while it runs

    def _until_stopped(self, children: Children, broker: EmbeddedRedis | None, confirmations: Confirmations) -> bool:
        """Returns: False: something died and cannot be kept alive."""
        ledger_answers = True
        while not self.stop.heard.wait(LOOK_EVERY_S):
            for death in children.watch():
                self._tell(death)
                if not death.restarts_left:
                    return False
            if broker is not None and not broker.running:
                self.say("The embedded broker ended: starting it again; nothing is lost by this.")
                broker.start()
            try:
                self._announce(confirmations)
                ledger_answers = True
            except UnavailableError as error:
                if ledger_answers:
                    self.say(f"The ledger does not answer: {error}. Waiting for it.")
                ledger_answers = False
        return True

    def _tell(self, death: Death) -> None:
        how = f"exit code {death.exit_code}" if death.exit_code >= 0 else f"signal {-death.exit_code}"
        self.say(f"{death.name} ended by itself ({how}); see {self.settings.home / 'log'}.")
        if death.last_words != self.told.get(death.name):
            self.say("\n".join(f"    {line}" for line in death.last_words.splitlines()))
            self.told[death.name] = death.last_words
        if death.restarts_left:
            self.say(f"Starting {death.name} again ({RESTARTS - death.restarts_left + 1} of {RESTARTS}).")
        else:
            self.say(f"{death.name} cannot be kept alive: ending everything.")

    def _drained(self, children: Children, ledger: Ledger, confirmations: Confirmations) -> bool:
        self.say("Stopping: what is in hand is finished first (Ctrl-C again: at once).")
        killed = children.stop(within_s=DRAIN_S, hurry=self.stop.insisted)
        with suppress(UnavailableError):
            self._announce(confirmations)
            self._sum_up(ledger)
            switch_off_sample(ledger)
        if killed:
            self.say(f"Killed, because it took too long: {', '.join(killed)}. What it had in hand is done again.")
        return not killed

    # ------------------------------------------------------------ what a person reads

    def _header(self, ledger: Ledger, newsroom: Newsroom | None) -> None:
        settings, command = self.settings, own_name()
        with ledger.reading() as connection:
            followed = [row.slug for row in feeds.all_feeds(connection) if row.enabled]
        for name, value in {
            "home": str(settings.home),
            "Flower": f"http://127.0.0.1:{self.environment['PORT']}"
            if settings.shows_flower
            else "off: set FLOWER_BASIC_AUTH=user:password, since others reach its port (NEWSMILL_PUBLIC_URL)",
            "WebSub": f"{settings.public_url}/websub/, at port {self.environment['PORT']} of this machine"
            if settings.public_url
            else None,
            "archive": show.bare_url(settings.archive_url),
            "database": shown_database(settings.database_url),
            "logs": str(settings.home / "log"),
            "feeds": ", ".join(followed[:8]) + (f" and {len(followed) - 8} more" if len(followed) > 8 else "")  # noqa: PLR2004 - a line's worth
            if followed
            else "none yet",
            "newsroom": newsroom.base_url if newsroom else None,
        }.items():
            if value is not None:
                self._print(Text.assemble((f"{name:<10}", "bold"), escape_control(value)))
        if newsroom is not None:
            self.say(
                f"While the sample runs, every site is asked each {settings.host_delay_s:g} s, and loopback addresses "
                f"may be fetched: for feeds of your own run `{command} up` without --sample."
            )
        self.say(
            f"Follow a feed: `{command} feeds add URL`. Poll by hand: `{command} repoll SLUG`. How it goes: `{command} "
            "status`. Stop: Ctrl-C."
        )

    def _sum_up(self, ledger: Ledger) -> None:
        with ledger.reading() as connection:
            counts = {state: count for state, count in articles.counts(connection).items() if count}
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        self.say(f"In the ledger: {told or 'no article yet'}.")


def make_home(home: Path) -> None:
    """Raises: UsageError: the folder cannot be made or written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"NEWSMILL_HOME, {home}, cannot be made: {error.strerror}; name another folder.") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"NEWSMILL_HOME, {home}, may not be written: name another folder, or change its rights.")


def shown_database(url: str) -> str:
    """A database as a screen may show it: a file, or a URL without user, password and options."""
    path = sqlite_path(url)
    return show.bare_url(url) if path is None else str(path)


def own_name() -> str:
    """How a person calls this program from here: ``newsmill`` when that is what the PATH finds."""
    called = Path(sys.argv[0])
    if called.name != "newsmill":
        return "newsmill"
    found = shutil.which("newsmill")
    if found is not None and Path(found).resolve() == called.resolve():
        return "newsmill"
    return str(called)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


# ---------------------------------------------------------------- feeds


def follow_reviewed_list(ledger: Ledger, path: Path) -> None:
    """Bring the reviewed list into the registry, when anything in it is switched on: examples need not be seen.

    Raises: UsageError: the list cannot be read, or says something that cannot be.
    """
    listed = read_list(path)
    if any(config.enabled for config in listed):
        with ledger.transaction() as tx:
            synced(tx, listed, now_utc())


def started_newsroom(port_path: Path) -> Newsroom:
    """The newsroom at the port it had last time: its articles' addresses, and so their identities, hold it.

    Raises: UsageError: somebody else has that port.
    """
    with suppress(FileNotFoundError, ValueError):
        remembered = int(port_path.read_text(encoding="ascii"))
        newsroom = Newsroom(port=remembered, clock=now_utc)
        try:
            newsroom.start()
        except UsageError as error:
            raise UsageError(
                f"The sample newsroom of this home lives on port {remembered}, which is taken: end what uses it, or "
                "give this run a NEWSMILL_HOME of its own."
            ) from error
        return newsroom
    newsroom = Newsroom(port=DEFAULT_PORT, clock=now_utc)
    try:
        newsroom.start()
    except UsageError:
        newsroom = Newsroom(port=0, clock=now_utc)
        newsroom.start()
    port_path.write_text(str(urlsplit(newsroom.base_url).port), encoding="ascii")
    return newsroom


def follow_sample(ledger: Ledger, newsroom: Newsroom | None) -> None:
    """Bring the newsroom's feeds into the registry, due now; without a newsroom, switch off those of an earlier run."""
    if newsroom is None:
        switch_off_sample(ledger)
        return
    now = now_utc()
    entries = newsroom.feeds()
    with ledger.transaction() as tx:
        for entry in entries:
            values: dict[str, Any] = {**entry, "host": gate_key(entry["url"]), "enabled": True}
            known = feeds.by_slug(tx, entry["slug"])
            if known is None:
                feeds.insert(tx, {"headers": {}, "first_poll": "all", **values}, origin=SAMPLE_ORIGIN, now=now)
            else:
                moved = feeds.NEW_URL if known.url != entry["url"] else {}
                feeds.change(tx, known.id, {**values, **moved, "removed_at": None}, now=now)
        feeds.ask(tx, [entry["slug"] for entry in entries], unconditional=False, now=now)


def switch_off_sample(ledger: Ledger) -> None:
    """Nobody answers at the newsroom's feeds while it does not run."""
    with ledger.transaction() as tx:
        for row in feeds.all_feeds(tx):
            if row.origin == SAMPLE_ORIGIN and row.enabled:
                feeds.change(tx, row.id, {"enabled": False}, now=now_utc())
