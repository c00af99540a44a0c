"""Which picture leads an article, of those the page shows, declares and the feed names."""

from __future__ import annotations

import time

import lxml.html
import pytest

from worker.extract.document import parse_html
from worker.extract.image import candidate
from worker.extract.lead import MAX_READ, is_site_s_own, lead_pictures
from worker.extract.leaves import read_leaves
from worker.model import ImageCandidate

URL = "https://news.example/harbour/storm-hits-quay-12345.html"
PROSE = "<p>" + "The storm that came in from the west took the roof off the old fish hall on the quay. " * 2 + "</p>"
TITLE = "<h1>Storm hits quay</h1>"


def found(
    html: str,
    *,
    declared: str | tuple[str, ...] = (),
    fed: str | tuple[str, ...] = (),
    title: str | None = "Storm hits quay",
    body: range | None = None,
) -> list[ImageCandidate]:
    root = parse_html(f"<html><body>{html}</body></html>")
    assert isinstance(root, lxml.html.HtmlElement)
    return list(
        lead_pictures(
            read_leaves(root).leaves,
            named(declared, "og:image"),
            named(fed, "feed-media"),
            url=URL,
            base_url=URL,
            title=title,
            body=body,
        )
    )


def named(urls: str | tuple[str, ...], chosen_by: str) -> list[ImageCandidate]:
    every = (urls,) if isinstance(urls, str) else urls
    return [one for url in every if (one := candidate(url, URL, chosen_by, width=1200))]


def lead(html: str, **more: str | tuple[str, ...]) -> str | None:
    pictures = found(html, **more)  # type: ignore[arg-type]
    return pictures[0].url.removeprefix("https://news.example/") if pictures else None


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("/i/fish-hall-roof-1200x630.jpg", "/i/fish-hall-roof-2000x1333.jpg"),
        ("/crop/16x9/facebook/98765432.jpg", "/crop/4x3/98765432.jpg?w=1600"),
        ("/i/7c01456e-afa3-4d09-a6aa-a6042a5159fa_og.jpg", "/o/7C01456E-AFA3-4D09-A6AA-A6042A5159FA.webp"),
        ("/t/social/storm-fish-hall_a395f41217.jpg", "/t/storm-fish-hall_93268333ee.jpg"),
        ("/share/AAAbjxH0Dsg/roof.jpg", "/full/AAAbjxH0Dsg/roof.jpg"),
        ("/w1200/2025/05/IMG_41-scaled-e1733797766295.jpg", "/w2000/2025/05/IMG_41-2048x1536.jpg"),
    ],
    ids=["size in the name", "number", "UUID", "words of the name", "token in the path", "number of the camera"],
)
def test_the_declared_picture_is_taken_as_the_page_shows_it(declared: str, shown: str) -> None:
    page = f"{TITLE}<figure><img src='/i/portrait-of-mayor.jpg' width=500></figure><figure><img src='{shown}'></figure>"
    assert lead(page + PROSE * 3, declared=declared) == shown.removeprefix("/")


def test_a_large_picture_right_under_the_title_is_preferred_to_one_that_is_only_declared() -> None:
    page = f"{TITLE}<figure><img src='/i/quay.jpg' width=900 height=600></figure>{PROSE * 3}"
    assert lead(page, declared="/i/card.jpg") == "i/quay.jpg"


def test_a_picture_above_the_title_counts_as_under_it() -> None:
    page = f"<main><figure><img src='/i/quay.jpg' width=900></figure>{TITLE}{PROSE * 3}</main>"
    assert lead(page, declared="/i/card.jpg") == "i/quay.jpg"


@pytest.mark.parametrize(
    "page",
    [
        f"{TITLE}{PROSE}<figure><img src='/i/chart.jpg' width=900 height=600></figure>{PROSE}",
        f"{TITLE}<img src='/i/author.jpg' width=600 height=600>{PROSE}",
        f"{TITLE}<img src='/i/strip.jpg' width=1600 height=400>{PROSE}",
        f"{TITLE}<img src='/app/themes/news/stars.jpg' width=900 height=600>{PROSE}",
        f"{TITLE}<figure><img src='/i/quay.jpg' width=300></figure>{PROSE}",
        f"{TITLE}<figure class=teaser><img src='/i/other.jpg' width=900></figure>{PROSE}",
        f"{TITLE}<a href='/other-story.html'><img src='/i/other.jpg' width=900></a>{PROSE}",
        f"<nav><img src='/i/other.jpg' width=900></nav>{TITLE}{PROSE}",
        f"{TITLE}{PROSE}<aside><img src='/i/other.jpg' width=900></aside>",
    ],
    ids=[
        "after a paragraph",
        "square",
        "flat",
        "of the site's design",
        "small",
        "teaser",
        "linked to another article",
        "navigation",
        "aside",
    ],
)
def test_the_declared_picture_leads_where_the_page_shows_none_that_must(page: str) -> None:
    assert lead(page, declared="/i/card.jpg") == "i/card.jpg"


