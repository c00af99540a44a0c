"""Who wrote it, when page, editing system and readers' view disagree."""

from __future__ import annotations

import json
import time

import pytest

from worker.extract.document import Document, read_document
from worker.extract.leaves import read_leaves
from worker.extract.metadata import read_metadata

URL = "https://www.news.example/2024/harbour"


def authors(head: str = "", body: str = "", *, author: object = None) -> tuple[str, ...]:
    if author is not None:
        node = {"@type": "NewsArticle", "headline": "Harbour opens", "author": author}
        head += f'<script type="application/ld+json">{json.dumps(node)}</script>'
    html = f"<html><head>{head}<meta property='og:site_name' content='Harbour Post'></head><body>{body}</body></html>"
    document = read_document(html.encode(), URL, None)
    assert isinstance(document, Document)
    return read_metadata(document, None).authors


TITLE = "<h1>Harbour opens</h1>"


@pytest.mark.parametrize(
    ("author", "names"),
    [
        ("Ada Lind", ("Ada Lind",)),
        ([{"@type": "Person", "name": "Ada Lind"}, {"@type": "Person", "name": "Bo Ek"}], ("Ada Lind", "Bo Ek")),
        ({"@type": "Person", "givenName": "Ada", "familyName": "Lind"}, ("Ada Lind",)),
        ([{"@type": "Organization", "name": "dpa"}, {"@type": "Person", "name": "Ada Lind"}], ("Ada Lind",)),
        ({"@type": "Organization", "name": "Lind & Ek"}, ("Lind & Ek",)),
        ({"@type": "Person", "name": "Harbour Post"}, ("Harbour Post",)),
        ({"@type": "Person", "name": {"name": ["Ada Lind"]}}, ("Ada Lind",)),
        ([5, None, {"name": 7}, []], ()),
    ],
    ids=["string", "several", "two parts", "person before agency", "company", "only the site", "nested", "nonsense"],
)
def test_jsonld_names_the_authors(author: object, names: tuple[str, ...]) -> None:
    assert authors(author=author) == names


@pytest.mark.parametrize(
    "byline",
    [
        "<p>By Ada Lind</p>",
        "<p>Von Ada Lind | 3. Mai 2024</p>",
        "<div>Written by</div><div>Ada Lind</div>",
        '<div class="byline"><a href="/author/ada">Ada Lind</a>, May 3, 2024</div>',
        '<p>In Ferries, <a href="/authors/ada-lind/">Ada Lind</a> · 5 min read</p>',
        '<p><span class="author-name">Ada Lind</span> <time>May 3</time></p>',
        "<p>Ada Lind</p><p>May 3, 2024</p>",
        '<span itemprop="author"><b itemprop="name">Ada Lind</b></span>',
        '<a rel="author" href="/x">Ada Lind</a>',
        "<p>Medically reviewed by Bo Ek</p><p>By Ada Lind</p>",
        "<p>Photo by Bo Ek</p><p>By Ada Lind</p>",
    ],
)  # fmt: skip
def test_a_byline_is_read_as_readers_see_it(byline: str) -> None:
    assert authors(body=f"{TITLE}{byline}<p>{'Words of the harbour. ' * 30}</p>") == ("Ada Lind",)


def test_a_person_in_the_byline_goes_before_the_organisation_that_published() -> None:
    body = f"{TITLE}<p>By Ada Lind</p>"
    assert authors(body=body, author={"@type": "Organization", "name": "Harbour Post"}) == ("Ada Lind",)


def test_a_person_in_the_byline_goes_before_a_user_of_the_editing_system() -> None:
    assert authors(body=f"{TITLE}<p>By Ada Lind</p>", author={"name": "KatieS"}) == ("Ada Lind",)


def test_a_declared_person_is_believed() -> None:
    assert authors(body=f"{TITLE}<p>By Bo Ek</p>", author={"@type": "Person", "name": "Ada Lind"}) == ("Ada Lind",)


def test_authors_of_comments_are_not_the_article_s() -> None:
    comment = '<div><p>Nice.</p><div><a rel="author" href="/u/{0}">{0}</a></div></div>'
    body = f'{TITLE}<div><a rel="author" href="/ada">Ada Lind</a></div>{comment.format("Bo Ek")}'
    assert authors(body=body) == ("Ada Lind",)


def test_a_title_in_two_parts_is_no_name() -> None:
    assert authors(body=f"{TITLE}<p>Table Of Contents</p><p>{'Words. ' * 30}</p>") == ()


@pytest.mark.parametrize(
    "body",
    [
        '<div class="author">By Ada Lind and <a href="/author/bo">Bo Ek</a></div>' * 8_000,
        f'<p class="{"author " * 40}">By Ada Lind{", x" * 70}</p>' * 8_000,
        f'<p class="author">By {"a@b " * 60}</p>' * 8_000,
        f'<p class="{"-by" * 500_000}">By Ada Lind</p>' * 2,
    ],
    ids=["bylines", "long lines", "addresses", "long names of classes"],
)
def test_thousands_of_bylines_cost_little(body: str) -> None:
    document = read_document(f"<html><body>{body}</body></html>".encode(), URL, None)
    assert isinstance(document, Document)
    leaves = read_leaves(document.root)
    began = time.process_time()
    read_metadata(document, None, leaves)
    assert time.process_time() - began < 1


def test_thousands_of_declared_authors_cost_little() -> None:
    began = time.process_time()
    assert len(authors(author=[{"name": f"Ada Lind{number}"} for number in range(30_000)])) <= 100
    assert time.process_time() - began < 1
