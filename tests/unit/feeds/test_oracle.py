"""Every recorded feed file, and beside it what feedparser reads out of those that it calls well-formed.

Two records of an entry agree when they do after each was put into the form of our contract:

- title: plain text on one line; content: HTML without regard to white space and serialisation, and ours is one of the
  texts that feedparser has, the longest or one not much shorter (it gathers texts of several vocabularies).
- link: what can be requested. feedparser also takes an id that is no address (``urn:``, ``tag:``, ``abc123``) for a link.
- id: as it is written. feedparser resolves ids against xml:base, RFC 4287 section 4.2.6.1 compares them as they are.
- date: feedparser's published, created or updated, in this order.

What differs even so is in ``DIFFERENCES`` with its reason, and nothing else is in there.
"""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import feedparser
import pytest
from lxml import html

from worker.errors import QuarantineError
from worker.feeds.parse import parse_feed
from worker.model import Entry, ParsedFeed
from worker.text import clean_line, strip_tags
from worker.urls import usable_url

pytestmark = pytest.mark.shared

URL = "https://news.example/feeds/all.xml"
NOW = datetime(2040, 1, 1, tzinfo=UTC)  # one recorded feed is of 2035, and dates in the future would all be now
AGREEMENT = 0.995
MUCH_LONGER = 1.5
FIELDS = ("title", "link", "date", "id", "content")
REASONS = {"not-a-feed", "feed-too-large", "too-many-attributes"}

OLD = "by contract a date before 1990 is unknown"
FUTURE = "by contract a date in the future is clamped"
BY_CONTRACT = frozenset({OLD, FUTURE})
NESTED = "an entry within an entry: feedparser mixes the two, and has the outer one's facts nowhere"
UNTYPED = "Atom text of no type that holds HTML: read as the HTML it is, not shown with its tags"
ESCAPED_XHTML = "it says xhtml and holds escaped HTML: read as the HTML it is"
NO_SUCH_DAY = "32 July or a 13th month is no date; feedparser counts on into the next one"
COMPACT_TIME = "feedparser loses the time of 2002-12-31T192030+01:00"
FIRST_LINK = "two alternates of one rank: ours is the first, feedparser's the last"
RELATED = "no alternate: what the entry is related to is better than nothing"
ODD_TYPE = "an alternate whose type is nonsense is still one"
IDENTIFIER = "without a guid, dc:identifier names the item"

