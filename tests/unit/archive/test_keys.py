"""Where things lie: keys made of ids, digests and days only."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.archive.keys import document_key, feed_key, html_key, picture_key, spool_key, text_key, warc_key
from worker.archive.store import checked_key, is_key
from worker.errors import UsageError

DAY = datetime(2025, 1, 7, 23, 59, 59, tzinfo=UTC)
SHA = "0a" * 32
SPOOLED = hashlib.sha256(b"b3f1records").hexdigest()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (warc_key("b3f1", 2, DAY), "warc/2025/01/07/b3f1-2.warc.gz"),
        (document_key("voa-chinese", "b3f1", DAY), "documents/voa-chinese/2025/01/07/b3f1.md"),
        (feed_key("voa-chinese", SHA, DAY), f"feeds/voa-chinese/2025/01/07/{SHA}.warc.gz"),
        (text_key(SHA), f"text/0a/{SHA}.txt"),
        (html_key(SHA), f"html/0a/{SHA}.html"),
        (picture_key(SHA, "image/jpeg"), f"pictures/0a/{SHA}.jpg"),
        (picture_key(SHA, "image/x-odd"), f"pictures/0a/{SHA}.bin"),
        (spool_key("b3f1", b"records"), f"spool/{SPOOLED[:2]}/{SPOOLED}.warc.gz"),
    ],
    ids=["warc", "document", "feed", "text", "html", "picture", "picture of an unknown type", "spool"],
)
def test_a_key_has_its_published_form(key: str, expected: str) -> None:
    assert key == expected
    assert checked_key(key) == key


@pytest.mark.parametrize("sha", ["", "ab", "0A" * 32, "../" + "a" * 61, SHA + "\n"])
def test_what_is_no_digest_makes_no_key(sha: str) -> None:
    for make in (text_key, html_key, lambda s: picture_key(s, "image/png"), lambda s: feed_key("a", s, DAY)):
        with pytest.raises(ValueError, match="SHA-256"):
            make(sha)


@pytest.mark.parametrize("slug", ["", "..", "../etc", "a/b/../c", "CON.", "Ünï", "a" * 300])
def test_a_slug_that_cannot_stand_in_a_path_makes_no_key(slug: str) -> None:
    with pytest.raises(UsageError):
        document_key(slug, "b3f1", DAY)


def test_the_day_is_that_of_utc() -> None:
    with pytest.raises(ValueError, match="UTC"):
        warc_key("b3f1", 1, DAY.astimezone(timezone(timedelta(hours=8))))


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/etc/passwd", "a/", "a//b", "..", "../x", "a/../../x", "a/./b", ".hidden", "a/.b", "Upper", "a b",
        "a\\b", "a\x00b", "a\n", "ключ", "a%2fb", "a" * 201, "/".join(["a" * 100] * 6),
    ],
)  # fmt: skip
def test_a_hostile_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError):
        checked_key(key)


@given(st.text())
def test_a_key_never_leaves_its_folder(text: str) -> None:
    if is_key(text):
        assert not text.startswith(("/", "."))
        assert ".." not in text.split("/")
        assert text.isascii()
        assert text == text.lower()
