"""The extraction benchmark counts right: what it says of newsmill and of the libraries can be believed."""

from __future__ import annotations

import importlib.util
import json
import random
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import extraction
from bench.extraction_pages import FOLDS, GoldPage, fold_of, language_of_gold, recorded, sample_pages, spread
from bench.extraction_peers import NEWSMILL, Extracted, MissingPeerError, extractors, held_out, without_network
from bench.extraction_report import (
    by_folder,
    confidence_rows,
    cost_rows,
    language_rows,
    loss_rows,
    scores,
    show_texts,
    text_rows,
    worst_rows,
)
from bench.extraction_run import Outcome, outcome, outcomes
from bench.extraction_scores import (
    FieldScore,
    Loss,
    PageScore,
    date_score,
    lead,
    losses,
    page_score,
    picture_score,
    reason,
    text_score,
    title_score,
)
from bench.extraction_steps import STEPS, Clock, functions, replaced, steps
from tests.conftest import REPOSITORY, SHARED
from worker.extract import article, scorer

LINES = [
    "The ferry sails again on Monday after weeks of repairs.",
    "Twelve carpenters worked on the hull until late at night.",
    "The town paid for timber, tar and a new brass bell.",
    "Its captain says that the river was never so quiet.",
]
SITES = [f"https://paper{number}.example/a" for number in range(40)]
OTHER = "Subscribe now for five crowns a month and read everything."


def gold(text: str = "\n".join(LINES), **facts: Any) -> GoldPage:
    return GoldPage(**{"id": "fundus/1", "folder": "fundus", "url": None, "gzipped": b"", "text": text} | facts)


def result(page: GoldPage, text: str, *, cpu_s: float = 0.01, **facts: Any) -> Outcome:
    return Outcome(page=page, extracted=Extracted(text=text, **facts), cpu_s=cpu_s)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("answer", "output", "right", "extra", "missing"),
    [
        pytest.param("a b c d e", "a b c d e", 1, 0, 0, id="the same"),
        pytest.param("a b c d e", "a, b. C d e", 0, 2 / 4, 2 / 4, id="case counts, punctuation does not"),
        pytest.param("a b c d e", "a b c d", 1 / 2, 0, 1 / 2, id="a word is missing"),
        pytest.param("a b c d", "a b c d a b c d", 1 / 5, 4 / 5, 0, id="what comes twice is right once"),
        pytest.param("a b", "a b", 1, 0, 0, id="fewer than four words are one run"),
        pytest.param("a b c d", "", 0, 0, 1, id="nothing came out"),
        pytest.param("", "", 0, 0, 0, id="nothing was to be found"),
    ],
)
def test_a_page_is_scored_by_its_runs_of_four_words(
    answer: str, output: str, right: float, extra: float, missing: float
) -> None:
    assert page_score(answer, output) == PageScore(right=right, extra=extra, missing=missing)


def test_an_empty_output_costs_recall_and_no_precision() -> None:
    found = text_score([page_score("a b c d", "a b c d"), page_score("a b c d", "")])
    assert (found.precision, found.recall) == (1, 0.5)
    assert found.f1 == pytest.approx(2 / 3)


def test_long_pages_weigh_no_more_than_short_ones() -> None:
    long = " ".join(map(str, range(1000)))
    assert text_score([page_score(long, long), page_score("a b c d", "w x y z")]).f1 == pytest.approx(0.5)


def test_pages_that_are_all_alike_leave_no_error() -> None:
    assert text_score([page_score("a b c d e", "a b c d")] * 20).f1_error == pytest.approx(0)


def test_one_page_has_no_error() -> None:
    assert text_score([page_score("a b c d e", "a b c d")]).f1_error is None


def test_no_pages_have_no_score() -> None:
    with pytest.raises(ValueError, match="no pages"):
        text_score([])


