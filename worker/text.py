"""Bytes to text, and what is said about text: one line, words, fingerprints. Pure; nothing here raises on bad input."""

from __future__ import annotations

import codecs
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from worker.plainness import plainness

# ---------------------------------------------------------------- bytes -> str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Text and how it was come by.

    ``how``: ``bom``, ``utf-8`` (decodes strictly as such, ASCII too), ``declared`` (in the document), ``http`` (the
    header's charset), ``doubtful`` (by a label, but the text does not look like it), ``guessed`` (by the look of the
    text), ``replaced`` (some bytes could not be read; U+FFFD).
    """

    text: str
    encoding: str  # Python's name of the codec
    how: str


_BOMS = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = (  # where an ASCII character has its zeros: offsets of zero bytes, step, codec
    ((1, 2, 3), 4, "utf-32-le"),
    ((0, 1, 2), 4, "utf-32-be"),
    ((1,), 2, "utf-16-le"),
    ((0,), 2, "utf-16-be"),
)
_WIDE_LOOK_BYTES = 1024
_WIDE_ZEROS = 8  # fewer are stray ones
_WIDE_SHARE = 0.15
_WIDE_STRAY = 0.05  # U+4E00 (the Chinese one) has a zero on the other side

# What a label means in practice: the superset that the writers' programs really used (WHATWG Encoding Standard).
_MEANT = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "x-gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "chinese": "gb18030",
    "cp936": "gb18030",
    "hz": "hz",
    "hz-gb-2312": "hz",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "cp950": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ms_kanji": "cp932",
    "x-euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "euc_kr": "cp949",
    "ks_c_5601": "cp949",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601-1989": "cp949",
    "ksc5601": "cp949",
    "windows-949": "cp949",
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "l1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "x-cp1251": "cp1251",
    "koi8": "koi8_r",
    "x-mac-roman": "mac_roman",
}
_NEVER = re.compile(
    r"(?:us-ascii|ascii|ansi_x3\.4|iso646-us|iso_646)|"
    r"(?:utf|ucs|u8|u16|u32|unicode|idna|punycode|raw)",
    re.IGNORECASE,
)

# Encodings that can be told by the look of their text, those that are met more often first.
_TOLD_BY_LOOK = (
    *("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949"),
    *("cp1251", "koi8_u", "cp1256", "cp1252", "cp1253", "cp1255"),
)
_HANDICAPS = {"cp1253": 0.1, "cp1255": 0.1}  # fewer feeds are written in them
_SAMPLE_BYTES = 3072
_FOREIGN = re.compile(rb"[\x80-\xff]")
_PIECE_END = re.compile(rb"[<>\s]")
_BEFORE_BYTES = 24  # of plain text before it: a word's beginning
_BROKEN = 0.05  # share of unreadable characters from which on a label is wrong
_CLEARLY = 0.2  # how much plainer the text must look in another encoding than in the one that a label names,
_FEW = 1.0  # and this much more, divided by the number of characters that tell
_DOUBTFUL = 0.4  # a label is not borne out by a text that looks less plain than this,
_AS_PLAIN = 0.1  # or than it would in another encoding, by more than this, and less where few characters tell
_FEW_BYTES = 12
_MANY, _PLAIN = 50, 0.65  # characters, and how plain, from which on no other encoding need be tried

_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*+=\s*+[\"']\s*+([\w.:+-]{1,40})", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta\b[^>]{0,300}?charset\s*+=\s*+[\"']?\s*+([\w.:+-]{1,40})", re.IGNORECASE)
_DECLARATION_BYTES = 256 * 1024


def sniff_declared(body: bytes) -> str | None:
    """The encoding a document names for itself: its XML declaration, else an HTML meta, also a late one.

    Returns: The label in lower case, as written; None when there is none within the first 256 KiB.
    """
    head = body[:_DECLARATION_BYTES]
    named = _XML_ENCODING.search(head[:1024]) or _META_CHARSET.search(head)
    return named[1].decode("ascii").lower() if named else None


def decode(body: bytes, *, http_charset: str | None = None, declared: str | None = None) -> Decoded:
    """Bytes as the text their writer meant. Never raises.

    A byte order mark decides; else what is strictly UTF-8 is UTF-8 whatever labels say; else the label in the document
    and the one in the header, in this order, unless the text then looks like nothing while another encoding gives
    plain Chinese, Japanese, Korean, Russian or Western text. A body cut within its last character counts as whole.

    Args:
        http_charset: the charset of Content-Type; any string.
        declared: what the document says (``sniff_declared``); any string.

    Source: WHATWG Encoding Standard for what labels mean; RFC 7303 for marks before labels.
    """
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            text, clean = _read(body[len(mark) :], encoding)
            return Decoded(text=text.lstrip("\ufeff"), encoding=encoding, how="bom" if clean else "replaced")
    if wide := _wide(body):
        text, clean = _read(body, wide)
        return Decoded(text=text, encoding=wide, how="guessed" if clean else "replaced")
    labels = [
        (how, codec) for how, label in (("declared", declared), ("http", http_charset)) if (codec := _codec(label))
    ]
    text, clean = _read(body, "utf-8")
    if clean and not _is_chance(body, text):
        return _escaped(body, labels) or Decoded(text=text, encoding="utf-8", how="utf-8")
    if clean and "utf-8" in {(label or "").lower() for label in (declared, http_charset)}:
        return Decoded(text=text, encoding="utf-8", how="doubtful")
    if _mostly_utf8(text):
        return Decoded(text=text, encoding="utf-8", how="replaced")
    encoding, how = _legacy(body, labels)
    text, clean = _read(body, encoding)
    return Decoded(text=text, encoding=encoding, how=how if clean else "replaced")


def _read(body: bytes, encoding: str) -> tuple[str, bool]:
    """The text, and whether every byte of it could be read (a last character that was cut is left out)."""
    try:
        return codecs.getincrementaldecoder(encoding)("strict").decode(body, final=False), True
    except UnicodeError:
        return body.decode(encoding, "replace"), False


def _wide(body: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: markup is ASCII, so many characters have their zeros in the same places."""
    head = body[:_WIDE_LOOK_BYTES]
    if head.count(0) < _WIDE_ZEROS:
        return None
    for offsets, step, encoding in _WIDE:
        shares = [head[offset::step].count(0) / len(head[offset::step]) for offset in range(step)]
        elsewhere = max(share for offset, share in enumerate(shares) if offset not in offsets)
        if min(shares[offset] for offset in offsets) >= _WIDE_SHARE and elsewhere <= _WIDE_STRAY:
            return encoding
    return None


