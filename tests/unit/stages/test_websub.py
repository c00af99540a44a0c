"""WebSub between a real hub, a real callback server and the ledger, on both databases; everything but the broker."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tornado.web import Application

from tasks.web import Desk, quiet
from tests.hub import Hub, call
from tests.newsserver import Answer, NewsServer
from tests.unit.stages.conftest import Line
from worker import stages
from worker.ledger import feeds, subscriptions, tables
from worker.ledger.tables import Row
from worker.stages import websub
from worker.websub import subscription

TOPIC = "https://news.example/feed?a=%7Eb&c=1"
CAP_BYTES = 100_000


class Callbacks:
    """The callback server of a line, as the web process has it, on a thread of the test's own."""

    def __init__(self, line: Line, port: int) -> None:
        self.started: list[str] = []
        self.desk = Desk(doors=lambda: line.deps, start_poll=self.started.append, cap_bytes=CAP_BYTES)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(line.deps.settings.public_url, port)))
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self, public_url: str, port: int) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = Application([self.desk.rule(public_url)], log_function=quiet).listen(port, address="127.0.0.1")
        self._ready.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()

    def polls(self, count: int) -> list[str]:
        """The polls that were started, once there are so many: they are after the hub has its answer."""
        end = time.monotonic() + 5
        while len(self.started) < count and time.monotonic() < end:
            time.sleep(0.01)
        return list(self.started)

    def idle(self) -> None:
        """Nobody is waited for any more."""
        end = time.monotonic() + 5
        while self.desk.busy:
            assert time.monotonic() < end
            time.sleep(0.01)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.desk.threads.shutdown()


class Newsroom:
    """A line that hubs can reach, and the feeds it follows."""

    def __init__(self, line: Line, callbacks: Callbacks, hub: Hub) -> None:
        self.line, self.callbacks, self.hub = line, callbacks, hub

    def follow(self, slug: str = "ferry", *, topic: str = TOPIC, hub: Hub | None = None, **values: Any) -> None:
        self.line.follow(slug, f"https://{slug}.example/feed")
        self.learn(slug, hub_url=(hub or self.hub).url, topic_url=topic, **values)

    def learn(self, slug: str = "ferry", **values: Any) -> None:
        with self.line.deps.ledger.transaction() as tx:
            tx.execute(tables.feeds.update().where(tables.feeds.c.slug == slug).values(**values))

    def ask(self, *, later: timedelta = timedelta()) -> int:
        self.line.ahead += later
        stages.change_subscriptions(self.line.deps)
        return stages.ask_hubs(self.line.deps).count

    def feed(self, slug: str = "ferry") -> Row:
        with self.line.deps.ledger.reading() as tx:
            row = feeds.by_slug(tx, slug)
        assert row is not None
        return row

    def all(self) -> list[Row]:
        with self.line.deps.ledger.reading() as tx:
            return list(tx.execute(sa.select(tables.subscriptions).order_by(tables.subscriptions.c.id)))

    def one(self) -> Row:
        (row,) = self.all()
        return row

    def callback(self) -> str:
        row = self.one()
        return subscription.callback_url(row.public_url, row.callback)

    def polled(self, *, found_new: bool) -> bool:
        """A poll that was answered ends. Returns: whether the feed may be left to its hub."""
        feed, now = self.feed(), self.line.now()
        with self.line.deps.ledger.transaction() as tx:
            pushed = websub.is_pushed(self.line.deps, tx, feed, now=now, found_new=found_new)
            tx.execute(tables.feeds.update().values(polled_at=now, asked_at=None, due_at=now + timedelta(hours=1)))
        self.line.later(seconds=1)
        return pushed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def newsroom(request: pytest.FixtureRequest, tmp_path: Path, hub: Hub) -> Iterator[Newsroom]:
    port = free_port()
    settings = {"NEWSMILL_PUBLIC_URL": f"http://127.0.0.1:{port}/news"}
    if request.param == "postgres":
        settings["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    line = Line(tmp_path, **settings)
    callbacks = Callbacks(line, port)
    yield Newsroom(line, callbacks, hub)
    callbacks.close()
    line.close()


only_sqlite = pytest.mark.parametrize("newsroom", ["sqlite"], indirect=True)


# ---------------------------------------------------------------- subscribing


@pytest.mark.parametrize("verifies", ["before", "after"])
def test_a_feed_that_names_a_hub_is_subscribed(newsroom: Newsroom, hub: Hub, verifies: str) -> None:
    hub.verifies, hub.lease_s = verifies, "345600"
    newsroom.follow()
    assert newsroom.ask() == 1
    for thread in hub._asking:
        thread.join()
    (fields,) = hub.requests
    row = newsroom.one()
    assert fields == {
        "hub.mode": "subscribe",
        "hub.topic": TOPIC,
        "hub.callback": f"{newsroom.line.deps.settings.public_url}/websub/{row.callback}",
        "hub.verify": "async",
        "hub.lease_seconds": "864000",
        "hub.secret": row.secret,
    }
    assert hub.content_types == ["application/x-www-form-urlencoded"]
    assert len(row.secret) < 200
    assert row.secret != row.callback
    assert (row.state, row.failures, row.error, row.lease_until) == ("active", 0, None, None)
    assert row.expires_at - row.verified_at == timedelta(days=4)
    assert row.due_at - row.verified_at == timedelta(days=4) * subscription.RENEW_AFTER
    assert list(hub.verified) == [fields["hub.callback"]]


def test_each_feed_has_a_callback_and_a_secret_of_its_own(newsroom: Newsroom, hub: Hub) -> None:
    for slug in ("ferry", "quay", "tide"):
        newsroom.follow(slug)
    newsroom.ask()
    assert len({row.callback for row in newsroom.all()}) == len({row.secret for row in newsroom.all()}) == 3
    assert len(hub.verified) == 3
    assert newsroom.ask() == 0


@only_sqlite
def test_without_a_public_url_no_hub_is_asked(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    deps = newsroom.line.deps
    elsewhere = dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, public_url=""))
    stages.change_subscriptions(elsewhere)
    assert stages.ask_hubs(elsewhere) == stages.Asked(count=0, look_again_at=None)
    assert hub.requests == newsroom.all() == []


