"""The feed's own HTML as the article: is it one, and what in it is header, picture, caption and footer.

Full-text feeds put the whole article into the description. feedx.net surrounds it with a header (date, sometimes
authors), the lead picture through a proxy, its caption, and now and then an advertisement for itself at the very end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

import lxml.etree
import lxml.html

from worker.extract.blocks import Block, read_blocks
from worker.extract.document import MAX_BYTES, parse_html, short_text
from worker.extract.endings import without_endings
from worker.extract.image import MAX_BODY_IMAGES, MAX_CANDIDATES, candidate, caption_of, largest_source
from worker.extract.moments import is_date_line, moment
from worker.extract.names import author_names
from worker.extract.render import paragraph_count, to_text
from worker.model import Entry, ImageCandidate
from worker.text import clean_line, unescape, word_count

Fulltext = Literal["auto", "always", "never"]
Gives = Literal["whole", "excerpts", "unknown"]  # what the feed's earlier articles showed

PAGE_SHARE = 0.9  # of the page's words: a feed text below it is an excerpt
MIN_WORDS = 25  # of a text that a page confirms, or that a feedx header vouches for
MIN_WORDS_ALONE = 120  # of a text that nothing confirms
MIN_PARAGRAPHS_ALONE = 3
SENTENCE_WORDS = 15  # of a last paragraph, before its missing full stop says anything
SENTENCE_CHARS = 40
MAX_HEADER = 200  # characters
_MEDIA = frozenset(("img", "video", "audio"))

_ADVERTISEMENT = "获取更多RSS"
_ADVERTISED = re.compile(r"feedx\.\w+")
_APPEARED_FIRST = re.compile(r"The post .{1,500} (?:appeared first on|first appeared on) .{1,200}", re.DOTALL)
_CUT_OFF = re.compile(
    r"(?:\[\s?(?:…|\.{3})\s?\]|…|\.{3}|(?:read|see|view) (?:more|the full (?:article|story))|continue reading.{0,200}"
    r"|keep reading|\bmore\s?(?=[»›→>])|\[more\]|阅读全文|閱讀全文|阅读更多|閱讀更多|查看全文|继续阅读|繼續閱讀"
    r"|点击查看(?:原文|全文)|阅读原文|(?:weiter|mehr) ?lesen|lire (?:la suite|l['’]article)|leer más|seguir leyendo"
    r"|ler mais|continue a ler|leggi (?:tutto|l['’]articolo)|lees (?:meer|verder)|läs mer|les mer|læs mere"
    r"|czytaj (?:dalej|więcej)|читать (?:далее|полностью)|читати далі|devamını oku|続きを読む|더 ?보기|اقرأ المزيد)"
    r"[\s.»›→>)\]]*$",
    re.IGNORECASE,
)
_POINTS_ON = re.compile(  # a whole last line that sends the reader elsewhere for the rest
    r"(?:(?:click here to )?(?:read|see|view|find) (?:more|(?:the )?(?:full|whole|entire|complete|original|rest)\b)"
    r"|(?:read|continue) (?:on|reading|this (?:article|story|post)) |(?:weiterlesen|mehr) (?:auf|bei|unter) "
    r"|den (?:ganzen|vollständigen) artikel |lire (?:la suite|l['’]article) |leer (?:más|el artículo) "
    r"|leggi (?:tutto|l['’]articolo) |читать (?:далее|полностью) ).{0,120}",
    re.IGNORECASE,
)
_LAST_BLOCKS = 3  # of a text are looked at for such marks
_LAST_CHARS = 300
# A letter, or what can only go on. Thai, Lao and Tibetan end their sentences without a full stop; an address ends as
# it likes.
_PAUSE = re.compile(r"[.!?,;。！？，；،؛](?=\s|[^\x00-\x7f])")
_MIDWAY = re.compile(r"(?:^|\s)[^\s/.@#]*(?:[,;:，、；：–—]|[^\W\d_\u0e00-\u0fff])$")
_MARKUP = re.compile(r"<[a-zA-Z/!]")
_ESCAPED_MARKUP = re.compile(r"&lt;(?:p|div|br|img|a|span|strong)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedText:
    """A feed item's body, taken apart."""

    blocks: tuple[Block, ...]  # without header, lead picture, caption and footer
    text: str
    words: int
    has_header: bool
    published_at: datetime | None  # from the header; None when it names no time or no zone
    authors: tuple[str, ...]  # from the header
    images: tuple[ImageCandidate, ...]
    is_cut_off: bool  # ends in "…", "Read more" or the like, before its endings were taken off
    ends_midway: bool  # its last paragraph stops within a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What an item's text may be judged by, besides itself and its page.

    ``gives``: the feed's items are whole articles, or excerpts. ``endings``: lines that its texts end with, which are
    no part of the articles (``worker.extract.endings``).
    """

    gives: Gives = "unknown"
    endings: frozenset[str] = frozenset()


UNKNOWN = Habit()


def is_full_text(entry: Entry, *, fulltext: Fulltext, page_text: str | None, habit: Habit = UNKNOWN) -> bool:
    """Whether the feed's own text is the whole article.

    Args:
        entry: What the feed said.
        fulltext: The feed's setting: ``always`` takes any text, ``never`` none, ``auto`` asks for evidence.
        page_text: The text of the article's page, or None when there is no page or no article on it.
        habit: What the feed's earlier items showed.

    Returns: For ``auto``: against a page, whether the feed has at least PAGE_SHARE of its words. Without one: the
        header of a full-text feed vouches for the text; else the feed's habit decides, less texts that are cut off; and
        of a feed that is not known yet, the text must be long, in several paragraphs, and come to an end.
    """
    feed_text = read_feed_text(entry, habit.endings)
    return feed_text is not None and is_whole(feed_text, fulltext=fulltext, page_text=page_text, gives=habit.gives)


def is_whole(feed_text: FeedText, *, fulltext: Fulltext, page_text: str | None, gives: Gives = "unknown") -> bool:
    """As ``is_full_text``, for a body already taken apart."""
    if fulltext != "auto":
        return fulltext == "always" and feed_text.words > 0
    if page_text is not None:
        return feed_text.words >= max(MIN_WORDS, PAGE_SHARE * word_count(page_text))
    if feed_text.has_header and feed_text.words >= MIN_WORDS:
        return True
    if gives != "unknown":
        return gives == "whole" and feed_text.words > 0 and not feed_text.is_cut_off
    return (
        not feed_text.is_cut_off
        and not feed_text.ends_midway
        and feed_text.words >= MIN_WORDS_ALONE
        and paragraph_count(feed_text.blocks) >= MIN_PARAGRAPHS_ALONE
    )


def page_says(feed_text: FeedText, page_text: str) -> bool | None:
    """What a page teaches about its feed: the feed's text is the whole article, or less; None: nothing.

    Few words on the page are those of a teaser or of an extraction that failed; and a text that is cut off, and yet as
    long as the page's, tells of the page.
    """
    words = word_count(page_text)
    if words < MIN_WORDS or feed_text.words == 0:
        return None
    has_all = feed_text.words >= PAGE_SHARE * words
    return None if has_all and feed_text.is_cut_off else has_all


def read_feed_text(entry: Entry, endings: Collection[str] = ()) -> FeedText | None:
    """Take the longer of an item's bodies apart; None when there is none or it cannot be read.

    Links and pictures are resolved against the article's URL, never the feed's, unless the feed gives an xml:base.

    Args:
        endings: Lines that the feed's texts end with, and that are no part of them.
    """
    base_url = entry.base_url or entry.url
    body = _parsed(entry.html or "")
    if body is None:
        return None
    _remove_footer(body)
    header = _take_header(body)
    lead = _take_lead(body, base_url)
    _make_figures(body)
    images = [lead] if lead else []
    images.extend(_pictures(body, base_url))
    blocks = read_blocks(body, base_url)
    if blocks and _APPEARED_FIRST.fullmatch(blocks[-1].text):
        blocks.pop()
    end = to_text(blocks[-_LAST_BLOCKS:])[-_LAST_CHARS:]
    blocks = without_endings(blocks, entry.title, endings)
    text = to_text(blocks)
    return FeedText(
        blocks=tuple(blocks),
        text=text,
        words=word_count(text),
        has_header=header is not None,
        published_at=header.published_at if header else None,
        authors=header.authors if header else (),
        images=tuple(images[:MAX_CANDIDATES]),
        is_cut_off=bool(_CUT_OFF.search(end) or _POINTS_ON.fullmatch(end.rpartition("\n")[2])),
        ends_midway=_ends_midway(blocks),
    )


def _ends_midway(blocks: list[Block]) -> bool:
    """Does the text stop in the middle of a sentence? Only a paragraph that is made of sentences tells: credits and
    bylines have no full stop either.
    """
    last = next((block for block in reversed(blocks) if block.kind != "figure"), None)
    if last is None or last.kind != "paragraph":
        return False
    text = last.text.rstrip()
    is_prose = len(text) >= SENTENCE_CHARS and word_count(text) >= SENTENCE_WORDS and _PAUSE.search(text[:-1])
    return bool(is_prose) and _MIDWAY.search(text) is not None


@dataclass(frozen=True, slots=True)
class _Header:
    published_at: datetime | None
    authors: tuple[str, ...]


def _parsed(html: str) -> lxml.html.HtmlElement | None:
    source = html[:MAX_BYTES]
    if not _MARKUP.search(source):
        source = unescape(source) if _ESCAPED_MARKUP.search(source) else _paragraphs_of(source)
    if not source.strip():
        return None
    root = parse_html(f"<html><body>{source}</body></html>")
    return root.find("body") if isinstance(root, lxml.html.HtmlElement) else None


def _paragraphs_of(plain: str) -> str:
    """Text without any markup: its lines are its paragraphs."""
    return "".join(f"<p>{line}</p>" for line in plain.splitlines() if line.strip())


def _remove_footer(body: lxml.html.HtmlElement) -> None:
    """The advertisement is a rule and a block behind it at the very end; elsewhere the same words are an article's."""
    rules = list(body.iter("hr"))
    rule = rules[-1] if rules else None
    block = rule.getnext() if rule is not None else None
    if rule is None or block is None or (rule.tail or "").strip():
        return
    text = short_text(block, MAX_HEADER) or ""
    if not text.startswith(_ADVERTISEMENT) or not _ADVERTISED.search(text) or _has_text_after(block):
        return
    before = rule.getprevious()
    if before is not None and before.tag == "br" and not (before.tail or "").strip():
        before.drop_tree()
    rule.drop_tree()
    block.drop_tree()