def _codec(label: str | None) -> str | None:
    """Python's codec for a label that may be believed; None for none, unknown ones, and the UTF family.

    UTF-8 and ASCII have had their turn before labels are asked, UTF-7 is an attack, and an EBCDIC label over markup is
    a mistake.
    """
    name = (label or "").strip(" \t\"'").lower()
    if not name or _NEVER.match(name):
        return None
    if name in _MEANT:
        return _MEANT[name]
    try:
        info = codecs.lookup(name)
        keeps_markup = b"<a".decode(name, "replace") == "<a"  # LookupError for codecs not about text (base64)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return None
    if not keeps_markup:
        return None
    return _MEANT.get(info.name.replace("iso8859", "iso-8859"), info.name)


def _escaped(body: bytes, labels: Iterable[tuple[str, str]]) -> Decoded | None:
    """Seven-bit encodings that switch alphabets by escapes: ISO-2022-JP, and HZ where it is declared."""
    for how, encoding in [*labels, ("guessed", "iso2022_jp")]:
        mark = {"iso2022_jp": b"\x1b$", "hz": b"~{"}.get(encoding)
        if mark and mark in body and body.isascii():
            text, clean = _read(body, encoding)
            if clean:
                return Decoded(text=text, encoding=encoding, how=how)
    return None


def _mostly_utf8(text: str) -> bool:
    """UTF-8 with a few broken places; legacy bytes read as UTF-8 are broken nearly everywhere."""
    broken = text.count("\ufffd")
    good = _foreign_count(text) - broken
    return good > broken * 5


