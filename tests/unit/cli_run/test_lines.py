"""Standard output in the place of a broker: the promises of ``tests/contract/test_publisher.py`` that a stream can keep."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.errors import UnavailableError
from worker.model import Outgoing
from worker.publish.broker import Confirmed, Failed
from worker.publish.lines import LinesPublisher


def outgoing(number: int, body: bytes | None = None) -> Outgoing:
    return Outgoing(
        message_id=f"a{number}:1",
        exchange="newsmill",
        routing_key="article.published.courier",
        body=body or json.dumps({"id": f"a{number}:1", "title": "新闻 ☃"}, ensure_ascii=False).encode(),
        headers={},
    )


def test_a_message_is_one_line_byte_for_byte() -> None:
    stream = io.BytesIO()
    assert LinesPublisher(stream).publish([outgoing(1)]) == [Confirmed("a1:1")]
    assert stream.getvalue() == outgoing(1).body + b"\n"


def test_outcomes_come_in_the_order_of_the_messages() -> None:
    stream = io.BytesIO()
    broken = outgoing(2, b'{"a":\n1}')
    outcomes = LinesPublisher(stream).publish([outgoing(1), broken, outgoing(3)])
    assert [type(outcome) for outcome in outcomes] == [Confirmed, Failed, Confirmed]
    assert [json.loads(line)["id"] for line in stream.getvalue().splitlines()] == ["a1:1", "a3:1"]
    assert isinstance(outcomes[1], Failed)
    assert not outcomes[1].retry


def test_nothing_to_send_is_fine() -> None:
    assert LinesPublisher(io.BytesIO()).publish([]) == []


class Broken(io.BytesIO):
    def flush(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_went_away_is_our_own_trouble() -> None:
    publisher = LinesPublisher(Broken())
    with pytest.raises(UnavailableError, match="standard output"):
        publisher.publish([outgoing(1)])
    with pytest.raises(UnavailableError):
        publisher.check()


def test_a_closed_stream_is_our_own_trouble() -> None:
    stream = io.BytesIO()
    stream.close()
    with pytest.raises(UnavailableError):
        LinesPublisher(stream).publish([outgoing(1)])


def test_closing_leaves_the_stream_to_its_owner() -> None:
    stream = io.BytesIO()
    publisher = LinesPublisher(stream)
    publisher.close()
    publisher.close()
    assert publisher.publish([outgoing(1)]) == [Confirmed("a1:1")]
    assert (publisher.check(), publisher.trim_holding()) == ((), 0)


def test_lines_of_different_threads_do_not_mix() -> None:
    stream = io.BytesIO()
    publisher = LinesPublisher(stream)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: publisher.publish([outgoing(number)] * 20), range(50)))
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 1000


class Full(io.BytesIO):
    """A disk that is full for a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


def test_a_stream_that_failed_is_told_of_once_and_never_used_again() -> None:
    told: list[str] = []
    stream = Full()
    publisher = LinesPublisher(stream, on_gone=lambda: told.append("gone"))
    with pytest.raises(UnavailableError, match="No space left"):
        publisher.publish([outgoing(1)])
    stream.full = False
    written = stream.getvalue()
    with pytest.raises(UnavailableError, match="No space left"):
        publisher.publish([outgoing(2)])
    assert stream.getvalue() == written
    assert told == ["gone"]