def test_the_error_of_a_lead_is_that_of_the_difference() -> None:
    """Where one extractor is always a little better on the same pages, its lead is certain, however pages differ."""
    draw = random.Random(1)
    sizes = [draw.uniform(0.3, 0.9) for _ in range(60)]
    theirs = [PageScore(right=size, extra=(1 - size) / 2, missing=(1 - size) / 2) for size in sizes]
    ours = [PageScore(right=one.right + 0.05, extra=one.extra - 0.025, missing=one.missing - 0.025) for one in theirs]
    found, alone = lead(ours, theirs), text_score(theirs)
    assert found.f1 > 0.02
    assert found.error is not None
    assert alone.f1_error is not None
    assert found.error < alone.f1_error / 3


@given(st.text("ab \n", max_size=80), st.text("ab \n", max_size=80))
def test_losses_by_place_are_all_that_was_lost(answer: str, output: str) -> None:
    found, score = losses(answer, output), page_score(answer, output)
    missing = sum(share for loss, share in found.items() if "missing" in loss)
    assert missing == pytest.approx(score.missing)
    assert sum(found.values()) == pytest.approx(score.missing + score.extra)


@pytest.mark.parametrize(
    ("output", "loss"),
    [
        pytest.param(LINES[1:], Loss.MISSING_HEAD, id="the first line is missing"),
        pytest.param(LINES[:-1], Loss.MISSING_TAIL, id="the last line is missing"),
        pytest.param([LINES[0], *LINES[2:]], Loss.MISSING_MIDDLE, id="a line in the middle is missing"),
        pytest.param([OTHER, *LINES], Loss.EXTRA_HEAD, id="something stands before"),
        pytest.param([*LINES, OTHER], Loss.EXTRA_TAIL, id="something stands behind"),
        pytest.param([*LINES[:2], OTHER, *LINES[2:]], Loss.EXTRA_INLINE, id="something stands between"),
        pytest.param([*LINES, LINES[1]], Loss.TWICE, id="a line comes twice"),
        pytest.param([OTHER], Loss.ALL_MISSING, id="another text came out"),
    ],
)
def test_the_reason_says_where_a_page_was_lost(output: list[str], loss: Loss) -> None:
    text = "\n".join(output)
    assert reason(losses("\n".join(LINES), text), text).startswith(loss)


def test_the_reason_of_an_empty_output_is_that_nothing_came_out() -> None:
    assert reason(losses("\n".join(LINES), " \n"), " \n") == "nothing came out"


# ---------------------------------------------------------------- title, author, date, picture


@pytest.mark.parametrize(
    ("answer", "output", "exact", "lenient"),
    [
        pytest.param("The ferry’s back", "the ferry s back", 1, 1, id="the same words"),
        pytest.param("One two three four five", "One two three four", 0, 1, id="most of the words"),
        pytest.param("One two three four", "Four five six", 0, 0, id="another title"),
        pytest.param("One", None, 0, 0, id="none"),
    ],
)
def test_titles_are_the_same_by_their_words(answer: str, output: str | None, exact: float, lenient: float) -> None:
    assert title_score([(answer, output)]) == FieldScore(
        pages=1, exact=exact, lenient=lenient, given=0 if output is None else 1
    )


@pytest.mark.parametrize(
    ("output", "exact", "lenient"),
    [
        pytest.param("2025-03-01", 1, 1, id="the same day"),
        pytest.param("2025-02-28T23:30:00+00:00", 0, 1, id="a day apart"),
        pytest.param("2025-03-03", 0, 0, id="two days apart"),
        pytest.param("yesterday", 0, 0, id="no date"),
    ],
)
def test_dates_are_the_same_by_their_day(output: str, exact: float, lenient: float) -> None:
    found = date_score([("2025-03-01 00:30:00+01:00", output)])
    assert found is not None
    assert (found.exact, found.lenient) == (exact, lenient)


