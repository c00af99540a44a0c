"""What every transport must do with a message. The same claims over Redis, RabbitMQ and kombu's transport in memory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue as queues
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import kombu
import pytest
import redis

from config.celeryconfig import celery_settings
from config.settings import Settings
from tests.conftest import REPOSITORY
from worker import wiring
from worker.cli.doctor import redis_client
from worker.errors import UnavailableError
from worker.model import Outgoing
from worker.publish.broker import Confirmed, Failed, Held, Outcome, Publisher

URLS = {
    "redis": "redis://127.0.0.1:6379/15",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672//",
    "memory": "memory://",
}


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker, and a namespace on it that is this test's own."""

    name: str
    url: str
    namespace: str

    def publisher(self, *, holding_cap: int = 1000, url: str = "") -> Publisher:
        return Publisher(url or self.url, namespace=self.namespace, holding_cap=holding_cap, confirm_timeout_s=5)

    def named(self, name: str) -> str:
        return self.namespace + name

    def connection(self) -> kombu.Connection:
        return kombu.Connection(self.url)


def everything_of(broker: Broker, channel: object) -> None:
    """Remove what a test left."""
    for queue in ("newsmill.unroutable", "reader", "full"):
        channel.queue_delete(broker.named(queue))
    for exchange in ("newsmill", "newsmill.events", "newsmill.unroutable"):
        with contextlib.suppress(KeyError):  # in memory: it was never there
            channel.exchange_delete(broker.named(exchange))


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
        "memory",
    ]
)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker = Broker(request.param, URLS[request.param], f"test-{uuid.uuid4().hex[:12]}-")
    yield broker
    with broker.connection() as connection:
        everything_of(broker, connection.default_channel)
        if broker.name == "redis":
            client = connection.default_channel.client
            if keys := list(client.scan_iter(f"*{broker.namespace}*")):
                client.delete(*keys)


@pytest.fixture
def redis_broker() -> Iterator[Broker]:
    broker = Broker("redis", URLS["redis"], f"test-{uuid.uuid4().hex[:12]}-")
    yield broker
    with broker.connection() as connection:
        client = connection.default_channel.client
        if keys := list(client.scan_iter(f"*{broker.namespace.removesuffix('-')}*")):
            client.delete(*keys)