@only_sqlite
def test_a_subscription_is_renewed_before_its_lease_ends_and_stays_in_force_meanwhile(
    newsroom: Newsroom, hub: Hub
) -> None:
    newsroom.follow()
    newsroom.ask()
    first = newsroom.one()
    assert newsroom.ask(later=timedelta(days=6)) == 0
    hub.verifies = None
    assert newsroom.ask(later=timedelta(days=1)) == 1
    assert (newsroom.one().state, newsroom.one().expires_at) == ("active", first.expires_at)
    assert hub.push() == 202
    assert newsroom.callbacks.polls(1) == ["ferry"]
    hub.verifies = "before"
    assert newsroom.ask(later=timedelta(hours=1)) == 1
    assert newsroom.one().expires_at > first.expires_at + timedelta(days=6)
    assert newsroom.one().callback == first.callback


@only_sqlite
@pytest.mark.parametrize(
    ("answer", "error", "again_s"),
    [
        pytest.param({"status": 503, "headers": {"Retry-After": "7200"}}, "HTTP 503", 7200, id="asks to wait"),
        pytest.param({"status": 500}, "HTTP 500", 300, id="is broken"),
        pytest.param({"status": 422, "text": b"topic not\n<i>ours</i>"}, "topic not <i>ours</i>", 86_400, id="refuses"),
        pytest.param({"verifies": None}, "not verified", 300, id="never verifies"),
        pytest.param({"location": "/elsewhere", "status": 302}, "makes a GET of the POST", 300, id="odd redirect"),
        pytest.param({"location": "/hub", "status": 307}, "hops", 300, id="redirect loop"),
    ],
)
def test_a_hub_that_does_not_confirm_is_asked_again_later(
    newsroom: Newsroom, hub: Hub, answer: dict[str, Any], error: str, again_s: float
) -> None:
    for name, value in answer.items():
        setattr(hub, name, value)
    newsroom.follow()
    began = newsroom.line.now()
    newsroom.ask()
    row = newsroom.one()
    assert (row.state, row.failures) == ("wanted", 1)
    assert error in row.error
    assert again_s <= (row.due_at - began).total_seconds() < again_s + 10
    if answer.get("status", 0) != 503:
        newsroom.ask(later=timedelta(seconds=again_s + 10))
        again = newsroom.one()
        assert again.failures == 2
        assert (again.due_at - newsroom.line.now()).total_seconds() > again_s