def test_a_picture_linked_to_itself_or_to_its_page_is_the_article_s() -> None:
    for href in ("/i/quay-full.jpg", URL, "#zoom"):
        page = f"{TITLE}<figure><a href='{href}'><img src='/i/quay.jpg' width=900></a></figure>{PROSE}"
        assert lead(page) == "i/quay.jpg"


@pytest.mark.parametrize(
    "wrapper",
    [
        "<div class='elementor-widget elementor-widget-image'>",
        "<div class='post author-smith comments-open'>",
        "<div class='post-img ads-top'>",
        "<div class='page-banner'>",
        "<form>",
    ],
)
def test_names_of_whole_wrappers_do_not_make_a_picture_furniture(wrapper: str) -> None:
    page = f"{wrapper}{TITLE}<figure><img src='/i/quay.jpg' width=900></figure>{PROSE}"
    assert lead(page, declared="/i/card.jpg") == "i/quay.jpg"


@pytest.mark.parametrize(
    "name",
    ["og-image.png", "share.jpg", "site_share_1200x630.jpg", "fallback-thumbnail-2.png", "facebook-card.png", "social.webp"],
)  # fmt: skip
def test_a_site_s_stand_in_comes_after_whatever_else_there_is(name: str) -> None:
    url = f"https://news.example/static/{name}"
    assert is_site_s_own(url)
    page = f"{TITLE}{PROSE * 4}<figure><img src='/i/quay.jpg' width=640></figure>{PROSE}"
    assert [one.url for one in found(page, declared=url)] == ["https://news.example/i/quay.jpg", url]
    assert [one.url for one in found(TITLE + PROSE, declared=url)] == [url]


@pytest.mark.parametrize("name", ["shared-homes.jpg", "facebook-court-ruling.jpg", "defaulting-banks.jpg", "social-housing-leeds.jpg"])  # fmt: skip
def test_pictures_of_such_things_are_no_stand_ins(name: str) -> None:
    assert not is_site_s_own(f"https://news.example/static/{name}")


def test_the_feed_s_picture_comes_after_the_page_s_and_before_the_site_s() -> None:
    pictures = found(TITLE + PROSE, declared=("/i/card.jpg", "/i/og-image.png"), fed="/i/feed.jpg")
    assert [one.chosen_by for one in pictures] == ["og:image", "feed-media", "og:image"]


def test_without_a_page_the_feed_s_picture_leads() -> None:
    pictures = lead_pictures((), (), named("/i/feed.jpg", "feed-media"), url=None, base_url=None)
    assert [one.url for one in pictures] == ["https://news.example/i/feed.jpg"]


def test_a_gallery_s_metadata_does_not_push_a_later_picture_to_the_head() -> None:
    gallery = ("/i/9000001.jpg", "/i/9000002.jpg")
    page = f"{TITLE}<figure><img src='/i/9000000.jpg' width=900></figure>{PROSE * 4}<figure><img src='/i/9000001.jpg'>"
    assert lead(page, declared=gallery) == "i/9000000.jpg"


def test_what_all_pictures_of_a_page_share_does_not_tie_one_to_the_declared_one() -> None:
    pictures = "".join(f"<figure><img src='/story-77712345/{name}.jpg' width=300></figure>" for name in "abcde")
    page = f"{TITLE}{PROSE * 4}{pictures}"
    assert lead(page, declared="/story-77712345/lead.jpg") == "story-77712345/lead.jpg"


def test_pictures_after_the_article_s_end_are_not_looked_at() -> None:
    page = f"{TITLE}{PROSE * 3}<img src='/i/a.jpg' width=640>{PROSE}<img src='/i/next-story.jpg' width=640>"
    assert [one.url[-5:] for one in found(page, body=range(1, 6))] == ["a.jpg"]


def test_the_words_beside_the_picture_go_with_it_and_metadata_fills_the_gaps() -> None:
    declared = candidate("/i/quay-800x600.jpg", URL, "json-ld", caption="A quay", credit="Foto: Lind")
    assert declared
    page = (
        f"{TITLE}<figure><img src='/i/quay.jpg' width=900><figcaption>The quay on Monday</figcaption></figure>{PROSE}"
    )
    root = parse_html(page)
    assert isinstance(root, lxml.html.HtmlElement)
    pictures = lead_pictures(read_leaves(root).leaves, [declared], url=URL, base_url=URL)
    assert [(one.caption, one.credit) for one in pictures] == [("The quay on Monday", "Foto: Lind")]


def test_a_page_of_nothing_but_pictures_costs_what_a_few_of_them_cost() -> None:
    srcset = ", ".join(f"/i/{n}.jpg {n}w" for n in range(100, 3000))
    page = TITLE + f"<figure class='{'teaser ' * 200}'><img srcset='{srcset}'></figure>" * 300
    root = parse_html(page)
    assert isinstance(root, lxml.html.HtmlElement)
    leaves = read_leaves(root).leaves
    began = time.process_time()
    lead_pictures(leaves, (), url=URL, base_url=URL)
    assert time.process_time() - began < 0.02 * MAX_READ
