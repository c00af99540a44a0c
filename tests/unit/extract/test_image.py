"""Which pictures are named, and which never stand for an article."""

from __future__ import annotations

import lxml.html
import pytest

from worker.extract.image import body_candidates, candidate, largest_source, ranked

BASE = "https://news.example/a/b.html"


def images(html: str) -> list[tuple[str, str | None, str | None]]:
    root = lxml.html.document_fromstring(f"<html><body>{html}</body></html>")
    return [(one.url, one.caption, one.credit) for one in body_candidates(root, BASE)]


@pytest.mark.parametrize(
    ("attributes", "url"),
    [
        ("src='/a.jpg'", "https://news.example/a.jpg"),
        ("src='data:image/gif;base64,R0' data-src='/b.jpg'", "https://news.example/b.jpg"),
        ("src='/s.jpg' srcset='/s.jpg 320w, /l.jpg 1200w, /m.jpg 640w'", "https://news.example/l.jpg"),
        ("srcset='/a,b.jpg 1x, /c.jpg 2x'", "https://news.example/c.jpg"),
        ("src='/s.jpg' srcset='/print.jpg 6000w, /l.jpg 1200w'", "https://news.example/l.jpg"),
        ("src='/spinner.gif' data-original='/a.jpg'", "https://news.example/a.jpg"),
        ("src='/drawing.svg'", None),
        ("src='/a.gif' width='1' height='1'", None),
        ("src='data:image/png;base64,xx'", None),
        ("src=''", None),
        ("", None),
    ],
)
def test_the_largest_usable_version_is_taken(attributes: str, url: str | None) -> None:
    source = largest_source(lxml.html.fromstring(f"<img {attributes}>"), BASE)
    assert (source.url if source else None) == url


@pytest.mark.parametrize(
    "path",
    ["site-logo.png", "img/logo_600x315.jpg", "icons/share.png", "1x1.gif", "spacer.gif", "loading.gif", "placeholder.jpg",
     "avatar/7.jpg", "default-og.png", "x.svg", "favicon.ico", "tracking/pixel.gif"],
)  # fmt: skip
def test_furniture_is_no_lead_picture(path: str) -> None:
    assert candidate(f"https://news.example/{path}", None, "og:image") is None


@pytest.mark.parametrize(
    "path", ["a.jpg", "blogger-meets-iconic-star.jpg", "pixels-of-hope.jpg", "analogous.png", "2024/logotherapy.jpg"]
)
def test_names_that_only_look_like_furniture_pass(path: str) -> None:
    assert candidate(f"https://news.example/{path}", None, "og:image") is not None


def test_a_proxied_picture_is_known_by_its_origin() -> None:
    one = candidate("https://images.weserv.nl/?url=gdb.voanews.com/x.jpg", None, "feed-body")
    assert one is not None
    assert one.url == "https://gdb.voanews.com/x.jpg"
    assert one.proxied_url is not None


@pytest.mark.parametrize(
    "html",
    [
        "<figure><img src='/a.jpg'><figcaption>The quay. <span class='credit'>Foto: Lind</span></figcaption></figure>",
        "<div><a><img src='/a.jpg'></a><p class='wp-caption-text'>The quay.</p><p class='photo-credit'>Foto: Lind</p></div>",
    ],
    ids=["in a figure", "beside the picture"],
)
def test_caption_and_credit_are_told_apart(html: str) -> None:
    assert images(html) == [("https://news.example/a.jpg", "The quay.", "Foto: Lind")]


def test_words_for_screen_readers_are_not_part_of_a_caption() -> None:
    html = "<figure><img src='/a.jpg'><figcaption><span class='off-screen'>Image caption</span>The quay</figcaption></figure>"
    assert images(html)[0][1] == "The quay"


def test_navigation_and_small_pictures_are_passed_over() -> None:
    html = "<nav><img src='/n.jpg'></nav><article><img src='/s.jpg' width='80' height='80'><img src='/l.jpg'></article>"
    assert [url for url, _, _ in images(html)] == ["https://news.example/l.jpg"]


def test_versions_of_one_picture_are_one_candidate_at_its_largest() -> None:
    guid = "https://gdb.voanews.com/7C01456E-AFA3-4D09-A6AA-A6042A5159FA"
    merged = ranked(
        one
        for one in (
            candidate(f"{guid}_w308.jpg", None, "og:image", width=308),
            candidate(f"{guid}_w1080_h608.jpg", None, "json-ld", width=1080, caption="Mothers"),
            candidate("https://news.example/b.jpg", None, "body"),
        )
        if one
    )
    assert [(one.chosen_by, one.width, one.caption) for one in merged] == [
        ("og:image", 1080, "Mothers"),
        ("body", None, None),
    ]
    assert merged[0].url.endswith("_w1080_h608.jpg")
