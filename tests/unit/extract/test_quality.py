"""What is no article is named; what is one stays one."""

from __future__ import annotations

import time

import pytest

from worker.extract import extract_article
from worker.extract.document import Document, read_document
from worker.extract.metadata import Metadata, read_metadata
from worker.extract.quality import confidence_of, not_article_reason

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
        "找不到该页面 - 新闻网", "您访问的页面不存在", "ページが見つかりません", "페이지를 찾을 수 없습니다", "Error 404 (Not Found)!!1",
        "Erreur 404 - Page introuvable", "404 | Not found", "Diese Seite wurde leider nicht gefunden", "Stránka nenalezena",
        "Sidan kunde inte hittas", "صفحه مورد نظر یافت نشد", "העמוד המבוקש לא נמצא", "Η σελίδα δεν βρέθηκε", "Không tìm thấy trang",
        "Halaman tidak ditemukan", "पेज नहीं मिला", "We couldn't find that page", "No encontramos la página",
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
        ("Making sure you're not a bot!", "<p>You are seeing this because the site has set up protection.</p>", URL, "challenge"),
        ("Post", "<script>window._cf_chl_opt={}</script><p>One line.</p>", URL, "challenge"),
        ("403 Forbidden", "<h1>403 Forbidden</h1><hr>nginx", URL, "challenge"),
        ("百度安全验证", "<p>网络不给力，请稍后重试</p>", URL, "challenge"),
        ("502 Bad Gateway", "<h1>502 Bad Gateway</h1>", URL, "error-page"),
        ("Down for maintenance | Post", "<p>Please come back in an hour.</p>", URL, "error-page"),
        ("Before you continue", "<p>We use cookies and data.</p><p>Accept all</p><p>Before you continue</p>", URL, "consent-wall"),
        ("Zeitung", "<p>Mit Werbung weiterlesen oder Abo.</p>", "https://news.example/consent/?u=1", "consent-wall"),
        ("Zeitung", "<p>Mit Werbung weiter</p>", "https://consent.news.example/x", "consent-wall"),
        ("Krant", "<p>Alles accepteren</p><p>Cookies toestaan</p>", "https://myprivacy.krant.example/consent?x", "consent-wall"),
        ("Post Privacy Gate", "<p>Welcome.</p>", URL, "consent-wall"),
        ("Journal", "<p>Continuer sans accepter.</p><p>Tout accepter</p>", URL, "consent-wall"),
        ("Log in", "<form><input name=u><input type=password></form>", URL, "login"),
        ("Sign in to your account - Post", "<form>Your address <input type=email></form>", URL, "login"),
        ("Post", "<p>Welcome back.</p><input type=email>", "https://news.example/users/sign_in", "login"),
        ("Post", ("<p>451: Unavailable due to legal reasons</p><p>We recognize you are attempting to access this website from a country"
         " belonging to the European Economic Area, and therefore access cannot be granted at this time.</p>"), URL, "geo-blocked"),
        ("Post", "<p>Sorry, this content is not available in your region.</p>", URL, "geo-blocked"),
        ("Zeitung", "<p>Dieser Inhalt ist in Ihrem Land leider nicht verfügbar.</p>", URL, "geo-blocked"),
        ("Spirits", "<p>Are you 21 or older?</p><p>Yes</p><p>No</p>", URL, "age-gate"),
        ("Post", "<p>Subscribe to continue reading.</p><p>Already a subscriber? Log in</p>", URL, "paywall"),
        ("报纸", "<p>登录后阅读全文</p>", URL, "paywall"),
        ("Post", "<p>You need to enable JavaScript to run this app.</p>", URL, "needs-script"),
        ("Post", "<noscript>You need to enable JavaScript to run this app.</noscript><div id=x></div>", URL, "needs-script"),
        ("Post", "<div id=root></div><script>app()</script>", URL, "needs-script"),
        ("Post", "<div id=__next><div class=spinner>Loading…</div></div><script>app()</script>", URL, "needs-script"),
        ("Post", "<p>There is nothing here any more.</p>", "https://news.example/errors/404.html", "soft-404"),
        ("Post", "<p></p>", URL, "empty"),
    ],
)  # fmt: skip
def test_walls_and_shells_are_named(title: str, body: str, url: str, name: str) -> None:
    assert reason(title=title, body=body, url=url) == name


