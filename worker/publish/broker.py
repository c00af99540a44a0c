"""The door to the output broker; the only file that imports kombu.

Two ways behind one ``Publisher``. RabbitMQ: a window of messages is sent and its confirms awaited together, since one
wait per message costs as much as all the rest; every article is mandatory, and the exchange has an alternate one with a
bounded queue for what nobody is bound for. Every other transport is one of kombu's virtual ones (Redis above all):
there kombu drops such messages without a word, also with its ``deadletter_queue`` (a topic exchange skips that queue),
so the routing is done here, in the same step as the sending.

Every wait is bounded; trouble comes out as ``UnavailableError``.
"""

# mypy: allow-untyped-calls
# kombu says its types only in part.

from __future__ import annotations

import json
import logging
import os
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import RLock
from types import MappingProxyType
from typing import Any, Protocol, Self

import amqp
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError
from kombu.messaging import Consumer, Producer
from kombu.transport import pyamqp
from kombu.transport.virtual.exchange import TopicExchange

from worker.errors import UnavailableError
from worker.model import Outgoing
from worker.publish.message import EVENTS_EXCHANGE, EXCHANGE, HOLDING

log = logging.getLogger(__name__)

WINDOW = 64  # messages sent before their confirms are awaited; what a cut leaves in doubt
TAIL_CAP = 10_000  # messages that wait for a `tail`; with more its reader is taken for gone
TRIM_AT_ONCE = 10_000  # held messages dropped by one call
CONNECT_TIMEOUT_S = 5.0
LONGEST_NAME_BYTES = 255  # AMQP 0-9-1 short string: routing keys, message ids, names of headers
LARGEST_HEADERS_BYTES = 65_536  # properties travel in one frame; RabbitMQ's frames hold 128 KiB
UNUSABLE = (
    "The broker's URL (PUBLISH_URL, else BROKER_URL, CLOUDAMQP_URL or REDIS_URL) is none that can be used: write "
    "redis://:password@host:6379/0 or amqp://user:password@host//, a password percent-encoded"
)
REFUSALS = (amqp.PreconditionFailed, amqp.ContentTooLarge)  # of this message, not of this moment


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker has it. On RabbitMQ perhaps in the holding queue: an alternate exchange does not tell."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Held:
    """The broker has it, in the holding queue: nobody was bound for it."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Not confirmed, though it may have arrived: to be sent again under the same id, unless ``retry`` is False.

    ``retry`` False: the broker will refuse this message tomorrow too (its size, its routing key).
    """

    message_id: str
    reason: str
    retry: bool


Outcome = Confirmed | Held | Failed
Numbered = Sequence[tuple[int, Outgoing]]
Settle = Callable[[int, Outcome], None]


