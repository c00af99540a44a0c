"""What a hub's question says, and that nothing else is taken for one."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.websub.intent import MAX_LEASE_S, Intent, read_intent

TOPIC = "https://news.example/feed?a=%7Eb"
TOPIC_SENT = quote(TOPIC, safe="")


def question(mode: str = "subscribe", challenge: str = "c", rest: str = "") -> str:
    return f"hub.mode={mode}&hub.topic={TOPIC_SENT}&hub.challenge={challenge}{rest}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            question(rest="&hub.lease_seconds=600"),
            Intent(mode="subscribe", topic=TOPIC, challenge="c", lease_s=600),
            id="subscribe",
        ),
        pytest.param(question("unsubscribe"), Intent(mode="unsubscribe", topic=TOPIC, challenge="c"), id="unsubscribe"),
        pytest.param(
            f"hub.mode=denied&hub.topic={TOPIC_SENT}&hub.reason=no+way%0A%1b[31m",
            Intent(mode="denied", topic=TOPIC, reason="no way\n\x1b[31m"),
            id="denied",
        ),
        pytest.param(
            f"hub.mode=denied&hub.topic={TOPIC_SENT}", Intent(mode="denied", topic=TOPIC), id="denied without a reason"
        ),
        pytest.param(
            "foo=bar&" + question(challenge="%3Cb%3E+x%26y"),
            Intent(mode="subscribe", topic=TOPIC, challenge="<b> x&y"),
            id="escaped, among others",
        ),
        pytest.param("", None, id="nothing"),
        pytest.param("hub.mode=subscribe&hub.challenge=c", None, id="no topic"),
        pytest.param("hub.mode=denied", None, id="denied: no topic"),
        pytest.param(question("publish"), None, id="no such mode"),
        pytest.param(question("SUBSCRIBE"), None, id="a mode in capitals"),
        pytest.param(question(challenge=""), None, id="no challenge"),
        pytest.param(question(challenge="x" * 1025), None, id="a long challenge"),
        pytest.param(question(challenge="a%00b"), None, id="a NUL"),
        pytest.param(question(challenge="a%0D%0Ab"), None, id="a line break"),
        pytest.param(question(challenge="%E9"), None, id="not UTF-8"),
        pytest.param(question(challenge="%C3%A9"), None, id="beyond ASCII"),
        pytest.param(question(rest="&x=1" * 40), None, id="very many fields"),
    ],
)
def test_a_query_is_a_hub_s_question_or_none(query: str, expected: Intent | None) -> None:
    assert read_intent(query) == expected


@pytest.mark.parametrize(
    ("said", "lease_s"),
    [
        ("1", 1),
        ("0864000", 864_000),
        ("99999999999", MAX_LEASE_S),
        ("9" * 500, None),
        ("0", None),
        ("-5", None),
        ("1e3", None),
        ("3600.5", None),
        ("%D9%A3", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_lease_is_a_positive_decimal_number_of_seconds(said: str, lease_s: int | None) -> None:
    intent = read_intent(question(rest=f"&hub.lease_seconds={said}"))
    assert intent is not None
    assert intent.lease_s == lease_s


@pytest.mark.parametrize(
    ("topic", "is_ours"),
    [
        (TOPIC, True),
        (TOPIC.replace("%7E", "~"), True),
        (TOPIC.replace("%7E", "%7e"), True),
        (TOPIC + "c", False),
        (TOPIC.replace("https", "http"), False),
        ("", False),
    ],
)
def test_a_topic_is_compared_decoded(topic: str, is_ours: bool) -> None:
    assert Intent(mode="subscribe", topic=topic).is_about(TOPIC) is is_ours


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused(query: str) -> None:
    intent = read_intent(query)
    assert intent is None or intent.topic
