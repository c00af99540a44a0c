"""What the archive keeps, found again wherever compaction has put it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.archive.store import MissingObjectError, Store
from worker.errors import QuarantineError
from worker.ledger import bundles
from worker.ledger.session import Ledger


def kept_bytes(ledger: Ledger, store: Store, key: str) -> bytes:
    """The bytes under a key of the archive, also of a bundle that is part of a large file by now.

    Raises:
        MissingObjectError: nothing is there; of a bundle in a large file, that file is named.
        QuarantineError: ``damaged-warc``: the large file ends before the bundle does.
        UnavailableError: ledger or store.
    """
    try:
        return _read(ledger, store, key)
    except MissingObjectError:  # compaction may have moved it between our question and our reading
        return _read(ledger, store, key)


def page_place(archive: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Where an article's page is: of the response with its payload the bundle (``warc``) and ``record_id``.

    Args:
        archive: ``articles.archive`` of a row. Newsmill 0.1 named no page in it: that is then in its own bundle.
    Returns: None: there never was a page.
    """
    if "page" not in archive and archive.get("payload_sha256"):
        return archive
    page: Mapping[str, Any] | None = archive.get("page")
    return page


def _read(ledger: Ledger, store: Store, key: str) -> bytes:
    with ledger.reading() as connection:
        place = bundles.place_of(connection, key)
    if place.length is None:
        return store.get(place.key)
    data = store.get_range(place.key, place.start, place.length)
    if len(data) != place.length:
        raise QuarantineError("damaged-warc", f"{place.key} ends before {key} does")
    return data