@pytest.mark.parametrize(
    ("output", "exact", "lenient"),
    [
        pytest.param("https://www.news.example/p/tram.jpg?w=9", 1, 1, id="www and a query do not count"),
        pytest.param("/p/tram.jpg", 1, 1, id="relative to the page"),
        pytest.param("https://cdn.example/x/tram-300x200.webp", 0, 1, id="another size elsewhere"),
        pytest.param("https://news.example/p/logo.png", 0, 0, id="another picture"),
    ],
)
def test_pictures_are_the_same_by_their_address(output: str, exact: float, lenient: float) -> None:
    page = gold(url="https://news.example/a", images=("https://news.example/p/tram.jpg",))
    found = picture_score([(page, output), (gold(), output)])
    assert found is not None
    assert (found.pages, found.exact, found.lenient) == (1, exact, lenient)


# ---------------------------------------------------------------- the recorded pages' own scorer


@pytest.fixture(scope="module")
def their_scorer() -> ModuleType:
    path = SHARED / "extraction-dev" / "score.py"
    if not path.is_file():
        pytest.skip(f"the recorded pages' scorer is not at {path}")
    spec = importlib.util.spec_from_file_location("recorded_scorer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["fundus", "wcxb", "readability"])
def test_the_figures_are_those_of_the_recorded_pages_own_scorer(their_scorer: ModuleType, folder: str) -> None:
    """On answers that were damaged in every way that matters."""
    pages = recorded(SHARED / "extraction-dev", [folder])[:60]
    docs = list(their_scorer.load_dev(SHARED / "extraction-dev" / folder))[:60]
    assert [page.url for page in pages] == [doc.url for doc in docs]
    given = [_damaged(page, place) for place, page in enumerate(pages)]
    expected = their_scorer.metric_shingle([(doc.gold, one) for doc, one in zip(docs, given, strict=True)])
    page_scores = [page_score(page.text, one["text"] or "") for page, one in zip(pages, given, strict=True)]
    found = text_score(page_scores)
    assert [one.f1 for one in page_scores] == pytest.approx(expected["per_doc"])
    assert (found.f1, found.precision, found.recall, found.f1_error) == pytest.approx(
        (expected["f1"], expected["precision"], expected["recall"], expected["f1_std"])
    )
    fields = {
        "title": title_score([(p.title, o["title"]) for p, o in zip(pages, given, strict=True) if p.title]),
        "author": title_score([(p.author, o["author"]) for p, o in zip(pages, given, strict=True) if p.author]),
        "date": date_score([(p.date, o["date"]) for p, o in zip(pages, given, strict=True) if p.date]),
        "image": picture_score([(p, o["image"]) for p, o in zip(pages, given, strict=True)]),
    }
    for name, wanted in their_scorer.metadata_scores(docs, given).items():
        one = fields[name]
        assert one is not None
        assert (one.pages, one.exact, one.lenient, one.given) == pytest.approx(
            (wanted["n"], wanted["exact"], wanted["lenient"], wanted["given"])
        )


def _damaged(page: GoldPage, place: int) -> dict[str, str | None]:
    """An output that is right, cut, too long, doubled or empty, and so are its facts, in turn."""
    lines = page.text.split("\n")
    texts = [page.text, "\n".join(lines[1:]), f"{page.text}\n{OTHER}", page.text * 2, "", page.text.upper()]
    title = page.title or ""
    image = page.images[0] if page.images else None
    return {
        "text": texts[place % len(texts)],
        "title": [title.upper(), f"{title} - News", title[: len(title) // 2], None][place % 4],
        "author": [page.author, "Somebody Else", f"{page.author}, A. Other", None][place % 4],
        "date": [page.date, "2001-01-01", "2025-06-05T23:00:00Z", None, "last week"][place % 5],
        "image": [image, f"{image}?w=100", "https://cdn.example/a-640x480.jpg", None][place % 4] if image else None,
    }


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Die Fähre fährt seit Montag wieder, und das ist für die Stadt nicht ganz billig.", "de"),
        ("The ferry sails again, and that is not cheap for the town.", "en"),
        ("Færgen sejler igen efter reparationen, og det er ikke blevet billigt for byen af den grund.", "da"),
        ("Fergen går igjen etter reparasjonen, og det ble ikke billig for byen av den grunn.", "no"),
        ("Пором знову ходить річкою, і це місту обійшлося недешево.", "uk"),
        ("Паром снова ходит по реке, и городу это обошлось недёшево.", "ru"),
        ("渡轮星期一恢复开航，修理花了三个星期。", "zh"),
        ("フェリーは月曜日に運航を再開した。", "ja"),
        ("The word 渡轮 means ferry, and that is all of the Chinese in this text.", "en"),
        ("12345", "other"),
    ],
)
def test_the_language_of_an_answer_is_told_by_script_and_function_words(text: str, language: str) -> None:
    assert language_of_gold(text) == language


def test_pages_of_one_host_are_in_one_half() -> None:
    hosts = [f"paper{number}.example" for number in range(40)]
    parts = [{gold(url=f"https://{www}{host}/{path}").part for www in ("", "www.") for path in "ab"} for host in hosts]
    assert all(len(one) == 1 for one in parts)
    assert {next(iter(one)) for one in parts} == {0, 1}


def test_a_few_pages_are_taken_from_everywhere_in_each_folder() -> None:
    pages = [gold(id=f"{folder}/{number}", folder=folder) for folder in ("fundus", "wcxb") for number in range(9)]
    assert [page.id for page in spread(pages, 3)] == [
        f"{folder}/{number}" for folder in ("fundus", "wcxb") for number in (0, 3, 6)
    ]


def test_without_recorded_pages_the_sample_newsroom_has_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages, where = extraction.pages_asked(extraction.arguments(["--pages", str(tmp_path / "none")]))
    assert where == "sample"
    assert "sample newsroom" in capsys.readouterr().err
    assert {language_of_gold(page.text) for page in pages} == {"en", "zh"}


# ---------------------------------------------------------------- running


@pytest.fixture
def page() -> GoldPage:
    return sample_pages(0)[0]


def test_every_extractor_reads_every_page_and_takes_turns_in_beginning() -> None:
    called: list[tuple[str, str | None]] = []

    def noting(name: str) -> Any:
        def extract(_: bytes, url: str | None) -> Extracted:
            called.append((name, url))
            return Extracted(text=f"{name} of {url}")

        return extract

    pages, done = sample_pages(0)[:2], list[int]()
    found = outcomes(pages, {"one": noting("one"), "two": noting("two")}, warm_pages=(), told=done.append)
    assert called == [("one", pages[0].url), ("two", pages[0].url), ("two", pages[1].url), ("one", pages[1].url)]
    assert [one.text for one in found["two"]] == [f"two of {page.url}" for page in pages]
    assert done == [1, 2]


def test_an_extractor_that_fails_gives_an_empty_page_and_its_error(page: GoldPage) -> None:
    def failing(html: bytes, url: str | None) -> Extracted:
        raise KeyError("head")

    found = outcome(page, failing)
    assert (found.text, found.error) == ("", "KeyError: 'head'")


def test_a_page_that_takes_too_long_counts_as_empty(page: GoldPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.extraction_run.MOST_CPU_S", 0.05)

    def endless(html: bytes, url: str | None) -> Extracted:
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001 - as libraries do
                continue

    found = outcomes([page], {"endless": endless}, warm_pages=(), told=lambda _: None)["endless"][0]
    assert found.text == ""
    assert found.error is not None
    assert "0.05 s CPU" in found.error
    assert 0.02 <= found.cpu_s < 1  # the timer ticks coarsely


def test_extractors_have_no_network() -> None:
    with without_network():
        with pytest.raises(OSError, match="no network"):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        with socket.socket() as raw, pytest.raises(OSError, match="no network"):
            raw.connect(("127.0.0.1", 9))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_a_dek_is_joined_where_the_answers_count_it_in() -> None:
    assert result(gold(folder="fundus"), "Text.", dek="A dek.").text == "A dek.\nText."
    assert result(gold(folder="wcxb"), "Text.", dek="A dek.").text == "Text."


def test_newsmill_reads_the_sample_newsroom_well() -> None:
    pages = sample_pages(2)
    found = outcomes(pages, extractors([NEWSMILL]), warm_pages=(), told=lambda _: None)[NEWSMILL]
    assert not [one.error for one in found if one.error]
    assert all(one.extracted.title == one.page.title for one in found)
    assert text_score([page_score(one.page.text, one.text) for one in found]).f1 > 0.8


def test_held_out_each_page_is_read_with_the_model_of_its_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.loads((REPOSITORY / "worker/extract/model.json").read_text("utf-8"))
    for fold in range(FOLDS):
        trees = {name: one | {"bias": fold} for name, one in said["trees"].items()}
        (tmp_path / f"fold-{fold}.json").write_text(json.dumps(said | {"trees": trees}), "utf-8")
    shipped = scorer.shipped_model
    monkeypatch.setattr(
        "bench.extraction_peers._newsmill", lambda *_: Extracted(text=str(scorer.shipped_model().body.bias))
    )
    extract = held_out(tmp_path)
    assert [extract(b"", url).text for url in SITES] == [str(fold_of(url)) for url in SITES]
    assert scorer.shipped_model is shipped


def test_all_of_a_sites_pages_are_in_one_fold() -> None:
    assert {fold_of(f"https://{name}paper.example/{path}") for name in ("", "www.", "m.") for path in "ab"} == {
        fold_of("https://paper.example/")
    }
    assert {fold_of(url) for url in SITES} == set(range(FOLDS))


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "readability", None)
    with pytest.raises(MissingPeerError, match=r"readability is not installed.*make bench-extract"):
        extractors(["readability-lxml"])


# ---------------------------------------------------------------- steps


def test_a_callers_cpu_is_without_that_of_what_it_calls() -> None:
    clock = Clock()

    def busy(rounds: int) -> int:
        return sum(range(rounds))

    inner = clock.timed("inner", lambda: busy(3_000_000))
    clock.timed("outer", inner)()
    assert clock.spent_ns["inner"] > 5 * clock.spent_ns["outer"] > 0


def test_every_step_names_a_function_that_is_there() -> None:
    assert list(functions()) == list(STEPS)


def test_a_replaced_function_is_replaced_wherever_it_was_imported_and_comes_back() -> None:
    original = article.language_of
    with replaced(original, len):
        assert article.language_of is len
        assert sys.modules["worker.extract.language"].__dict__["language_of"] is len
    assert article.language_of is original


def test_steps_add_up_to_the_whole() -> None:
    found = steps(sample_pages(0)[:2])
    assert sum(one.share for one in found) == pytest.approx(1)
    assert {"parse", "metadata", "the rest"} <= {one.name for one in found}


# ---------------------------------------------------------------- the report


@pytest.fixture
def found() -> dict[str, list[Outcome]]:
    """Two pages, one German: newsmill has one whole and most of the other, the library none of the second."""
    one = gold(id="fundus/1")
    two = gold(
        "Die Fähre fährt seit gestern Morgen um sechs wieder über den Fluss.\nFür die Stadt ist das nicht billig.",
        id="fundus/2",
    )
    return {
        NEWSMILL: [result(one, one.text, confidence=0.95), result(two, two.text.split("\n")[0])],
        "trafilatura": [result(one, one.text, cpu_s=0.04), result(two, "", cpu_s=0.04)],
    }


@pytest.fixture
def found_scores(found: dict[str, list[Outcome]]) -> dict[str, list[PageScore]]:
    return {name: [page_score(one.page.text, one.text) for one in mine] for name, mine in found.items()}


def test_a_lead_is_over_the_baseline(
    found: dict[str, list[Outcome]], found_scores: dict[str, list[PageScore]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = text_rows([one.page for one in found[NEWSMILL]], found_scores, by_folder)
    assert [(row.group, row.extractor, row.lead is None) for row in rows] == [
        ("fundus", NEWSMILL, False),
        ("fundus", "trafilatura", True),
    ]
    assert rows[0].lead is not None
    assert rows[0].lead.f1 == pytest.approx(rows[0].score.f1 - rows[1].score.f1)
    show_texts(rows, "pages")
    assert f"{rows[0].lead.f1:+.3f}" in capsys.readouterr().out


def test_texts_by_page_id_are_all_that_a_score_needs() -> None:
    pages = [gold(id="fundus/1"), gold(id="fundus/2")]
    assert [one.f1 for one in scores(pages, {"fundus/1": "\n".join(LINES)})] == [1, 0]


def test_speed_is_told_by_how_many_pages_are_read_while_the_baseline_reads_one(found: dict[str, list[Outcome]]) -> None:
    ours, theirs = cost_rows(found)
    assert (ours.times_baseline, ours.cpu_ms, ours.empty) == (pytest.approx(4), pytest.approx(10), 0)
    assert (theirs.times_baseline, theirs.pages_per_cpu_s, theirs.empty) == (1, pytest.approx(25), 1)


def test_each_language_is_held_against_the_best_library(
    found: dict[str, list[Outcome]], found_scores: dict[str, list[PageScore]]
) -> None:
    rows = {row.language: row for row in language_rows([one.page for one in found[NEWSMILL]], found_scores)}
    assert rows["en"].best == 1
    assert (rows["de"].best_peer, rows["de"].best) == ("trafilatura", 0)
    assert rows["de"].newsmill.f1 > 0.6


def test_the_worst_page_comes_first_with_its_reason(
    found: dict[str, list[Outcome]], found_scores: dict[str, list[PageScore]]
) -> None:
    worst = worst_rows(found, found_scores)
    assert [row.page for row in worst] == ["fundus/2", "fundus/1"]
    assert worst[0].reason.startswith("missing tail")


def test_losses_are_means_over_the_pages(found: dict[str, list[Outcome]]) -> None:
    theirs = loss_rows(found)[1]
    assert sum(theirs.shares.values()) == pytest.approx(0.5)


def test_confident_pages_are_counted_by_how_good_they_are(
    found: dict[str, list[Outcome]], found_scores: dict[str, list[PageScore]]
) -> None:
    bands = confidence_rows(found[NEWSMILL], found_scores[NEWSMILL])
    assert [(band.at_least, band.pages, band.good) for band in bands] == [(0.9, 1, 1), (0.0, 1, 0)]


def test_a_failed_page_a_slow_one_and_a_lag_are_faults(
    found: dict[str, list[Outcome]], found_scores: dict[str, list[PageScore]]
) -> None:
    rows = text_rows([one.page for one in found[NEWSMILL]], found_scores, by_folder)
    assert extraction.faults(found[NEWSMILL], rows, is_short=False) == []
    behind = text_rows(
        [one.page for one in found[NEWSMILL]],
        {NEWSMILL: found_scores["trafilatura"], "trafilatura": found_scores[NEWSMILL]},
        by_folder,
    )
    bad = [
        Outcome(page=gold(), extracted=Extracted(), cpu_s=0.1, error="KeyError: 'head'"),
        result(gold(), "", cpu_s=2.5),
        result(gold(), "", not_article="failed"),
    ]
    told = extraction.faults(bad, behind, is_short=False)
    assert [fault.split(": ", 1)[1].split(" ")[0] for fault in told] == ["KeyError:", "a", "2.5", "F1"]


def test_the_command_reports_in_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extraction.main(["--only", NEWSMILL, "--pages", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for heading in ("Text;", "CPU", "Title,", "By language", "By half", "Where text is lost", "worst", "CPU by step"):
        assert heading in told


def test_the_command_reports_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extraction.main(["--only", NEWSMILL, "--pages", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["group"] for row in told["texts"]} == {"sample"}
    assert told["pages_from"] == "sample"
    assert set(told["losses"][0]["shares"]) == set(Loss)
    assert all(list(f1) == [NEWSMILL] for f1 in told["f1"].values())
