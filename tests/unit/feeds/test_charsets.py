"""Feeds whose labels lie, are missing or mean nothing: the text comes out right, or the feed says that it may not have."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.parse import parse_feed
from worker.model import ParsedFeed

NOW = datetime(2026, 11, 24, tzinfo=UTC)

SENTENCES = {
    "simplified Chinese": (
        "今天上午，市政府宣布将在三年内新建两条地铁线路，并降低老年人的票价。",
        "受台风影响，沿海地区的学校停课一天，渔船已经全部回港避风。",
        "记者从医院了解到，受伤的工人目前情况稳定，家属对救援表示感谢。",
        "这家公司去年的利润下降了百分之十二，股价却意外上涨。",
        "专家认为，水价改革应当照顾低收入家庭的实际需要。",
    ),
    "traditional Chinese": (
        "昨日下午，臺北市議會通過了新的公園管理辦法，多數市民表示歡迎。",
        "受颱風影響，東部鐵路暫時停駛，旅客可以辦理退票或改搭巴士。",
        "這本小說講述一位漁夫在戰後重建家園的故事，讀者反應熱烈。",
        "香港天文台預測，明天氣溫將會下降，並有幾陣驟雨。",
        "議員要求政府公開採購合約，避免浪費納稅人的金錢。",
    ),
    "Japanese": (
        "東京都は来年度から小学校の給食費を無料にする方針を固めた。",
        "台風の接近に伴い、九州地方では大雨への警戒が必要です。",
        "新しい図書館は駅の近くに建てられ、夜九時まで利用できます。",
        "この映画は静かな漁村で暮らす家族の一年を描いている。",
        "会社側は賃上げを認めず、交渉は来週も続く見通しだ。",
    ),
    "Korean": (
        "정부는 내년부터 청년 주택 지원을 크게 늘리겠다고 발표했다.",
        "태풍의 영향으로 남해안 지역의 학교가 오늘 하루 휴교한다.",
        "새로 문을 연 도서관은 주말에도 밤 열 시까지 이용할 수 있다.",
        "이 소설은 바닷가 마을에서 자란 두 자매의 이야기를 담고 있다.",
        "전문가들은 물가가 당분간 오를 것으로 내다봤다.",
    ),
    "Russian": (
        "Правительство объявило о строительстве двух новых линий метро в столице.",
        "Из-за сильного снегопада школы в области сегодня закрыты.",
        "Учёные нашли в озере неизвестный ранее вид рыбы.",
        "Компания сообщила, что её прибыль за год снизилась на двенадцать процентов.",
        "Жители посёлка собрали деньги на ремонт старого моста.",
    ),
    "Arabic": (
        "أعلنت الحكومة اليوم عن خطة جديدة لبناء مدارس في القرى البعيدة.",
        "توقفت حركة القطارات بسبب الأمطار الغزيرة التي هطلت ليلة أمس.",
        "قال الطبيب إن حالة المصابين مستقرة وإنهم سيغادرون المستشفى قريبا.",
        "ارتفعت أسعار القمح في الأسواق العالمية خلال هذا الأسبوع.",
        "تروي القصة حياة صياد عجوز في مدينة ساحلية صغيرة.",
    ),
}
ENCODINGS = {
    "simplified Chinese": ("gb18030", "gbk"),
    "traditional Chinese": ("big5", "gb18030"),
    "Japanese": ("shift_jis", "euc_jp"),
    "Korean": ("euc_kr",),
    "Russian": ("cp1251", "koi8_r"),
    "Arabic": ("cp1256",),
}
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
WRITTEN = [(language, encoding) for language, encodings in ENCODINGS.items() for encoding in encodings]

# Labels that say nothing of what the bytes are.
WRONG = st.sampled_from(
    [None, "UTF-8", "utf8", "ISO-8859-1", "windows-1252", "us-ascii", "x-foo", "UTF-7", "IBM037", "cp875", "", "é"]
)  # fmt: skip
OF_OTHERS = st.sampled_from(
    ["gb2312", "GBK", "Big5", "Shift_JIS", "EUC-JP", "EUC-KR", "windows-1251", "KOI8-R", "windows-1256", "ISO-8859-5"]
)
TYPES = WRONG.map(lambda label: f"text/xml; charset={label}" if label else None)
# So many characters tell which encoding it is; a letter of an alphabet tells less than a Chinese character.
TELLING = {"Russian": 24, "Arabic": 20}
FEWEST = 16


def feed_of(text: str, encoding: str, label: str | None, content_type: str | None = None) -> ParsedFeed:
    declared = f' encoding="{label}"' if label is not None else ""
    document = (
        f'<?xml version="1.0"{declared}?><rss version="2.0"><channel><title>News</title><item><title>{escape(text)}</title>'
        "<link>https://news.example/1</link></item></channel></rss>"
    )
    body = document.encode(encoding, "xmlcharrefreplace")
    return parse_feed(body, content_type=content_type, url="https://news.example/feed", now=NOW)


def title_of(feed: ParsedFeed) -> str:
    (entry,) = feed.entries
    return entry.title or ""


@st.composite
def texts(draw: st.DrawFn, language: str, least: int, most: int) -> str:
    """A piece of one sentence or several, as long as asked."""
    whole = "".join(draw(st.permutations(SENTENCES[language])))
    length = draw(st.integers(least, most))
    start = draw(st.integers(0, len(whole) - length))
    return " ".join(whole[start : start + length].split())


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
@given(data=st.data(), label=WRONG, content_type=TYPES)
def test_text_is_right_under_labels_that_say_nothing(
    language: str, encoding: str, data: st.DataObject, label: str | None, content_type: str | None
) -> None:
    text = data.draw(texts(language, TELLING.get(language, FEWEST), 120))
    assert title_of(feed_of(text, encoding, label, content_type)) == text


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
@given(data=st.data(), label=OF_OTHERS | WRONG)
def test_text_is_right_or_flagged_under_the_label_of_another_writing(
    language: str, encoding: str, data: st.DataObject, label: str | None
) -> None:
    text = data.draw(texts(language, TELLING.get(language, FEWEST // 2), 60))
    feed = feed_of(text, encoding, label)
    assert title_of(feed) == text or feed.warnings


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
def test_a_right_label_is_believed_without_a_warning(language: str, encoding: str) -> None:
    for text in SENTENCES[language]:
        feed = feed_of(text, encoding, encoding)
        assert (title_of(feed), feed.warnings) == (text, ())


@pytest.mark.parametrize("language", SENTENCES)
@given(data=st.data(), encoding=st.sampled_from(WIDE), label=WRONG | OF_OTHERS, content_type=TYPES)
def test_wide_characters_are_found_whatever_the_labels_say(
    language: str, data: st.DataObject, encoding: str, label: str | None, content_type: str | None
) -> None:
    text = data.draw(texts(language, 1, 60))
    assert title_of(feed_of(text, encoding, label, content_type)) == text


@pytest.mark.parametrize("language", SENTENCES)
@given(data=st.data(), label=WRONG | OF_OTHERS, content_type=TYPES)
def test_utf_8_is_found_whatever_the_labels_say(
    language: str, data: st.DataObject, label: str | None, content_type: str | None
) -> None:
    text = data.draw(texts(language, 1, 60))
    feed = feed_of(text, "utf-8", label, content_type)
    assert (title_of(feed), feed.warnings) == (text, ())


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("iso-8859-2", "Vláda schválila návrh zákona, který zvýší příspěvky důchodcům."),
        ("windows-1250", "Rząd zapowiedział połączenia kolejowe między Łodzią a Gdańskiem."),
        ("iso-8859-9", "Hükümet yeni okulların yapılacağını açıkladı, öğretmenler memnun."),
        ("windows-1253", "Η κυβέρνηση ανακοίνωσε σήμερα νέα μέτρα για τους αγρότες."),
        ("windows-1255", "הממשלה הודיעה היום על בניית בתי ספר חדשים בצפון הארץ."),
        ("tis-620", "รัฐบาลประกาศสร้างโรงเรียนใหม่ในชนบทปีหน้า"),
        ("iso-8859-1", "Le maire a annoncé l'arrivée de nouveaux élèves à Orléans."),
        ("iso-8859-5", "Жители посёлка собрали деньги на ремонт моста."),
        ("koi8-u", "Уряд оголосив про будівництво нових шкіл у селах."),
    ],
)
def test_labels_of_other_alphabets_are_believed(label: str, text: str) -> None:
    for length in (8, len(text)):
        feed = feed_of(text[:length].strip(), label, label)
        assert (title_of(feed), feed.warnings) == (text[:length].strip(), ())


@pytest.mark.parametrize("text", ["联通", "中国", "日本", "Ёж", "한국"])
@pytest.mark.parametrize("label", [None, "UTF-8", "ISO-8859-1", "us-ascii"])
def test_two_characters_are_right_or_flagged(text: str, label: str | None) -> None:
    for encoding in ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1251", "koi8_r"):
        feed = feed_of(text, encoding, label)
        assert title_of(feed) == text or feed.warnings


def test_windows_punctuation_in_the_place_of_controls_is_read() -> None:
    assert title_of(feed_of("don\x92t \x93wait\x94", "utf-8", "UTF-8")) == "don’t “wait”"
