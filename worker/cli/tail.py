"""``newsmill tail``: consume the published messages and print them."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from config.settings import Settings, embedded_socket
from worker.cli import context, show
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.publish.broker import Publisher

ALL_ARTICLES = "article.#"

Messages = Generator[tuple[dict[str, str], dict[str, Any]], None, None]


def tail(
    *,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            help="Which messages: a pattern of routing keys, * and # allowed; may be repeated.",
            metavar="PATTERN",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Whole messages, one JSON object a line.")] = False,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many messages.")] = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="End after so many seconds without a message.")
    ] = None,
) -> None:
    """Print the messages that are published from now on. Ctrl-C ends it.

    It reads from a queue of its own, which goes with it: other consumers miss nothing.
    """
    settings = context.settings()
    _need_a_broker(settings)
    patterns = keys or [ALL_ARTICLES]
    show.warning(f"Listening for {', '.join(patterns)}; Ctrl-C ends.")
    seen = 0
    with _ending_on_signals(), _publisher(settings) as publisher:
        try:
            listening = cast("Messages", publisher.consume(patterns, timeout_s=timeout_s))
            with closing(listening) as messages:  # else the queue would stay until the garbage is collected
                for _, message in messages:
                    _print(message, as_json=as_json)
                    seen += 1
                    if seen == count:
                        return
        except KeyboardInterrupt:
            return
    if count is not None:
        show.warning(f"Only {show.count(seen, 'message')} came within {timeout_s:g} s of each other.")
        raise typer.Exit(1)


def _need_a_broker(settings: Settings) -> None:
    """Raises: UsageError: the messages go to the embedded broker, and none runs."""
    embedded = settings.broker_is_embedded and settings.publish_url == settings.broker_url
    if embedded and not embedded_socket(settings.home).exists():
        raise UsageError(
            f"No broker runs in {settings.home}: start `newsmill up` there, or set PUBLISH_URL to the broker that "
            "receives the articles."
        )


def _publisher(settings: Settings) -> Publisher:
    from worker.wiring import open_publisher  # noqa: PLC0415 - brings every door with it: half a second

    return open_publisher(settings)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """SIGTERM is a Ctrl-C inside this block, so that our queue is removed either way."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(message: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        typer.echo(line.encode("utf-8", "backslashreplace"))
        return
    feeds = ",".join(str(sighting.get("feed")) for sighting in message.get("sightings") or [])
    show.line(f"{feeds or '-'}  {message.get('title') or '(no title)'}  {message.get('url') or ''}")
