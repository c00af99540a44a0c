"""The feed's own text: what of it is the article, and whether it is one."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from worker.extract.feedtext import Fulltext, Gives, Habit, is_full_text, page_says, read_feed_text
from worker.extract.render import to_html
from worker.model import Entry

URL = "https://www.voachinese.com/a/slug/7940337.html"
LINE = "港口在经过十一个月的修缮之后重新开放，许多居民一早来到码头，迎接第一艘渡轮靠岸。"
TEXT = f"<p>{LINE}<br /><br />{LINE}第二段。</p><p>{LINE}第三段。</p>"
LEAD = '<img src="https://images.weserv.nl?url=gdb.voanews.com/9e3c_w900.jpg" width="100%">'
CAPTION = '<div><small style="color: #999;">港口。(资料照)</small></div>'
FOOTER = (
    '<br><hr><div>获取更多RSS：<br><a href="https://feedx.net" style="color:orange">https://feedx.net</a> <br>'
    '<a href="https://feedx.site">https://feedx.site</a><br></div>'
)


def item(html: str, content: str | None = None) -> Entry:
    return Entry(guid=None, url=URL, title="港口重新开放", summary_html=html, content_html=content)


def test_the_manner_of_feedx_is_taken_apart() -> None:
    said = read_feed_text(item(f"<div><i>Fri, 17 Jan 2025 14:50:11 GMT</i></div>{LEAD}{CAPTION}{TEXT}{FOOTER}"))
    assert said is not None
    assert said.published_at == datetime(2025, 1, 17, 14, 50, 11, tzinfo=UTC)
    assert said.text == f"{LINE}\n\n{LINE}第二段。\n\n{LINE}第三段。"
    assert said.images[0].url == "https://gdb.voanews.com/9e3c_w900.jpg"
    assert (said.images[0].proxied_url or "").startswith("https://images.weserv.nl")
    assert (said.images[0].caption, said.images[0].chosen_by) == ("港口。(资料照)", "feed-body")


@pytest.mark.parametrize(
    ("header", "published_at", "authors"),
    [
        ("<div>20/07/2020 - 04:35</div>", None, ()),
        ("<div><i>2020年 7月 16日</i></div>", None, ()),
        ("<div><i>2020-07-20T08:12:39</i></div>", None, ()),
        ("<div><i><br>2020-07-20T14:58:19Z</i></div>", datetime(2020, 7, 20, 14, 58, 19, tzinfo=UTC), ()),
        ("<div><i>  文山<br>2020-07-20T12:16:08Z</i></div>", datetime(2020, 7, 20, 12, 16, 8, tzinfo=UTC), ("文山",)),
        ("<div><i>KARA SWISHER,KARA SWISHER<br>2020-07-20 19:22:17</i></div>", None, ("KARA SWISHER",)),
    ],
    ids=["day and clock", "Chinese day", "no zone", "empty author", "author", "author twice, no zone"],
)  # fmt: skip
def test_no_header_leaks_into_the_text(header: str, published_at: datetime | None, authors: tuple[str, ...]) -> None:
    said = read_feed_text(item(f"{header}{TEXT}"))
    assert said is not None
    assert said.text.startswith(LINE)
    assert (said.published_at, said.authors, said.has_header) == (published_at, authors, True)


def test_a_first_paragraph_with_a_date_in_it_is_no_header() -> None:
    said = read_feed_text(item(f"<p>2020年7月16日，港口重新开放。</p>{TEXT}"))
    assert said is not None
    assert said.text.startswith("2020年7月16日，港口")
    assert not said.has_header


@pytest.mark.parametrize(
    "html",
    [f"{FOOTER}{TEXT}", f"{TEXT}<div>获取更多RSS：feedx.net</div>", f"{TEXT}<hr><div>获取更多RSS：到处都有</div>"],
    ids=["not at the end", "without its rule", "without its address"],
)
def test_the_footer_s_words_elsewhere_are_an_article_s(html: str) -> None:
    said = read_feed_text(item(html))
    assert said is not None
    assert "获取更多RSS" in said.text


def test_the_last_paragraph_survives_the_footer() -> None:
    said = read_feed_text(item(TEXT + FOOTER))
    assert said is not None
    assert said.text.endswith("第三段。")


def test_links_are_resolved_against_the_article_and_empty_ones_dropped() -> None:
    said = read_feed_text(item(f'<p><a href="/a/1.html">甲</a></p><a href="/a/7830740.html"></a>{TEXT}'))
    assert said is not None
    html = to_html(said.blocks)
    assert '<a href="https://www.voachinese.com/a/1.html">甲</a>' in html
    assert "7830740" not in html


FILM = '<video controls poster="https://images.weserv.nl?url=gdb.voanews.com/5cf_w900.jpg" src="/v.mp4"></video>'
SOUND = '<audio controls src="/v.mp3"></audio>'


@pytest.mark.parametrize(
    "top",
    [
        FILM + CAPTION,
        FILM + CAPTION + SOUND + CAPTION,
        FILM + CAPTION + FILM + CAPTION,
        SOUND + CAPTION + FILM + CAPTION,
    ],
    ids=["a film", "again as sound", "again as a film", "sound first"],
)
def test_a_film_s_poster_is_the_lead(top: str) -> None:
    said = read_feed_text(item(f"<div><i>Fri, 17 Jan 2025 14:50:11 GMT</i></div>{top}{TEXT}"))
    assert said is not None
    assert said.text == f"{LINE}\n\n{LINE}第二段。\n\n{LINE}第三段。"
    assert said.images[0].url == "https://gdb.voanews.com/5cf_w900.jpg"
    assert said.images[0].chosen_by == "feed-body"


def test_a_film_gives_its_caption_to_its_poster() -> None:
    said = read_feed_text(item(FILM + CAPTION + SOUND + CAPTION.replace("港口", "声音") + TEXT))
    assert said is not None
    assert said.images[0].caption == "港口。(资料照)"


def test_sound_alone_leaves_with_its_caption_and_gives_no_picture() -> None:
    said = read_feed_text(item(SOUND + CAPTION + TEXT))
    assert said is not None
    assert (said.text.startswith(LINE), said.images) == (True, ())


def test_a_second_picture_stays_in_the_text_with_its_caption() -> None:
    second = LEAD.replace("9e3c", "7aa0") + CAPTION.replace("港口", "渡轮")
    said = read_feed_text(item(f"{LEAD}{CAPTION}{second}<p>{LINE}</p><div>{second}{LINE}</div>"))
    assert said is not None
    assert said.text == f"{LINE}\n\n{LINE}"
    assert [block.text for block in said.blocks if block.kind == "figure"] == ["渡轮。(资料照)"] * 2
    assert [image.caption for image in said.images] == ["港口。(资料照)", "渡轮。(资料照)", "渡轮。(资料照)"]


def test_the_longer_body_is_read() -> None:
    said = read_feed_text(item("<p>short</p>", content=TEXT))
    assert said is not None
    assert said.text.startswith(LINE)


def test_an_endless_reference_costs_its_own_place() -> None:
    said = read_feed_text(item(f"&lt;p&gt;{LINE}&#{'9' * 5000};&lt;/p&gt;"))
    assert said is not None
    assert said.text == f"{LINE}\ufffd"


@pytest.mark.parametrize(
    ("html", "first"),
    [
        ("One line.\nAnother line.", "One line."),
        ("&lt;p&gt;One line.&lt;/p&gt;&lt;p&gt;b&lt;/p&gt;", "One line."),
    ],
    ids=["plain text", "escaped twice"],
)
def test_bodies_without_markup_are_read(html: str, first: str) -> None:
    said = read_feed_text(item(html))
    assert said is not None
    assert said.text.split("\n\n")[0] == first


@pytest.mark.parametrize("html", ["", "  ", "<!-- -->"])
def test_no_body_is_no_text(html: str) -> None:
    said = read_feed_text(item(html))
    assert said is None or said.words == 0


SENTENCE = (
    "<p>The harbour of Lindholm opened again on Tuesday after eleven quiet months of careful work by crews, and many "
    "people came early to the quay to greet the first ferry of the year as it came in.</p>"
)


@pytest.mark.parametrize(
    ("html", "fulltext", "page_text", "expected"),
    [
        (SENTENCE * 5, "auto", None, True),
        (SENTENCE, "auto", None, False),
        (SENTENCE * 5 + "<p>Continue reading at the site</p>", "auto", None, False),
        (SENTENCE * 5 + "<p>The rest of the story is […]</p>", "auto", None, False),
        (SENTENCE * 5, "auto", "word " * 150, True),
        (SENTENCE * 5, "auto", "word " * 400, False),
        (SENTENCE * 5, "never", None, False),
        (SENTENCE, "always", None, True),
        ("", "always", None, False),
        ("<div><i>Fri, 17 Jan 2025 14:50:11 GMT</i></div>" + SENTENCE, "auto", None, True),
    ],
    ids=[
        "long", "one paragraph", "continue reading", "cut off", "as much as the page", "less than the page", "told never",
        "told always", "told always, has nothing", "a full-text feed's header",
    ],
)  # fmt: skip
def test_full_text_by_evidence(html: str, fulltext: Fulltext, page_text: str | None, expected: bool) -> None:
    assert is_full_text(item(html), fulltext=fulltext, page_text=page_text) is expected


def test_the_manner_of_wordpress_ends_before_its_signature() -> None:
    said = read_feed_text(
        item(SENTENCE * 5 + "<p>The post <a href='/x'>Harbour</a> appeared first on <a href='/'>Post</a>.</p>")
    )
    assert said is not None
    assert "appeared first" not in said.text


LONG = SENTENCE * 5


@pytest.mark.parametrize(
    "last_line",
    [
        "Read more at the Harbour Post.", "Weiterlesen auf harbour.example", "Lire la suite sur le site", "阅读全文 »",
        "more »", "Leggi l’articolo completo", "Click here to read the full story", "اقرأ المزيد",
    ],
)  # fmt: skip
def test_a_text_that_sends_the_reader_on_is_cut_off(last_line: str) -> None:
    assert not is_full_text(item(f"{LONG}<p>{last_line}</p>"), fulltext="auto", page_text=None)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("At noon, the ferry sailed with all of the forty people who had been waiting on the quay for the", False),
        ("The ferry sailed at noon with all of the forty people who had been waiting on the quay, and then,", False),
        ("渡轮于中午启航，码头上等候多时的居民全部登船，而在对岸的小镇上，人们已经准备了整整一天的庆典和", False),
        ("The ferry sailed at noon with all of the forty people who had been waiting on the quay.”", True),
        (
            "The timetable of the ferry, and the fares for people, cars and bicycles, are on www.ferry.example/times",
            True,
        ),
        ("Jane Doe for the Harbour Post", True),
        ("新报记者：张三 李四 王五 赵六 报道 责任编辑：孙七 周八 网络编辑：吴九 郑十 摄影：冯十一 陈十二", True),
        ("เรือข้ามฟากออกเดินทางตอนเที่ยงพร้อมผู้คนสี่สิบคนที่รออยู่ที่ท่าเรือ", True),
    ],
    ids=["a word", "a comma", "Chinese", "a quotation", "an address", "a short line", "credits", "Thai"],
)
def test_a_text_that_stops_within_a_sentence_does_not_prove_itself(end: str, expected: bool) -> None:
    assert is_full_text(item(f"{LONG}<p>{end}</p>"), fulltext="auto", page_text=None) is expected


@pytest.mark.parametrize(
    ("html", "gives", "expected"),
    [
        (SENTENCE, "whole", True),
        (SENTENCE + "<p>Read more</p>", "whole", False),
        (LONG, "excerpts", False),
        ("<div><i>Fri, 17 Jan 2025 14:50:11 GMT</i></div>" + SENTENCE, "excerpts", True),
        ("<p></p>", "whole", False),
    ],
    ids=["short, of a full-text feed", "cut off all the same", "long, of a feed of excerpts", "vouched for", "empty"],
)
def test_without_a_page_the_feed_s_habit_decides(html: str, gives: Gives, expected: bool) -> None:
    assert is_full_text(item(html), fulltext="auto", page_text=None, habit=Habit(gives=gives)) is expected


@pytest.mark.parametrize("gives", ["whole", "excerpts"])
@pytest.mark.parametrize(("fulltext", "expected"), [("always", True), ("never", False)])
def test_what_is_said_of_a_feed_stands_above_its_habit(gives: Gives, fulltext: Fulltext, expected: bool) -> None:
    assert is_full_text(item(SENTENCE), fulltext=fulltext, page_text=None, habit=Habit(gives=gives)) is expected


@pytest.mark.parametrize(
    ("html", "page_words", "expected"),
    [
        (LONG, 150, True),
        (LONG, 400, False),
        (SENTENCE, 400, False),
        (LONG, 10, None),
        (LONG + "<p>Read more</p>", 150, None),
        (LONG + "<p>Read more</p>", 400, False),
    ],
    ids=["as long", "longer", "much longer", "a page of ten words", "cut off, as long", "cut off, longer"],
)
def test_what_a_page_teaches_about_its_feed(html: str, page_words: int, expected: bool | None) -> None:
    said = read_feed_text(item(html))
    assert said is not None
    assert page_says(said, "word " * page_words) is expected


def test_a_hostile_end_costs_its_length() -> None:
    started = time.process_time()
    read_feed_text(item("<p>" + "continue reading " * 60_000 + "</p>" + "<p>more …</p>" * 9_000))
    assert time.process_time() - started < 2