def test_a_page_that_says_it_does_not_exist_above_a_list_of_others_is_none() -> None:
    assert reason(title="Page not found - Post", body=f"<main><h1>Page not found</h1>{LONG}</main>") == "soft-404"


def test_a_declared_article_behind_a_paywall_without_a_teaser_is_named() -> None:
    head = '<script type="application/ld+json">{"@type":"NewsArticle","headline":"Harbour","isAccessibleForFree":false}</script>'
    assert reason(title="Harbour", head=head) == "paywall"


def test_a_video_page_is_named() -> None:
    head = '<meta property="og:type" content="video.other">'
    assert reason(title="Harbour from above", head=head, body=f"<p>{SENTENCE}</p>") == "video"


@pytest.mark.parametrize(
    ("url", "head"),
    [
        ("https://news.example/", '<meta property="og:type" content="website">'),
        ("https://news.example/tag/x", '<script type="application/ld+json">{"@type":"CollectionPage"}</script>'),
        ("https://news.example/tags/harbours-and-ships/", ""),
        ("https://news.example/author/ada-lind", ""),
        ("https://news.example/?s=harbour", ""),
        ("https://news.example/search?q=harbour", ""),
    ],
    ids=["a front page", "a collection", "a tag", "an author", "a blog's search", "a search"],
)  # fmt: skip
def test_an_index_page_is_named(url: str, head: str) -> None:
    assert (
        reason(
            title="Search results for harbour" if "=" in url else "Post",
            head=head,
            body=f"<p>{SENTENCE * 2}</p>",
            url=url,
        )
        == "index"
    )


@pytest.mark.parametrize(
    ("title", "body", "head"),
    [
        ("Page not found: the lost diaries of Ada Lind", f"<article><p>{SENTENCE * 2}</p></article>", ""),
        ("Access denied for ships at the harbour", f"<article><p>{SENTENCE * 2}</p></article>", ""),
        ("Harbour opens", f"<article><p>{SENTENCE}</p></article>", ""),
        ("Not Found", f"<article>{LONG}</article>", ""),
        ("Why sites ask to accept all", f"<article><p>{SENTENCE}They ask us to accept all.</p></article>", ""),
        ("Harbour", "<article><p>It is open.</p></article>", '<script type="application/ld+json">{"@type":"NewsArticle"}</script>'),
        ("404", f"<article><p>The film of this name opens tonight. {SENTENCE * 8}</p></article>", ""),
        ("Series", f"<article><p>{SENTENCE}The series is not available in your region yet, it said.</p></article>", ""),
        ("Vaccine", "<article><p>The vaccine is not available in the country, officials said on Tuesday after a long meeting.</p></article>", ""),
        ("Law", "<article><p>Drivers must be at least 21 under the law that parliament passed on Tuesday evening.</p></article>", ""),
        ("Finland", "<article><p>Finland, already a member of the union, will join the new body as well in spring.</p></article>", ""),
        ("Club", "<article><p>The members-only club at the old harbour closed on Tuesday after eleven quiet years.</p></article>", ""),
        ("Toolkit", "<article><p>The new version of the toolkit needs no JavaScript, its makers said on Tuesday in Lindholm.</p></article>", ""),
        ("Forbidden", f"<article>{'<p></p>' * 200}<p>{SENTENCE * 2}</p></article>", ""),
        ("Consent", f"<article><p>A novel of this name came out. {SENTENCE}</p></article>", ""),
        ("Log in", f"<article><p>A play of this name opens tonight. {SENTENCE}</p></article>", ""),
        ("Ferry", f"<article><p>{SENTENCE * 2}</p></article><script src='/_Incapsula_Resource?x'></script>{'<i></i>' * 200}", ""),
        ("Ferry", f"<p>{SENTENCE * 2}</p><script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script>", ""),
    ],
    ids=["phrase in a title", "another phrase", "one sentence", "a book called so", "phrase in a text", "four words, declared",
         "a film called so", "region", "a country", "an age", "a member", "a club", "a script", "a word on a full page", "a novel",
         "a play", "a provider's script", "another provider's script"],
)  # fmt: skip
def test_a_real_article_is_never_lost_for_a_phrase(title: str, body: str, head: str) -> None:
    assert reason(title=title, body=body, head=head) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://news.example/topics/harbour-opens-after-eleven-months", "https://news.example/topics/123456",
        "https://news.example/archives/1234", "https://news.example/search-for-the-lost-ship", "https://news.example/a?q=1",
        "https://news.example/login-trouble-at-the-bank",
    ],
)  # fmt: skip
def test_an_address_alone_makes_no_list(url: str) -> None:
    assert reason(title="Harbour opens", body=f"<article><p>{SENTENCE * 2}</p></article>", url=url) is None


