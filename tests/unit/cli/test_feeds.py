"""``newsmill feeds``: the registry by hand, and its agreement with the reviewed list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import Settings
from tests.unit.cli.conftest import NOW, Books, Newsmill
from worker.cli.feeds import read_list
from worker.ledger import feeds, subscriptions

TRAM = '[[feed]]\nslug = "tram"\nurl = "https://tram.example/rss.xml"\n'
FERRY = '[[feed]]\nslug = "ferry"\nurl = "https://ferry.example/rss.xml"\n'


@pytest.fixture
def reviewed(newsmill: Newsmill, books: Books) -> Path:
    path = newsmill.home / "feeds.toml"
    newsmill.environment["NEWSMILL_FEEDS"] = str(path)
    return path


def slugs(newsmill: Newsmill, *options: str) -> list[str]:
    return [feed["slug"] for feed in newsmill("feeds", "list", "--json", *options).json]


# ---------------------------------------------------------------- by hand


def test_an_added_feed_is_due_now_with_what_was_said(newsmill: Newsmill, books: Books) -> None:
    answer = newsmill(
        *("feeds", "add", "https://tram.example/rss.xml", "--slug", "tram", "--title", "Tram", "--language", "en"),
        *("--interval-s", "600", "--fulltext", "always", "--document-body", "feed", "--first-poll", "5"),
        *("--image-proxy", "https://wsrv.nl/?url={url}", "--offsite", "skip", "--priority", "2"),
        *("--robots", "obey", "--json"),
    )
    assert answer.code == 0
    said = answer.json
    assert said["url"] == "https://tram.example/rss.xml"
    assert (said["interval_s"], said["fulltext"], said["document_body"]) == (600, "always", "feed")
    assert (said["first_poll"], said["offsite"], said["priority"], said["enabled"]) == (5, "skip", 2, True)
    assert said["robots"] == "obey"
    assert said["condition"] == "not polled yet"
    assert newsmill("status", "--json").json["feeds"]["due"] == 1


def test_an_added_feed_says_what_happens_next(newsmill: Newsmill, books: Books) -> None:
    answer = newsmill("feeds", "add", "https://www.tram.example/news/rss.xml")
    assert answer.code == 0
    assert "beat polls it within 10 s" in answer.out
    assert slugs(newsmill) == ["tram-news"]


def test_a_headers_value_is_kept_and_never_shown(newsmill: Newsmill, books: Books) -> None:
    options = ("--header", "Authorization=Bearer a=b", "--header", "X-Key=${TRAM_KEY}")
    added = newsmill("feeds", "add", "https://tram.example/rss", "--slug", "tram", "--json", *options)
    assert added.json["headers"] == {"Authorization": "***", "X-Key": "${TRAM_KEY}"}
    with books.ledger.reading() as connection:
        row = feeds.by_slug(connection, "tram")
    assert row is not None
    assert row.headers["Authorization"] == "Bearer a=b"
    assert "Bearer" not in newsmill("feeds", "show", "tram").out


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        pytest.param(("ftp://tram.example/rss",), 2, "must be an http or https address", id="no web address"),
        pytest.param(("https://x.example/", "--slug", "No Slug"), 2, "must be a-z, 0-9 and -", id="no slug"),
        pytest.param(("https://x.example/", "--slug", "harbour"), 1, "say another name with --slug", id="name taken"),
        pytest.param(("https://harbour.example/rss.xml", "--slug", "x"), 1, "followed already, as harbour", id="known"),
        pytest.param(("https://harbour.example/rss.xml",), 1, "newsmill feeds show harbour", id="known by its name"),
        pytest.param(
            ("https://me:hush@x.example/rss",), 2, "without user and password", id="a password in the address"
        ),
        pytest.param(("https://x.example/", "--fulltext", "often"), 2, "auto, always, never", id="no such choice"),
        pytest.param(("https://x.example/", "--interval-s", "1"), 2, "10 to", id="too often"),
        pytest.param(("https://x.example/", "--header", "Secret"), 2, "say NAME=VALUE", id="no header"),
        pytest.param(("https://x.example/", "--first-poll", "some"), 2, "all, none or a number", id="no first poll"),
    ],
)
def test_a_feed_that_cannot_be_is_refused_with_what_would_do(
    newsmill: Newsmill, books: Books, arguments: tuple[str, ...], code: int, advice: str
) -> None:
    books.feed("harbour")
    answer = newsmill("feeds", "add", *arguments)
    assert answer.code == code
    assert "hush" not in answer.err
    assert advice in " ".join(answer.err.replace("│", " ").split())
    assert slugs(newsmill) == ["harbour"]


def test_a_disabled_feed_is_not_due_and_an_enabled_one_is(newsmill: Newsmill, books: Books) -> None:
    books.feed("tram")
    assert newsmill("feeds", "disable", "tram").out == "Disabled tram.\n"
    assert newsmill("status", "--json").json["feeds"]["due"] == 0
    assert newsmill("feeds", "enable", "tram").code == 0
    assert newsmill("status", "--json").json["feeds"]["due"] == 1


def test_enabling_a_gone_feed_tries_it_again(newsmill: Newsmill, books: Books) -> None:
    books.feed("tram", gone_at=NOW)
    newsmill("feeds", "enable", "tram")
    assert newsmill("feeds", "show", "tram", "--json").json["gone_at"] is None


def test_a_removed_feed_keeps_its_history_and_comes_back_by_its_name(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed("tram")
    books.publish(books.article(feed))
    assert newsmill("feeds", "remove", "tram").code == 0
    assert slugs(newsmill) == []
    assert slugs(newsmill, "--removed") == ["tram"]
    assert len(newsmill("articles", "list", "--json").json) == 1
    assert newsmill("feeds", "add", "https://tram.example/new.xml", "--slug", "tram").code == 0
    back = newsmill("feeds", "show", "tram", "--json").json
    assert (back["url"], back["articles"], back["published"]) == ("https://tram.example/new.xml", 1, 1)


def test_a_feed_that_an_import_made_gets_its_address_by_being_added(newsmill: Newsmill, books: Books) -> None:
    made = books.feed("voa", url="urn:newsmill:import:voa", host="", origin="import", enabled=False)
    refused = newsmill("feeds", "enable", "voa")
    assert refused.code == 1
    assert "newsmill feeds add URL --slug voa" in refused.err
    answer = newsmill("feeds", "add", "https://voa.example/rss.xml", "--slug", "voa")
    assert answer.code == 0, answer.err
    with books.ledger.reading() as connection:
        row = feeds.by_slug(connection, "voa")
    assert row is not None
    assert (row.id, row.url, row.enabled, row.origin) == (made, "https://voa.example/rss.xml", True, "cli")


@pytest.mark.parametrize("command", ["show", "enable", "disable", "remove"])
def test_an_unknown_feed_is_answered_with_its_neighbours(newsmill: Newsmill, books: Books, command: str) -> None:
    books.feed("harbour-news")
    answer = newsmill("feeds", command, "harbor-news")
    assert answer.code == 1
    assert "did you mean harbour-news?" in answer.err


@pytest.mark.parametrize("command", ["enable", "show"])
def test_a_removed_feed_says_how_it_comes_back(newsmill: Newsmill, books: Books, command: str) -> None:
    books.feed("harbour")
    newsmill("feeds", "remove", "harbour")
    answer = newsmill("feeds", command, "harbour")
    assert answer.code == 1
    assert "`newsmill feeds add https://harbour.example/rss.xml --slug harbour` brings it back" in answer.err


def test_one_unknown_feed_among_several_changes_none(newsmill: Newsmill, books: Books) -> None:
    books.feed("tram")
    assert newsmill("feeds", "disable", "tram", "nowhere").code == 1
    assert newsmill("feeds", "show", "tram", "--json").json["enabled"] is True


def test_a_feed_shows_its_hub_and_no_secret(newsmill: Newsmill, books: Books) -> None:
    feed_id, now = books.feed("tram"), datetime.now(UTC)
    assert newsmill("feeds", "show", "tram", "--json").json["websub"] is None
    hub = {"hub_url": "https://hub.example/", "topic_url": "https://tram.example/rss.xml"}
    with books.ledger.transaction() as tx:
        feeds.change(tx, feed_id, {**hub, "pushed_at": now - timedelta(minutes=5, seconds=5)}, now=now)
    assert newsmill("feeds", "show", "tram", "--json").json["websub"]["state"] is None
    assert "NEWSMILL_PUBLIC_URL is not set" in newsmill("feeds", "show", "tram").out
    row = {
        "feed_id": feed_id,
        "public_url": "https://mill.example",
        "callback": "unguessable",
        "secret": "hush",
        "pushes": 3,
        "ignored": 2,
        "state": "active",
        "expires_at": now + timedelta(days=6, hours=1),
        "host": "hub.example",
        **hub,
    }
    with books.ledger.transaction() as tx:
        subscriptions.want(tx, [row], now=now + timedelta(days=4, hours=1))
    facts = newsmill("feeds", "show", "tram", "--json").json["websub"]
    assert (facts["hub_url"], facts["state"], facts["trusted"], facts["pushes"]) == (hub["hub_url"], "active", True, 3)
    shown = newsmill("feeds", "show", "tram").out
    for part in (
        "https://hub.example/",
        "ends in 6 d, trusted: polled rarely",
        "in 4 d",
        "3, the last one 5 min ago; 2 ",
    ):
        assert part in shown
    assert "hush" not in shown
    assert "unguessable" not in shown


def test_a_feed_shows_its_last_polls(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed("tram")
    with books.ledger.transaction() as tx:
        line = {"at": NOW, "outcome": "failed", "detail": "HTTP 500", "status": 500}
        values = {"polled_at": NOW, "failures": 1, "outcome": "failed"}
        feeds.save_polls(tx, [feeds.Learnt(feed_id=feed, values=values, lines=[line])])
    assert newsmill("feeds", "show", "tram", "--json").json["polls"][0]["outcome"] == "failed"
    shown = newsmill("feeds", "show", "tram").out
    assert "failing (1)" in shown
    assert "HTTP 500" in shown


def test_without_feeds_the_list_says_how_to_get_one(newsmill: Newsmill, books: Books) -> None:
    assert "newsmill feeds add URL" in newsmill("feeds", "list").out
    assert newsmill("feeds", "list", "--json").json == []


# ---------------------------------------------------------------- the reviewed list


def test_a_second_sync_changes_nothing(newsmill: Newsmill, reviewed: Path) -> None:
    reviewed.write_text(TRAM + FERRY)
    assert [step["step"] for step in newsmill("feeds", "sync", "--json").json] == ["added", "added"]
    again = newsmill("feeds", "sync")
    assert again.code == 0
    assert "nothing to change" in again.out


def test_a_sync_adds_changes_and_takes_off(newsmill: Newsmill, reviewed: Path, books: Books) -> None:
    books.feed("by-hand")
    reviewed.write_text(TRAM + FERRY)
    newsmill("feeds", "sync")
    reviewed.write_text(FERRY + "priority = 3\n")
    out = newsmill("feeds", "sync").out
    assert "changed  ferry  priority: 0 -> 3" in out
    assert "removed  tram" in out
    assert slugs(newsmill) == ["by-hand", "ferry"]
    reviewed.write_text(FERRY + "priority = 3\n" + TRAM)
    assert "returned tram" in newsmill("feeds", "sync").out
    assert slugs(newsmill) == ["by-hand", "ferry", "tram"]


def test_an_address_that_is_followed_by_hand_is_not_followed_twice(
    newsmill: Newsmill, reviewed: Path, books: Books
) -> None:
    books.feed("mine", url="https://tram.example/rss.xml")
    reviewed.write_text(TRAM)
    answer = newsmill("feeds", "sync")
    assert answer.code == 1
    assert "newsmill feeds remove mine" in answer.err
    assert slugs(newsmill) == ["mine"]
    newsmill("feeds", "remove", "mine")
    assert newsmill("feeds", "sync").code == 0
    assert slugs(newsmill) == ["tram"]


def test_a_moved_feed_forgets_what_was_true_of_its_old_address(
    newsmill: Newsmill, reviewed: Path, books: Books
) -> None:
    reviewed.write_text(TRAM)
    newsmill("feeds", "sync")
    with books.ledger.transaction() as tx:
        row = feeds.by_slug(tx, "tram")
        assert row is not None
        feeds.change(tx, row.id, {"etag": '"old"', "failures": 9}, now=NOW)
    reviewed.write_text(TRAM.replace("tram.example", "moved.example"))
    newsmill("feeds", "sync")
    with books.ledger.reading() as connection:
        row = feeds.by_slug(connection, "tram")
    assert row is not None
    assert (row.etag, row.failures, row.host) == (None, 0, "moved.example")


def test_a_feed_that_moved_by_redirect_stays_where_it_is_and_the_list_is_asked_to_follow(
    newsmill: Newsmill, reviewed: Path, books: Books
) -> None:
    reviewed.write_text(TRAM)
    newsmill("feeds", "sync")
    with books.ledger.transaction() as tx:
        row = feeds.by_slug(tx, "tram")
        assert row is not None
        moved = {"url": "https://new.example/rss.xml", "host": "new.example", "moved_from": row.url}
        feeds.change(tx, row.id, moved, now=NOW)
    for _ in range(2):
        answer = newsmill("feeds", "sync")
        assert "tram has moved to https://new.example/rss.xml" in answer.err
        assert newsmill("feeds", "show", "tram", "--json").json["url"] == "https://new.example/rss.xml"
    reviewed.write_text(TRAM.replace("tram.example", "third.example"))
    newsmill("feeds", "sync")
    shown = newsmill("feeds", "show", "tram", "--json").json
    assert ("third.example" in shown["url"], shown["moved_from"]) == (True, None)


def test_a_file_said_on_the_command_line_wins(newsmill: Newsmill, reviewed: Path, tmp_path: Path) -> None:
    reviewed.write_text(TRAM)
    other = tmp_path / "other.toml"
    other.write_text(FERRY)
    newsmill("feeds", "sync", "--file", str(other))
    assert slugs(newsmill) == ["ferry"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        pytest.param("[[feed]]\nslug = 'x'\n", "url is missing", id="no address"),
        pytest.param("[[feed]\n", "is not TOML", id="no TOML"),
        pytest.param(TRAM + TRAM, "keep one of them", id="twice"),
        pytest.param(TRAM + "secret = 1\n", "fields are", id="unknown field"),
        pytest.param(None, "--file or NEWSMILL_FEEDS", id="no file"),
    ],
)
def test_a_list_that_cannot_be_changes_nothing(
    newsmill: Newsmill, reviewed: Path, books: Books, text: str | None, advice: str
) -> None:
    books.feed("tram", origin="file")
    if text is not None:
        reviewed.write_text(text)
    answer = newsmill("feeds", "sync")
    assert answer.code == 1
    assert advice in answer.err
    assert slugs(newsmill) == ["tram"]


def test_a_change_by_hand_of_a_listed_feed_warns_of_the_next_sync(newsmill: Newsmill, reviewed: Path) -> None:
    reviewed.write_text(TRAM)
    newsmill("feeds", "sync")
    assert "the next sync undoes this" in newsmill("feeds", "disable", "tram").err
    newsmill("feeds", "sync")
    assert newsmill("feeds", "show", "tram", "--json").json["enabled"] is True


def test_the_bundled_list_is_right_and_polls_nothing_unasked() -> None:
    listed = read_list(Settings.from_env({}).feeds_path)
    assert listed
    assert not any(feed.enabled for feed in listed)
