"""``newsmill articles`` and ``newsmill quarantine``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from tests.unit.cli.conftest import NOW, Books, Newsmill
from worker.cli.articles import when


def test_a_list_shows_state_reason_feed_and_title(newsmill: Newsmill, books: Books) -> None:
    books.set_aside(books.feed())
    answer = newsmill("articles", "list")
    assert answer.code == 0
    for shown in ("quarantined", "attempts-exhausted", "harbour", "The tram returns"):
        assert shown in answer.out


@pytest.mark.parametrize(
    ("options", "count"),
    [
        pytest.param((), 2, id="all"),
        pytest.param(("--state", "quarantined"), 1, id="by state"),
        pytest.param(("--state", "quarantined", "--state", "discovered"), 2, id="by two states"),
        pytest.param(("--reason", "attempts-exhausted"), 1, id="by reason"),
        pytest.param(("--reason", "gone"), 0, id="by a reason that none has"),
        pytest.param(("--feed", "harbour"), 2, id="by feed"),
        pytest.param(("--since", "1h"), 1, id="by time"),
        pytest.param(("--limit", "1"), 1, id="at most one"),
    ],
)
def test_a_list_holds_what_its_filters_let_through(
    newsmill: Newsmill, books: Books, options: tuple[str, ...], count: int
) -> None:
    feed = books.feed()
    books.set_aside(feed)
    books.article(feed, "https://harbour.example/old", discovered_at=NOW - timedelta(days=3))
    answer = newsmill("articles", "list", "--json", *options)
    assert answer.code == 0
    assert len(answer.json) == count


def test_what_a_title_holds_is_shown_and_not_obeyed(newsmill: Newsmill, books: Books) -> None:
    books.article(books.feed(), title="[red]Storm[/red] \x1b[2J\u202e [link=https://x.example]here[/link]")
    answer = newsmill("articles", "list")
    assert "[red]Storm[/red]" in answer.out
    assert "\x1b" not in answer.out


def test_a_piped_table_is_neither_wrapped_nor_cut(newsmill: Newsmill, books: Books) -> None:
    title = "long " * 60 + "end"
    books.article(books.feed(), title=title)
    assert title in newsmill("articles", "list").out


def test_the_message_of_a_published_article_is_printed_as_it_was_frozen(newsmill: Newsmill, books: Books) -> None:
    article_id = books.article(books.feed())
    books.publish(article_id)
    answer = newsmill("articles", "show", article_id[:8], "--json")
    assert answer.json == {"id": f"{article_id}:1", "title": "The tram returns"}


def test_an_article_without_a_message_says_where_it_stands(newsmill: Newsmill, books: Books) -> None:
    article_id = books.article(books.feed())
    answer = newsmill("articles", "show", article_id, "--json")
    assert answer.code == 1
    assert "has no message: it is discovered" in answer.err
    assert "newsmill why" in answer.err


@pytest.mark.parametrize(
    ("said", "code", "advice"),
    [
        pytest.param("xyz", 2, "newsmill articles list", id="no id at all"),
        pytest.param("abc", 2, "the first 6 or more", id="too short"),
        pytest.param("0123456789", 1, "newsmill articles list", id="nobody's"),
    ],
)
def test_a_wrong_id_is_answered_with_what_to_do(
    newsmill: Newsmill, books: Books, said: str, code: int, advice: str
) -> None:
    answer = newsmill("articles", "show", said)
    assert answer.code == code
    assert advice in answer.err


def test_the_beginning_of_two_ids_asks_for_more(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed()
    for last in "01":
        url = f"https://harbour.example/{last}"
        books.article(feed, url, article_id="abcdef" + last * 26)
    answer = newsmill("articles", "show", "abcdef")
    assert answer.code == 1
    assert "say more digits" in answer.err


def test_quarantine_show_tells_the_last_failures(newsmill: Newsmill, books: Books) -> None:
    article_id = books.set_aside(books.feed())
    answer = newsmill("quarantine", "show", article_id)
    assert "download" in answer.out
    assert "HTTP 503" in answer.out
    assert newsmill("quarantine", "show", article_id, "--json").json["reason"] == "attempts-exhausted"


@pytest.mark.parametrize("command", [("articles", "retry"), ("quarantine", "retry")], ids=" ".join)
def test_a_retried_article_is_ready_again(newsmill: Newsmill, books: Books, command: tuple[str, ...]) -> None:
    article_id = books.set_aside(books.feed())
    answer = newsmill(*command, article_id)
    assert answer.code == 0
    assert "1 article will be worked again" in answer.out
    assert books.state_of(article_id) == "discovered"


def test_retrying_by_reason_takes_those_with_the_reason_only(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed()
    failed = books.set_aside(feed)
    other = books.set_aside(feed, "https://harbour.example/other", reason="bug")
    answer = newsmill("quarantine", "retry", "--reason", "attempts-exhausted", "--json")
    assert answer.json == {"retried": [failed]}
    assert books.state_of(other) == "quarantined"


def test_a_rejected_article_is_no_business_of_the_quarantine(newsmill: Newsmill, books: Books) -> None:
    article_id = books.set_aside(books.feed(), state="rejected", reason="gone")
    answer = newsmill("quarantine", "retry", article_id)
    assert answer.code == 1
    assert "it is rejected" in answer.err
    assert newsmill("articles", "retry", article_id).code == 0


def test_a_published_article_is_not_retried(newsmill: Newsmill, books: Books) -> None:
    article_id = books.article(books.feed())
    books.publish(article_id)
    answer = newsmill("articles", "retry", article_id)
    assert answer.code == 1
    assert "was left alone: it is published" in answer.err
    assert books.state_of(article_id) == "published"


@pytest.mark.parametrize(
    "command", [("articles", "retry"), ("quarantine", "retry"), ("quarantine", "drop")], ids=" ".join
)
def test_nothing_is_done_to_everything_by_mistake(newsmill: Newsmill, books: Books, command: tuple[str, ...]) -> None:
    article_id = books.set_aside(books.feed())
    answer = newsmill(*command)
    assert answer.code == 2
    assert "--feed, --reason or --since" in answer.err
    assert books.state_of(article_id) == "quarantined"


def test_a_dropped_article_stays_in_the_books(newsmill: Newsmill, books: Books) -> None:
    article_id = books.set_aside(books.feed())
    assert newsmill("quarantine", "drop", article_id).code == 0
    row = newsmill("articles", "list", "--json").json[0]
    assert (row["state"], row["reason"]) == ("rejected", "dropped")
    assert newsmill("audit").code == 0


@pytest.mark.parametrize(
    ("options", "code", "advice"),
    [
        pytest.param(("--state", "lost"), 2, "say one of discovered", id="unknown state"),
        pytest.param(("--since", "yesterday"), 2, "24h, 7d", id="unreadable time"),
        pytest.param(("--feed", "nowhere"), 1, "newsmill feeds list", id="unknown feed"),
    ],
)
def test_a_wrong_filter_is_answered_with_what_would_do(
    newsmill: Newsmill, books: Books, options: tuple[str, ...], code: int, advice: str
) -> None:
    answer = newsmill("articles", "list", *options)
    assert answer.code == code
    assert advice in " ".join(answer.err.split())


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("30min", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("2 w", timedelta(weeks=2)),
    ],
)
def test_a_span_reaches_back_from_now(said: str, meant: timedelta) -> None:
    assert when(said, NOW) == NOW - meant


@pytest.mark.parametrize("said", ["2026-11-23T12:00Z", "2026-11-23T12:00", "2026-11-23T13:00+01:00"])
def test_a_date_is_utc_unless_it_says_otherwise(said: str) -> None:
    assert when(said, NOW) == datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("said", ["", "h", "-3h", "1.5h", "2026-13-40"])
def test_what_is_no_time_is_wrong_usage(said: str) -> None:
    with pytest.raises(typer.BadParameter, match="30min, 24h"):
        when(said, NOW)


@pytest.mark.parametrize("since", ["999999d", "0001-01-01T00:00+05:00", "yesterday"])
def test_a_time_that_is_none_is_wrong_usage(newsmill: Newsmill, books: Books, since: str) -> None:
    answer = newsmill("articles", "list", "--since", since)
    assert answer.code == 2
    assert since in answer.err
