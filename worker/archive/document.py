"""The readable document, both ways. Pure.

Exactly: ``<!--`` epoch milliseconds ``-->``, LF, ``[title](url)``, LF, ``------``, LF, LF, body on one line, LF.

What is written can be read back. The title is the same but for white space around it, control characters (they go),
and line breaks in it (each, with the white space around it, is a blank); the URL is the same if it is one that may be
requested (in others what no URL may hold, and a ``](``, is percent-encoded); the feed's date is the same to the
millisecond, the article's own to the second. Half a surrogate pair becomes ``?``: no file can hold one.

Neither is escaped for Markdown, which the layout has no room for: a title's ``*`` or a URL's lone parenthesis may look
odd in a viewer, and are what they were for whoever reads the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from html import escape, unescape
from urllib.parse import quote

from worker.errors import QuarantineError
from worker.model import ArticleRecord, Picture
from worker.urls import unwrap_proxy

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RULE = ")\n------\n"
_WINDOWS_RULE = _RULE.replace("\n", "\r\n")
# What JavaScript's \s matches; Python's strip() knows neither all of these nor only these.
_BLANKS = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_COMMENT = re.compile(r"<!--(-?\d{1,16}|NaN)-->\n")
_FRONT_MATTER = re.compile(r"---\n.*?\n---\n+", re.DOTALL)
_DATE_LINE = re.compile(r"日期[：:]([^\n]*)\n")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_HTML_BREAKS = re.compile(r"\r\n?|\n")
_NOT_IN_A_URL = re.compile(r"[^\x21-\x7e]|[<>\"]")
_LINE_ENDS = ("\n", "\r")
_PICTURE = re.compile(r'(<img src=")([^"]*)')
# A line that begins with one of these is HTML to its end for every Markdown viewer; in any other, * and _ are markup.
# Source: CommonMark 0.31 section 4.6, start conditions 1 and 6, as far as articles have such tags.
_BLOCK = re.compile(
    r"<(?:address|article|aside|blockquote|center|details|dd|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|li|main"
    r"|nav|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul)(?:[ \t/>]|\Z)",
    re.IGNORECASE,
)
_NO_DATE = "<div></div>"  # as the layout's first writer left it where it knew none


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A readable document taken apart. ``epoch_ms`` is the feed's date, milliseconds since 1970; None: not stated."""

    epoch_ms: int | None
    title: str
    url: str
    body: str  # HTML

    @property
    def feed_date(self) -> datetime | None:
        """``epoch_ms`` as a moment, UTC; None also for a number that is in no calendar."""
        try:
            return None if self.epoch_ms is None else _EPOCH + self.epoch_ms * _MILLISECOND
        except OverflowError:
            return None


def is_exact(data: bytes, document: Document) -> bool:
    """Are these bytes, read as ``document``, of the layout itself, and not of a variant?"""
    dated = document.epoch_ms is not None and "\n" not in document.title + document.body
    return dated and write_document(document) == data


def write_document(document: Document) -> bytes:
    """The bytes of a document whose parts fit the layout, unchanged; without a date the first line is left out."""
    comment = "" if document.epoch_ms is None else f"<!--{document.epoch_ms}-->\n"
    return f"{comment}[{document.title}]({document.url}{_RULE}\n{document.body}\n".encode("utf-8", "replace")


def read_document(data: bytes) -> Document:
    """Take a document apart: the layout above, and what older writers made of it.

    Accepted besides: ``NaN`` for the date; no comment and ``日期：RFC 822 date`` under the rule (then that is the
    date); front matter before everything; the body in a ``<div>`` on lines of its own; a byte order mark, and line ends
    of Windows throughout. Titles may hold any bracket: the last ``](`` before the rule counts.

    Raises: QuarantineError: ``not-a-document``; ``damaged-document``: it begins with the comment, and the rest is not
        as it was written.
    """
    text = _text_of(data)
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
    epoch_ms = None
    comment = _COMMENT.match(text)
    if comment is not None:
        epoch_ms = None if comment.group(1) == "NaN" else int(comment.group(1))
        text = text[comment.end() :]
    heading, rule, body = text.partition(_RULE)
    title, bracket, url = heading.rpartition("](")
    if not (rule and bracket and title.startswith("[")) or any(end in url for end in _LINE_ENDS):
        reason = "not-a-document" if comment is None else "damaged-document"
        raise QuarantineError(reason, "no [title](url) over a rule at its beginning")
    if comment is not None and body and not body.endswith(("\n", ">")):
        raise QuarantineError("damaged-document", "it is cut: it ends within a line")
    if dated := _DATE_LINE.match(body):
        epoch_ms = _stated(dated.group(1)) if epoch_ms is None else epoch_ms
        body = body[dated.end() :]
    return Document(epoch_ms=epoch_ms, title=title[1:], url=url, body=_unwrapped(body))


