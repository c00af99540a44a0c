"""How well a feed document is kept: its dates, its guids, its links, its rhythm. Pure; for people who choose feeds."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from worker.feeds.dates import read_date
from worker.model import Entry
from worker.text import clean_line
from worker.urls import canonical_url, gate_key

Order = Literal["newest first", "oldest first", "mixed", "unknown"]

MAX_ZONES = 5
_ZONE = re.compile(r"(?<=\d)\s*(Z|[+-]\d\d:?\d\d|[A-Za-z]{1,5})\s*\Z")
_FAR = timedelta(days=36_500)  # ahead of which dates are read as they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """Counts of items, and moments. ``equal``: items that share their moment with another one."""

    readable: int
    unreadable: int
    missing: int
    future: int
    equal: int
    order: Order
    newest: datetime | None
    oldest: datetime | None
    zones: tuple[str, ...]  # as written; "none" where there is none

    def age_s(self, now: datetime) -> float | None:
        """Of the newest item, seconds."""
        return (now - self.newest).total_seconds() if self.newest else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guids:
    """Counts of items. ``repeated``: items that share their guid with another one; ``changed``: whose guid was another
    one when the feed was asked again, of ``seen_again``.
    """

    present: int
    missing: int
    repeated: int
    same_as_url: int
    seen_again: int
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Counts of items. ``offsite``: links that leave the feed's domain, of which ``main_site`` is where most lead."""

    present: int
    missing: int
    offsite: int
    main_site: str | None
    elsewhere: int  # links that lead neither to the feed's domain nor to the main site
    home_page: int
    repeated: int
    tracking: int  # links with parameters that only track


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often something came, by the items' own dates; None: too few dates to tell."""

    items_per_day: float | None
    median_gap_s: float | None  # between moments with new items


def dates_of(entries: Sequence[Entry], now: datetime) -> Dates:
    """How an item's date comes: in readable form, in order, in the past."""
    dated = [one.published_at or one.updated_at for one in entries]
    moments = [moment for moment in dated if moment is not None]
    shared = Counter(moments)
    raws = [one.date_raw for one in entries if one.date_raw]
    zones = Counter(found[1] if (found := _ZONE.search(raw[-12:])) else "none" for raw in raws)
    ahead = sum((moment := read_date(raw, now=now + _FAR)) is not None and moment > now for raw in raws)
    return Dates(
        readable=len(moments),
        unreadable=sum(moment is None and bool(one.date_raw) for one, moment in zip(entries, dated, strict=True)),
        missing=sum(moment is None and not one.date_raw for one, moment in zip(entries, dated, strict=True)),
        future=ahead,
        equal=sum(times for times in shared.values() if times > 1),
        order=_order(moments),
        newest=max(moments, default=None),
        oldest=min(moments, default=None),
        zones=tuple(clean_line(zone) for zone, _ in zones.most_common(MAX_ZONES)),
    )


def guids_of(entries: Sequence[Entry], again: Sequence[Entry] | None) -> Guids:
    """How an item's guid comes.

    Args:
        again: The items of the same feed, asked a moment later; None: it was not.
    """
    times = Counter(one.guid for one in entries if one.guid)
    before = {_place(one): one.guid for one in entries if one.guid and _place(one) is not None}
    after = {_place(one): one.guid for one in again or () if one.guid}
    both = [place for place in before if place in after]
    return Guids(
        present=sum(times.values()),
        missing=sum(not one.guid for one in entries),
        repeated=sum(count for count in times.values() if count > 1),
        same_as_url=sum(one.guid is not None and one.guid == one.url for one in entries),
        seen_again=len(both),
        changed=sum(before[place] != after[place] for place in both),
    )


def links_of(entries: Sequence[Entry], feed_url: str) -> Links:
    """Where the items lead. Domains are those of the host gate."""
    urls = [one.url for one in entries if one.url]
    sites = Counter(gate_key(url) for url in urls)
    own, main = gate_key(feed_url), next((site for site, _ in sites.most_common(1)), None)
    canonical = Counter(canonical_url(url) for url in urls)
    return Links(
        present=len(urls),
        missing=len(entries) - len(urls),
        offsite=sum(count for site, count in sites.items() if site != own),
        main_site=main,
        elsewhere=sum(count for site, count in sites.items() if site not in {own, main}),
        home_page=sum(urlsplit(url).path in {"", "/"} and not urlsplit(url).query for url in urls),
        repeated=sum(count for count in canonical.values() if count > 1),
        tracking=sum(_is_tracked(url) for url in urls),
    )


def rhythm_of(entries: Sequence[Entry]) -> Rhythm:
    """How often something came. A document whose items all have one moment tells nothing."""
    moments = sorted({moment for one in entries if (moment := one.published_at or one.updated_at) is not None})
    if len(moments) < 2:  # noqa: PLR2004 - one moment has no gap
        return Rhythm(items_per_day=None, median_gap_s=None)
    dated = sum((one.published_at or one.updated_at) is not None for one in entries)
    span_s = (moments[-1] - moments[0]).total_seconds()
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    return Rhythm(
        items_per_day=round((dated - 1) / (span_s / 86_400), 2) if span_s else None,
        median_gap_s=statistics.median(gaps),
    )


def _order(moments: Sequence[datetime]) -> Order:
    if len(set(moments)) < 2:  # noqa: PLR2004 - one moment has no order
        return "unknown"
    falls = all(later <= earlier for earlier, later in pairwise(moments))
    rises = all(later >= earlier for earlier, later in pairwise(moments))
    return "newest first" if falls else "oldest first" if rises else "mixed"


def _place(entry: Entry) -> tuple[str | None, str | None] | None:
    """What tells an item again without its guid."""
    return (entry.url, entry.title) if entry.url or entry.title else None


def _is_tracked(url: str) -> bool:
    query = urlsplit(url).query
    return bool(query) and len(parse_qsl(query)) > len(parse_qsl(urlsplit(canonical_url(url)).query))