@only_sqlite
@pytest.mark.parametrize("status", [307, 308])
def test_a_hub_may_name_another_one(newsroom: Newsroom, hub: Hub, status: int) -> None:
    with Hub("127.0.0.2") as other:
        hub.status, hub.location = status, other.url
        newsroom.follow()
        newsroom.ask()
        assert newsroom.one().state == "active"
        assert other.requests == hub.requests
        assert len(other.verified) == 1


@only_sqlite
def test_hubs_that_send_us_in_circles_are_asked_later_and_later(newsroom: Newsroom, hub: Hub) -> None:
    deps = newsroom.line.deps
    newsroom.line.deps = dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, host_delay_s=8))
    with Hub("127.0.0.2") as other:
        hub.status, hub.location = 307, other.url
        other.status, other.location = 307, hub.url
        newsroom.follow()
        newsroom.ask()
        assert "redirect-loop" in newsroom.one().error
        assert newsroom.one().due_at - newsroom.line.now() > timedelta(hours=23)
        assert (len(hub.requests), len(other.requests)) == (1, 1)


@only_sqlite
def test_who_answers_for_a_hub_of_http_at_https_is_not_the_hub(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.learn(hub_url="http://hub.example/")
    websub._want_new(newsroom.line.deps)
    row, deps, now = newsroom.one(), newsroom.line.deps, newsroom.line.now()
    until = now + timedelta(minutes=1)
    deps.saved(lambda tx: subscriptions.claim(tx, now=now, until=until, limit=1))
    deps.saved(websub._unconfirmed(deps, row, until, websub.RefusedByHubError("HTTP 404")))
    assert newsroom.one().due_at - now < timedelta(minutes=10)
    row = newsroom.one()  # and what follows asks the hub as it is named
    deps.saved(lambda tx: subscriptions.claim(tx, now=row.due_at, until=until, limit=1))
    deps.saved(websub._unconfirmed(deps, row, until, websub.RefusedByHubError("HTTP 404")))
    assert newsroom.one().due_at - now > timedelta(hours=23)


@only_sqlite
def test_what_a_hub_repeats_of_our_secrets_is_not_kept(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    websub._want_new(newsroom.line.deps)
    row, callback = newsroom.one(), newsroom.callback()
    hub.status, hub.text = 400, f"{'.' * 140} {callback} ({row.secret}) cannot be reached".encode()
    newsroom.ask()
    assert "HTTP 400" in newsroom.one().error
    said = newsroom.one().error
    hub.status, hub.denies = 202, f"{'.' * 140} {callback} ({row.secret}) is not for us"
    newsroom.ask(later=timedelta(days=2))
    assert newsroom.one().state == "denied"
    said += newsroom.one().error
    assert "[removed]" in said
    assert all(hidden[:8] not in said for hidden in (row.callback, row.secret))


@only_sqlite
def test_a_hub_that_verifies_by_another_clock_has_verified(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    websub._want_new(newsroom.line.deps)
    row, deps, now = newsroom.one(), newsroom.line.deps, newsroom.line.now()
    until = now + timedelta(minutes=1)
    deps.saved(lambda tx: subscriptions.claim(tx, now=now, until=until, limit=1))
    newsroom.line.later(seconds=-5)  # the web process is behind the worker
    hub.verify({"hub.mode": "subscribe", "hub.topic": TOPIC, "hub.callback": newsroom.callback()})
    newsroom.line.later(seconds=5)
    deps.saved(websub._unconfirmed(deps, row, until, None))
    after = newsroom.one()
    assert (after.state, after.failures, after.error, after.lease_until) == ("active", 0, None, None)
    assert after.due_at - now > timedelta(days=6)


@only_sqlite
def test_a_hub_at_a_private_address_is_not_asked(newsroom: Newsroom) -> None:
    newsroom.follow()
    newsroom.learn(hub_url="http://10.0.0.1/hub")
    newsroom.ask()
    assert "refused-address" in newsroom.one().error


@only_sqlite
def test_the_host_gate_holds_for_hubs_and_the_next_look_is_when_it_opens(newsroom: Newsroom, hub: Hub) -> None:
    deps = newsroom.line.deps
    newsroom.line.deps = dataclasses.replace(
        deps, settings=dataclasses.replace(deps.settings, host_delay_s=8, tick_s=10)
    )
    for slug in ("ferry", "quay", "tide"):
        newsroom.follow(slug)
    stages.change_subscriptions(newsroom.line.deps)
    came_to = stages.ask_hubs(newsroom.line.deps)
    assert (came_to.count, len(hub.requests)) == (1, 1)
    assert came_to.look_again_at is not None
    assert 0 < (came_to.look_again_at - newsroom.line.now()).total_seconds() <= 8
    waiting = [row for row in newsroom.all() if row.state == "wanted"]
    assert [(row.asked_at, row.failures) for row in waiting] == [(None, 0), (None, 0)]
    newsroom.ask(later=timedelta(seconds=9))
    newsroom.ask(later=timedelta(seconds=9))
    assert len(hub.verified) == 3


def test_what_waits_for_a_busy_hub_is_left_alone_and_hides_no_other_hub(newsroom: Newsroom, hub: Hub) -> None:
    deps = newsroom.line.deps
    newsroom.line.deps = dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, host_delay_s=8))
    for number in range(40):
        newsroom.follow(f"busy-{number}")
    stages.change_subscriptions(newsroom.line.deps)
    before = newsroom.all()
    with Hub("127.0.0.2") as other:
        newsroom.follow("last", hub=other)
        newsroom.ask()
        assert (len(hub.requests), len(other.requests)) == (1, 1)
    touched = [row.id for row, was in zip(newsroom.all(), before, strict=False) if row != was]
    assert len(touched) == 2  # the one that was asked for, and the one that booked the next place


@only_sqlite
def test_a_denied_subscription_is_left_alone_for_a_month(newsroom: Newsroom, hub: Hub) -> None:
    hub.denies = "we do not\x00 know you"
    newsroom.follow()
    newsroom.ask()
    row = newsroom.one()
    assert (row.state, row.error) == ("denied", "denied: we do not know you")
    assert hub.answers == [(200, b"")]
    assert newsroom.ask(later=timedelta(days=29)) == 0
    hub.denies = None
    assert newsroom.ask(later=timedelta(days=2)) == 1
    assert newsroom.one().state == "active"


@only_sqlite
def test_a_hub_may_deny_what_it_had_granted(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    hub.denies = "no longer"
    hub.verify(hub.requests[0])
    assert (newsroom.one().state, newsroom.one().expires_at) == ("denied", None)


# ---------------------------------------------------------------- what hubs ask


@only_sqlite
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"hub.topic": "https://news.example/other"}, id="another topic"),
        pytest.param({"hub.mode": "unsubscribe"}, id="nobody wants to leave"),
        pytest.param({"hub.challenge": "a\x00b"}, id="a binary challenge"),
    ],
)
def test_what_we_did_not_ask_for_is_not_confirmed(newsroom: Newsroom, hub: Hub, change: dict[str, str]) -> None:
    hub.says = lambda question: {**question, **change}
    newsroom.follow()
    newsroom.ask()
    assert hub.answers == [(404, b"")]
    assert newsroom.one().state == "wanted"
    assert hub.verified == {}