def render_document(
    record: ArticleRecord,
    *,
    feed_date: datetime | None,
    discovered_at: datetime,
    url: str,
    picture: Picture | None = None,
    image_proxy: str | None = None,
) -> bytes:
    """The document of a cleaned article: date line and lead picture with caption, as far as known, then the article.

    Markdown viewers show the body as the HTML it is, whatever signs of theirs are in it: it begins with a block. So the
    date's place stays, empty, where a picture would stand first.

    Args:
        feed_date: What the feed said; None: ``discovered_at`` stands in. Both UTC.
        picture: What became of the lead picture; None: what the record names.
        image_proxy: Template of a proxied URL, for every picture; ``{url}`` becomes its own, percent-encoded.
    """
    body: list[str] = []
    if record.published_at is not None:
        body.append(f"<div><i>{format_datetime(record.published_at.astimezone(UTC), usegmt=True)}</i></div>")
    lead = picture or record.image
    if lead is not None:
        body.append(f'<img src="{escape(_proxied(lead.url, image_proxy))}" width="100%">')
        if caption := _caption(lead.caption, lead.credit):
            body.append(f'<div><small style="color: #999;">{escape(caption, quote=False)}</small></div>')
    body.append(_PICTURE.sub(lambda found: _reproxied(found, image_proxy), record.html) if image_proxy else record.html)
    html = _on_one_line("".join(body))
    if html and not _BLOCK.match(html):
        html = _NO_DATE + html
    return _written(record.title or "", url, feed_date or discovered_at, html)


def feed_document(
    entry_html: str, *, title: str, url: str, feed_date: datetime | None, discovered_at: datetime
) -> bytes:
    """The document with the feed's own HTML: its lines stripped and joined, nothing else touched."""
    body = "".join(line.strip(_BLANKS) for line in entry_html.split("\n"))
    return _written(title, url, feed_date or discovered_at, body)


def converted_document(document: Document, *, feed_date: datetime | None, discovered_at: datetime) -> bytes:
    """A document of a variant, written in the layout; a body on several lines keeps its words apart."""
    body = _on_one_line(document.body.strip(_BLANKS))
    return _written(document.title, document.url, feed_date or discovered_at, body)


def _text_of(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = "damaged-document" if _COMMENT.match(data[:32].decode("latin-1")) else "not-a-document"
        raise QuarantineError(reason, "it is not UTF-8") from error
    return text.replace("\r\n", "\n") if _WINDOWS_RULE in text else text


def _written(title: str, url: str, moment: datetime, body: str) -> bytes:
    return write_document(
        Document(
            epoch_ms=(moment - _EPOCH) // _MILLISECOND,
            title=_CONTROLS.sub("", " ".join(line.strip() for line in title.strip(_BLANKS).splitlines())),
            url=_NOT_IN_A_URL.sub(_quoted, url).replace("](", "%5D("),
            body=body,
        )
    )


def _proxied(url: str, template: str | None) -> str:
    return template.replace("{url}", quote(unwrap_proxy(url)[0], safe="/:")) if template else url


def _reproxied(found: re.Match[str], template: str | None) -> str:
    return found[1] + escape(_proxied(unescape(found[2]), template))


def _caption(caption: str | None, credit: str | None) -> str:
    parts = [caption or "", credit if credit and credit not in (caption or "") else ""]
    return " ".join(" ".join(part.split()) for part in parts if part)


def _on_one_line(html: str) -> str:
    """A line break means the same when written as a reference, in <pre> and elsewhere."""
    return _HTML_BREAKS.sub("&#10;", html)


def _quoted(match: re.Match[str]) -> str:
    return quote(match.group().encode("utf-8", "replace"))


def _stated(date: str) -> int | None:
    try:
        moment = parsedate_to_datetime(date.strip())
    except (ValueError, OverflowError):
        return None
    return (moment - _EPOCH) // _MILLISECOND if moment.tzinfo else None


def _unwrapped(body: str) -> str:
    body = body.removeprefix("\n").removesuffix("\n")
    if body.startswith("<div>\n") and body.endswith("\n</div>"):
        return body[len("<div>\n") : -len("\n</div>")]
    return body
