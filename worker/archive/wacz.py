"""A WACZ: a WARC with its index and its list of pages in one zip file, for ReplayWeb.page and other players.

Source: WACZ 1.1.1, https://specs.webrecorder.net/wacz/1.1.1/; the index is a ZipNum one: CDXJ lines in gzip members of
a fixed number of lines, and the first line of each member in ``index.idx``.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import IO, Any

from worker.model import require_utc

WARC_NAME = "data.warc.gz"  # what the index lines' ``filename`` must be

_LINES_PER_MEMBER = 1024
_GZIP_FRAMING = 31  # of zlib
_FIRST_ZIP_YEAR = 1980  # the format knows no earlier one


@dataclass(frozen=True, slots=True, kw_only=True)
class WaczPage:
    """A page that a reader can choose. ``at``: of its capture, UTC."""

    id: str
    url: str
    at: datetime
    title: str | None
    text: str

    def __post_init__(self) -> None:
        require_utc("at", self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    path: str
    sha256: str
    size: int

    @property
    def facts(self) -> dict[str, Any]:
        name = self.path.rpartition("/")[2]
        return {"name": name, "path": self.path, "hash": f"sha256:{self.sha256}", "bytes": self.size}


def write_wacz(
    file: IO[bytes],
    *,
    warc: Iterable[bytes],
    lines: Iterable[str],
    pages: Iterable[bytes],
    title: str,
    software: str,
    created_at: datetime,
) -> None:
    """Write it all, in one pass; the same arguments give the same bytes.

    Args:
        file: Open for writing; need not be able to seek.
        warc: Its bytes, in parts of any size.
        lines: CDXJ, each with its LF, sorted by code point; asked for after all of ``warc``.
        pages: From ``page_line``; asked for after all of ``lines``.
        created_at: UTC.
    """
    require_utc("created_at", created_at)
    with zipfile.ZipFile(file, "w") as packed:
        resources = [_add(packed, f"archive/{WARC_NAME}", warc, created_at, stored=True)]
        heads: list[str] = []
        resources += [
            _add(packed, "indexes/index.cdx.gz", _members(lines, heads), created_at, stored=True),
            _add(packed, "indexes/index.idx", (head.encode() for head in heads), created_at),
            _add(packed, "pages/pages.jsonl", chain((_PAGES_HEAD,), pages), created_at),
        ]
        described = _json(
            {
                "profile": "data-package",
                "wacz_version": "1.1.1",
                "title": title,
                "software": software,
                "created": _second(created_at),
                "resources": [resource.facts for resource in resources],
            }
        )
        witness = _json(
            {"path": "datapackage.json", "hash": f"sha256:{hashlib.sha256(described).hexdigest()}"},
        )
        _add(packed, "datapackage.json", [described], created_at)
        _add(packed, "datapackage-digest.json", [witness], created_at)


def page_line(page: WaczPage) -> bytes:
    """One line of ``pages.jsonl``."""
    facts = {"id": page.id, "url": page.url, "ts": _second(page.at), "title": page.title or page.url, "text": page.text}
    return _json_line(facts)


def _json_line(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts).encode("ascii") + b"\n"


_PAGES_HEAD = _json_line({"format": "json-pages-1.0", "id": "pages", "title": "Pages", "hasText": True})


def _add(
    packed: zipfile.ZipFile, path: str, parts: Iterable[bytes], created_at: datetime, *, stored: bool = False
) -> _Resource:
    """Players read parts of what is stored, without unpacking the whole."""
    moment = max(created_at, datetime(_FIRST_ZIP_YEAR, 1, 1, tzinfo=UTC))
    entry = zipfile.ZipInfo(path, date_time=moment.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    hashed, size = hashlib.sha256(), 0
    with packed.open(entry, "w", force_zip64=True) as out:
        for part in parts:
            out.write(part)
            hashed.update(part)
            size += len(part)
    return _Resource(path=path, sha256=hashed.hexdigest(), size=size)


def _members(lines: Iterable[str], heads: list[str]) -> Iterator[bytes]:
    """The index in gzip members. Fills ``heads`` with the lines of ``index.idx``."""
    heads.append("!meta 0 " + json.dumps({"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}) + "\n")
    waiting, offset = iter(lines), 0
    while some := list(islice(waiting, _LINES_PER_MEMBER)):
        packer = zlib.compressobj(wbits=_GZIP_FRAMING)
        member = packer.compress("".join(some).encode()) + packer.flush()
        place = {"offset": offset, "length": len(member), "digest": f"sha256:{hashlib.sha256(member).hexdigest()}"}
        urlkey, timestamp, _ = some[0].split(" ", 2)
        heads.append(f"{urlkey} {timestamp} {json.dumps(place)}\n")
        offset += len(member)
        yield member


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, ensure_ascii=False, indent=2).encode()


def _second(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