def _legacy(body: bytes, labels: list[tuple[str, str]]) -> tuple[str, str]:
    """The codec for bytes that are not UTF-8, and how it was found."""
    sample = _sample(body)
    for how, encoding in labels[:1]:
        text = _tried(sample, encoding)
        if _foreign_count(text) >= _MANY and plainness(text, encoding) >= _PLAIN:
            return encoding, how
    looks = _looks(sample)
    best = max(looks, key=lambda encoding: looks[encoding])
    plainest = _tried(sample, best)
    few = _FEW / max(1, _foreign_count(plainest))
    for how, encoding in labels:
        text = _tried(sample, encoding)
        if text.count("\ufffd") > _BROKEN * _foreign_count(text):
            continue
        look = looks[encoding] if encoding in looks else plainness(text, encoding)
        if looks[best] - look <= _CLEARLY + few:
            is_plain = text == plainest or looks[best] - look <= _AS_PLAIN - few / 5
            return encoding, how if is_plain and look >= _DOUBTFUL else "doubtful"
    return (best, "guessed") if looks[best] > 0 else ("cp1252", "guessed")


def _looks(sample: bytes) -> dict[str, float]:
    return {
        encoding: plainness(_tried(sample, encoding), encoding) - _HANDICAPS.get(encoding, 0.0)
        for encoding in _TOLD_BY_LOOK
    }


def _is_chance(body: bytes, text: str) -> bool:
    """Is this UTF-8 by chance? A few bytes of another encoding may be, as letters that nobody puts together."""
    extra = len(body) - len(text)
    if not 0 < extra <= _FEW_BYTES or _foreign_count(text) != extra:  # two bytes each, or it is no chance
        return False
    sample = _sample(body)
    return plainness(_tried(sample, "utf-8"), "utf-8") < 0 and max(_looks(sample).values()) > _DOUBTFUL


