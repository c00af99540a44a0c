"""Bytes to text; lines, words and fingerprints."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text import (
    clean_line,
    decode,
    escape_control,
    simhash64,
    sniff_declared,
    strip_tags,
    text_sha256,
    unescape,
    word_count,
)

SIMPLIFIED = "中国和俄罗斯的关系在过去一年中发展很快。总统访问北京时说，两国将继续合作。镕喆"
TRADITIONAL = "中國與俄羅斯的關係在過去一年中發展很快。台灣方面對此沒有回應，記者繼續報導。"
JAPANESE = "政府は新しい法律について、来年の国会で議論することを決めました。カタカナの看板が多いです。"
KOREAN = "정부는 내년에 새로운 법률을 국회에서 논의하기로 결정했다고 밝혔습니다. 많은 사람들이 참여했다."
RUSSIAN = "Правительство решило обсудить новый закон в следующем году, сообщили журналисты из Москвы."
FRENCH = "Le président a déclaré à l’Assemblée qu’il était prêt à négocier. Les élèves reçoivent des prix à Noël."

WRITTEN = [
    *((SIMPLIFIED, name) for name in ("gb18030", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")),
    *((TRADITIONAL, name) for name in ("big5hkscs", "utf-8")),
    *((JAPANESE, name) for name in ("cp932", "euc_jp", "iso2022_jp")),
    (KOREAN, "cp949"),
    *((RUSSIAN, name) for name in ("cp1251", "koi8_r")),
    (FRENCH, "cp1252"),
]
LABELS = [
    *(None, "utf-8", "gb2312", "big5", "shift_jis", "euc-kr", "iso-8859-1", "windows-1251", "windows-1255", "koi8-r"),
    *("utf-7", "cp500", "x-foo", "base64", "", "\x00é"),
]


def page(text: str) -> str:
    return f"<rss><channel><title>{text}</title></channel></rss>"


@pytest.mark.parametrize("label", LABELS, ids=lambda label: f"labelled {label!a}")
@pytest.mark.parametrize(("text", "encoding"), WRITTEN, ids=[f"{text[:2]} in {name}" for text, name in WRITTEN])
def test_text_comes_out_right_whatever_the_label_says(text: str, encoding: str, label: str | None) -> None:
    body = page(text).encode(encoding)
    assert decode(body, declared=label).text == page(text)
    assert decode(body, http_charset=label).text == page(text)


@pytest.mark.parametrize(
    ("body", "declared", "http", "how"),
    [
        (b"\xef\xbb\xbfabc", None, "iso-8859-1", "bom"),
        (b"abc", "gb2312", None, "utf-8"),
        (page(SIMPLIFIED).encode("gbk", "ignore"), "gb2312", None, "declared"),
        (page(SIMPLIFIED).encode("gbk", "ignore"), None, "gbk", "http"),
        (page(SIMPLIFIED).encode("gbk", "ignore"), "utf-8", "utf-8", "guessed"),
        (page(SIMPLIFIED).encode("gbk", "ignore"), "gb2312", "iso-8859-1", "declared"),
        (page(SIMPLIFIED).encode() + b"\xff", None, None, "replaced"),
    ],
)
def test_how_text_was_read_is_told(body: bytes, declared: str | None, http: str | None, how: str) -> None:
    assert decode(body, declared=declared, http_charset=http).how == how


def test_a_short_text_is_read_by_its_label() -> None:
    assert decode(b"<t>" + "镕喆".encode("gb18030") + b"</t>", declared="gb2312").text == "<t>镕喆</t>"
    assert decode("<t>Łódź</t>".encode("iso-8859-2"), declared="iso-8859-2").text == "<t>Łódź</t>"


def test_stray_zeros_do_not_make_a_text_utf_16() -> None:
    assert decode(b"<p>a\0b</p>").text == "<p>a\0b</p>"
    assert decode(b"\0" * 100).encoding == "utf-8"


def test_one_bad_byte_costs_one_character() -> None:
    body = page(SIMPLIFIED).encode().replace(b"<title>", b"<title>\xff")
    assert decode(body, declared="gb2312").text == page("\ufffd" + SIMPLIFIED)


def test_a_character_cut_at_the_end_is_left_out() -> None:
    assert decode("好的".encode()[:-1]).text == "好"
    assert decode("好的".encode("gbk")[:-1], declared="gbk").text == "好"


@given(st.binary(max_size=200), st.none() | st.text(max_size=12), st.none() | st.text(max_size=12))
def test_no_bytes_and_no_label_make_decoding_raise(body: bytes, declared: str | None, http: str | None) -> None:
    decode(body, declared=declared, http_charset=http)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'<?xml version="1.0" encoding="GBK"?><rss/>', "gbk"),
        (b"<?xml version='1.0' encoding='Big5' ?>", "big5"),
        (b'<html><meta charset="gb2312">', "gb2312"),
        (b'<META http-equiv="Content-Type" content="text/html; charset=Shift_JIS">', "shift_jis"),
        (b"<html>" + b" " * 20_000 + b"<meta charset=euc-kr>", "euc-kr"),
        (b'<?xml version="1.0"?><rss/>', None),
        (b"", None),
    ],
)
def test_the_declared_encoding_is_found(body: bytes, wanted: str | None) -> None:
    assert sniff_declared(body) == wanted


def test_a_hostile_declaration_takes_no_time() -> None:
    began_s = time.process_time()
    for piece in (b"<meta ", b"<meta charset", b"<meta charset= "):
        sniff_declared(piece * (300_000 // len(piece)))
        sniff_declared(piece * 40 + b"charset=" + b" " * 300_000)
    assert time.process_time() - began_s < 3


@pytest.mark.parametrize(
    "piece", [b"<", b"<!--", b"<script ", b"<meta ", b"<?xml ", b"a", b"\x81", b"\xe4\xb8", b"<a\xff"]
)
def test_hostile_bytes_take_bounded_time(piece: bytes) -> None:
    body = (piece * (2_000_000 // len(piece)))[:2_000_000] + b"\xff"
    began = time.process_time()
    text = decode(body, declared=sniff_declared(body)).text
    strip_tags(text)
    clean_line(text)
    word_count(text)
    simhash64(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" a\n b\t\xa0c ", "a b c"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("a\x1b[31mb\x00", "a[31mb"),
        ("a\ud800b", "a\ufffdb"),
        ("", ""),
    ],
)
def test_a_clean_line_is_one_honest_line(text: str, wanted: str) -> None:
    assert clean_line(text) == wanted


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_a_clean_line_is_clean_and_short(text: str, limit: int) -> None:
    line = clean_line(text, limit)
    assert len(line) <= limit
    assert line.splitlines() in ([line], [])
    line.encode()


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("A &amp; <b>B</b>", "A & B"),
        ("one<br>two<p>three</p>four", "one two three four"),
        ("x<sub>2</sub>y", "x2y"),
        ("a<!-- <b> hidden -->b", "ab"),
        ("a<script>alert('<b>')</script>b<style>p{}</style>c", "abc"),
        ("a<script>never ends", "a"),
        ("List<String> and a < b > c", "List<String> and a < b > c"),
        ("Use &lt;b&gt; here", "Use <b> here"),
        ("<o:p>Word</o:p> <my-tag>custom</my-tag>", "Word custom"),
        ('<a href="x">&nbsp;link&nbsp;</a>', "link"),
        ("<?php echo ?><!DOCTYPE html>x", "x"),
    ],
)
def test_tags_are_stripped_and_other_angle_brackets_kept(markup: str, wanted: str) -> None:
    assert strip_tags(markup) == wanted


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("&amp;&#65;&#x42;&nbsp", "&AB\xa0"),
        ("&#0128512;&#1114112;", "\U0001f600\ufffd"),
        ("&#00000000065;", "A"),
        ("&#000000000;", "\ufffd"),
        (f"a&#{'9' * 5000};b", "a\ufffdb"),
        (f"a&#{'9' * 5000} b", "a\ufffd b"),
        (f"a&#x{'f' * 5000};b", "a\ufffdb"),
        (f"&#{'0' * 5000}65;", "A"),
    ],
    ids=lambda value: value[:20],
)
def test_references_of_any_length_are_decoded(markup: str, wanted: str) -> None:
    assert unescape(markup) == wanted
    assert strip_tags(markup) == " ".join(wanted.split())


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("Hello, big world — it's 2020!", None, 5),
        ("中国人民 ok", None, 5),
        ("中国，人民。", "zh", 4),
        ("ประเทศไทย", "th", 9),
        ("བོད་ཡིག", "bo", 4),
        ("हिन्दी में", "hi", 2),
        ("金대통령은 왔다", "ko", 2),
        ("", None, 0),
        ("— … !", None, 0),
    ],
)
def test_words_are_counted_as_their_script_writes_them(text: str, language: str | None, wanted: int) -> None:
    assert word_count(text, language) == wanted


def bits_apart(one: str, other: str) -> int:
    return (int(simhash64(one), 16) ^ int(simhash64(other), 16)).bit_count()


ARTICLE = " ".join(f"word{n * n % 997} of sentence {n}" for n in range(200))


def test_texts_that_differ_in_a_word_have_near_simhashes() -> None:
    assert bits_apart(ARTICLE, ARTICLE.replace("word100", "other")) <= 6
    assert bits_apart(ARTICLE, ARTICLE.upper().replace(" ", "\n")) == 0


def test_different_texts_have_distant_simhashes() -> None:
    assert bits_apart(ARTICLE, SIMPLIFIED * 10) > 15
    assert bits_apart(TRADITIONAL, SIMPLIFIED) > 10


@given(st.text())
def test_a_simhash_is_16_hex_digits(text: str) -> None:
    assert len(simhash64(text)) == 16
    int(simhash64(text), 16)


def test_layout_and_normal_form_do_not_change_a_text_s_digest() -> None:
    assert text_sha256("Caf\u00e9  au\n\nlait ") == text_sha256(unicodedata.normalize("NFD", "Café au lait"))
    assert text_sha256("Café") != text_sha256("Cafe")
    assert len(text_sha256("\ud800")) == 64


def test_heaps_of_combining_marks_cost_no_more_than_other_text() -> None:
    began_s = time.process_time()
    text_sha256("a" + "\u0316\u0301" * 500_000)
    assert time.process_time() - began_s < 20  # without a bound it takes a quarter of an hour


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\nb\r\x1b[2J", r"a\nb\r\x1b[2J"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("中文 é", "中文 é"),
    ],
)
def test_control_characters_are_written_out(text: str, wanted: str) -> None:
    assert escape_control(text) == wanted
