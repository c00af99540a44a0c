"""Where things lie in the archive. Pure: from ids, digests and the day of discovery, never from titles.

Text and picture keys have the digest's first two digits as a folder, so that no folder of a file store grows too large.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime

from worker.archive.store import checked_key
from worker.model import require_utc

_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
}
_DOCUMENT = re.compile(r"documents/([a-z0-9._-]+)/(\d{4})/(\d{2})/(\d{2})/[0-9a-f]{32}\.md")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def warc_key(article_id: str, revision: int, discovered_at: datetime) -> str:
    """Of the bundle of one (article, revision); ``revision`` >= 1."""
    return checked_key(f"warc/{_day(discovered_at)}/{article_id}-{revision}.warc.gz")


def document_key(feed_slug: str, article_id: str, discovered_at: datetime) -> str:
    """Of the readable document: the newest revision's, since there is one for each article."""
    return checked_key(f"documents/{feed_slug}/{_day(discovered_at)}/{article_id}.md")


def index_key(feed_slug: str, day: date | None = None) -> str:
    """Of the index document of a feed's day; None: of the feed, which lists its days."""
    return checked_key(f"documents/{feed_slug}/{f'{day:%Y/%m/%d}/' if day else ''}index.md")


def document_place(key: str) -> tuple[str, date]:
    """Slug and day in the key of a readable document. Raises: ValueError: it is none."""
    found = _DOCUMENT.fullmatch(key)
    if found is None:
        raise ValueError(f"{key[:100]!r} is no key of a readable document")
    return found[1], date(int(found[2]), int(found[3]), int(found[4]))


def feed_key(feed_slug: str, sha256: str, polled_at: datetime) -> str:
    """Of the exchange that brought a feed document; ``sha256``: of its body, decoded, so that what did not change has
    one key a day.
    """
    return checked_key(f"feeds/{feed_slug}/{_day(polled_at)}/{_digest(sha256)}.warc.gz")


def text_key(sha256: str) -> str:
    return f"text/{_by_digest(sha256)}.txt"


def html_key(sha256: str) -> str:
    return f"html/{_by_digest(sha256)}.html"


def picture_key(sha256: str, media_type: str) -> str:
    """A media type we do not know gets ``bin``."""
    return f"pictures/{_by_digest(sha256)}.{_EXTENSIONS.get(media_type, 'bin')}"


def spool_key(article_id: str, records: bytes) -> str:
    """Of an exchange in hand, by the digest of its records. No two articles share one: each sweeps its own."""
    return f"spool/{_by_digest(hashlib.sha256(article_id.encode() + records).hexdigest())}.warc.gz"


def _day(moment: datetime) -> str:
    require_utc("moment", moment)
    return f"{moment.year:04d}/{moment.month:02d}/{moment.day:02d}"


def _by_digest(sha256: str) -> str:
    return f"{sha256[:2]}/{_digest(sha256)}"


def _digest(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"a SHA-256 is 64 lower-case hexadecimal digits, got {sha256!r}")
    return sha256