def _foreign_count(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _tried(sample: bytes, encoding: str) -> str:
    """The sample in an encoding, U+FFFD for what it cannot be; a character cut at the end does not count."""
    return codecs.getincrementaldecoder(encoding)("replace").decode(sample, final=False)


def _sample(body: bytes) -> bytes:
    """Pieces of the body around bytes outside ASCII, which end where no multi-byte encoding has a later byte."""
    pieces: list[bytes] = []
    position = size = 0
    while size < _SAMPLE_BYTES and (foreign := _FOREIGN.search(body, position)):
        start = max(position, foreign.start() - _BEFORE_BYTES)
        end = _PIECE_END.search(body, foreign.end(), foreign.end() + _SAMPLE_BYTES)
        position = end.start() if end else foreign.end() + _SAMPLE_BYTES
        pieces.append(body[start:position] + (b"\n" if end else b""))
        size += len(pieces[-1])
    return b"".join(pieces)


# ---------------------------------------------------------------- lines

# Controls, zero-width and bidirectional characters: in a title they only serve to mislead (CVE-2021-42574).
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FOR_TERMINALS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def clean_line(text: str, limit: int = 1000) -> str:
    """One line for people: white space folded to single blanks, controls, zero-width and bidirectional marks removed,
    lone surrogates replaced, at most ``limit`` characters (a cut one ends in ``…``).
    """
    room = text[: limit * 8]  # enough for white space to fold; a title of 5 MB is cut before it costs
    if not room.isprintable():
        room = _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", room))
    line = " ".join(room.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def escape_control(text: str) -> str:
    r"""The text with control, bidirectional and zero-width characters written out (``\n``, ``\x1b``), for logs and
    terminals: it stays on its line and moves no cursor.
    """
    return _FOR_TERMINALS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


# HTML's own elements, and anything with a hyphen or colon (custom elements, Word's <o:p>). Other angle brackets are
# text: "List<String>".
_ELEMENTS = frozenset(
    {
        *("a", "abbr", "acronym", "address", "applet", "area", "article", "aside", "audio", "b", "base", "bdi", "bdo"),
        *(
            "big",
            "blockquote",
            "body",
            "br",
            "button",
            "canvas",
            "caption",
            "center",
            "cite",
            "code",
            "col",
            "colgroup",
        ),
        *("data", "dd", "del", "details", "dfn", "dir", "div", "dl", "dt", "em", "embed", "fieldset", "figcaption"),
        *(
            "figure",
            "font",
            "footer",
            "form",
            "frame",
            "frameset",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "head",
            "header",
        ),
        *("hr", "html", "i", "iframe", "img", "input", "ins", "kbd", "label", "legend", "li", "link", "main", "map"),
        *("mark", "meta", "nav", "noscript", "object", "ol", "option", "p", "param", "picture", "pre", "q", "rp", "rt"),
        *("blink", "datalist", "dialog", "hgroup", "marquee", "menu", "meter", "nobr", "noframes", "optgroup"),
        *("output", "progress", "search", "slot", "xmp"),
        *("ruby", "s", "samp", "script", "section", "select", "small", "source", "span", "strike", "strong", "style"),
        *(
            "sub",
            "summary",
            "sup",
            "svg",
            "table",
            "tbody",
            "td",
            "template",
            "textarea",
            "tfoot",
            "th",
            "thead",
            "time",
        ),
        *("title", "tr", "track", "tt", "u", "ul", "var", "video", "wbr"),
    }
)
_INLINE = frozenset(
    {
        *(
            "a",
            "abbr",
            "acronym",
            "b",
            "bdi",
            "bdo",
            "big",
            "cite",
            "code",
            "dfn",
            "em",
            "font",
            "i",
            "ins",
            "kbd",
            "mark",
        ),
        *("blink", "nobr", "meter", "output", "progress", "slot"),
        *("q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    }
)
_SILENT = frozenset({"script", "style", "template"})
_LONG_NUMBER = re.compile(r"&#([0-9]{8,});?")
_MOST_DIGITS = 7  # of the last code point, 1114111
_MARKUP = re.compile(r"<!--|-->|<(/?)([a-zA-Z][\w:-]*)(?:[\s/][^<>]*)?>|<[!?][^<>]*>")


def strip_tags(markup: str) -> str:
    """The text of a piece of HTML on one line: no tags, comments, scripts or styles, entities decoded.

    For titles and summaries. One pass, linear in the input. Only HTML's own elements are tags here.
    """
    if "<" not in markup and "-->" not in markup:
        return " ".join(unescape(markup).split())
    kept: list[str] = []
    position = 0
    until: str | None = None  # inside a comment or a script: what ends it
    for token in _MARKUP.finditer(markup):
        name = (token[2] or "").lower()
        if until is not None:
            if token[0] == until or (token[1] and name == until):
                until, position = None, token.end()
            continue
        if name and name not in _ELEMENTS and "-" not in name and ":" not in name:
            continue
        kept.append(markup[position : token.start()])
        position = token.end()
        if token[0] == "<!--":
            until = "-->"
        elif name in _SILENT and not token[1]:
            until = name
        elif name and name not in _INLINE:
            kept.append(" ")
    if until is None:
        kept.append(markup[position:])
    return " ".join(unescape("".join(kept)).split())


def unescape(markup: str) -> str:
    """Text with HTML's character references decoded; U+FFFD for a number that is no character's.

    ``html.unescape`` alone raises on a number of thousands of digits: Python refuses to read those.
    """
    if "&" not in markup:
        return markup
    return html.unescape(_LONG_NUMBER.sub(_shortened, markup))


def _shortened(reference: re.Match[str]) -> str:
    digits = reference[1].lstrip("0")
    return f"&#{digits or '0'};" if len(digits) <= _MOST_DIGITS else "\ufffd"


# ---------------------------------------------------------------- counting and comparing

_UNSPACED = (  # scripts whose words are not separated: Thai, Lao, Tibetan, Myanmar, Khmer, kana, bopomofo, Han
    "\u0e00-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u3129\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_ONE_CHARACTER = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(r"[^\W_]\S*")  # from its first letter or digit to the next blank
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]{{1,40}}")  # longer runs are no words, and would be remembered
_SIMHASH_CHARS = 100_000
_SHINGLE = 3


def word_count(text: str, language: str | None = None) -> int:
    """Words where they are separated by blanks, characters (less vowel and tone marks) where they are not.

    Args:
        language: BCP 47 tag when known. Korean separates its words, also those that hold Chinese characters.
    """
    if (language or "").lower().partition("-")[0] == "ko":
        return len(_WORD.findall(text))
    characters = [character for character in _ONE_CHARACTER.findall(text) if character.isalnum()]
    spaced = _ONE_CHARACTER.sub(" ", text) if characters else text
    return len(characters) + len(_WORD.findall(spaced))


def simhash64(text: str) -> str:
    """16 hex digits that differ in few bits for texts that differ in few places.

    Features are runs of three words (of three characters where words are not separated); a bit of the result is set
    where most features have it. A feature's hash puts together three BLAKE2b hashes, one of each word for the place
    where it stands, so that a word met before costs nothing. Case, punctuation and white space do not count. Of a very
    long text the first 100,000 characters. An empty text gives zeros.

    Source: Charikar 2002; Manku, Jain, Das Sarma 2007 (near-duplicates: at most 3 of 64 bits).
    """
    tokens = _TOKEN.findall(text[:_SIMHASH_CHARS].lower())
    if not tokens:
        return "0" * 16
    last = max(1, len(tokens) - _SHINGLE + 1)
    every = b"".join(map(_hashes, tokens))
    ones = int.from_bytes(b"\1" * last)
    result = 0
    for byte in range(8):  # all features' bits of one place are counted at once, as bits of one large integer
        column = 0
        for place in range(_SHINGLE):
            column ^= int.from_bytes(every[8 * place + byte :: 8 * _SHINGLE][place : place + last])
        for bit in range(7, -1, -1):
            count = ((column >> bit) & ones).bit_count()
            result = result << 1 | (count * 2 > last)
    return f"{result:016x}"


@lru_cache(maxsize=32_768)
def _hashes(token: str) -> bytes:
    """Eight bytes for each place in a feature."""
    return hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8 * _SHINGLE).digest()


def text_sha256(text: str) -> str:
    """SHA-256 (hex) of the text in NFC with white space folded: layout does not count, wording does."""
    folded = " ".join(normalized("NFC", text).split())
    return hashlib.sha256(folded.encode("utf-8", "replace")).hexdigest()


_MARKS = 30  # combining marks on one character: no writing has as many, and sorting them takes quadratic time
_MARKS_WITHIN = "\u0f73\u0f75\u0f81\uff9e\uff9f"  # that come to light in the compatibility form only
_HEAP = re.compile(f"(?:[^\\w\\s\\x00-\\x7f]|[{_MARKS_WITHIN}]){{{_MARKS + 1},}}")  # may be one of marks


def normalized(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The text in a normal form of Unicode, in time that is linear in its length.

    Source: UAX 15 section 13, the Stream-Safe Text Format; marks beyond its limit are left out here.
    """
    return unicodedata.normalize(form, _HEAP.sub(_without_heaps, text))


def _without_heaps(heap: re.Match[str]) -> str:
    kept, marks = [], 0
    for character in heap[0]:
        is_mark = unicodedata.combining(character) or character in _MARKS_WITHIN
        marks = marks + 1 if is_mark else 0
        if marks <= _MARKS:
            kept.append(character)
    return "".join(kept)


_FOLD = re.compile(r"\r?\n[ \t]+")
_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:(.*)")


def header_fields(block: bytes) -> tuple[tuple[str, str], ...]:
    """Names and values of a header block, in order, case and duplicates kept; lines that are no header are skipped, as
    browsers do.

    http.client takes the block for a mail's: it would need seconds for one Content-Type of many semicolons, and stop
    at the first line that is no header.
    Source: RFC 9112 5.2 (a folded line goes on with a blank) and 2.2 (so does one with a bare CR).
    """
    lines = _FOLD.sub(" ", block.decode("latin-1")).split("\n")
    found = [_FIELD.fullmatch(line) for line in lines]
    return tuple((field[1], field[2].strip(" \t\r").replace("\r", " ")) for field in found if field)