def _has_text_after(element: lxml.etree._Element) -> bool:
    for one in (element, *element.iterancestors()):
        if one.tag == "body":
            return False
        if (one.tail or "").strip() or any(short_text(later, 10) != "" for later in one.itersiblings()):
            return True
    return False


def _take_header(body: lxml.html.HtmlElement) -> _Header | None:
    """The first block, when its last line is a date and nothing else; what stands above the date are authors."""
    first = body[0] if len(body) and not (body.text or "").strip() else None
    if first is None or first.tag not in {"div", "p"} or next(first.iter("img"), None) is not None:
        return None
    lines = [line for line in _lines(first) if line]
    if not lines or sum(map(len, lines)) > MAX_HEADER or not is_date_line(lines[-1]):
        return None
    first.drop_tree()
    return _Header(moment(lines[-1]), author_names(lines[:-1]))


def _lines(element: lxml.etree._Element) -> Iterator[str]:
    parts: list[str] = []
    for one in element.iter():
        if one.tag == "br":
            yield clean_line("".join(parts))
            parts = []
        elif one.text:
            parts.append(one.text)
        if one is not element and one.tail:
            parts.append(one.tail)
    yield clean_line("".join(parts))


def _take_lead(body: lxml.html.HtmlElement, base_url: str | None) -> ImageCandidate | None:
    """Bare media at the very top, each with the caption in the <small> behind it: all of them leave the text.

    The first picture is the lead, of a film its poster; a second one is the text's own. Films often come once more as
    sound, with the same caption.
    """
    lead: ImageCandidate | None = None
    while (media := _leading_media(body)) is not None and not (lead and media.tag == "img"):
        caption = _take_caption(media)
        lead = lead or candidate(_shown(media, base_url), base_url, "feed-body", caption=caption)
        media.drop_tree()
    return lead