def test_a_live_ticker_is_an_article() -> None:
    head = '<script type="application/ld+json">{"@type":"LiveBlogPosting","headline":"Harbour"}</script>'
    ticker = "".join(f"<article><time>10:0{number}</time><p>{number}. {SENTENCE}</p></article>" for number in range(8))
    assert reason(title="Harbour, live", head=head, body=ticker) is None


@pytest.mark.parametrize(
    "unit", ["accept all ", "enable javascript. ", "not available in your ", "page you ", "x" * 50, "we use "]
)
def test_looking_for_walls_is_linear(unit: str) -> None:
    document = read_document(f"<title>{unit * 20_000}</title><p>{unit * (3_000_000 // len(unit))}".encode(), URL, None)
    assert isinstance(document, Document)
    metadata = read_metadata(document, None)
    text = unit * (3_000_000 // len(unit))
    began = time.process_time()
    not_article_reason(document, metadata, text=text, words=50)
    not_article_reason(document, metadata, text="", words=0)
    assert time.process_time() - began < 0.3


def test_confidence_grows_with_evidence() -> None:
    bare = extract_article(f"<article><p>{SENTENCE}</p></article>".encode(), URL).extraction.confidence
    head = '<script type="application/ld+json">{"@type":"NewsArticle","headline":"H","datePublished":"2024-05-02T08:30:00Z"}</script>'
    full = extract_article(
        f"{head}<article>{''.join(f'<p>{number}. {SENTENCE * 3}</p>' for number in range(9))}</article>".encode(), URL
    ).extraction.confidence
    assert 0 < bare < full <= 1


def confidence(sureness: float | None, *, words: int = 400, warnings: int = 0) -> float:
    metadata = Metadata(title="Harbour", is_declared_article=True)
    return confidence_of(metadata, words=words, is_feed=False, published=True, warnings=warnings, sureness=sureness)


def test_confidence_follows_what_the_leaves_promise() -> None:
    promised = [confidence(step / 100) for step in range(101)]
    assert promised == sorted(promised)
    assert promised[0] == 0
    assert promised[90] < 0.7
    assert promised[98] >= 0.9
    assert promised[100] <= 1


def test_a_short_text_and_warnings_cost_confidence() -> None:
    assert confidence(0.99, words=30) < confidence(0.99, words=100) < confidence(0.99)
    assert confidence(None, words=30) < confidence(None, words=100) < confidence(None)
    assert confidence(0.99, warnings=2) < confidence(0.99, warnings=1) < confidence(0.99)
    assert confidence(0.99, words=0) == 0
