"""What is no article is named; what is one stays one."""

from __future__ import annotations

import pytest

from worker.extract import extract_article

URL = "https://news.example/2024/harbour"
SENTENCE = "The harbour opened again on Tuesday after eleven quiet months of careful work by the crews. "
LONG = "".join(f"<p>Part {number}. {SENTENCE * 3}</p>" for number in range(6))


def reason(*, title: str = "", body: str = "", head: str = "", url: str = URL) -> str | None:
    html = f"<html><head><title>{title}</title>{head}</head><body>{body}</body></html>"
    return extract_article(html.encode(), url).not_article


@pytest.mark.parametrize(
    "title",
    [
        "Page doesn't exist", "Page Doesn’t Exist", "404", "Error 404", "404 - Page not found", "Page not found | Post",
        "Not Found", "Sorry, this page doesn't exist", "The page you requested could not be found", "This article is no longer available",
        "Seite nicht gefunden – Zeitung", "Page introuvable", "Página no encontrada", "Страница не найдена", "页面不存在",
        "找不到该页面 - 新闻网", "您访问的页面不存在", "ページが見つかりません", "페이지를 찾을 수 없습니다",
    ],
)  # fmt: skip
def test_a_soft_404_is_known_by_its_title_whatever_the_status(title: str) -> None:
    assert reason(title=title, body=f"<main><h1>{title}</h1><p>{SENTENCE}</p></main>") == "soft-404"


@pytest.mark.parametrize(
    ("title", "body", "url", "name"),
    [
        ("Just a moment...", "<p>Enable JavaScript and cookies to continue</p>", URL, "challenge"),
        ("Attention Required! | Cloudflare", "<p>You have been blocked.</p>", URL, "challenge"),
        ("news.example", "<p>Please enable JS and disable any ad blocker</p>", URL, "challenge"),
        ("Post", "<p>Please enable cookies to continue reading this site.</p>", URL, "challenge"),
        ("Before you continue", "<p>We use cookies and data.</p><p>Accept all</p><p>Before you continue</p>", URL, "consent-wall"),
        ("Zeitung", "<p>Mit Werbung weiterlesen oder Abo.</p>", "https://news.example/consent/?u=1", "consent-wall"),
        ("Zeitung", "<p>Mit Werbung weiter</p>", "https://consent.news.example/x", "consent-wall"),
        ("Log in", "<form><input name=u><input type=password></form>", URL, "login"),
        ("Post", "<p></p>", URL, "empty"),
        ("Post", "<div id=root></div><script>app()</script>", URL, "empty"),
    ],
)  # fmt: skip
def test_walls_and_shells_are_named(title: str, body: str, url: str, name: str) -> None:
    assert reason(title=title, body=body, url=url) == name


def test_a_video_page_is_named() -> None:
    head = '<meta property="og:type" content="video.other">'
    assert reason(title="Harbour from above", head=head, body=f"<p>{SENTENCE}</p>") == "video"


@pytest.mark.parametrize(
    ("url", "head"),
    [
        ("https://news.example/", '<meta property="og:type" content="website">'),
        ("https://news.example/tag/x", '<script type="application/ld+json">{"@type":"CollectionPage"}</script>'),
    ],
    ids=["a front page", "a collection"],
)  # fmt: skip
def test_an_index_page_is_named(url: str, head: str) -> None:
    assert reason(title="Post", head=head, body=f"<p>{SENTENCE * 2}</p>", url=url) == "index"


@pytest.mark.parametrize(
    ("title", "body", "head"),
    [
        ("Page not found: the lost diaries of Ada Lind", f"<article><p>{SENTENCE * 2}</p></article>", ""),
        ("Access denied for ships at the harbour", f"<article><p>{SENTENCE * 2}</p></article>", ""),
        ("Harbour opens", f"<article><p>{SENTENCE}</p></article>", ""),
        ("Not Found", f"<article>{LONG}</article>", ""),
        ("Why sites ask to accept all", f"<article><p>{SENTENCE}They ask us to accept all.</p></article>", ""),
        ("Harbour", "<article><p>It is open.</p></article>", '<script type="application/ld+json">{"@type":"NewsArticle"}</script>'),
    ],
    ids=["phrase in a title", "another phrase", "one sentence", "a book called so", "phrase in a text", "four words, declared"],
)  # fmt: skip
def test_a_real_article_is_never_lost_for_a_phrase(title: str, body: str, head: str) -> None:
    assert reason(title=title, body=body, head=head) is None


def test_confidence_grows_with_evidence() -> None:
    bare = extract_article(f"<article><p>{SENTENCE}</p></article>".encode(), URL).extraction.confidence
    head = '<script type="application/ld+json">{"@type":"NewsArticle","headline":"H","datePublished":"2024-05-02T08:30:00Z"}</script>'
    full = extract_article(
        f"{head}<article>{f'<p>{SENTENCE * 3}</p>' * 9}</article>".encode(), URL
    ).extraction.confidence
    assert 0 < bare < full <= 1