def _leading_media(body: lxml.html.HtmlElement) -> lxml.html.HtmlElement | None:
    first = body[0] if len(body) and not (body.text or "").strip() else None
    return first if first is not None and first.tag in _MEDIA else None


def _take_caption(media: lxml.html.HtmlElement) -> str | None:
    holder = _caption_behind(media)
    if holder is None:
        return None
    holder.drop_tree()
    return _says(holder)


def _caption_behind(media: lxml.html.HtmlElement) -> lxml.html.HtmlElement | None:
    """The <div> right behind it that holds a <small> and nothing else."""
    holder = media.getnext() if not (media.tail or "").strip() else None
    if holder is None or holder.tag != "div":
        return None
    small = holder.find("small")
    return holder if small is not None and _says(holder) == _says(small) else None


def _make_figures(body: lxml.html.HtmlElement) -> None:
    """Pictures within the text have their captions in the same manner: said in HTML, they are no paragraphs."""
    for image in list(islice(body.iter("img"), MAX_BODY_IMAGES)):
        holder = _caption_behind(image)
        if holder is None:
            continue
        figure = lxml.html.Element("figure")
        image.addprevious(figure)
        figure.tail, holder.tail = holder.tail, None
        figure.extend((image, holder))
        holder.tag = "figcaption"


def _shown(media: lxml.html.HtmlElement, base_url: str | None) -> str | None:
    """What a reader sees before anything plays."""
    source = largest_source(media, base_url) if media.tag == "img" else None
    return source.url if source else media.attrib.get("poster")


def _says(element: lxml.etree._Element) -> str:
    return clean_line("".join(str(part) for part in element.itertext()))


def _pictures(body: lxml.html.HtmlElement, base_url: str | None) -> Iterator[ImageCandidate]:
    for image in islice(body.iter("img"), MAX_BODY_IMAGES):
        source = largest_source(image, base_url)
        if source is None:
            continue
        caption, credit = caption_of(image)
        found = candidate(
            source.url, base_url, "feed-body", caption=caption, credit=credit, width=source.width, height=source.height
        )
        if found:
            yield found
