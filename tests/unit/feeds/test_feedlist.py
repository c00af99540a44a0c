"""The reviewed list of feeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.feeds.feedlist import SLUG, FeedConfig, read_feedlist, slug_from

MINIMAL = 'slug = "daily"\nurl = "https://news.example/feed.xml"\n'


def feeds(*tables: str) -> str:
    return "".join(f"[[feed]]\n{table}\n" for table in tables)


def test_slug_and_url_are_enough() -> None:
    assert read_feedlist(feeds(MINIMAL)) == (FeedConfig(slug="daily", url="https://news.example/feed.xml"),)


def test_an_empty_list_is_a_list() -> None:
    assert read_feedlist("# nothing yet\n") == ()


def test_every_field_is_read() -> None:
    (config,) = read_feedlist(
        feeds(
            MINIMAL + 'title = " Daily "\nlanguage = "zh-Hans"\ninterval_s = 900\nfulltext = "always"\n'
            'document_body = "feed"\nimage_proxy = "https://wsrv.nl/?url={url}"\nfirst_poll = { newest = 10 }\n'
            'offsite = "skip"\nrobots = "obey"\npriority = 5\nenabled = false\nheaders = { Authorization = "Bearer ${TOKEN}" }\n'
        )
    )
    assert config == FeedConfig(
        slug="daily",
        url="https://news.example/feed.xml",
        title="Daily",
        language="zh-Hans",
        interval_s=900.0,
        fulltext="always",
        document_body="feed",
        image_proxy="https://wsrv.nl/?url={url}",
        first_poll=10,
        offsite="skip",
        robots="obey",
        priority=5,
        enabled=False,
        headers={"Authorization": "Bearer ${TOKEN}"},
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[feed", "not TOML"),
        ('[feed]\nslug = "daily"\n', "double brackets"),
        ('[[feeds]]\nslug = "daily"\n', "feeds"),
        (feeds('url = "https://news.example/"'), "slug is missing"),
        (feeds('slug = "daily"'), "url is missing"),
        (feeds(MINIMAL, MINIMAL), "daily twice"),
        (feeds(MINIMAL, MINIMAL.replace("daily", "other")), "https://news.example/feed.xml twice"),
        (feeds(MINIMAL.replace("daily", "Daily News")), "slug"),
        (feeds(MINIMAL.replace("daily", "-daily")), "slug"),
        (feeds(MINIMAL.replace("daily", "d" * 64)), "slug"),
        (feeds(MINIMAL.replace("https:", "ftp:")), "url"),
        (feeds(MINIMAL + "speed = 9"), "speed is not known"),
        (feeds(MINIMAL + "interval_s = 0"), "interval_s must be 10 to 2592000 seconds"),
        (feeds(MINIMAL.replace("https://", "https://me:secret@")), "without user and password"),
        (feeds(MINIMAL + "interval_s = true"), "interval_s"),
        (feeds(MINIMAL + "interval_s = nan"), "interval_s"),
        (feeds(MINIMAL + 'interval_s = "15 minutes"'), "interval_s"),
        (feeds(MINIMAL + 'fulltext = "sometimes"'), "fulltext"),
        (feeds(MINIMAL + 'document_body = "raw"'), "document_body"),
        (feeds(MINIMAL + 'offsite = "maybe"'), "offsite"),
        (feeds(MINIMAL + 'robots = "maybe"'), "robots"),
        (feeds(MINIMAL + 'first_poll = "newest"'), "first_poll"),
        (feeds(MINIMAL + "first_poll = -1"), "first_poll"),
        (feeds(MINIMAL + "first_poll = { newest = 1, oldest = 2 }"), "first_poll"),
        (feeds(MINIMAL + "priority = 1.5"), "priority"),
        (feeds(MINIMAL + 'enabled = "yes"'), "enabled"),
        (feeds(MINIMAL + 'language = "Chinese!"'), "language"),
        (feeds(MINIMAL + 'title = ""'), "title"),
        (feeds(MINIMAL + 'image_proxy = "https://wsrv.nl/"'), "image_proxy"),
        (feeds(MINIMAL + 'headers = ["x"]'), "headers"),
        (feeds(MINIMAL + 'headers = { X = "a\\r\\nB: c" }'), "header"),
        (feeds(MINIMAL + 'headers = { "a b" = "c" }'), "header"),
    ],
)
def test_a_mistake_is_named_with_its_feed_and_field(text: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_feedlist(text)
    assert named in str(caught.value)


def test_a_mistake_names_the_feed_it_is_in() -> None:
    with pytest.raises(UsageError, match="Feed daily: priority"):
        read_feedlist(feeds(MINIMAL + "priority = 1.5"))


def test_the_list_that_comes_along_is_valid_and_asks_nobody() -> None:
    listed = read_feedlist((Path(__file__).parents[3] / "config" / "feeds.toml").read_text("utf-8"))
    assert not any(config.enabled for config in listed)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("The Harbour Courier", "the-harbour-courier"),
        ("  Übersee & Häfen!  ", "ubersee-hafen"),
        ("https://www.news.example/world/rss.xml", "news-world"),
        ("https://feeds.bbci.co.uk/news/rss.xml", "bbci-news"),
        ("a" * 100, "a" * 63),
        ("美国之音", ""),
        ("http://[", "http"),
        ("", ""),
    ],
)
def test_a_slug_is_made_of_a_title_or_an_address(name: str, slug: str) -> None:
    assert slug_from(name) == slug
    assert not slug or SLUG.fullmatch(slug)