class Session(Protocol):
    """One open connection with everything declared on it."""

    @property
    def connection(self) -> Connection: ...

    def send(self, window: Numbered, settle: Settle) -> None:
        """Settles each message whose fate is known; raises what the library raises when others are left in doubt."""

    def held_count(self) -> int: ...

    def trim(self) -> int:
        """Drops what the holding queue has over its cap; how many."""

    def warnings(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Topology:
    """What exists on the broker, by its names there."""

    namespace: str
    holding_cap: int

    def named(self, name: str) -> str:
        return self.namespace + name

    def exchanges(self) -> tuple[Exchange, ...]:
        return (
            Exchange(
                self.named(EXCHANGE), type="topic", durable=True, arguments={"alternate-exchange": self.named(HOLDING)}
            ),
            Exchange(self.named(EVENTS_EXCHANGE), type="topic", durable=True),
        )

    def holding_exchange(self) -> Exchange:
        return Exchange(self.named(HOLDING), type="fanout", durable=True)

    def holding_queue(self) -> Queue:
        return Queue(self.named(HOLDING), durable=True, max_length=self.holding_cap)  # the oldest give way


class Publisher:
    """Sends frozen messages and says of each what became of it.

    Threads may share one (they take turns); a forked child may go on with its parent's, over a connection of its own.

    Args:
        url: A kombu URL; ``;`` between several hosts.
        namespace: Put in front of the names of exchanges and queues, as it is; may be empty.
        holding_cap: Unroutable messages kept; the oldest give way.
        confirm_timeout_s: How long the broker may take to confirm a window of messages, or to answer anything else.
        tls: Options of a rediss URL, by kombu's names; empty: what the URL says, and kombu then verifies nothing.
        transport_options: kombu's, over ours.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        holding_cap: int,
        confirm_timeout_s: float = 10.0,
        tls: Mapping[str, Any] = MappingProxyType({}),
        transport_options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._url = url
        self._topology = Topology(namespace, holding_cap)
        self._timeout_s = confirm_timeout_s
        self._tls = dict(tls)
        self._options = {**_bounds(url, confirm_timeout_s), **transport_options}
        self._start_afresh()
        _start_afresh_in_children(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_afresh(self) -> None:
        self._lock = RLock()
        self._session: Session | None = None

    # ------------------------------------------------------------ sending

    def publish(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        """Send all, in order; one outcome each, in the same order.

        A connection that turns out to be dead is replaced once, and what is in doubt sent again: consumers drop repeats
        by id. A message that the broker answers with an error is told from its companions by sending them one by one.

        Raises: UnavailableError: the broker took none, and not because of what they are.
        """
        outcomes: dict[int, Outcome] = {}
        for number, message in enumerate(messages):
            if (reason := _unsendable(message)) is not None:
                outcomes[number] = Failed(message.message_id, reason, retry=False)
        with self._lock:
            trouble = self._send_all(messages, outcomes)
        for number, message in enumerate(messages):
            outcomes.setdefault(number, Failed(message.message_id, _told(trouble), retry=True))
        answers = [outcomes[number] for number in range(len(messages))]
        if answers and all(isinstance(answer, Failed) and answer.retry for answer in answers):
            raise UnavailableError(f"the broker took no message: {_reason(answers[0])}") from trouble
        return answers

    def _send_all(self, messages: Sequence[Outgoing], outcomes: dict[int, Outcome]) -> Exception | None:
        """Settle all that can be; what stood in the way of the others, if anything did."""
        trouble: Exception | None = None
        for _ in range(2):  # the first connection may have died while it lay idle, or its exchange been deleted
            trouble = self._send_windows(_open_ones(messages, outcomes), WINDOW, outcomes)
            if trouble is None or isinstance(trouble, UnavailableError):
                return trouble
        if isinstance(trouble, amqp.ChannelError):
            return self._send_singly(messages, outcomes)
        return trouble

    def _send_singly(self, messages: Sequence[Outgoing], outcomes: dict[int, Outcome]) -> Exception | None:
        for number, message in _open_ones(messages, outcomes):
            trouble = self._send_windows([(number, message)], 1, outcomes)
            if isinstance(trouble, amqp.ChannelError):
                outcomes[number] = Failed(message.message_id, _told(trouble), retry=not isinstance(trouble, REFUSALS))
            elif trouble is not None:
                return trouble
        return None

    def _send_windows(self, numbered: Numbered, size: int, outcomes: dict[int, Outcome]) -> Exception | None:
        try:
            session = self._opened()
        except UnavailableError as error:
            return error
        try:
            for start in range(0, len(numbered), size):
                session.send(numbered[start : start + size], outcomes.__setitem__)
        except _troubles(session.connection) as error:
            log.warning("broker.trouble", extra={"error": _told(error), "broker": session.connection.as_uri()})
            self._drop()
            return error
        return None

    # ------------------------------------------------------------ upkeep

    def declare(self) -> None:
        """Exchanges, holding queue and bindings as they should be; also done by each new connection.

        Raises: UnavailableError: the broker is not there, or has one of the names with other properties.
        """
        with self._asking():
            pass

    def held_count(self) -> int:
        """Messages in the holding queue. Raises: UnavailableError."""
        with self._asking() as session:
            return session.held_count()

    def trim_holding(self) -> int:
        """Drop what the holding queue has over its cap, and what dead tails left behind; how many messages that was.

        RabbitMQ keeps the bounds itself. Elsewhere also each batch that was held trims; this is for a cap made smaller.

        Raises: UnavailableError.
        """
        with self._asking() as session:
            return session.trim()

    def check(self) -> tuple[str, ...]:
        """Connect anew, declare everything; the broker's own settings that may lose messages, as sentences.

        Raises: UnavailableError: with what to do.
        """
        with self._lock:
            self._drop()
        with self._asking() as session:
            return session.warnings()

    def close(self) -> None:
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            with suppress(*_troubles(session.connection)):
                session.connection.release()

    @contextmanager
    def _asking(self) -> Iterator[Session]:
        with self._lock:
            session = self._opened()
            try:
                yield session
            except _troubles(session.connection) as error:
                self._drop()
                raise _unavailable(session.connection, error) from error

    # ------------------------------------------------------------ connection

    def _opened(self) -> Session:
        if self._session is None:
            connection = self._connected()
            try:
                if isinstance(connection.default_channel, pyamqp.Channel):
                    self._session = RabbitSession(connection, self._topology, self._timeout_s)
                else:
                    self._session = VirtualSession(connection, self._topology)
            except _troubles(connection) as error:
                _abandon(connection)
                raise _unavailable(connection, error) from error
        return self._session

    def _connected(self) -> Connection:
        try:
            connection = Connection(
                self._url,
                ssl=self._tls or False,
                connect_timeout=min(CONNECT_TIMEOUT_S, self._timeout_s),
                transport_options=dict(self._options),
            )
            self._reach(connection)
        except (KeyError, ValueError, TypeError, ImportError) as error:  # what kombu makes of a URL it cannot use
            raise UnavailableError(f"{UNUSABLE} ({type(error).__name__})") from error
        return connection

    def _reach(self, connection: Connection) -> None:
        try:
            connection.ensure_connection(max_retries=self._url.count(";"), interval_start=0)
        except _troubles(connection) as error:
            raise _unavailable(connection, error) from error

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            _abandon(session.connection)

    # ------------------------------------------------------------ listening

    def consume(
        self,
        binding_keys: Sequence[str],
        *,
        queue: str | None = None,
        exchange: str = EXCHANGE,
        timeout_s: float | None = None,
    ) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        """Messages as they come: (headers, body). On a connection of its own.

        Args:
            binding_keys: Patterns of routing keys (``article.#``).
            queue: A durable queue, without namespace, made if it is not there, whose messages are acknowledged when the
                next one is asked for. None: a queue of one's own that goes when the iterator is closed.
            exchange: Without namespace.
            timeout_s: The iterator ends after so many seconds without a message; None: never.

        What is not a JSON object is left out, with a warning in the log.

        Raises: UnavailableError: also in the middle, when the connection is lost.
        """
        connection = self._connected()
        try:
            yield from _listening(
                connection, self._topology, binding_keys, queue=queue, exchange=exchange, timeout_s=timeout_s
            )
        except _troubles(connection) as error:
            raise _unavailable(connection, error) from error
        finally:
            with suppress(*_troubles(connection)):
                connection.release()


class RabbitSession:
    """Windows of confirms over py-amqp."""

    def __init__(self, connection: Connection, topology: Topology, timeout_s: float) -> None:
        self.connection = connection
        self._topology = topology
        self._timeout_s = timeout_s
        self._warnings = _declare_on_rabbit(connection, topology)
        self._channel = connection.channel()
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._tag = 0
        self._waiting: dict[int, tuple[int, Outgoing]] = {}  # by delivery tag
        self._acked: list[tuple[int, Outgoing]] = []
        self._nacked: list[tuple[int, Outgoing]] = []
        self._returned: set[str] = set()

    def send(self, window: Numbered, settle: Settle) -> None:
        try:
            for number, message in window:
                self._tag += 1
                self._waiting[self._tag] = (number, message)
                self._publish(message)
            deadline = time.monotonic() + self._timeout_s
            while self._waiting:
                self.connection.drain_events(timeout=max(deadline - time.monotonic(), 0.001))
        finally:
            unrouted = self._settle(settle)
        if unrouted:
            raise KombuError("the holding queue is gone")  # a new session declares it

    def _publish(self, message: Outgoing) -> None:
        prepared = self._channel.prepare_message(
            message.body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=dict(message.headers),
            properties={"message_id": message.message_id, "delivery_mode": 2},
        )
        self._channel.basic_publish(
            prepared,
            exchange=self._topology.named(message.exchange),
            routing_key=message.routing_key,
            mandatory=message.exchange != EVENTS_EXCHANGE,  # an event that nobody listens to is done with
            timeout=self._timeout_s,
        )

    def _settle(self, settle: Settle) -> bool:
        """Hand over what is known; whether any message came back for want of a queue."""
        for number, message in self._acked:
            if message.message_id not in self._returned:
                settle(number, Confirmed(message.message_id))
        for number, message in self._nacked:
            settle(number, Failed(message.message_id, "refused: a queue bound for it is full", retry=True))
        unrouted = bool(self._returned)
        self._acked, self._nacked, self._returned = [], [], set()
        return unrouted

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._acked += self._taken(delivery_tag, multiple)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        self._nacked += self._taken(delivery_tag, multiple)

    def _on_return(self, _error: Exception, _exchange: str, _routing_key: str, message: Any) -> None:
        self._returned.add(message.properties["message_id"])

    def _taken(self, delivery_tag: int, multiple: bool) -> list[tuple[int, Outgoing]]:
        tags = [tag for tag in self._waiting if tag <= delivery_tag] if multiple else [delivery_tag]
        return [self._waiting.pop(tag) for tag in tags]

    def held_count(self) -> int:
        with self.connection.channel() as channel:
            return int(channel.queue_declare(self._topology.named(HOLDING), passive=True).message_count)

    def trim(self) -> int:
        return 0

    def warnings(self) -> tuple[str, ...]:
        return self._warnings


def _declare_on_rabbit(connection: Connection, topology: Topology) -> tuple[str, ...]:
    """Each on a channel of its own, since a refusal closes the channel; what an operator should know of."""
    warnings: tuple[str, ...] = ()
    with connection.channel() as channel:
        topology.holding_exchange()(channel).declare()
    try:
        with connection.channel() as channel:
            topology.holding_queue()(channel).queue_declare()
    except amqp.PreconditionFailed:  # made under another cap, or by an operator: it serves as it is
        said = (
            f"The queue {topology.named(HOLDING)} has another bound than NEWSMILL_HOLDING_CAP ({topology.holding_cap}):"
        )
        warnings = (f"{said} delete it when it is empty, and it is made anew.",)
    with connection.channel() as channel:
        channel.queue_bind(topology.named(HOLDING), topology.named(HOLDING), "")
        for exchange in topology.exchanges():
            exchange(channel).declare()
    return warnings


class VirtualSession:
    """Any of kombu's virtual transports; on Redis a window is one pipeline."""

    def __init__(self, connection: Connection, topology: Topology) -> None:
        self.connection = connection
        self._topology = topology
        self._holding = topology.named(HOLDING)
        self._channel: Any = connection.default_channel
        self._router = HoldingTopicExchange(self._channel, held=topology.named(EXCHANGE), holding=self._holding)
        self._router.take_over()
        self._producer = Producer(self._channel)
        _declare_on_virtual(self._channel, topology)

    def send(self, window: Numbered, settle: Settle) -> None:
        _declare_on_virtual(self._channel, self._topology)  # no traffic: a virtual exchange is known to its client only
        held = set()
        with self._router.one_table(), self._producer.batch():
            for number, message in window:
                self._publish(message)
                if self._router.last_was_held:
                    held.add(number)
        for number, message in window:
            settle(number, Held(message.message_id) if number in held else Confirmed(message.message_id))
        if held:
            self._trim_holding()

    def _publish(self, message: Outgoing) -> None:
        self._producer.publish(
            message.body,
            exchange=self._topology.named(message.exchange),
            routing_key=message.routing_key,
            content_type="application/json",
            content_encoding="utf-8",
            headers=dict(message.headers),
            message_id=message.message_id,
            delivery_mode=2,
        )

    def held_count(self) -> int:
        return self._size(self._holding)

    def trim(self) -> int:
        return self._trim_holding() + self._remove_dead_tails()

    def _trim_holding(self) -> int:
        excess = min(self.held_count() - self._topology.holding_cap, TRIM_AT_ONCE)
        dropped = sum(self._channel.basic_get(self._holding, no_ack=True) is not None for _ in range(excess))
        if dropped:
            log.warning("broker.held_dropped", extra={"count": dropped, "cap": self._topology.holding_cap})
        return dropped

    def _remove_dead_tails(self) -> int:
        dropped = 0
        for exchange in self._topology.exchanges():
            for routing_key, _pattern, queue in list(self._channel.get_table(exchange.name)):
                size = self._size(queue) if queue.startswith(self._topology.named(TAIL)) else 0
                if size > TAIL_CAP:
                    self._channel.queue_bind(
                        queue, exchange.name, routing_key
                    )  # a queue is deleted with known bindings
                    _delete_on_virtual(self._channel, queue, exchange.name, [routing_key])
                    dropped += size
        return dropped

    def _size(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue=queue).message_count)

    def warnings(self) -> tuple[str, ...]:
        if self.connection.transport.driver_type != "redis":
            return ()
        try:
            return _redis_warnings(self._channel.client.info())
        except self.connection.channel_errors:
            return ("Redis does not answer INFO: see to it yourself that it persists (AOF) and evicts nothing.",)


def _declare_on_virtual(channel: Any, topology: Topology) -> None:
    for exchange in topology.exchanges():
        exchange(channel).declare()


def _delete_on_virtual(channel: Any, queue: str, exchange: str, routing_keys: Sequence[str]) -> None:
    """Redis forgets a binding with its queue, the transport in memory only by unbinding: in this order both do."""
    channel.queue_delete(queue)
    for routing_key in routing_keys:
        channel.queue_unbind(queue, exchange, routing_key)


def _redis_warnings(info: Mapping[str, Any]) -> tuple[str, ...]:
    warnings = []
    if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
        warnings.append(
            f"Redis may evict messages (maxmemory-policy {info.get('maxmemory_policy')}): set it to noeviction."
        )
    if not info.get("aof_enabled"):
        warnings.append("Redis keeps no append-only file: a restart loses what is queued. Set appendonly to yes.")
    return tuple(warnings)


class HoldingTopicExchange(TopicExchange):
    """kombu's topic exchange, but what no queue is bound for is put into the holding queue instead of dropped.

    Args:
        held: The exchange whose messages are held; those of others may be dropped.
        holding: The queue.
    """

    def __init__(self, channel: Any, *, held: str, holding: str) -> None:
        super().__init__(channel)
        self._held = held
        self._holding = holding
        self._tables: dict[str, Any] = {}
        self.last_was_held = False

    def take_over(self) -> None:
        """On this channel every topic exchange works like this from now on."""
        self.channel.exchange_types["topic"] = self

    @contextmanager
    def one_table(self) -> Iterator[None]:
        """Inside, bindings are read once per exchange: on Redis that is a question to the server."""
        self._tables.clear()
        try:
            yield
        finally:
            self._tables.clear()

    def deliver(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> None:
        if exchange not in self._tables:
            self._tables[exchange] = list(self.channel.get_table(exchange))
        queues = self.lookup(self._tables[exchange], exchange, routing_key, None)
        self.last_was_held = not queues and exchange == self._held
        for queue in {self._holding} if self.last_was_held else queues:
            self.channel._put(queue, message, **kwargs)  # noqa: SLF001 - what every exchange type of kombu's does


# ---------------------------------------------------------------- listening

TAIL = "newsmill.tail."
_SLICE_S = 1.0  # a wait this long at most, so that Ctrl-C is heard on every transport


def _listening(
    connection: Connection,
    topology: Topology,
    binding_keys: Sequence[str],
    *,
    queue: str | None,
    exchange: str,
    timeout_s: float | None,
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    channel = connection.default_channel
    is_rabbit = isinstance(channel, pyamqp.Channel)
    if is_rabbit:
        _declare_on_rabbit(connection, topology)
    else:
        _declare_on_virtual(channel, topology)
    own = queue is None
    name = topology.named(f"{TAIL}{uuid.uuid4().hex}" if queue is None else queue)
    if own or not is_rabbit or not _exists_on_rabbit(connection, name):
        Queue(
            name, durable=not own, exclusive=own, auto_delete=own, max_length=TAIL_CAP if own else None, channel=channel
        ).queue_declare()
    for key in binding_keys:
        channel.queue_bind(name, topology.named(exchange), key)
    arrived: deque[Any] = deque()
    channel.basic_qos(0, 100, False)
    consumer = Consumer(channel, [Queue(name)], no_ack=own, auto_declare=False, on_message=arrived.append)
    try:
        with consumer:
            bind_again = partial(_bind_again, connection, name, topology.named(exchange), binding_keys)
            yield from _arriving(connection, arrived, timeout_s, acknowledge=not own, when_idle=bind_again)
    finally:
        if own and not is_rabbit:  # RabbitMQ removes an exclusive queue itself
            with suppress(*_troubles(connection)):
                _delete_on_virtual(channel, name, topology.named(exchange), binding_keys)


def _bind_again(connection: Connection, queue: str, exchange: str, routing_keys: Sequence[str]) -> None:
    """A flushed Redis has forgotten what is bound; kombu remembers that it did it once, and would not do it again."""
    if connection.transport.driver_type != "redis":
        return
    channel: Any = connection.default_channel
    for routing_key in routing_keys:
        bound = channel.typeof(exchange).prepare_bind(queue, exchange, routing_key, {})
        channel._queue_bind(exchange, *bound)  # noqa: SLF001 - the part of queue_bind behind that memory


def _exists_on_rabbit(connection: Connection, queue: str) -> bool:
    """Then it is used as it is: to declare a queue with other properties than it has is an error."""
    try:
        with connection.channel() as channel:
            channel.queue_declare(queue, passive=True)
    except amqp.NotFound:
        return False
    return True


def _arriving(
    connection: Connection,
    arrived: deque[Any],
    timeout_s: float | None,
    *,
    acknowledge: bool,
    when_idle: Callable[[], None],
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    last = time.monotonic()
    while True:
        while arrived:
            message = arrived.popleft()
            body = _json_object(message)
            if body is None:
                log.warning("broker.not_a_message", extra={"content_type": message.content_type})
            else:
                yield dict(message.headers), body
            if acknowledge:
                message.ack()
            last = time.monotonic()
        left_s = _SLICE_S if timeout_s is None else min(_SLICE_S, last + timeout_s - time.monotonic())
        if left_s <= 0:
            return
        try:
            connection.drain_events(timeout=left_s)
        except TimeoutError:
            when_idle()


def _json_object(message: Any) -> dict[str, Any] | None:
    if message.content_type != "application/json":
        return None
    try:
        body = json.loads(message.body)
    except (ValueError, TypeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


# ---------------------------------------------------------------- bounds and troubles


def _bounds(url: str, timeout_s: float) -> dict[str, Any]:
    """The transport's own names for its time-outs."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in {"redis", "rediss", "sentinel"}:
        return {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(CONNECT_TIMEOUT_S, timeout_s),
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    if scheme in {"amqp", "amqps", "pyamqp"}:
        return {"read_timeout": timeout_s, "write_timeout": timeout_s}
    return {}


def _troubles(connection: Connection) -> tuple[type[Exception], ...]:
    return (OSError, amqp.AMQPError, KombuError, *connection.connection_errors, *connection.channel_errors)


def _unavailable(connection: Connection, error: Exception) -> UnavailableError:
    return UnavailableError(f"{connection.as_uri()}: {_told(error)}")


def _told(error: BaseException | None) -> str:
    """One line, short; what a library says of itself names hosts, never passwords."""
    said = " ".join(str(error).split())[:300]
    if isinstance(error, UnavailableError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _reason(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Failed) else ""


def _abandon(connection: Connection) -> None:
    """Close the socket without a farewell: the other side may never answer."""
    with suppress(*_troubles(connection)):
        connection.collect()


def _open_ones(messages: Sequence[Outgoing], outcomes: Mapping[int, Outcome]) -> list[tuple[int, Outgoing]]:
    return [(number, message) for number, message in enumerate(messages) if number not in outcomes]


def _unsendable(message: Outgoing) -> str | None:
    """Why no broker could take it; what is not seen here would close the connection under its companions."""
    try:
        names = [len(name.encode()) for name in (message.routing_key, message.message_id, *message.headers)]
        values = [len(value.encode()) for value in message.headers.values()]
    except UnicodeEncodeError:
        return "an address or header that is not Unicode text"
    if max(names) > LONGEST_NAME_BYTES:
        return f"an address or a header's name of more than {LONGEST_NAME_BYTES} bytes"
    if sum(names) + sum(values) > LARGEST_HEADERS_BYTES:
        return f"headers of more than {LARGEST_HEADERS_BYTES} bytes"
    return None


def _start_afresh_in_children(publisher: Publisher) -> None:
    """A connection must not be shared with a forked child, nor a lock that another thread held at the fork."""
    reference = weakref.ref(publisher)

    def start_afresh() -> None:
        if (inherited := reference()) is not None:
            _inherited.append(inherited._session)  # noqa: SLF001 - kept, since closing it would end the parent's connection
            inherited._start_afresh()  # noqa: SLF001 - as above: a part of Publisher that must not keep it alive

    os.register_at_fork(after_in_child=start_afresh)


_inherited: list[Session | None] = []