@only_sqlite
def test_nothing_is_confirmed_that_was_never_asked(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    websub._want_new(newsroom.line.deps)
    fields = {"hub.mode": "subscribe", "hub.topic": TOPIC, "hub.callback": newsroom.callback()}
    assert hub.verify(fields) == (404, b"")
    newsroom.ask()
    assert hub.verify(fields)[0] == 200  # from now on a hub may confirm it again, whenever it likes


@only_sqlite
@pytest.mark.parametrize(
    ("granted", "lease"),
    [
        pytest.param(None, timedelta(days=10), id="says nothing"),
        pytest.param("3600", timedelta(hours=1), id="an hour"),
        pytest.param("99999999999", timedelta(days=365), id="for ever"),
    ],
)
def test_the_lease_is_the_hub_s_within_reason(
    newsroom: Newsroom, hub: Hub, granted: str | None, lease: timedelta
) -> None:
    hub.lease_s = granted
    newsroom.follow()
    newsroom.ask()
    row = newsroom.one()
    assert row.expires_at - row.verified_at == lease


@only_sqlite
def test_a_topic_that_the_hub_spells_otherwise_is_still_ours(newsroom: Newsroom, hub: Hub) -> None:
    hub.says = lambda question: {**question, "hub.topic": TOPIC.replace("%7E", "~")}
    newsroom.follow()
    newsroom.ask()
    assert newsroom.one().state == "active"


@only_sqlite
def test_guesses_find_nothing(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    public_url, callback = newsroom.line.deps.settings.public_url, newsroom.callback()
    guess = public_url + "/websub/" + "A" * 43
    question = "?hub.mode=denied&hub.topic=https://news.example/feed"
    assert [call(url + question)[0] for url in (guess, guess[:-1], guess + "A", public_url + "/websub/")] == [404] * 4
    assert call(guess, b"<feed/>")[0] == 410
    assert call(callback, b"x", method="PUT")[0] == call(callback, method="DELETE")[0] == 405
    assert call(callback.replace("/news/", "/"))[0] == 404  # the prefix is optional, and no question is no question
    assert (newsroom.one().state, newsroom.one().ignored) == ("active", 0)


# ---------------------------------------------------------------- pushes


def test_a_signed_push_makes_its_feed_due_at_once(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    newsroom.learn(due_at=newsroom.line.now() + timedelta(days=1))
    assert hub.push(body=b"<feed>" + b"x" * 90_000) == 202
    feed = newsroom.feed()
    assert feed.due_at <= newsroom.line.now()
    assert feed.pushed_at == feed.asked_at == feed.due_at
    assert newsroom.callbacks.polls(1) == ["ferry"]
    assert (newsroom.one().pushes, newsroom.one().ignored) == (1, 0)


@only_sqlite
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param(None, "unsigned", id="unsigned"),
        pytest.param("sha256=" + "0" * 64, "bad-signature", id="somebody else's"),
    ],
)
def test_a_push_that_the_hub_did_not_sign_changes_nothing_but_a_count(
    newsroom: Newsroom, caplog: pytest.LogCaptureFixture, header: str | None, reason: str
) -> None:
    newsroom.follow()
    newsroom.ask()
    before = newsroom.feed()
    assert call(newsroom.callback(), b"<feed/>", {"X-Hub-Signature": header} if header else {})[0] == 202
    assert newsroom.feed() == before
    assert newsroom.callbacks.polls(0) == []
    assert (newsroom.one().pushes, newsroom.one().ignored) == (0, 1)
    ignored = [record for record in caplog.records if record.message == "websub.ignored"]
    assert [(record.feed, record.reason) for record in ignored] == [("ferry", reason)]  # type: ignore[attr-defined]


@only_sqlite
@pytest.mark.parametrize("method", ["sha1", "sha384", "sha512"])
def test_any_method_of_the_recommendation_will_do(newsroom: Newsroom, hub: Hub, method: str) -> None:
    newsroom.follow()
    newsroom.ask()
    assert hub.push(method=method) == 202
    assert (newsroom.one().pushes, newsroom.one().ignored) == (1, 0)


@only_sqlite
def test_a_signature_holds_for_its_body_only(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    for body, secret in ((b"<feed/>", "a guess"), (b"", newsroom.one().secret)):
        hub.push(body=body, secret=secret)
    assert (newsroom.one().pushes, newsroom.one().ignored) == (1, 1)


def test_many_pushes_make_one_poll_and_the_next_poll_waits_a_moment(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    pushing = [threading.Thread(target=hub.push) for _ in range(12)]
    for thread in pushing:
        thread.start()
    for thread in pushing:
        thread.join()
    assert newsroom.callbacks.polls(1) == ["ferry"]
    assert newsroom.one().pushes == 12
    newsroom.polled(found_new=True)
    assert hub.push() == 202
    feed = newsroom.feed()
    assert feed.due_at == feed.polled_at + timedelta(seconds=subscription.POLL_GAP_S)


@only_sqlite
@pytest.mark.parametrize("vain", ["quiet_polls", "failures"])
def test_pushes_that_bring_nothing_make_fewer_polls(newsroom: Newsroom, hub: Hub, vain: str) -> None:
    newsroom.follow()
    newsroom.ask()
    newsroom.learn(polled_at=newsroom.line.now(), **{vain: 3})
    assert hub.push() == 202
    feed = newsroom.feed()
    assert feed.due_at == feed.polled_at + timedelta(seconds=8 * subscription.POLL_GAP_S)


@only_sqlite
def test_a_push_while_its_feed_is_polled_makes_another_poll(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    assert hub.push() == 202
    (batch,) = stages.due(newsroom.line.deps, slugs=["ferry"]).batches
    assert hub.push() == 202
    assert newsroom.callbacks.polls(1) == ["ferry"]  # that poll waits in a queue: it will see what was pushed
    with newsroom.line.deps.ledger.transaction() as tx:
        until = newsroom.line.now() + timedelta(minutes=1)
        assert feeds.begin(tx, list(batch.ids), token=batch.token, until=until)
    assert hub.push() == 202
    assert newsroom.callbacks.polls(2) == ["ferry", "ferry"]


@only_sqlite
def test_a_push_for_a_feed_that_is_followed_no_more_polls_nothing(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    newsroom.learn(enabled=False)
    assert hub.push() == 202
    assert newsroom.callbacks.polls(0) == []


@only_sqlite
def test_a_push_over_the_cap_is_refused_whether_it_says_so_or_not(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    port = int(newsroom.callback().split(":")[2].split("/")[0])
    path = newsroom.callback().partition(str(port))[2]
    announced = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {CAP_BYTES + 1}\r\n\r\n".encode()
    assert sent(port, announced).startswith(b"HTTP/1.1 413 ")
    chunked = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert b" 202 " not in sent(port, chunked + chunk * 10)
    assert (newsroom.one().pushes, newsroom.one().ignored) == (0, 0)
    newsroom.callbacks.idle()
    assert hub.push() == 202


def sent(port: int, data: bytes, *, wait_s: float = 10) -> bytes:
    """What comes back for some bytes, until the other side closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(4096):
                received += chunk
        except ConnectionError:
            pass
    return received


@only_sqlite
def test_a_push_that_drips_is_cut_off_and_hubs_that_come_at_once_are_told_to_come_back(
    newsroom: Newsroom, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.web.BODY_WITHIN_S", 0.4)
    monkeypatch.setattr("tasks.web.AT_ONCE", 2)
    newsroom.follow()
    newsroom.ask()
    port = int(newsroom.callback().split(":")[2].split("/")[0])
    head = f"POST {newsroom.callback().partition(str(port))[2]} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n<"
    slow = [threading.Thread(target=sent, args=(port, head.encode())) for _ in range(2)]
    began = time.monotonic()
    for thread in slow:
        thread.start()
    while newsroom.callbacks.desk.busy < 2:
        assert time.monotonic() - began < 5
    status, _, headers = call(newsroom.callback(), b"<feed/>")
    assert (status, headers["Retry-After"]) == (503, "30")
    for thread in slow:
        thread.join()
    assert time.monotonic() - began < 5
    newsroom.callbacks.idle()
    assert hub.push() == 202


@only_sqlite
def test_who_has_no_push_to_make_keeps_no_place(newsroom: Newsroom, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.web.AT_ONCE", 1)
    newsroom.follow()
    newsroom.ask()
    port = int(newsroom.callback().split(":")[2].split("/")[0])
    began = time.monotonic()
    for callback in ("A" * 43, newsroom.one().callback):
        for framing in ("Content-Length: 900", "Transfer-Encoding: chunked"):
            head = f"GET /news/websub/{callback} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
            assert sent(port, head.encode()).startswith(b"HTTP/1.1 400 ")
    head = f"POST /news/websub/{'A' * 43} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
    assert sent(port, head.encode()).startswith(b"HTTP/1.1 410 ")
    assert time.monotonic() - began < 5
    assert hub.push() == 202


@only_sqlite
def test_a_broker_that_is_away_keeps_no_hub_waiting_and_is_not_waited_for_at_the_end(
    newsroom: Newsroom, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    back, began = threading.Event(), time.monotonic()

    def start_poll(slug: str) -> None:
        newsroom.callbacks.started.append(slug)
        assert back.wait(20)

    monkeypatch.setattr(newsroom.callbacks.desk, "start_poll", start_poll)
    slugs = [f"feed-{number}" for number in range(6)]
    for slug in slugs:
        newsroom.follow(slug)
    newsroom.ask()
    for callback in hub.verified:
        assert hub.push(callback) == 202
    assert len(newsroom.callbacks.polls(1)) == 1
    assert all(newsroom.feed(slug).pushed_at for slug in slugs)
    newsroom.callbacks.desk.close()
    back.set()
    newsroom.callbacks.desk.sender.shutdown()
    assert len(newsroom.callbacks.started) == 1
    assert time.monotonic() - began < 10


@only_sqlite
def test_what_nobody_expected_is_logged_without_the_callback(
    newsroom: Newsroom, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    newsroom.follow()
    newsroom.ask()
    callback = newsroom.callback()

    def broken(*_: object) -> None:
        raise LookupError("odd")

    monkeypatch.setattr(newsroom.callbacks.desk, "doors", broken)
    assert call(f"{callback}?hub.mode=denied&hub.topic=x")[0] == hub.push() == 500
    monkeypatch.undo()
    monkeypatch.setattr("tasks.web.Signature.update", broken)
    monkeypatch.setattr("tasks.web.Callback._announced_bytes", broken)
    assert hub.push() == 500
    assert caplog.text.count("LookupError: odd") == 3
    assert newsroom.one().callback not in caplog.text


@only_sqlite
def test_a_ledger_that_is_away_makes_the_hub_push_again(newsroom: Newsroom, hub: Hub, tmp_path: Path) -> None:
    newsroom.follow()
    newsroom.ask()
    callback = newsroom.callback()
    newsroom.line.deps.ledger.close()
    (tmp_path / "newsmill.db").rename(tmp_path / "away.db")
    (tmp_path / "newsmill.db").mkdir()
    assert hub.push(callback) == 503
    assert call(f"{callback}?hub.mode=denied&hub.topic=x")[0] == 503
    (tmp_path / "newsmill.db").rmdir()
    (tmp_path / "away.db").rename(tmp_path / "newsmill.db")
    assert hub.push(callback) == 202


# ---------------------------------------------------------------- when something changes


@only_sqlite
@pytest.mark.parametrize("change", ["hub", "topic", "public URL"])
def test_a_new_hub_topic_or_public_url_means_a_new_subscription_and_the_old_hub_is_told(
    newsroom: Newsroom, hub: Hub, change: str
) -> None:
    newsroom.follow()
    newsroom.ask()
    before, deps = newsroom.one(), newsroom.line.deps
    with Hub() as other:
        if change == "public URL":
            moved = deps.settings.public_url.removesuffix("/news")
            newsroom.line.deps = dataclasses.replace(
                deps, settings=dataclasses.replace(deps.settings, public_url=moved)
            )
        else:
            newsroom.learn(**({"hub_url": other.url} if change == "hub" else {"topic_url": "https://news.example/2"}))
        newsroom.ask()
        after = newsroom.one()
        (left,) = [fields for fields in hub.requests if fields["hub.mode"] == "unsubscribe"]
        assert (left["hub.topic"], left["hub.callback"].rpartition("/")[2]) == (before.topic_url, before.callback)
        assert "hub.secret" not in left
        assert after.state == "active"
        assert (after.callback, after.secret) != (before.callback, before.secret)
        assert list((other if change == "hub" else hub).verified) == [newsroom.callback()]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"enabled": False}, id="disabled"),
        pytest.param({"hub_url": None, "topic_url": None}, id="hub lost"),
    ],
)
def test_a_feed_that_is_followed_no_more_or_lost_its_hub_is_unsubscribed(
    newsroom: Newsroom, hub: Hub, change: dict[str, Any]
) -> None:
    newsroom.follow()
    newsroom.ask()
    callback = newsroom.callback()
    newsroom.learn(**change)
    newsroom.ask()
    assert hub.requests[-1]["hub.mode"] == "unsubscribe"
    assert hub.verified == {}
    assert newsroom.all() == []
    assert hub.push(callback) == 410


@only_sqlite
def test_a_hub_that_does_not_let_go_is_told_a_few_times_and_then_that_we_are_gone(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    newsroom.ask()
    callback = newsroom.callback()
    newsroom.learn(enabled=False)
    hub.verifies = None
    for _ in range(subscription.LEAVING_TRIES):
        assert newsroom.ask() == 1
        assert hub.push(callback) == 410
        newsroom.line.later(days=1)
    assert newsroom.all() == []
    assert newsroom.ask() == 0
    assert hub.push(callback) == 410


@only_sqlite
def test_a_subscription_that_no_hub_knows_of_is_forgotten_at_once(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    websub._want_new(newsroom.line.deps)
    newsroom.learn(enabled=False)
    newsroom.ask()
    assert newsroom.all() == []
    assert hub.requests == []


def test_two_workers_ask_a_hub_once(newsroom: Newsroom, hub: Hub) -> None:
    newsroom.follow()
    deps, now = newsroom.line.deps, newsroom.line.now()
    websub._want_new(deps)
    until = now + timedelta(seconds=150)
    (row,) = deps.saved(lambda tx: subscriptions.claim(tx, now=newsroom.line.now(), until=until, limit=9))
    assert deps.saved(lambda tx: subscriptions.claim(tx, now=newsroom.line.now(), until=until, limit=9)) == []
    newsroom.line.later(seconds=151)  # its worker vanished
    assert newsroom.ask() == 1
    assert newsroom.one().state == "active"
    deps.saved(websub._unconfirmed(deps, row, until, None))  # and came back: it changes nothing
    assert (newsroom.one().state, newsroom.one().failures) == ("active", 0)


# ---------------------------------------------------------------- trust


def test_a_feed_is_left_to_a_hub_that_has_pushed_and_not_to_one_that_keeps_things_to_itself(
    newsroom: Newsroom, hub: Hub
) -> None:
    newsroom.follow()
    assert not newsroom.polled(found_new=True)  # not even subscribed
    newsroom.ask()
    assert not newsroom.polled(found_new=True)  # of what was there before no hub tells
    assert newsroom.one().missed == 0
    assert not newsroom.polled(found_new=False)  # never pushed anything
    newsroom.line.later(minutes=1)
    hub.push()
    assert newsroom.polled(found_new=True)
    assert newsroom.polled(found_new=False)
    newsroom.line.later(minutes=1)
    hub.push()
    assert not newsroom.polled(found_new=False)  # the push was faster than the site: look again soon
    assert newsroom.polled(found_new=False)
    assert newsroom.polled(found_new=True)  # unannounced, once: that happens
    assert not newsroom.polled(found_new=True)
    hub.push()
    newsroom.line.later(minutes=1)
    assert newsroom.polled(found_new=True)
    newsroom.line.later(days=10)
    assert not newsroom.polled(found_new=True)  # the lease is over


@only_sqlite
def test_a_feed_that_pushes_is_polled_rarely_and_one_without_news_of_a_push_soon(
    newsroom: Newsroom, hub: Hub, site: NewsServer
) -> None:
    def serve(*names: str) -> None:
        names = (*names, *(f"old {number}" for number in range(40)))  # one more item is no great part of it
        url = site.feed(
            "/feed.xml",
            [{"title": name, "link": f"{site.base}/{name.replace(' ', '-')}", "guid": name} for name in names],
        )
        route = site.routes["/feed.xml"]
        assert isinstance(route, Answer)
        route.headers = {**route.headers, "Link": f'<{hub.url}>; rel="hub", <{url}>; rel="self"'}

    def wait_after_poll() -> timedelta:
        assert list(newsroom.line.poll()) == ["ferry"]
        return newsroom.feed().due_at - newsroom.line.now()

    serve("one")
    newsroom.line.follow("ferry", site.base + "/feed.xml")
    own = wait_after_poll()
    newsroom.ask()
    assert newsroom.one().state == "active"
    newsroom.line.later(minutes=1)
    serve("one", "two")
    assert hub.push() == 202
    rarely = wait_after_poll()
    assert rarely > max(own, timedelta(hours=5))
    newsroom.line.later(minutes=1)
    assert hub.push() == 202
    assert wait_after_poll() < rarely / 2  # nothing new was there yet
