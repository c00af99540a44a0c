"""The corpus as public tools get to see it: bundles as they lie there, a large file, an export."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from tests.conftest import TOOLS
from tests.tools.corpus import Corpus, made
from worker.ledger.kept import Span
from worker.stages.export import Exported, Wanted, export_warc

FORMS = ("bundles", "large file", "export")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The corpus in one form: its WARC files, all in one folder, and what they hold taken together."""

    corpus: Corpus
    form: str
    files: tuple[Path, ...]

    @property
    def data(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.files)


def tool(name: str, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run one of the public tools to its end."""
    command = [str(TOOLS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def wanted(corpus: Corpus, span: Span | None = None) -> Wanted:
    deps = corpus.line.deps
    return Wanted(
        ledger=deps.ledger, store=deps.store, span=span or Span(), told=lambda _articles, _size: None, stopping=Event()
    )


def exported(corpus: Corpus, target: Path) -> Exported:
    return export_warc(wanted(corpus), target)


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """Its bundles are part of a large file by the end: ``given`` has them as they were before."""
    with made(tmp_path_factory.mktemp("corpus")) as corpus:
        yield corpus


@pytest.fixture(scope="package")
def forms(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given]:
    folder = tmp_path_factory.mktemp("files")
    for name in FORMS:
        (folder / name).mkdir()
    bundles = []
    for key in corpus.bundle_keys():
        path = folder / "bundles" / key.rpartition("/")[2]
        path.write_bytes(corpus.bytes_of(key))
        bundles.append(path)
    (large_key,) = corpus.compact()
    large = folder / "large file" / large_key.rpartition("/")[2]
    large.write_bytes(corpus.line.deps.store.get(large_key))
    warc = folder / "export" / "all.warc.gz"
    exported(corpus, warc)
    files = {"bundles": tuple(bundles), "large file": (large,), "export": (warc,)}
    return {name: Given(corpus=corpus, form=name, files=files[name]) for name in FORMS}


@pytest.fixture(params=FORMS)
def given(request: pytest.FixtureRequest, forms: dict[str, Given]) -> Given:
    return forms[request.param]
