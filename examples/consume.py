"""Print the title and address of every article that newsmill publishes.

    python examples/consume.py amqp://guest:guest@127.0.0.1:5672// my-reader
    python examples/consume.py redis://127.0.0.1:6379/0 my-reader --binding 'article.*.voa-chinese'

The queue is durable: what is published while this programme is away waits in it. Delete the queue when you are done
with it, or it fills up. What was published while a flushed Redis knew of no queue waits in newsmill.unroutable.

An article that changed comes again, whole: its kind is "updated", its article_id is the same, its revision is higher.
Who keeps articles replaces the lower revision by the higher one, in whichever order they come.
"""

import argparse
import json
import time
from collections import OrderedDict
from contextlib import suppress

from kombu import Connection, Consumer, Exchange, Message, Queue

REMEMBERED = 10_000  # message ids; a repeat comes soon or never
IDLE_S = 10  # then everything is declared again: a Redis that was flushed has forgotten who is bound, and tells nobody

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("broker", help="kombu URL of the broker (newsmill's PUBLISH_URL)")
parser.add_argument("queue", help="name of this consumer's own queue")
parser.add_argument(
    "--binding", default="article.#", help="what to receive: article.<kind>.<feed-slug>, * and # allowed"
)
parser.add_argument("--namespace", default="", help="newsmill's NEWSMILL_NAMESPACE")
arguments = parser.parse_args()

prefix = f"{arguments.namespace}." if arguments.namespace else ""
held = {"alternate-exchange": f"{prefix}newsmill.unroutable"}  # as newsmill declares it: RabbitMQ compares
exchange = Exchange(f"{prefix}newsmill", type="topic", durable=True, arguments=held)
queue = Queue(arguments.queue, exchange, routing_key=arguments.binding, durable=True)
seen: OrderedDict[str, None] = OrderedDict()


def show(body: bytes | str, message: Message) -> None:
    """Print, remember, acknowledge: in this order, so that a crash in between costs a repeat and not an article."""
    article = json.loads(body)
    if article["id"] not in seen:
        print(article["kind"], article["title"], article["url"], sep="\t", flush=True)
        seen[article["id"]] = None
        if len(seen) > REMEMBERED:
            seen.popitem(last=False)
    message.ack()


def receive() -> None:
    """Declare queue and binding, and show what comes until nothing has come for a while."""
    with (
        Connection(arguments.broker, heartbeat=30) as connection,
        Consumer(connection, queue, on_message=lambda message: show(message.body, message)),
    ):
        last = time.monotonic()
        while time.monotonic() - last < IDLE_S:
            with suppress(TimeoutError):
                connection.drain_events(timeout=5)
                last = time.monotonic()
            connection.heartbeat_check()


with suppress(KeyboardInterrupt):
    while True:
        receive()
