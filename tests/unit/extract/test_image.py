"""Which pictures are named, and which never stand for an article."""

from __future__ import annotations

import time

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.document import parse_html
from worker.extract.image import (
    MAX_SRCSET,
    candidate,
    caption_of,
    is_junk,
    largest_source,
    parsed_srcset,
    ranked,
    width_in,
)

BASE = "https://news.example/a/b.html"


def words_beside(html: str) -> tuple[str | None, str | None]:
    (image,) = lxml.html.document_fromstring(f"<html><body>{html}</body></html>").iter("img")
    return caption_of(image)


@pytest.mark.parametrize(
    ("attributes", "url"),
    [
        ("src='/a.jpg'", "https://news.example/a.jpg"),
        ("src='data:image/gif;base64,R0' data-src='/b.jpg'", "https://news.example/b.jpg"),
        ("src='/s.jpg' srcset='/s.jpg 320w, /l.jpg 1200w, /m.jpg 640w'", "https://news.example/l.jpg"),
        ("srcset='/a,b.jpg 1x, /c.jpg 2x'", "https://news.example/c.jpg"),
        ("src='/s.jpg' srcset='/print.jpg 6000w, /l.jpg 1200w'", "https://news.example/l.jpg"),
        ("src='/spinner.gif' data-original='/a.jpg'", "https://news.example/a.jpg"),
        (
            "src='/s.jpg' srcset='/a.jpg 320w,/c_fill,w_640/b.jpg 640w,/c.jpg'",
            "https://news.example/c_fill,w_640/b.jpg",
        ),
        ("srcset='/s.jpg 320w,https://cdn.example/l.jpg 640w'", "https://cdn.example/l.jpg"),
        ("srcset='/i/w_300/a.jpg, /i/w_900/a.jpg 2x'", "https://news.example/i/w_900/a.jpg"),
        ("srcset='/print.jpg 6000w, /poster.jpg 4000w'", "https://news.example/poster.jpg"),
        (
            "src='/i/{width}/a.jpg' data-src='/i/$%7Bsize%7D/a.jpg' data-srcset='/b.jpg 600w'",
            "https://news.example/b.jpg",
        ),
        ("src='/blank.gif' data-lazy-srcset='/a.jpg 300w, /b.jpg 900w'", "https://news.example/b.jpg"),
        ("src='/blank.gif' x-lazy-src='/b.jpg'", "https://news.example/b.jpg"),
        ("src='/b.jpg' data-url='https://news.example/share?u=1'", "https://news.example/b.jpg"),
        ("src='/b.jpg' data-blur-src='/tiny.jpg' data-thumb-image='/tiny.jpg'", "https://news.example/b.jpg"),
        ("src='https://stats.example/matomo.php?idsite=5'", None),
        ("src='https://www.facebook.com/tr?id=1&ev=PageView'", None),
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
    "sources",
    [
        "<source srcset='/m.webp 600w' type='image/webp'><source srcset='/l.webp 1200w' type='image/webp'>",
        "<source srcset='/m.webp 600w'/><source data-srcset='/l.webp 1200w'/>",
        "<source srcset='/huge.jxl 2000w' type='image/jxl'><source srcset='/l.webp 1200w'>",
    ],
    ids=["void as HTML has it", "closed and lazy", "a format nobody reads here"],
)
def test_the_sources_around_an_image_are_its_versions(sources: str) -> None:
    root = parse_html(f"<picture>{sources}<img src='/s.jpg'></picture>")
    assert isinstance(root, lxml.html.HtmlElement)
    (image,) = root.iter("img")
    source = largest_source(image, BASE)
    assert source
    assert (source.url, source.width) == ("https://news.example/l.webp", 1200)


@pytest.mark.parametrize(
    "html",
    [
        "<div><img src='data:image/gif;base64,R0'><noscript><img src='/a.jpg'></noscript></div>",
        "<div><noscript><img src='/a.jpg'></noscript><img class='lazy'></div>",
        "<div><span><img src='/spacer.gif'></span><noscript><span><img src='/a.jpg'></span></noscript></div>",
    ],
)
def test_a_lazy_picture_is_found_where_readers_without_scripts_see_it(html: str) -> None:
    root = parse_html(html)
    assert isinstance(root, lxml.html.HtmlElement)
    lazy = next(one for one in root.iter("img") if next(one.iterancestors("noscript"), None) is None)
    source = largest_source(lazy, BASE)
    assert source
    assert source.url == "https://news.example/a.jpg"


@pytest.mark.parametrize(
    ("sides", "wanted"),
    [
        ("width=900 height=600", (900, 600)),
        ("width=16 height=9", (None, None)),
        ("width=23 height=11", (None, None)),
        ("width=16 height=16", (16, 16)),
        ("width='100%'", (None, None)),
        ("width=450 height=300 srcset='/a.jpg 900w'", (900, 600)),
    ],
    ids=["pixels", "a ratio", "another ratio", "an icon", "percent", "scaled to the version"],
)
def test_sides_are_what_the_page_claims_in_pixels(sides: str, wanted: tuple[int | None, int | None]) -> None:
    source = largest_source(lxml.html.fromstring(f"<img src='/a.jpg' {sides}>"), BASE)
    assert source
    assert (source.width, source.height) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/a-1024x683.jpg", 1024), ("/a.jpg?w=646&h=3", 646), ("/c_fill,w_800/a.jpg", 800), ("/width/610/a.png", 610),
        ("/x_w308.jpg", 308), ("/a.jpg", None), ("/2024/a.jpg", None), ("/view1200/a.jpg", None),
    ],
)  # fmt: skip
def test_a_width_is_read_from_a_url_that_states_one(url: str, wanted: int | None) -> None:
    assert width_in(url) == wanted


