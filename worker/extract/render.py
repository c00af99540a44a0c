"""Blocks -> plain text, clean HTML and Markdown. The three agree, because all are written from the same blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from itertools import groupby

import nh3

from worker.extract.blocks import Block, Run
from worker.extract.leaves import Kind

_ALLOWED_TAGS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "strong", "em", "a",
    "br", "img", "figure", "figcaption", "table", "tr", "td",
}  # fmt: skip
_ALLOWED_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt", "width", "height"}}
# What nh3 is shown instead of these: its time grows with the square of their number, a million "&amp;" in one paragraph
# cost 10 s. No tree holds the stand-ins (see ``parse_html``).
_STAND_INS = (("&amp;", "\ufffe"), ("&nbsp;", "\uffff"))

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>])")
_MARKDOWN_LINE_START = re.compile(r"^(\s*)(#{1,6}(?=\s)|[-+](?=\s)|\d{1,9}[.)](?=\s)|={3,}|-{3,})", re.MULTILINE)


# ---------------------------------------------------------------- text


def to_text(blocks: Iterable[Block]) -> str:
    """Paragraphs separated by one blank line; items of a list and rows of a table on lines of their own.

    Pictures and their captions are no text.
    """
    pieces: list[str] = []
    previous: Kind | None = None
    for block in blocks:
        if block.kind == "figure":
            continue
        if pieces:
            pieces.append("\n" if block.kind == previous and block.kind in {"item", "row"} else "\n\n")
        pieces.append(_row_text(block) if block.kind == "row" else block.text)
        previous = block.kind
    return "".join(pieces)


def _row_text(block: Block) -> str:
    return " | ".join(cell.strip() for cell in block.text.split("\t") if cell.strip())


def paragraph_count(blocks: Iterable[Block]) -> int:
    return sum(1 for block in blocks if block.kind == "paragraph")


# ---------------------------------------------------------------- HTML


def to_html(blocks: Sequence[Block]) -> str:
    """The blocks as HTML on one line: allow-listed tags and attributes, http(s) links, no script, style or handler.

    Written with everything escaped, and passed through nh3 besides: no mistake here may reach a reader's browser.
    """
    written = "".join(
        f"<blockquote>{_html_of(list(group))}</blockquote>" if quoted else _html_of(list(group))
        for quoted, group in groupby(blocks, key=lambda block: block.quoted)
    )
    for reference, stand_in in _STAND_INS:
        written = written.replace(reference, stand_in)
    cleaned = nh3.clean(
        written, tags=_ALLOWED_TAGS, attributes=_ALLOWED_ATTRIBUTES, url_schemes={"http", "https"}, link_rel=None
    )
    for reference, stand_in in _STAND_INS:
        cleaned = cleaned.replace(stand_in, reference)
    return cleaned


def _html_of(blocks: list[Block]) -> str:
    pieces: list[str] = []
    for kind, group in groupby(blocks, key=lambda block: block.kind):
        if kind == "item":
            pieces.append(_html_lists(list(group)))
        elif kind == "row":
            pieces.append("<table>" + "".join(_html_row(block) for block in group) + "</table>")
        else:
            pieces.extend(_html_block(block) for block in group)
    return "".join(pieces)


def _html_block(block: Block) -> str:
    if block.kind == "figure":
        caption = f"<figcaption>{_html_runs(block.runs)}</figcaption>" if block.runs else ""
        alt = f' alt="{escape(block.image_alt)}"' if block.image_alt else ""
        return f'<figure><img src="{escape(block.image_url or "")}"{alt}>{caption}</figure>'
    if block.kind == "preformatted":
        code = escape(block.text, quote=False).replace("\xa0", "&nbsp;")
        return f"<pre>{code}</pre>"
    tag = f"h{block.level}" if block.kind == "heading" else "p"
    return f"<{tag}>{_html_runs(block.runs)}</{tag}>"


def _html_lists(items: list[Block]) -> str:
    pieces: list[str] = []
    open_tags: list[str] = []
    for item in items:
        depth = max(1, min(item.level, len(open_tags) + 1))
        while len(open_tags) > depth:
            pieces.append(f"</li></{open_tags.pop()}>")
        if len(open_tags) == depth:
            pieces.append("</li>")
        else:
            open_tags.append("ul" if item.number is None else "ol")
            pieces.append(f"<{open_tags[-1]}>")
        pieces.append(f"<li>{_html_runs(item.runs)}")
    pieces.extend(f"</li></{tag}>" for tag in reversed(open_tags))
    return "".join(pieces)


def _html_row(block: Block) -> str:
    return "<tr>" + "".join(f"<td>{_html_runs(cell)}</td>" for cell in _cells(block)) + "</tr>"


def _cells(block: Block) -> list[tuple[Run, ...]]:
    cells: list[list[Run]] = [[]]
    for run in block.runs:
        for index, text in enumerate(run.text.split("\t")):
            if index:
                cells.append([])
            if text.strip():
                cells[-1].append(replace(run, text=text))
    return [tuple(cell) for cell in cells if cell]


def _html_runs(runs: Iterable[Run]) -> str:
    return "".join(_html_run(run) for run in runs)


def _html_run(run: Run) -> str:
    written = escape(run.text, quote=False).replace("\n", "<br>")
    for mark in sorted(run.marks):
        written = f"<{mark}>{written}</{mark}>"
    return f'<a href="{escape(run.href)}">{written}</a>' if run.href and run.text.strip() else written


# ---------------------------------------------------------------- Markdown


def to_markdown(blocks: Sequence[Block]) -> str:
    """The blocks as CommonMark; table rows as plain lines, since CommonMark has no tables."""
    pieces: list[str] = []
    previous: Block | None = None
    for block in blocks:
        if previous is not None:
            tight = block.kind == previous.kind and block.kind in {"item", "row"} and block.quoted == previous.quoted
            blank = ">\n" if block.quoted and previous.quoted else "\n"
            pieces.append("\n" if tight else f"\n{blank}")
        written = _markdown_block(block)
        pieces.append("\n".join(f"> {line}" for line in written.split("\n")) if block.quoted else written)
        previous = block
    return "".join(pieces)


def _markdown_block(block: Block) -> str:
    if block.kind == "figure":
        caption = f"\n*{_markdown_text(' '.join(block.text.split()))}*" if block.runs else ""
        return f"![{_markdown_text(block.image_alt)}]({_markdown_url(block.image_url or '')}){caption}"
    if block.kind == "preformatted":
        fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall(r"`+", block.text)), default=0))
        return f"{fence}\n{block.text}\n{fence}"
    if block.kind == "heading":
        return f"{'#' * block.level} " + _markdown_runs(block.runs).replace("\\\n", " ")
    if block.kind == "item":
        bullet = "-" if block.number is None else f"{block.number}."
        indent = "   " * (block.level - 1)
        return f"{indent}{bullet} " + _markdown_runs(block.runs).replace("\n", f"\n{indent}   ")
    if block.kind == "row":
        return " | ".join(_markdown_runs(cell).replace("\\\n", " ") for cell in _cells(block)) + "  "
    return _MARKDOWN_LINE_START.sub(_escaped_line_start, _markdown_runs(block.runs))


def _escaped_line_start(match: re.Match[str]) -> str:
    blanks, sign = match.groups()
    return f"{blanks}{sign[:-1]}\\{sign[-1]}" if sign[0].isdigit() else f"{blanks}\\{sign}"


def _markdown_runs(runs: Iterable[Run]) -> str:
    return "".join(_markdown_run(run) for run in runs)


def _markdown_run(run: Run) -> str:
    core = run.text.strip()
    if not core:
        return run.text.replace("\n", "\\\n")
    before, after = run.text[: run.text.index(core)], run.text[run.text.index(core) + len(core) :]
    written = f"`{core}`" if "code" in run.marks and "`" not in core else _markdown_text(core)
    if "em" in run.marks:
        written = f"*{written}*"
    if "strong" in run.marks:
        written = f"**{written}**"
    if run.href:
        written = f"[{written}]({_markdown_url(run.href)})"
    return f"{before}{written}{after}".replace("\n", "\\\n")


def _markdown_text(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", text)


def _markdown_url(url: str) -> str:
    return url.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E").replace(" ", "%20")