@pytest.fixture
def rabbit(request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker = Broker("rabbitmq", URLS["rabbitmq"], f"test-{uuid.uuid4().hex[:12]}-")
    yield broker
    with broker.connection() as connection:
        everything_of(broker, connection.default_channel)


def outgoing(number: int = 1, **changes: object) -> Outgoing:
    message = Outgoing(
        message_id=f"a{number}:1",
        exchange="newsmill",
        routing_key="article.published.voa-chinese",
        body=json.dumps({"id": f"a{number}:1", "title": "新闻 — nachrichten ☃"}, ensure_ascii=False).encode(),
        headers={"cloudEvents_id": f"a{number}:1", "cloudEvents_specversion": "1.0"},
    )
    return replace(message, **changes)


def bind(broker: Broker, *, keys: tuple[str, ...] = ("article.#",), queue: str = "reader", **arguments: object) -> None:
    """A consumer's own queue, made with nothing but kombu and the names that the contract gives."""
    with broker.publisher() as publisher:
        publisher.declare()
    with broker.connection() as connection:
        channel = connection.default_channel
        if broker.name != "rabbitmq":  # virtual exchanges are known to each client by itself
            exchange = kombu.Exchange(
                broker.named("newsmill"), "topic", arguments={"alternate-exchange": broker.named("newsmill.unroutable")}
            )
            exchange(channel).declare()
        kombu.Queue(broker.named(queue), queue_arguments=arguments or None)(channel).queue_declare()
        for key in keys:
            channel.queue_bind(broker.named(queue), broker.named("newsmill"), key)


def waiting(broker: Broker, queue: str = "reader") -> list[kombu.Message]:
    """All that lies in a queue, taken."""
    with broker.connection() as connection:
        taken = []
        while (message := connection.default_channel.basic_get(broker.named(queue), no_ack=True)) is not None:
            taken.append(connection.default_channel.message_to_python(message))
        return taken


def raw(message: kombu.Message) -> bytes:
    return message.body if isinstance(message.body, bytes) else message.body.encode()


def ids(messages: list[kombu.Message]) -> list[str]:
    return [message.properties["message_id"] for message in messages]


def test_a_routed_message_arrives_byte_for_byte_with_its_headers(broker: Broker) -> None:
    bind(broker)
    with broker.publisher() as publisher:
        assert publisher.publish([outgoing()]) == [Confirmed("a1:1")]
    (message,) = waiting(broker)
    assert raw(message) == outgoing().body
    assert message.headers == dict(outgoing().headers)
    assert message.content_type == "application/json"
    assert message.properties["message_id"] == "a1:1"
    assert message.properties["delivery_mode"] == 2
    assert message.delivery_info["routing_key"] == "article.published.voa-chinese"


def test_a_batch_larger_than_a_window_arrives_whole_and_in_order(broker: Broker) -> None:
    bind(broker)
    batch = [outgoing(number) for number in range(150)]
    with broker.publisher() as publisher:
        assert publisher.publish(batch) == [Confirmed(message.message_id) for message in batch]
    assert ids(waiting(broker)) == [message.message_id for message in batch]


def test_a_large_body_passes(broker: Broker) -> None:
    bind(broker)
    body = json.dumps({"text": "x" * 1_000_000}).encode()
    with broker.publisher() as publisher:
        assert publisher.publish([outgoing(body=body)]) == [Confirmed("a1:1")]
    assert raw(waiting(broker)[0]) == body


def test_nothing_to_send_is_no_trouble(broker: Broker) -> None:
    with broker.publisher() as publisher:
        assert publisher.publish([]) == []


def test_what_nobody_is_bound_for_is_held_with_its_routing_key(broker: Broker) -> None:
    bind(broker, keys=("article.published.bbc",))
    with broker.publisher() as publisher:
        (outcome,) = publisher.publish([outgoing()])
        assert isinstance(outcome, Confirmed if broker.name == "rabbitmq" else Held)
        assert publisher.held_count() == 1
    assert waiting(broker) == []
    (held,) = waiting(broker, "newsmill.unroutable")
    assert raw(held) == outgoing().body
    assert held.delivery_info["routing_key"] == outgoing().routing_key


def test_routed_and_unroutable_in_one_batch_are_told_apart(broker: Broker) -> None:
    bind(broker, keys=("article.*.bbc",))
    batch = [outgoing(1), outgoing(2, routing_key="article.published.bbc"), outgoing(3)]
    with broker.publisher() as publisher:
        publisher.publish(batch)
    assert ids(waiting(broker)) == ["a2:1"]
    assert ids(waiting(broker, "newsmill.unroutable")) == ["a1:1", "a3:1"]


def test_the_holding_queue_keeps_the_newest_up_to_its_cap(broker: Broker) -> None:
    with broker.publisher(holding_cap=5) as publisher:
        publisher.publish([outgoing(number) for number in range(8)])
        assert publisher.held_count() == 5
        assert publisher.trim_holding() == 0
    assert ids(waiting(broker, "newsmill.unroutable")) == [f"a{number}:1" for number in range(3, 8)]


def test_a_smaller_cap_is_brought_about_or_told(broker: Broker) -> None:
    with broker.publisher(holding_cap=8) as publisher:
        publisher.publish([outgoing(number) for number in range(8)])
    with broker.publisher(holding_cap=5) as publisher:
        publisher.trim_holding()
        assert publisher.held_count() == (8 if broker.name == "rabbitmq" else 5)
        told = any("NEWSMILL_HOLDING_CAP" in sentence for sentence in publisher.check())
        assert told == (broker.name == "rabbitmq")


def test_an_event_that_nobody_listens_to_is_dropped(broker: Broker) -> None:
    with broker.publisher() as publisher:
        event = outgoing(exchange="newsmill.events", routing_key="heartbeat")
        assert publisher.publish([event]) == [Confirmed("a1:1")]
        assert publisher.held_count() == 0


def test_a_deleted_exchange_is_declared_again(broker: Broker) -> None:
    with broker.publisher() as publisher:
        publisher.publish([outgoing(1)])
        with broker.connection() as connection:
            connection.default_channel.exchange_delete(broker.named("newsmill"))
        publisher.publish([outgoing(2)])
        bind(broker)
        publisher.publish([outgoing(3)])
    assert ids(waiting(broker, "newsmill.unroutable")) == ["a1:1", "a2:1"]
    assert ids(waiting(broker)) == ["a3:1"]


def test_a_message_sent_twice_has_one_id(broker: Broker) -> None:
    bind(broker)
    for _ in range(2):
        with broker.publisher() as publisher:
            publisher.publish([outgoing()])
    first, second = waiting(broker)
    assert ids([first, second]) == ["a1:1", "a1:1"]
    assert raw(first) == raw(second)


@pytest.mark.parametrize(
    "changes",
    [
        {"routing_key": "article." + "x" * 300},
        {"routing_key": "article.\ud800"},
        {"message_id": "x" * 300},
        {"headers": {"cloudEvents_source": "x" * 70_000}},
        {"headers": {"x" * 300: "y"}},
    ],
    ids=["long key", "half a surrogate pair", "long id", "large headers", "long header name"],
)
def test_a_message_that_no_broker_takes_costs_only_itself(broker: Broker, changes: dict[str, object]) -> None:
    bind(broker)
    with broker.publisher() as publisher:
        outcomes = publisher.publish([outgoing(1), outgoing(2, **changes), outgoing(3)])
    assert [type(outcome) for outcome in outcomes] == [Confirmed, Failed, Confirmed]
    assert outcomes[1].retry is False
    assert ids(waiting(broker)) == ["a1:1", "a3:1"]


def test_a_consumer_reads_headers_and_body(broker: Broker) -> None:
    got: list[tuple[dict[str, str], dict[str, object]]] = []
    with broker.publisher() as publisher:
        stream = publisher.consume(["article.published.*"], timeout_s=3)
        reader = threading.Thread(target=lambda: got.append(next(stream)))
        reader.start()
        deadline = time.monotonic() + 10
        while reader.is_alive() and time.monotonic() < deadline:  # until its queue is bound
            publisher.publish([outgoing()])
            reader.join(0.2)
        stream.close()
    assert got[0] == (dict(outgoing().headers), json.loads(outgoing().body))


def test_a_consumers_own_queue_goes_with_it(broker: Broker) -> None:
    with broker.publisher() as publisher:
        assert list(publisher.consume(["article.#"], timeout_s=0.2)) == []
        publisher.publish([outgoing()])
        assert publisher.held_count() == 1


def test_a_named_queue_keeps_what_was_not_asked_for(broker: Broker) -> None:
    if broker.name == "memory":
        pytest.skip("memory gives nothing back")
    bind(broker)
    with broker.publisher() as publisher:
        publisher.publish([outgoing(number) for number in range(3)])
        stream = publisher.consume(["article.#"], queue="reader", timeout_s=5)
        next(stream)  # taken, not yet acknowledged
        next(stream)  # acknowledges the first
        stream.close()
        left = [body["id"] for _, body in publisher.consume(["article.#"], queue="reader", timeout_s=1)]
    assert sorted(left) == ["a1:1", "a2:1"]


def test_what_is_held_can_be_consumed(broker: Broker) -> None:
    with broker.publisher() as publisher:
        publisher.publish([outgoing(1), outgoing(2)])
        held = [body["id"] for _, body in publisher.consume([], queue="newsmill.unroutable", timeout_s=0.5)]
        assert held == ["a1:1", "a2:1"]
        assert publisher.held_count() == 0


@pytest.mark.parametrize("body", [b"not json", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_consumer_passes_over_what_is_no_message(broker: Broker, body: bytes) -> None:
    bind(broker)
    with broker.publisher() as publisher:
        publisher.publish([outgoing(1, body=body), outgoing(2)])
        left = [body["id"] for _, body in publisher.consume(["article.#"], queue="reader", timeout_s=0.5)]
    assert left == ["a2:1"]


def test_threads_share_a_publisher(broker: Broker) -> None:
    bind(broker)
    with broker.publisher() as publisher:
        threads = [
            threading.Thread(target=publisher.publish, args=([outgoing(10 * n + m) for m in range(10)],))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(ids(waiting(broker)))) == 40


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own(broker: Broker) -> None:
    if broker.name == "memory":
        pytest.skip("memory is not shared between processes")
    bind(broker)
    with broker.publisher() as publisher:
        publisher.publish([outgoing(1)])
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if publisher.publish([outgoing(2)]) == [Confirmed("a2:1")] else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert publisher.publish([outgoing(3)]) == [Confirmed("a3:1")]
    assert ids(waiting(broker)) == ["a1:1", "a2:1", "a3:1"]


def test_no_sentence_of_an_error_holds_the_password() -> None:
    for url in ("redis://:s3cret@127.0.0.1:1/0", "amqp://u:s3cret@127.0.0.1:1//"):
        with (
            pytest.raises(UnavailableError) as caught,
            Publisher(url, namespace="", holding_cap=1, confirm_timeout_s=1) as publisher,
        ):
            publisher.publish([outgoing()])
        assert "s3cret" not in str(caught.value)


# ---------------------------------------------------------------- faults between us and the broker


class Link:
    """A TCP relay to the broker that can cut what passes, fall silent, or speak TLS on the near side."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.target = port
        self.tls = tls
        self.silent = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.tls is not None:
                try:
                    near = self.tls.wrap_socket(near, server_side=True)
                except OSError:  # the client did not like our certificate
                    near.close()
                    continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                while self.silent:
                    time.sleep(0.01)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for near, far in self.pairs:
            for end in (near, far):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self.pairs.clear()

    def close(self) -> None:
        self.silent = False
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    if broker.name == "memory":
        pytest.skip("there is no wire to cut")
    link = Link({"redis": 6379, "rabbitmq": 5672}[broker.name])
    yield link
    link.close()


def through(broker: Broker, link: Link) -> str:
    return broker.url.replace(":6379", f":{link.port}").replace(":5672", f":{link.port}")


def test_a_connection_that_died_while_idle_is_replaced(broker: Broker, link: Link) -> None:
    bind(broker)
    with broker.publisher(url=through(broker, link)) as publisher:
        publisher.publish([outgoing(1)])
        link.cut()
        assert publisher.publish([outgoing(2)]) == [Confirmed("a2:1")]
    assert ids(waiting(broker)) == ["a1:1", "a2:1"]


def test_a_cut_at_any_moment_loses_nothing_silently(broker: Broker, link: Link) -> None:
    """Whatever is called confirmed has arrived, and at the end all has."""
    bind(broker)
    confirmed: set[str] = set()
    left = [outgoing(number, body=b'{"x":"' + b"y" * 20_000 + b'"}') for number in range(120)]
    stop = threading.Event()

    def cutting() -> None:
        while not stop.wait(0.03):
            link.cut()

    knife = threading.Thread(target=cutting)
    knife.start()
    with broker.publisher(url=through(broker, link)) as publisher:
        deadline = time.monotonic() + 8
        while left and time.monotonic() < deadline:
            confirmed |= arrived(publisher, left)
            left = [message for message in left if message.message_id not in confirmed]
        stop.set()
        knife.join()
        confirmed |= arrived(publisher, left) if left else set()
    assert confirmed <= set(ids(waiting(broker)))
    assert len(confirmed) == 120


def arrived(publisher: Publisher, messages: list[Outgoing]) -> set[str]:
    try:
        outcomes: list[Outcome] = publisher.publish(messages)
    except UnavailableError:
        return set()
    return {outcome.message_id for outcome in outcomes if isinstance(outcome, Confirmed)}


def test_a_broker_that_is_not_there_is_unavailable_within_bounds(broker: Broker) -> None:
    if broker.name == "memory":
        pytest.skip("memory is always there")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = broker.url.replace(":6379", f":{port}").replace(":5672", f":{port}")
    began = time.monotonic()
    with broker.publisher(url=url) as publisher, pytest.raises(UnavailableError):
        publisher.publish([outgoing()])
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("opened_before", [True, False], ids=["after it worked", "from the start"])
def test_a_broker_that_falls_silent_is_unavailable_within_bounds(
    broker: Broker, link: Link, opened_before: bool
) -> None:
    publisher = Publisher(through(broker, link), namespace=broker.namespace, holding_cap=10, confirm_timeout_s=0.5)
    with publisher:
        if opened_before:
            publisher.publish([outgoing(1)])
        link.silent = True
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            publisher.publish([outgoing(2)])
        assert time.monotonic() - began < 10
        link.silent = False


# ---------------------------------------------------------------- RabbitMQ alone


@pytest.mark.rabbitmq
def test_a_full_queue_that_rejects_fails_its_own_messages_for_now(rabbit: Broker) -> None:
    bind(rabbit, keys=("article.published.bbc",))
    bind(
        rabbit,
        keys=("article.published.voa-chinese",),
        queue="full",
        **{"x-max-length": 1, "x-overflow": "reject-publish"},
    )
    batch = [outgoing(1), outgoing(2), outgoing(3, routing_key="article.published.bbc")]
    with rabbit.publisher() as publisher:
        outcomes = publisher.publish(batch)
        assert [type(outcome) for outcome in outcomes] == [Confirmed, Failed, Confirmed]
        assert outcomes[1].retry is True
        with pytest.raises(UnavailableError, match="full"):
            publisher.publish([outgoing(4)])


@pytest.mark.rabbitmq
def test_a_message_that_rabbitmq_answers_with_an_error_is_told_from_its_companions(rabbit: Broker) -> None:
    bind(rabbit)
    with rabbit.publisher() as publisher:
        outcomes = publisher.publish([outgoing(1), outgoing(2, exchange="nowhere"), outgoing(3)])
    assert [type(outcome) for outcome in outcomes] == [Confirmed, Failed, Confirmed]
    assert {"a1:1", "a3:1"} <= set(ids(waiting(rabbit)))


@pytest.mark.rabbitmq
def test_a_deleted_holding_queue_is_declared_again(rabbit: Broker) -> None:
    with rabbit.publisher() as publisher:
        publisher.publish([outgoing(1)])
        with rabbit.connection() as connection:
            connection.default_channel.queue_delete(rabbit.named("newsmill.unroutable"))
        publisher.publish([outgoing(2)])
    assert ids(waiting(rabbit, "newsmill.unroutable")) == ["a2:1"]


@pytest.mark.rabbitmq
def test_an_exchange_of_another_kind_under_our_name_is_unavailable_and_named(rabbit: Broker) -> None:
    with rabbit.connection() as connection:
        kombu.Exchange(rabbit.named("newsmill"), "direct", durable=True)(connection.default_channel).declare()
    with rabbit.publisher() as publisher, pytest.raises(UnavailableError, match="newsmill"):
        publisher.publish([outgoing()])


# ---------------------------------------------------------------- Redis alone


@pytest.mark.redis
def test_after_a_flush_of_redis_nothing_vanishes_silently() -> None:
    """Bindings live in Redis: without them a message is held, not dropped."""
    broker = Broker("redis", URLS["redis"], f"test-{uuid.uuid4().hex[:12]}-")
    bind(broker)
    with broker.publisher() as publisher, broker.connection() as connection:
        client = connection.default_channel.client
        publisher.publish([outgoing(1)])
        client.delete(*client.scan_iter(f"*{broker.namespace}*"))
        assert publisher.publish([outgoing(2)]) == [Held("a2:1")]
        client.delete(*client.scan_iter(f"*{broker.namespace}*"))


@pytest.mark.redis
def test_what_a_killed_tail_left_behind_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.publish.broker.TAIL_CAP", 3)
    broker = Broker("redis", URLS["redis"], f"test-{uuid.uuid4().hex[:12]}-")
    bind(broker, queue="newsmill.tail.dead")
    with broker.publisher() as publisher, broker.connection() as connection:
        publisher.publish([outgoing(number) for number in range(4)])
        assert publisher.trim_holding() == 4
        assert publisher.publish([outgoing(9)]) == [Held("a9:1")]
        client = connection.default_channel.client
        client.delete(*client.scan_iter(f"*{broker.namespace}*"))


@pytest.mark.redis
def test_a_listener_hears_again_after_a_flush_of_redis(redis_broker: Broker) -> None:
    """Its binding is gone and nobody tells it so: it declares it anew while nothing comes."""
    got: list[str] = []
    with redis_broker.publisher() as publisher, redis_broker.connection() as connection:
        stream = publisher.consume(["article.published.*"], timeout_s=20)
        reader = threading.Thread(target=lambda: got.extend(body["id"] for _, body in itertools.islice(stream, 1)))
        client = connection.default_channel.client
        reader.start()
        until(lambda: bool(list(client.scan_iter(f"*{redis_broker.namespace}newsmill"))))
        client.delete(*client.scan_iter(f"*{redis_broker.namespace}*"))
        assert publisher.publish([outgoing(1)]) == [Held("a1:1")]
        until(lambda: publisher.publish([outgoing(2)]) == [Confirmed("a2:1")])
        reader.join(10)
        stream.close()
    assert got == ["a2:1"]


@pytest.mark.redis
def test_the_example_consumer_hears_again_after_a_flush_of_redis(redis_broker: Broker) -> None:
    namespace = redis_broker.namespace.removesuffix("-")
    with (
        Publisher(redis_broker.url, namespace=f"{namespace}.", holding_cap=10) as publisher,
        redis_broker.connection() as connection,
        example("--namespace", namespace, broker=redis_broker.url, queue=f"{namespace}-reader") as lines,
    ):
        client = connection.default_channel.client
        until(lambda: publisher.publish([titled("a1:1")]) == [Confirmed("a1:1")])
        assert lines.get(timeout=10) == "published\tTram\thttps://tram.example/"
        client.delete(*client.scan_iter(f"*{namespace}*"))
        assert publisher.publish([titled("a2:1")]) == [Held("a2:1")]
        until(lambda: publisher.publish([titled("a3:1")]) == [Confirmed("a3:1")], within_s=30)
        assert lines.get(timeout=10) == "published\tTram\thttps://tram.example/"


def titled(message_id: str) -> Outgoing:
    body = {"id": message_id, "kind": "published", "title": "Tram", "url": "https://tram.example/"}
    return outgoing(message_id=message_id, body=json.dumps(body).encode())


@contextlib.contextmanager
def example(*options: str, broker: str, queue: str) -> Iterator[queues.Queue[str]]:
    """The example programme at work, and the lines that it prints."""
    lines: queues.Queue[str] = queues.Queue()
    command = [sys.executable, str(REPOSITORY / "examples" / "consume.py"), broker, queue, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout
        reader = threading.Thread(target=lambda: [lines.put(line.rstrip("\n")) for line in printed])
        reader.start()
        try:
            yield lines
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()  # whatever failed: leaving the block waits for it
            reader.join()


def until(reached: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# ---------------------------------------------------------------- TLS


@dataclass(frozen=True, slots=True)
class Tls:
    """Redis behind TLS, with a certificate that it signed itself."""

    port: int
    certificate: Path

    def url(self, **options: str) -> str:
        query = f"?{urlencode(options)}" if options else ""
        return f"rediss://localhost:{self.port}/15{query}"


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    link = Link(6379, tls=context)
    yield Tls(link.port, certificate)
    link.close()


def self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def published_to(url: str, **environment: str) -> list[Outcome]:
    settings = Settings.from_env({"NEWSMILL_NAMESPACE": f"test-{uuid.uuid4().hex[:8]}", **environment})
    try:
        with wiring.publisher_at(settings, url) as publisher:
            return publisher.publish([outgoing()])
    finally:
        with redis.Redis.from_url(URLS["redis"]) as client:
            if keys := list(client.scan_iter(f"*{settings.namespace}*")):
                client.delete(*keys)


@pytest.mark.redis
@pytest.mark.parametrize("options", [{}, {"ssl_cert_reqs": "required"}, {"ssl_cert_reqs": "CERT_REQUIRED"}])
def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Tls, options: dict[str, str]) -> None:
    with pytest.raises(UnavailableError, match=r"(?i)certificate verify failed"):
        published_to(tls.url(**options))


@pytest.mark.redis
def test_a_certificate_is_not_looked_at_when_the_url_says_so(tls: Tls) -> None:
    assert published_to(tls.url(ssl_cert_reqs="none")) == [Held("a1:1")]


@pytest.mark.redis
def test_a_certificate_that_the_url_names_is_trusted(tls: Tls) -> None:
    assert published_to(tls.url(ssl_ca_certs=str(tls.certificate))) == [Held("a1:1")]


@pytest.mark.redis
def test_heroku_s_redis_is_reached_as_it_is(tls: Tls) -> None:
    environment = {"REDIS_URL": tls.url(), "DYNO": "worker.1"}
    assert published_to(Settings.from_env(environment).publish_url, **environment) == [Held("a1:1")]


@pytest.mark.redis
@pytest.mark.parametrize(("options", "reached"), [({}, False), ({"ssl_cert_reqs": "none"}, True)])
def test_celery_and_the_doctor_look_at_certificates_as_the_publisher_does(
    tls: Tls, options: dict[str, str], reached: bool
) -> None:
    settings = Settings.from_env({"BROKER_URL": tls.url(**options)})
    celery = celery_settings(settings)
    with kombu.Connection(celery["broker_url"], ssl=celery["broker_use_ssl"]) as connection:
        if reached:
            connection.connect()
        else:
            with pytest.raises(redis.ConnectionError, match=r"(?i)certificate verify failed"):
                connection.connect()
    with contextlib.closing(redis_client(settings.broker_url)) as client:
        if reached:
            client.ping()
        else:
            with pytest.raises(redis.ConnectionError, match=r"(?i)certificate verify failed"):
                client.ping()


# ---------------------------------------------------------------- what kombu cannot use


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/notadb",
        "redis://127.0.0.1:6379/0?password=s3cret",
        "redis://127.0.0.1:6379/0?speed=9",
        "redis://:s3/cret@127.0.0.1:6379/0",
        "sentinel://127.0.0.1:26379/0",
        "carrier-pigeon://loft",
    ],
)
def test_a_url_that_kombu_cannot_use_is_unavailable_with_what_to_write(url: str) -> None:
    for ask in (Publisher.check, lambda publisher: next(publisher.consume(["#"], timeout_s=0.1))):
        with (
            pytest.raises(UnavailableError, match=r"PUBLISH_URL.*write redis://") as caught,
            Publisher(url, namespace="", holding_cap=1) as publisher,
        ):
            ask(publisher)
        assert "s3" not in str(caught.value)


@pytest.mark.redis
def test_the_doctor_hears_what_may_lose_messages() -> None:
    with Publisher(URLS["redis"], namespace="", holding_cap=10) as publisher:
        assert all(sentence.endswith(".") for sentence in publisher.check())