DIFFERENCES: Mapping[str, Mapping[str, str]] = {
    "count": {
        "feedvalidator/rss11/must/neg-anyarss.xml": "RSS 1.1; feedparser trips over an attribute and has no item"
    },
    "title": {
        "feedvalidator/atom/4.2.11/missing-self.xml": NESTED,
        "feedvalidator/atom/must/entry_title_contains_html.xml": UNTYPED,
        "feedvalidator/atom/must/entry_title_contains_html_cdata.xml": UNTYPED,
        "feedvalidator/atom/must/entry_title_not_inline_cdata.xml": ESCAPED_XHTML,
        "rome/rome-modules/src/test/resources/xml/ep/ep1_v4a.xml": NESTED,
        "rome/rome-modules/src/test/resources/xml/v/v4.xml": NESTED,
        "rome/rome-modules/src/test/resources/xml/v/v5.xml": NESTED,
        "rome/rome-modules/src/test/resources/xml/v/v6.xml": NESTED,
    },
    "link": {
        "feedparser/wellformed/atom10/entry_link_rel_enclosure_no_href.xml": "an enclosure is not the page, href or not",
        "feedvalidator/atom/4.1.2/link-same-rel-type-different-hreflang.xml": FIRST_LINK,
        "feedvalidator/atom/4.1.2/related-same-rel-type-hreflang.xml": RELATED,
        "feedvalidator/atom/4.2.11/missing-self.xml": NESTED,
        "feedvalidator/atom/must/entry_link_multiple.xml": FIRST_LINK,
        "feedvalidator/atom/must/entry_link_multiple4.xml": RELATED,
        "rome/rome/src/test/data/atom_0.3_DC_Sy.xml": ODD_TYPE,
    },
    "date": {
        "feed-rs/rss2/rss_2.0_ilmessaggero.xml": "an Italian weekday, which feedparser cannot read",
        "feed-rs/rss2/rss_2.0_nbcny.xml": "02:02:33 PM is an afternoon, for feedparser a night",
        "feedvalidator/atom/3.3/published_bad_day.xml": NO_SUCH_DAY,
        "feedvalidator/atom/3.3/published_bad_day2.xml": NO_SUCH_DAY,
        "feedvalidator/atom/3.3/published_no_colons.xml": COMPACT_TIME,
        "feedvalidator/atom/3.3/published_year_only.xml": "a year alone dates no article; the entry has a whole date too",
        "feedvalidator/atom/3.3/updated-future.xml": FUTURE,
        "feedvalidator/atom/3.3/updated-past.xml": OLD,
        "feedvalidator/atom/4.2.11/missing-self.xml": NESTED,
        "feedvalidator/atom/must/entry_issued_no_colons.xml": COMPACT_TIME,
        "feedvalidator/atom/must/entry_modified_bad_day.xml": NO_SUCH_DAY,
        "feedvalidator/atom/must/entry_modified_bad_month.xml": NO_SUCH_DAY,
        "feedvalidator/rss20/data-types-datetime/everything.xml": OLD,
        "feedvalidator/rss20/element-channel-item-pubdate/pubDate_future.xml": FUTURE,
        "feedvalidator/rss20/introduction/rss-2.0-namespace-noerr.xml": OLD,
        "feedvalidator/rss20/introduction/rss-2.0-sample-noerror.xml": OLD,
        "feedvalidator/rss20/namespace-elements-atom-link/noself.xml": OLD,
    },
    "id": {
        "feedkit/FeedKitTests/Resources/xml/AtomDC.xml": IDENTIFIER,
        "feedkit/FeedKitTests/Resources/xml/RSSDC.xml": IDENTIFIER,
        "feedparser/wellformed/rss/item_guid_isPermaLink_ValueError.xml": "no URL, but an id all the same",
        "feedvalidator/atom/4.2.11/missing-self.xml": NESTED,
        "gofeed/extensions/dublincore/dublincore_item_fields.xml": IDENTIFIER,
    },
    "content": {
        "feedkit/FeedKitTests/Resources/xml/Atom.xml": ESCAPED_XHTML,
        "feedvalidator/atom/3.1.1.2/text_with_escaped_html.xml": UNTYPED,
        "feedvalidator/atom/4.2.11/missing-self.xml": NESTED,
        "feedvalidator/atom/must/entry_content_not_inline.xml": ESCAPED_XHTML,
        "feedvalidator/atom/must/entry_content_not_inline_cdata.xml": ESCAPED_XHTML,
        "feedvalidator/atom/must/entry_summary_contains_html_cdata.xml": UNTYPED,
        "rome/rome-modules/src/test/resources/xml/ep/ep1_v4a.xml": NESTED,
        "rome/rome-modules/src/test/resources/xml/v/v4.xml": NESTED,
        "rome/rome-modules/src/test/resources/xml/v/v5.xml": NESTED,
        "rome/rome-modules/src/test/resources/xml/v/v6.xml": NESTED,
    },
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a file: a feed, or the error."""

    feed: ParsedFeed | None
    reason: str | None
    cpu_s: float


@pytest.fixture(scope="module")
def files(shared: Path) -> dict[str, bytes]:
    """Name -> bytes of all recorded feeds."""
    folder = shared / "feeds-dev"
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "README.md")
    named = {str(path.relative_to(folder)): path for path in found if not path.name.endswith(".expect.json")}
    assert len(named) >= 2000
    return {name: path.read_bytes() for name, path in named.items()}


@pytest.fixture(scope="module")
def readings(files: dict[str, bytes]) -> dict[str, Reading]:
    return {name: _read(body) for name, body in files.items()}


def _read(body: bytes) -> Reading:
    began = time.process_time()
    try:
        feed, reason = parse_feed(body, content_type="application/xml", url=URL, now=NOW), None
    except QuarantineError as error:
        feed, reason = None, error.reason
    return Reading(feed, reason, time.process_time() - began)


@pytest.fixture(scope="module")
def compared(files: dict[str, bytes], readings: dict[str, Reading]) -> dict[str, Counter[str]]:
    """Field -> file -> in how many entries the two differ; under ``entries`` how many there are in each file."""
    found: dict[str, Counter[str]] = {name: Counter() for name in ("entries", "count", *FIELDS)}
    for name, body in files.items():
        theirs = feedparser.parse(
            body,
            response_headers={"content-type": "application/xml"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
        if theirs.bozo:
            continue
        feed = readings[name].feed
        ours = feed.entries if feed else ()
        if len(ours) != len(theirs.entries):
            found["count"][name] += 1
            continue
        found["entries"][name] = len(ours)
        for mine, other in zip(ours, theirs.entries, strict=True):
            found["title"][name] += mine.title != _line(dict.get(other, "title_detail"))
            found["link"][name] += mine.url != _link(other, mine)
            found["date"][name] += _seconds(mine.published_at) != _moment(other)
            found["id"][name] += not _is_same_id(mine.guid, dict.get(other, "id"))
            found["content"][name] += not _is_same_content(mine, other)
    return {field: +counts for field, counts in found.items()}


# ---------------------------------------------------------------- one form for both


def _text(detail: Mapping[str, Any] | None) -> str:
    value = (detail or {}).get("value") or ""
    return escape(value, quote=False) if detail and detail.get("type") == "text/plain" else value


def _line(detail: Mapping[str, Any] | None) -> str | None:
    return clean_line(strip_tags(_text(detail))) or None


def _link(other: Mapping[str, Any], mine: Entry) -> str | None:
    link = dict.get(other, "link") or ""
    is_merely_the_id = link == dict.get(other, "id") and not link.lower().startswith("http") and mine.url is None
    return None if is_merely_the_id else usable_url(link, URL)


def _seconds(moment: datetime | None) -> datetime | None:
    return moment.replace(microsecond=0) if moment else None


def _moment(other: Mapping[str, Any]) -> datetime | None:
    parsed = (dict.get(other, name) for name in ("published_parsed", "created_parsed", "updated_parsed"))
    return next((datetime.fromtimestamp(calendar.timegm(one), UTC) for one in parsed if one), None)


def _is_same_id(mine: str | None, other: str | None) -> bool:
    theirs = clean_line(other or "", 2000) or None
    return mine == theirs or (mine is not None and theirs is not None and urljoin(theirs, mine) == theirs)


def _is_same_content(mine: Entry, other: Mapping[str, Any]) -> bool:
    details = [*(dict.get(other, "content") or []), dict.get(other, "summary_detail")]
    theirs = {_shape(_text(detail)) for detail in details} - {""}
    ours = [shape for body in (mine.content_html or mine.summary_html, mine.html) if (shape := _shape(body or ""))]
    if not ours or not theirs:
        return not ours and not theirs
    return any(one in theirs for one in ours) and max(map(len, ours)) * MUCH_LONGER >= max(map(len, theirs))


def _shape(markup: str) -> str:
    """HTML as a parser understands it, without blanks and declarations of namespaces."""
    if not markup.strip():
        return ""
    whole = html.tostring(html.document_fromstring(f"<body><div>{markup.strip()}</div></body>"), encoding="unicode")
    return "".join(re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", whole).split())


# ---------------------------------------------------------------- what holds


def test_every_recorded_file_has_a_named_outcome_at_bounded_cost(readings: dict[str, Reading]) -> None:
    assert {one.reason for one in readings.values() if one.feed is None} <= REASONS
    assert max(one.cpu_s for one in readings.values()) < 1


def test_what_is_read_can_be_stored_and_shown(readings: dict[str, Reading]) -> None:
    for name, text in _texts(readings):
        assert not re.search("[\x00\ud800-\udfff]", text), name


def _texts(readings: dict[str, Reading]) -> Iterator[tuple[str, str]]:
    for name, one in readings.items():
        for entry in one.feed.entries if one.feed else ():
            texts = (entry.title, entry.guid, entry.summary_html, entry.content_html, entry.date_raw, *entry.authors)
            yield from ((name, text) for text in texts if text)


def test_every_difference_to_feedparser_is_listed_with_its_reason(compared: dict[str, Counter[str]]) -> None:
    found = {field: sorted(compared[field]) for field in DIFFERENCES}
    assert found == {field: sorted(listed) for field, listed in DIFFERENCES.items()}


@pytest.mark.parametrize("field", FIELDS)
def test_entries_agree_with_feedparser_s(compared: dict[str, Counter[str]], field: str) -> None:
    total = compared["entries"].total()
    by_contract = sum(compared[field][name] for name, reason in DIFFERENCES[field].items() if reason in BY_CONTRACT)
    differ = compared[field].total() - by_contract
    share = 1 - differ / total
    print(f"{field}: {share:.2%} of {total} entries; {differ} differ, {by_contract} by contract")
    assert total >= 2000
    assert share >= AGREEMENT


def test_files_have_as_many_entries_as_feedparser_finds(compared: dict[str, Counter[str]]) -> None:
    assert len(compared["count"]) / len(compared["entries"]) <= 1 - AGREEMENT