@given(st.text(st.sampled_from("ab/.,  10wx:"), max_size=40))
def test_no_version_of_a_srcset_holds_a_blank_or_ends_in_a_comma(value: str) -> None:
    for version in parsed_srcset(value):
        assert version.raw
        assert version.raw.split() == [version.raw]
        assert not version.raw.endswith(",")


@pytest.mark.parametrize(
    "piece", ["/a.jpg 100w, ", ",", " ", "a ", "1x,", ",https://", "/a.jpg 1", "%", "/" * 50 + " 2x,"], ids=repr
)
def test_megabytes_of_srcset_are_read_in_no_time(piece: str) -> None:
    image = lxml.html.fromstring("<img src='/a.jpg'>")
    image.set("srcset", piece * (5_000_000 // len(piece)))
    image.set("data-src", piece * (5_000_000 // len(piece)))
    began = time.process_time()
    largest_source(image, BASE)
    assert time.process_time() - began < 0.2
    assert sum(len(one.raw) for one in parsed_srcset(piece * MAX_SRCSET)) <= 2 * MAX_SRCSET


@pytest.mark.parametrize("piece", ["1", "logo", "logo-", "1x1-", "/icons", "a.", "%7", "default-"], ids=repr)
def test_names_made_to_confuse_are_judged_in_no_time(piece: str) -> None:
    url = ("https://news.example/" + piece * 8000)[:8000]
    began = time.process_time()
    is_junk(url + "!")
    width_in(url + "!")
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "path",
    ["site-logo.png", "img/logo_600x315.jpg", "icons/share.png", "1x1.gif", "spacer.gif", "loading.gif", "placeholder.jpg",
     "avatar/7.jpg", "default-og.png", "x.svg", "favicon.ico", "tracking/pixel.gif", "uploads/cropped-favicon-192x192.png",
     "img/spinner-2.gif", "placeholder-16x9.jpg", "no-image.png", "app-icon-512.png", "2024/dummy-transparent-rf93aa4h4u9.png"],
)  # fmt: skip
def test_furniture_is_no_lead_picture(path: str) -> None:
    """bad-inputs: Images, 1 × 1 pixel, logo, placeholder, spinner; an SVG."""
    assert candidate(f"https://news.example/{path}", None, "og:image") is None


@pytest.mark.parametrize(
    "path",
    ["a.jpg", "blogger-meets-iconic-star.jpg", "pixels-of-hope.jpg", "analogous.png", "2024/logotherapy.jpg",
     "google-pixel-9-review.jpg", "avatar-three-opens-in-cinemas.jpg", "what-the-new-logo-of-the-railways-means.jpg",
     "loading-dock.jpg"],
)  # fmt: skip
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
    assert words_beside(html) == ("The quay.", "Foto: Lind")


def test_words_for_screen_readers_are_not_part_of_a_caption() -> None:
    html = "<figure><img src='/a.jpg'><figcaption><span class='off-screen'>Image caption</span>The quay</figcaption></figure>"
    assert words_beside(html) == ("The quay", None)


def test_a_caption_is_not_searched_for_beyond_the_picture_s_surroundings() -> None:
    html = "<div><img src='/a.jpg'>" + "<p>x</p>" * 5_000 + "<p class='caption'>Of another picture</p></div>"
    (image,) = lxml.html.fromstring(html).iter("img")
    assert caption_of(image) == (None, None)


def test_a_cut_of_another_shape_does_not_take_a_picture_s_place() -> None:
    shown = candidate("https://news.example/a-900x600.jpg", None, "body", width=900, height=600)
    card = candidate("https://news.example/a-1200x630.jpg", None, "og:image", width=1200, height=630)
    whole = candidate("https://news.example/a.jpg", None, "json-ld", width=3000, height=2000)
    assert shown and card and whole  # noqa: PT018
    assert [one.url for one in ranked([shown, card])] == ["https://news.example/a-900x600.jpg"]
    assert [one.url for one in ranked([shown, card, whole])] == ["https://news.example/a.jpg"]


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
