"""``verify`` reads an archive that the real line wrote, as it is, and with something broken in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event

import pytest
import sqlalchemy as sa

from config.settings import Settings
from tests.s3 import environment, new_bucket
from tests.tools.corpus import Corpus, made
from worker import wiring
from worker.archive.store import MissingObjectError
from worker.archive.verify import Kind, Part
from worker.errors import UnavailableError
from worker.ledger import bundles
from worker.ledger.kept import Span
from worker.ledger.tables import articles as articles_table
from worker.ledger.tables import bundles as bundles_table
from worker.stages import verify as verifying
from worker.stages.verify import Checked, Sample, Verified, count_articles, verify

FORMS = ("files", "files, compacted", "S3, compacted")


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> dict[str, str]:
    """Settings of an archive in a bucket."""
    return environment(s3_endpoint, new_bucket(s3_endpoint))


@pytest.fixture(scope="module", params=FORMS)
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = request.getfixturevalue("s3") if "S3" in request.param else {}
    with made(tmp_path_factory.mktemp("kept"), **settings) as corpus:
        if "compacted" in request.param:
            assert corpus.compact()
        yield corpus


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with made(tmp_path_factory.mktemp("loose")) as corpus:
        yield corpus


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with made(tmp_path_factory.mktemp("large")) as corpus:
        corpus.compact()
        yield corpus


def verified(corpus: Corpus, span: Span | None = None, **options: object) -> Verified:
    deps = corpus.line.deps
    return verify(deps.ledger, deps.store, span or Span(), **options)


@contextmanager
def instead(corpus: Corpus, key: str, data: bytes | None) -> Iterator[None]:
    """Something else under a key for a while; None: nothing."""
    store = corpus.line.deps.store
    before = store.get(key)
    try:
        store.delete(key) if data is None else store.put(key, data)
        yield
    finally:
        store.put(key, before)


def place_of(corpus: Corpus, key: str) -> bundles.Place:
    with corpus.line.deps.ledger.reading() as connection:
        return bundles.place_of(connection, key)


def feed_document(corpus: Corpus) -> str:
    with corpus.line.deps.ledger.reading() as connection:
        (key,) = connection.scalars(sa.select(bundles_table.c.key).where(bundles_table.c.article_pk.is_(None)))
    return str(key)


def key_of(corpus: Corpus, part: str) -> str:
    row = corpus.row("The long council" if part == "text" else "The tram returns")
    return {
        "bundle": lambda: row.archive["warc"],
        "document": lambda: row.archive["document"],
        "html": lambda: row.archive["html_ref"],
        "text": lambda: row.archive["text_ref"],
        "picture": lambda: row.picture["ref"],
        "feed document": lambda: feed_document(corpus),
    }[part]()


PARTS = ("bundle", "document", "html", "text", "picture", "feed document")
TOUCHES = {  # which revisions of which article a part of it belongs to
    "bundle": ("The tram returns", {1, 2}),  # the second one refers to the first one's page
    "document": ("The tram returns", {2}),
    "html": ("The tram returns", {1, 2}),
    "text": ("The long council", {1}),
    "picture": ("The tram returns", {1, 2}),
    "feed document": ("", set()),
}


def expected(corpus: Corpus, part: str) -> set[str]:
    title, revisions = TOUCHES[part]
    return {f"{corpus.row(title, revision).article_id}:{revision}" for revision in revisions}


# ---------------------------------------------------------------- nothing is wrong


def test_what_the_line_wrote_is_whole(corpus: Corpus) -> None:
    found = verified(corpus)
    assert (found.damaged, found.touched, found.gave_up) == ((), (), False)
    assert found.checked.articles == 7
    assert found.checked.feed_documents == 1
    assert found.checked.objects >= 7 * 2


def test_every_byte_of_the_bundles_is_read(corpus: Corpus) -> None:
    with corpus.line.deps.ledger.reading() as connection:
        size = connection.scalar(sa.select(sa.func.sum(bundles_table.c.bytes)))
    assert verified(corpus).checked.bytes > size


def test_progress_is_told_after_each_article(loose: Corpus) -> None:
    told: list[tuple[int, int]] = []
    verified(loose, told=lambda checked: told.append((checked.articles, checked.bytes)))
    assert [count for count, _ in told] == [1, 2, 3, 4, 5, 6, 7, 7]
    assert [size for _, size in told] == sorted(size for _, size in told)


# ---------------------------------------------------------------- something is


@pytest.mark.parametrize("part", PARTS)
def test_a_flipped_byte_is_found(corpus: Corpus, part: str) -> None:
    key = key_of(corpus, part)
    place = place_of(corpus, key)
    data = bytearray(corpus.line.deps.store.get(place.key))
    length = place.length or len(data)
    for at in {place.start + length // 2, place.start, place.start + length - 1}:
        data[at] ^= 0x10
        with instead(corpus, place.key, bytes(data)):
            found = verified(corpus)
        data[at] ^= 0x10
        assert [(one.key, one.fault.kind) for one in found.damaged] == [(key, Kind.CHANGED)]
        assert set(found.damaged[0].articles) == expected(corpus, part)
        assert {f"{one.article_id}:{one.revision}" for one in found.touched} == expected(corpus, part)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("length", [0, 1, 300], ids=["to nothing", "to a byte", "in the middle"])
def test_a_cut_object_is_found(loose: Corpus, part: str, length: int) -> None:
    key = key_of(loose, part)
    with instead(loose, key, loose.line.deps.store.get(key)[:length]):
        found = verified(loose)
    assert [one.key for one in found.damaged] == [key]
    assert set(found.damaged[0].articles) == expected(loose, part)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_object_is_found(loose: Corpus, part: str) -> None:
    key = key_of(loose, part)
    with instead(loose, key, None):
        found = verified(loose)
    assert [(one.key, one.fault.kind) for one in found.damaged] == [(key, Kind.MISSING)]
    assert set(found.damaged[0].articles) == expected(loose, part)


def kept_keys(corpus: Corpus) -> list[str]:
    """All that is promised to be there: the spool is in hand, and indexes for readers are made again."""
    return [key for key in corpus.line.deps.store.keys("") if not key.startswith("spool/")]


def damaged(data: bytes, random: Random) -> bytes | None:
    """Another state of an object: without a bit as it was, without its end, or not there."""
    at = random.randrange(len(data))
    flipped = data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
    return random.choice([flipped, flipped, data[:at], None])


@pytest.mark.parametrize("form", ["loose", "large"])
def test_no_damage_to_any_object_goes_unseen(request: pytest.FixtureRequest, form: str) -> None:
    corpus: Corpus = request.getfixturevalue(form)
    keys = kept_keys(corpus)
    kinds = {"loose": {"warc", "documents", "html", "text", "pictures", "feeds"}}
    kinds["large"] = (kinds["loose"] - {"feeds"}) | {"index"}  # the feed's bundle is in the large file
    assert {key.partition("/")[0] for key in keys} == kinds[form]
    random = Random(form)
    for key in [key for key in keys for _ in range(4)]:
        with instead(corpus, key, damaged(corpus.line.deps.store.get(key), random)):
            found = {one.key for one in verified(corpus).damaged}
        inside = {row.archive["warc"] for row in corpus.line.rows()} | {feed_document(corpus)}
        assert key in found or (key.startswith("warc/") and found & inside), key


def test_a_cut_large_file_touches_what_lay_behind_the_cut(large: Corpus) -> None:
    key = large.row("The kites rose").archive["warc"]
    place = place_of(large, key)
    with large.line.deps.ledger.reading() as connection:
        inside = bundles.parts(connection, place.key)
    lost = {row.key for row in inside if row.position >= place.start}
    with instead(large, place.key, large.line.deps.store.get(place.key)[: place.start + 10]):
        found = verified(large)
    assert {one.key for one in found.damaged} == {place.key, *lost}
    assert {one.fault.kind for one in found.damaged} == {Kind.CUT}


def test_a_missing_large_file_touches_every_article_in_it(large: Corpus) -> None:
    file = place_of(large, key_of(large, "bundle")).key
    with instead(large, file, None):
        found = verified(large)
    assert file in {one.key for one in found.damaged}
    assert len(found.touched) == 7


@pytest.mark.parametrize("data", [b"", None], ids=["emptied", "removed"])
def test_a_large_files_index_is_looked_at(large: Corpus, data: bytes | None) -> None:
    (key,) = large.line.deps.store.keys("index/")
    with instead(large, key, data):
        found = verified(large)
    assert [one.key for one in found.damaged] == [key]
    assert found.touched == ()


def test_bundles_that_do_not_fill_their_large_file_are_found(large: Corpus) -> None:
    file = place_of(large, key_of(large, "bundle")).key
    ledger = large.line.deps.ledger
    with ledger.reading() as connection:
        last = bundles.parts(connection, file)[-1]

    def move(by: int) -> None:
        with ledger.transaction() as tx:
            tx.execute(
                sa.update(bundles_table).where(bundles_table.c.key == last.key).values(position=last.position + by)
            )

    move(5)
    try:
        assert file in {one.key for one in verified(large).damaged}
    finally:
        move(0)


def test_a_shared_object_names_all_who_hold_it_even_if_only_one_was_asked_for(loose: Corpus) -> None:
    key = key_of(loose, "picture")
    with instead(loose, key, b"no picture"):
        found = verified(loose, Span(pks=(loose.row("The tram returns", 2).id,)))
    assert set(found.damaged[0].articles) == expected(loose, "picture")


# ---------------------------------------------------------------- what brings it back


def test_what_is_made_of_a_good_bundle_is_written_again_from_it(loose: Corpus) -> None:
    row = loose.row("The kites rose")
    with instead(loose, row.archive["document"], b""):
        (touched,) = verified(loose).touched
    assert touched.remedy.command == f"newsmill reprocess --stage archive {row.article_id}"
    assert (tuple(touched.damaged), set(touched.good)) == ((Part.DOCUMENT,), {Part.BUNDLE, Part.HTML})


def test_a_page_is_fetched_again(loose: Corpus) -> None:
    row = loose.row("The kites rose")
    with instead(loose, row.archive["warc"], None):
        (touched,) = verified(loose).touched
    assert touched.remedy.command == f"newsmill reprocess --refetch {row.article_id}"
    assert (touched.title, touched.url) == (row.title, row.url)


def test_only_the_newest_revision_is_said_to_come_back(loose: Corpus) -> None:
    row = loose.row("The tram returns")
    with instead(loose, row.archive["warc"], None):
        first, second = verified(loose).touched
    assert (first.revision, first.remedy.command) == (1, None)
    assert (second.revision, tuple(second.damaged)) == (2, (Part.PAGE,))
    assert second.remedy.command == f"newsmill reprocess --refetch {row.article_id}"


def test_what_only_the_feed_had_is_gone(loose: Corpus) -> None:
    row = loose.row("Only in the feed")
    with instead(loose, row.archive["warc"], None):
        (touched,) = verified(loose).touched
    assert (touched.url, touched.remedy.command) == (None, None)
    assert "had no page" in touched.remedy.reason


# ---------------------------------------------------------------- which are read


def test_a_sample_is_drawn_by_its_seed(loose: Corpus) -> None:
    def drawn(seed: str) -> frozenset[int]:
        sample = Sample(count=3, seed=seed)
        return frozenset(verifying._drawn(loose.line.deps.ledger, Span(), sample))

    assert drawn("monday") == drawn("monday")
    assert len({drawn(str(seed)) for seed in range(20)}) > 5
    assert set().union(*(drawn(str(seed)) for seed in range(50))) == {row.id for row in loose.line.rows()}


def test_a_sample_reads_so_many_articles_and_no_feed_documents(loose: Corpus) -> None:
    found = verified(loose, sample=Sample(count=2, seed="monday"))
    assert (found.checked.articles, found.checked.feed_documents) == (2, 0)
    everything = verified(loose, sample=Sample(share=1.0, seed="monday"))
    assert everything.checked.articles == 7
    assert count_articles(loose.line.deps.ledger, Span(), Sample(count=2, seed="")) == 2
    assert count_articles(loose.line.deps.ledger, Span(), Sample(share=0.5, seed="")) is None


def test_a_share_is_about_that_share() -> None:
    class Named:
        revision = 1

        def __init__(self, number: int) -> None:
            self.article_id = f"{number:032x}"

    lots = [verifying._lot("monday", Named(number)) for number in range(2000)]
    assert 0.08 < sum(lot < 0.1 for lot in lots) / 2000 < 0.12


def test_a_sample_finds_a_cut_large_file_whatever_was_drawn(large: Corpus) -> None:
    place = place_of(large, key_of(large, "bundle"))
    data = large.line.deps.store.get(place.key)
    with instead(large, place.key, data[:-1]):
        assert place.key in {one.key for one in verified(large, sample=Sample(count=1, seed="x")).damaged}


def test_a_period_and_a_feed_are_kept_to(loose: Corpus) -> None:
    at = loose.row("The kites rose").discovered_at
    assert verified(loose, Span(since=at)).checked.articles == 7
    assert verified(loose, Span(until=at)).checked.articles == 0
    assert verified(loose, Span(feed="quay")).checked.feed_documents == 1
    other = verified(loose, Span(feed="other")).checked
    assert (other.articles, other.feed_documents) == (0, 0)


# ---------------------------------------------------------------- trouble that is none


def test_an_article_written_again_meanwhile_is_not_damaged(loose: Corpus) -> None:
    """What seems damaged is looked at again with what the ledger says by then."""
    row = loose.row("The kites rose")
    data = loose.line.deps.store.get(row.archive["document"])
    loose.line.deps.store.put(row.archive["document"], b"half")

    def written(checked: Checked) -> None:
        if checked.feed_documents:
            loose.line.deps.store.put(row.archive["document"], data)

    found = verified(loose, told=written)
    assert found.damaged == ()
    assert found.checked.articles == 7


def test_an_article_taken_down_meanwhile_is_not_damaged(tmp_path: Path) -> None:
    with made(tmp_path) as corpus:
        row = corpus.row("The kites rose")
        corpus.line.deps.store.delete(row.archive["document"])

        def taken_down(_: Checked) -> None:
            with corpus.line.deps.ledger.transaction() as tx:
                tx.execute(articles_table.update().where(articles_table.c.id == row.id).values(archive=None))

        found = verified(corpus, Span(pks=(row.id,)), told=taken_down)
        assert (found.checked.articles, found.damaged) == (1, ())


def test_a_store_that_is_away_is_no_damage(tmp_path: Path) -> None:
    with made(tmp_path) as corpus:
        folder = tmp_path / "archive"
        folder.rename(tmp_path / "unmounted")
        with pytest.raises(UnavailableError, match="mounted"):
            verified(corpus)
        (tmp_path / "unmounted").rename(folder)
        assert verified(corpus).damaged == ()


def test_a_store_that_fails_is_no_damage(loose: Corpus, s3: dict[str, str]) -> None:
    nowhere = {**s3, "BUCKETEER_BUCKET_NAME": "nowhere", "NEWSMILL_HOME": str(loose.home)}
    with pytest.raises(UnavailableError):
        verify(loose.line.deps.ledger, wiring.open_store(Settings.from_env(nowhere)), Span())


def test_when_all_is_lost_the_run_ends_early(loose: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MOST_DAMAGED", 1)
    key = key_of(loose, "bundle")
    with instead(loose, key, None):
        found = verified(loose)
    assert found.gave_up
    assert found.checked.articles == 1
    assert [one.key for one in found.damaged] == [key]


def test_a_run_that_is_stopped_says_what_it_found(loose: Corpus) -> None:
    stopping = Event()
    found = verified(loose, told=lambda _: stopping.set(), stopping=stopping)
    assert found.checked.articles == 1


def test_what_was_read_once_is_not_read_for_each_who_shares_it(loose: Corpus) -> None:
    shared = {key_of(loose, "picture"), key_of(loose, "html")}
    rows = [loose.row("The tram returns", revision).id for revision in (1, 2)]
    both = verified(loose, Span(pks=tuple(rows))).checked.objects
    each = [verified(loose, Span(pks=(pk,))).checked.objects for pk in rows]
    assert sum(each) - both == len(shared)


@pytest.mark.postgres
def test_it_works_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with made(tmp_path, DATABASE_URL=postgres_url.replace("+psycopg", "")) as corpus:
        corpus.compact()
        found = verified(corpus)
        assert (found.damaged, found.checked.articles, found.checked.feed_documents) == ((), 7, 1)
        key = corpus.row("The kites rose").archive["html_ref"]
        with instead(corpus, key, b""):
            assert [one.key for one in verified(corpus, Span(feed="quay")).damaged] == [key]
        with pytest.raises(MissingObjectError):
            corpus.line.deps.store.get("html/00/none.html")
