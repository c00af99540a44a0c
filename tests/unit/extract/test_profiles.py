"""What is known of single sites: which profile a page has, what it points at, and what a wrong file is told."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, date, datetime
from pathlib import Path

import lxml.html
import pytest

from worker.errors import UsageError
from worker.extract import extract_article
from worker.extract.document import parse_html
from worker.extract.profiles import (
    PROFILES,
    Chosen,
    SiteProfile,
    choose,
    copied_areas,
    profile_of,
    read_profiles,
)

SENTENCE = "The harbour opened again on Tuesday after eleven quiet months of careful work by the crews."
TEXT = f"<p>First. {SENTENCE}</p><h2>A heading</h2><p>Second. {SENTENCE}</p>"
READ = [f"First. {SENTENCE}", "A heading", f"Second. {SENTENCE}"]
TEASERS = "".join(f"<p>Teaser {number}. {SENTENCE}</p>" for number in range(2))


def tree(html: str) -> lxml.html.HtmlElement:
    root = parse_html(f"<html><body>{html}</body></html>")
    assert isinstance(root, lxml.html.HtmlElement)
    return root


def profile(layouts: str) -> SiteProfile:
    return read_profiles({"x.toml": f'domains = ["x.example"]\n{layouts}'})["x.example"]


def chosen(layout: str, html: str) -> Chosen | None:
    return choose(profile(f"[[layout]]\n{layout}"), tree(html))


def text_of(layout: str, html: str) -> str | None:
    found = chosen(layout, html)
    return " ".join("".join(map(str, area.itertext())) for area in copied_areas(found)) if found else None


# ---------------------------------------------------------------- whose page it is


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.voachinese.com/a/x/1.html", "pangea"),
        ("https://rferl.org/a/1.html", "pangea"),
        ("https://gandhara.rferl.org/a/1.html", "pangea"),
        ("https://WWW.BBC.co.uk/news/1", "bbc"),
        ("https://p.dw.com/p/1", "dw"),
        ("https://notdw.com/a", None),
        ("https://dw.com.evil.example/a", None),
        ("https://news.example/dw.com", None),
        ("http://[", None),
        ("", None),
        (None, None),
    ],
)
def test_a_profile_holds_for_its_domains_and_all_below_them(url: str | None, name: str | None) -> None:
    found = profile_of(url)
    assert (found.name if found else None) == name


def test_every_shipped_file_is_read() -> None:
    folder = Path(__file__).parents[3] / "config" / "sites"
    assert {one.name for one in PROFILES.values()} == {path.stem for path in folder.glob("*.toml")}


@pytest.mark.parametrize(
    ("day", "count"), [(None, 2), (date(2020, 6, 30), 1), (date(2020, 7, 1), 1), (date(2026, 1, 1), 1)]
)
def test_a_layout_counts_for_articles_of_its_days_and_for_those_without_a_date(day: date | None, count: int) -> None:
    layouts = profile(
        '[[layout]]\nvalid_from = 2020-07-01\nbody = ["#new"]\n[[layout]]\nvalid_until = 2020-06-30\nbody = ["#old"]'
    ).layouts
    assert len([layout for layout in layouts if layout.is_valid_on(day)]) == count


def test_a_site_whose_layouts_are_all_of_other_days_has_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "x.example", profile('[[layout]]\nvalid_from = 2020-07-01\nbody = ["p"]'))
    assert profile_of("https://x.example/a", date(2020, 6, 30)) is None
    assert profile_of("https://x.example/a", date(2020, 7, 1)) is not None
    assert profile_of("https://x.example/a") is not None


# ---------------------------------------------------------------- what it points at


@pytest.mark.parametrize(
    "selector",
    [
        "p", "P", "#one", ".two", "p.two.three", "p#one.two", "[data-x]", "[data-x=yes]", "[data-x='yes']", "p[data-y^=be]",
        "[data-y$=ing]", "[data-y*=inn]", "[data-z~=b]", "div p", "div > p", "div>p", "section p", "* > p", "section > div.in > p",
    ],
)  # fmt: skip
def test_selectors_mean_what_they_mean_in_css(selector: str) -> None:
    html = (
        "<section><div class='in'><p id='one' class='two\n three' data-x='yes' data-y='beginning' data-z='a b c'>yes</p></div>"
        "<div><b id='onerous' class='twofold' data-q='yes'>no</b></div></section>"
    )
    assert text_of(f"body = ['''{selector}''']", html) == "yes"


@pytest.mark.parametrize(
    "selector", ["section > p", ".three > p", "#on", ".tw", "[data-x=ye]", "[data-z~=a]", "b p", "p div"]
)
def test_selectors_do_not_match_what_css_would_not(selector: str) -> None:
    assert (
        chosen(
            f"body = ['''{selector}''']",
            "<section><div><p id=one class=two data-x=yes data-z='ab c'>x</p></div></section>",
        )
        is None
    )


def test_parts_come_in_the_page_s_order_and_once_without_what_is_dropped() -> None:
    html = "<div class=a>one <i>gone</i><div class=b>two</div></div>tail<div class=no><div class=a>gone</div></div><div class=b>three</div>"
    assert text_of('body = [".b", ".a"]\ndrop = ["i", ".no"]', html) == "one two three"


def test_the_page_itself_is_left_as_it_is() -> None:
    root = tree(f"<div id=a>{TEXT}<p class=x>gone</p></div>")
    before = lxml.html.tostring(root)
    found = choose(profile('[[layout]]\nbody = ["#a"]\ndrop = [".x"]'), root)
    assert found
    assert len(copied_areas(found)[0]) == 3
    assert lxml.html.tostring(root) == before


def test_other_facts_are_read_by_text_content_or_datetime() -> None:
    layout = 'body = ["#a"]\ntitle = ["h1"]\nauthor = [".by"]\npublished = ["time"]\npicture = ["img"]\ncaption = ["meta[name=c]"]'
    html = (
        f"<meta name=c content='Ships'><h1> Harbour\nopens </h1><b class=by>Ada Lind</b><b class=by>Bo Ek</b>"
        f"<time datetime='2024-05-02'>May 2</time><img src=a.jpg><div id=a>{TEXT}</div>"
    )
    found = chosen(layout, html)
    assert found
    assert (found.title, found.authors, found.published, found.caption) == (
        "Harbour opens", ("Ada Lind", "Bo Ek"), "2024-05-02", "Ships",
    )  # fmt: skip
    assert found.picture is not None
    assert found.picture.get("src") == "a.jpg"


@pytest.mark.parametrize(
    "html",
    [
        "<p>x</p>",
        "<div id=a> </div>",
        f"<div id=a><p>One line.</p></div>{TEXT}",
        f"<div id=a>{TEXT}</div>{TEASERS * 3}",
    ],
    ids=["nothing there", "an empty element", "the text stands elsewhere", "most text stands elsewhere"],
)
def test_a_page_that_does_not_look_like_its_profile_has_none(html: str) -> None:
    assert chosen('body = ["#a"]', html) is None


def test_the_next_layout_is_tried_when_one_does_not_fit() -> None:
    both = profile('[[layout]]\nbody = ["#new"]\n[[layout]]\nbody = ["#old"]')
    found = choose(both, tree(f"<div id=new></div><div id=old>{TEXT}</div>"))
    assert found
    assert found.areas[0].get("id") == "old"


def test_a_page_that_does_not_look_like_its_profile_is_read_by_the_general_rules() -> None:
    html = f"<html><body><article class=redesigned><h1>Harbour</h1>{TEXT * 4}</article></body></html>"
    record = extract_article(html.encode(), "https://www.rfi.fr/en/a")
    assert record.not_article is None
    assert SENTENCE in record.text
    assert record.extraction.method != "page:rfi"


@pytest.mark.parametrize(
    "html",
    [
        "<div class=a>" * 1_900 + "<p class=b>text" * 100,
        "<p class='a b'>one text that is longer than forty characters</p>" * 20_000,
        "<div class=a><div class=b>" * 900 + f"<p>{SENTENCE}" * 5_000,
        f"<div class='{'a ' * 3_000_000}'>x",
        "<p class=b><object>" * 900 + SENTENCE * 30_000,
    ],
    ids=["nested areas", "many areas", "nested drops", "a class of 6 MB", "nested paragraphs"],
)
def test_cost_is_bounded_whatever_the_page(html: str) -> None:
    root = tree(html)
    site = profile('[[layout]]\nbody = [".a", ".x .a"]\ndrop = [".b", ".c .b", "[class^=z]"]')
    began = time.process_time()
    found = choose(site, root)
    if found:
        copied_areas(found)
    assert time.process_time() - began < 1


# ---------------------------------------------------------------- what a file may say

GOOD = 'domains = ["x.example"]\n[[layout]]\nbody = ["p"]\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("domains = [", "x.toml: this is not TOML"),
        (GOOD + "[other]", "x.toml: other is not known; keys are domains, layout"),
        ('[[layout]]\nbody = ["p"]', "x.toml: domains: write an array of host names"),
        (GOOD.replace("x.example", "https://x.example/a"), "x.toml: domains: 'https://x.example/a' is no host name"),
        (GOOD.replace("x.example", "example"), "x.toml: domains: 'example' is no host name"),
        ('domains = ["x.example"]', "x.toml: layout: write a table [[layout]]"),
        (GOOD.replace("[[layout]]", "[layout]"), "x.toml: layout: write a table [[layout]], with double brackets"),
        (GOOD + 'drops = ["b"]', "x.toml: layout 1: drops is not known; keys are body, drop"),
        (GOOD + '[[layout]]\ndrop = ["b"]', "x.toml: layout 2: body is missing"),
        (GOOD.replace('["p"]', '"p"'), "x.toml: layout 1: body: write an array of selectors"),
        (GOOD.replace('["p"]', "[]"), "x.toml: layout 1: body: write an array of selectors"),
        (GOOD.replace('["p"]', '["p:first-child"]'), "x.toml: layout 1: body: 'p:first-child' cannot be read from ':first-child' on"),
        (GOOD.replace('["p"]', '["p, b"]'), "x.toml: layout 1: body: 'p, b' cannot be read from ', b' on"),
        (GOOD.replace('["p"]', '["p >"]'), "x.toml: layout 1: body: 'p >' ends too early"),
        (GOOD.replace('["p"]', '[""]'), "x.toml: layout 1: body: '' ends too early"),
        (GOOD.replace('["p"]', '["p[x!=y]"]'), "x.toml: layout 1: body: 'p[x!=y]': [x!=y] is no test"),
        (GOOD + 'valid_from = "2023-01-01"', "x.toml: layout 1: valid_from: write a day without quotes"),
        (GOOD + "valid_from = 2023-01-01T00:00:00Z", "x.toml: layout 1: valid_from: write a day without quotes"),
        (GOOD + "valid_from = 2023-01-02\nvalid_until = 2023-01-01", "x.toml: layout 1: valid_from is after valid_until"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_file_and_key(text: str, says: str) -> None:
    with pytest.raises(UsageError) as told:
        read_profiles({"x.toml": text})
    assert str(told.value).startswith(says)


def test_a_domain_belongs_to_one_profile() -> None:
    with pytest.raises(UsageError, match=r"^b\.toml: domains: x\.example is in a\.toml too"):
        read_profiles({"a.toml": GOOD, "b.toml": GOOD})


@pytest.mark.parametrize("value", ["a']|//*[@x='", "a' or '1'='1", "']"])
def test_a_selector_cannot_end_its_path(value: str) -> None:
    with pytest.raises(UsageError):
        read_profiles({"x.toml": GOOD.replace('["p"]', json.dumps([f'[x="{value}"]']))})


# ---------------------------------------------------------------- the shipped ones

OUTLINES = {
    "BBC, English, since 2021": (
        "https://www.bbc.com/news/articles/c1",
        ("<main><article><div data-component='headline-block'><h1>Harbour</h1></div><div data-component='byline-block'>Ada Lind, reporter</div>"
        f"<section data-component='text-block'><p>First. {SENTENCE}</p></section><div data-component='image-block'><figure><img src=/a.jpg>"
        "<figcaption>A ship</figcaption></figure></div><section data-component='subheadline-block'><h2>A heading</h2></section>"
        f"<section data-component='text-block'><p>Second. {SENTENCE}</p></section><div data-component='links-block'>{TEASERS}</div></article></main>"),
    ),
    "BBC, other languages": (
        "https://www.bbc.com/zhongwen/articles/c1/simp",
        ("<main role=main><div class=bbc-1><h1 id=content>Harbour</h1></div><section role=region aria-labelledby=article-byline><p>Ada Lind, BBC</p>"
        f"</section><div class=bbc-2 dir=ltr><p class=bbc-3>First. {SENTENCE}</p></div><div><figure><img src=/a.jpg><figcaption><p>A ship</p>"
        "</figcaption></figure></div><section role=region data-e2e=recommendations-heading><div><p>Skip this and read on</p>"
        f"{TEASERS}</div></section><div><h2>A heading</h2></div><div><p>Second. {SENTENCE}</p></div>"
        "<section role=region aria-labelledby=related-topics><ul><li>Ships</li></ul></section></main>"),
    ),
    "BBC before 2021": (
        "https://www.bbc.co.uk/news/world-1",
        ("<div class=story-body><h1>Harbour</h1><div class=story-body__inner><div class='media-placeholder'><figcaption>A film</figcaption></div>"
        f"{TEXT}<div class=share>Share</div></div></div>"),
    ),
    "Reuters since 2021": (
        "https://www.reuters.com/world/a-2024-05-02/",
        ("<main><article><div class='article-body-module__content__x1Y'><div data-testid=ContextWidget><ul><li>Summary</li></ul></div>"
        f"<div data-testid=paragraph-0><p>First. {SENTENCE}</p></div><h2 data-testid=Heading>A heading</h2><div data-testid=promo-box>{TEASERS}</div>"
        f"<div data-testid=paragraph-1><p>Second. {SENTENCE}</p></div><p class='trust-badge__x'>Our Standards</p></div></article></main>"),
    ),
    "Reuters before 2021": (
        "https://cn.reuters.com/article/a-idCN1",
        (f"<div class='StandardArticleBody_body'><div class='Image_container'>A picture</div>{TEXT}"
        "<div class='StandardArticleBody_trustBadgeContainer'>Our standards</div></div>"),
    ),
    "RFI": (
        "https://www.rfi.fr/en/a",
        (f"<main><article><h1>Harbour</h1><p class=t-content__chapo>What it is about, said in one line above the text of it.</p>"
        f"<div class='t-content__body u-clearfix'><p>First. {SENTENCE}</p><div class=m-interstitial>Advertising</div><h2>A heading</h2>"
        f"<aside class=o-self-promo>{TEASERS}</aside><p>Second. {SENTENCE}</p></div></article></main>"),
    ),
    "Pangea": (
        "https://www.svoboda.org/a/1.html",
        (f"<div id=article-content class=content-floated-wrap><div class=wsw>{TEXT}<div class='wsw__embed wsw__embed--small'>"
        "<h2>Related</h2></div></div></div><div class=media-block><p>Another story</p></div>"),
    ),
    "DW since 2023": (
        "https://www.dw.com/en/a/a-1",
        (f"<article><header><h1>Harbour</h1><p class=teaser-text>In one line.</p></header><div class='sc-1 rich-text'>{TEXT}"
        "<div class='vjs-wrapper embed big'><h2>A film</h2></div></div><footer>Feedback</footer></article>"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("url", "html"), OUTLINES.values(), ids=OUTLINES)
def test_a_known_layout_is_read(url: str, html: str) -> None:
    record = extract_article(f"<html><body>{html}</body></html>".encode(), url)
    site = profile_of(url)
    assert site
    assert record.extraction.method == f"page:{site.name}"
    assert record.text.split("\n\n") == READ


@pytest.mark.shared
@pytest.mark.parametrize("publisher", ["de_DW", "us_VoiceOfAmerica"])
def test_recorded_pages_look_like_their_profiles(shared: Path, publisher: str) -> None:
    folder = shared / "extraction-dev/fundus"
    for line in (folder / "gold.jsonl").read_text("utf-8").splitlines():
        gold = json.loads(line)
        if publisher not in gold["html"]:
            continue
        record = extract_article(gzip.decompress((folder / gold["html"]).read_bytes()), gold["url"])
        site = profile_of(gold["url"])
        assert site
        assert record.extraction.method == f"page:{site.name}"
        read, wanted = (
            [" ".join(line.split()) for line in text.splitlines() if line.strip()]
            for text in (record.text, gold["text"])
        )
        missing = [line for line in wanted if line not in read]
        assert len(missing) <= 1, missing  # the summary, which is a field of its own
        assert len([line for line in read if line not in wanted]) <= 1


@pytest.mark.shared
def test_a_recorded_page_of_the_bbc_before_2021_looks_like_its_profile(shared: Path) -> None:
    folder = shared / "extraction-dev/readability"
    lines = map(json.loads, (folder / "gold.jsonl").read_text("utf-8").splitlines())
    gold = next(one for one in lines if one["html"] == "html/bbc-1.html.gz")
    page = gzip.decompress((folder / gold["html"]).read_bytes())
    record = extract_article(page, "https://www.bbc.com/news/world-us-canada-1")
    assert record.extraction.method == "page:bbc"
    read, wanted = set(record.text.split()), set(gold["text"].split())
    assert len(read & wanted) > 0.97 * len(read)
    assert "Share" not in read


def test_what_a_profile_points_at_counts_before_what_the_page_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = 'body = ["#a"]\ntitle = [".t"]\nauthor = [".by"]\npublished = ["time"]\npicture = ["#lead img"]\ncaption = ["#lead p"]'
    monkeypatch.setitem(PROFILES, "x.example", profile(f"[[layout]]\n{layout}"))
    html = (
        "<html><head><title>x</title><meta property=og:title content=Wrong><meta name=author content='Not Me'></head><body>"
        "<b class=t>Harbour opens</b><i class=by>By Ada Lind</i><time datetime='2024-05-02T08:30:00Z'>2 May</time>"
        f"<div id=lead><img src=/lead.jpg width=900 height=600><p>A ship</p></div><div id=a>{TEXT}</div></body></html>"
    )
    record = extract_article(html.encode(), "https://x.example/a")
    assert (record.title, record.authors) == ("Harbour opens", ("Ada Lind",))
    assert (record.published_at, record.published_from) == (datetime(2024, 5, 2, 8, 30, tzinfo=UTC), "profile")
    assert record.image is not None
    assert (record.image.url, record.image.caption) == ("https://x.example/lead.jpg", "A ship")
