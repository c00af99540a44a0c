"""``python -m bench.archive``: what keeping an article costs, beside warcio's usual way of keeping the same.

Writing bundles and readable documents, compaction, verification, import of documents, and the requests that the real
line makes to an object store. See docs/benchmarks.md for what each figure means. Writes nothing but its report.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bench.archived import archived, bundles_of, compacted, imported, installation, verified
from bench.keeping import Kept, kept_articles, our_bundles, warcio_records
from bench.objectrequests import Requests, requests_an_article
from bench.pages import made, recorded
from bench.report import machine
from worker.stages import Deps

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
MOST_WRITES, MOST_READS = 4.0, 2.0  # of an article, at an object store; a text too long for its message is one more
SHORT_ARTICLES, SHORT_REQUESTS, SHORT_DOCUMENTS = 40, 20, "bbc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report."""

    what: str
    value: float
    unit: str


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.archive", description=__doc__)
    parser.add_argument("--articles", type=int, default=1000, help="written, compacted and verified")
    parser.add_argument("--requests", type=int, default=100, help="articles through the line on an S3 endpoint")
    parser.add_argument("--repeats", type=int, default=3, help="of the writing, alternating; the best of each counts")
    parser.add_argument("--pages", type=Path, default=SHARED / "extraction-dev", help="folder of *.html.gz; else made")
    parser.add_argument("--documents", type=Path, default=SHARED / "seed-data" / "archive", help="to be imported")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_ARTICLES} articles: only whether all is right")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser.parse_args(given)


def progress(what: str) -> None:
    """What is being measured now."""
    print(what, file=sys.stderr, flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and report. Returns: 0; 1 when bytes were lost or changed, or an article cost too many requests."""
    asked = arguments(given)
    count = SHORT_ARTICLES if asked.short else asked.articles
    pages = list(islice(chain(recorded(asked.pages), made()), count))
    progress(f"extracting {len(pages)} pages")
    kept = kept_articles(pages)
    figures = writing(kept, repeats=1 if asked.short else asked.repeats)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder)) as deps:
        progress("archiving, compacting and verifying")
        figures += keeping(deps, kept, faults)
        progress("importing documents")
        documents = asked.documents / SHORT_DOCUMENTS if asked.short else asked.documents
        figures += importing(deps, documents, kept, Path(folder) / "documents", faults)
    progress("the line on an S3 endpoint")
    requests = requests_an_article(pages[: SHORT_REQUESTS if asked.short else asked.requests])
    figures += _requested(requests)
    writes = requests.writes - requests.by_place.get("writes text", 0.0)
    if writes > MOST_WRITES or requests.reads > MOST_READS:
        faults.append(f"{writes:.2f} writes and {requests.reads:.2f} reads an article at the object store")
    if asked.json:
        print(json.dumps({"machine": machine(), "figures": list(map(asdict, figures)), "faults": faults}, indent=2))
    else:
        print(machine())
        for figure in figures:
            print(f"{figure.what:<58} {figure.value:>10.2f} {figure.unit}")
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


def writing(kept: Sequence[Kept], *, repeats: int) -> list[Figure]:
    """The same records written by both, one after the other; bytes and CPU an article."""
    progress("writing")
    ours_ms, theirs_ms, ours_bytes, theirs_bytes = [], [], 0, 0
    for _ in range(repeats):
        ours_s, ours_bytes = _timed(lambda: sum(map(len, our_bundles(kept))))
        theirs_s, theirs_bytes = _timed(lambda: sum(map(len, warcio_records(kept))))
        ours_ms.append(ours_s * 1000 / len(kept))
        theirs_ms.append(theirs_s * 1000 / len(kept))
    documents_s, _ = _timed(lambda: [one.document() for one in kept])
    size = len(kept)
    return [
        Figure(what="a bundle, written: CPU", value=min(ours_ms), unit="ms"),
        Figure(what="the same records, written by warcio: CPU", value=min(theirs_ms), unit="ms"),
        Figure(what="newsmill / warcio", value=min(ours_ms) / min(theirs_ms), unit="x"),
        Figure(what="a bundle's size", value=ours_bytes / size / 1024, unit="KiB"),
        Figure(what="the same records as warcio writes them", value=theirs_bytes / size / 1024, unit="KiB"),
        Figure(what="readable documents rendered", value=size / documents_s, unit="a CPU second"),
    ]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came of it."""
    began_s = time.process_time()
    result = work()
    return time.process_time() - began_s, result


def keeping(deps: Deps, kept: Sequence[Kept], faults: list[str]) -> list[Figure]:
    """The archive stage, then large files, then all of it read again."""
    stage = archived(deps, kept)
    before = bundles_of(deps)
    loose_mb = sum(map(len, before.values())) / 1e6
    large = compacted(deps)
    if large.result.damaged or sum(file.bundles for file in large.result.files) != len(kept):
        faults.append(f"compaction took {large.result.files} and left {large.result.damaged}")
    if bundles_of(deps) != before:
        faults.append("compaction changed or lost bytes")
    read = verified(deps)
    if read.result.damaged:
        faults.append(f"verification found {read.result.damaged[:3]}")
    read_mb = read.result.checked.bytes / 1e6
    count = len(kept)
    return [
        Figure(what="the archive stage, files and ledger: CPU an article", value=stage.cpu_s * 1000 / count, unit="ms"),
        Figure(what="the archive stage: by the clock", value=count / stage.wall_s, unit="a second"),
        Figure(what="compaction, its own check included", value=loose_mb / large.wall_s, unit="MB/s"),
        Figure(what="compaction", value=loose_mb / large.cpu_s, unit="MB/CPU s"),
        Figure(what="verification of every digest", value=read_mb / read.wall_s, unit="MB/s"),
        Figure(what="verification", value=read_mb / read.cpu_s, unit="MB/CPU s"),
    ]


def importing(deps: Deps, documents: Path, kept: Sequence[Kept], made_here: Path, faults: list[str]) -> list[Figure]:
    """The recorded documents, or where there are none our own."""
    if not documents.is_dir():
        documents = made_here
        documents.mkdir()
        for place, one in enumerate(kept):
            (documents / f"{place}.md").write_bytes(one.document())
    first = imported(deps, documents)
    outcomes = Counter(str(one.outcome) for one in first.result)
    again = imported(deps, documents)
    if set(outcomes) - {"imported", "known", "revision", "not-a-document"}:
        faults.append(f"import came to {dict(outcomes)}")
    if {str(one.outcome) for one in again.result} - {"known", "not-a-document"}:
        faults.append("a second import changed something")
    size = len(first.result)
    return [
        Figure(what=f"import of {size} documents", value=size / first.wall_s, unit="a second"),
        Figure(what="import", value=first.cpu_s * 1000 / size, unit="CPU ms each"),
        Figure(what="import of what is known", value=size / again.wall_s, unit="a second"),
    ]


def _requested(requests: Requests) -> list[Figure]:
    told = f"{requests.articles} articles, {requests.with_picture} with a picture"
    return [
        Figure(what=f"writes to S3 ({told})", value=requests.writes, unit="an article"),
        Figure(what="reads from S3", value=requests.reads, unit="an article"),
        *(Figure(what=f"  {what}", value=value, unit="an article") for what, value in requests.by_place.items()),
    ]


if __name__ == "__main__":
    sys.exit(main())
