"""Blocks, and the three ways they are written."""

from __future__ import annotations

import lxml.html
import pytest

from worker.extract.blocks import read_blocks
from worker.extract.render import to_html, to_markdown, to_text

BASE = "https://news.example/a/b.html"


def written(html: str) -> tuple[str, str, str]:
    blocks = read_blocks(lxml.html.document_fromstring(f"<body>{html}</body>"), BASE)
    return to_text(blocks), to_html(blocks), to_markdown(blocks)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<p>a<br><br>b<br>\n<br> c</p>", "a\n\nb\n\nc"),
        ("<p>a<br>b</p>", "a\nb"),
        ("<div>a<p>b</p>c</div>", "a\n\nb\n\nc"),
        ("<h2>head</h2><p>a</p>", "head\n\na"),
        ("<ul><li>a</li><li>b</li></ul><p>c</p>", "a\nb\n\nc"),
        ("<ul><li>a<ul><li>b</li></ul></li></ul>", "a\nb"),
        ("<p>  a \n <b> b</b>  c\xa0d </p>", "a b c d"),
        ("<p>a</p><p> </p><p>\xa0</p><p>b</p>", "a\n\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a | b\nc | d"),
        ("<table><tr><td><p>a</p><p>b</p></td></tr></table>", "a\n\nb"),
        ("<figure><img src='x.jpg'><figcaption>cap</figcaption></figure><p>a</p>", "a"),
        ("<p>a</p><script>x</script><style>y</style><p hidden>h</p><p style='display: none'>i</p>", "a"),
        ("<p>a\x01b\x07c</p>", "a b c"),
    ],
    ids=[
        "paragraphs", "two line breaks part", "one line break stays", "bare text", "headings", "items", "nested items",
        "blanks", "spacers", "data table", "layout table", "captions are no text", "hidden", "control characters",
    ],
)  # fmt: skip
def test_plain_text(html: str, text: str) -> None:
    assert written(html)[0] == text


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ("<p>a <a href='/c?x=1&y=2'>b</a></p>", '<p>a <a href="https://news.example/c?x=1&amp;y=2">b</a></p>'),
        ("<p>a <a href='javascript:alert(1)'>b</a></p>", "<p>a b</p>"),
        ("<p onclick='x()'>a <b onmouseover=x>b</b></p>", "<p>a <strong>b</strong></p>"),
        ("<p>a</p><svg onload=x()><p>b</p></svg>", "<p>a</p>"),
        ("<p>a</p><iframe src='https://x.example'></iframe>", "<p>a</p>"),
        ("<img src='data:image/png;base64,xx'><p>a</p>", "<p>a</p>"),
        ("<p>1 &lt; 2 &amp; &lt;script&gt;</p>", "<p>1 &lt; 2 &amp; &lt;script&gt;</p>"),
        ("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "<blockquote><p>a</p><p>b</p></blockquote>"),
        ("<p>a<br>b<br><br>c</p>", "<p>a<br>b</p><p>c</p>"),
        ("<a href='/a/1.html'></a><p>a</p>", "<p>a</p>"),
        (
            "<figure><img data-src='/i.jpg' src='data:,' alt='A \"b\"'><figcaption>cap</figcaption></figure>",
            '<figure><img src="https://news.example/i.jpg" alt="A &quot;b&quot;"><figcaption>cap</figcaption></figure>',
        ),
        (
            "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
            "",
        ),
    ],
    ids=[
        "links are absolute", "no script links", "no handlers", "no svg", "no frames", "no data pictures", "escapes",
        "nested lists", "quotes", "line breaks", "empty links", "pictures", "mutation attack",
    ],
)  # fmt: skip
def test_clean_html(html: str, clean: str) -> None:
    assert written(html)[1] == clean


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h2>a</h2><p>b <b>c</b> <i>d</i></p>", "## a\n\nb **c** *d*"),
        ("<p>a <a href='/c(1)'>b</a></p>", "a [b](https://news.example/c%281%29)"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("<ol><li>a</li><li>b<ul><li>c</li></ul></li></ol>", "1. a\n2. b\n   - c"),
        ("<blockquote><p>a</p><p>b</p></blockquote><p>c</p>", "> a\n>\n> b\n\nc"),
        ("<p>1. a * b_c [d] &lt;e&gt;</p><p># f</p>", "1\\. a \\* b\\_c \\[d\\] \\<e\\>\n\n\\# f"),
        ("<pre>a\n  ```b</pre>", "````\na\n  ```b\n````"),
        ("<p>a<br>b</p>", "a\\\nb"),
    ],
    ids=["heading and marks", "link", "list", "ordered list", "quote", "escapes", "fence", "line break"],
)
def test_markdown(html: str, markdown: str) -> None:
    assert written(html)[2] == markdown
