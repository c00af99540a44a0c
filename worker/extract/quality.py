"""Is what was read an article at all, and how sure are we of it?

Conservative by rule: a real article is never lost for a phrase in it. Each reason needs a page that says it of itself
(title, type, form) and has next to no text.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from worker.extract.document import Document
from worker.extract.metadata import Metadata

FEW_WORDS = 120  # an error page, a wall or a form may say this much
VERY_FEW_WORDS = 10
LONG_WORDS = 150  # from here on length is no doubt any more

_SITE_SUFFIX = re.compile(r"\s+[|\-–—·•:»]{1,2}\s+.*$|\s*[|｜_].*$")


def _either(*forms: str) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(forms)})", re.IGNORECASE)


# These match whole titles, less the site's name: "Page not found: the lost diaries of …" is an article.
_SOFT_404 = _either(
    r"(?:error\s*)?404(?:\s*[-:–]?\s*(?:error|not found|page not found))?[.!]*",
    r"(?:(?:sorry|oops|uh oh|whoops)[,!.…]*\s*)?(?:(?:the|this|that)\s)?(?:requested\s)?"
    r"(?:page|article|story|content|url)\s(?:you\S*\s.{0,40}\s)?"
    r"(?:does(?:n['’]t| not) exist|cannot be found|no longer exists"
    r"|has been (?:removed|deleted)|(?:was |is |could |can)?\s?(?:not|n['’]t)(?: be)? (?:found|available)"
    r"|unavailable|is no longer available)[.!]*",
    r"(?:page|article|story|content|file) (?:not found|missing|unavailable)[.!]*",
    r"(?:not found|nothing (?:was )?found)[.!]*",
    r"(?:die )?seite (?:wurde )?nicht (?:gefunden|verfügbar)[.!]*",
    r"(?:page|article) (?:introuvable|non trouvée?)|cette page n['’]existe (?:pas|plus)[.!]*",
    r"página no encontrada|la página no existe|pagina non trovata|página não encontrada",
    r"pagina niet gevonden|sidan hittades inte|siden (?:ble |blev )?ikke funnet|siden findes ikke",
    r"страница не найдена|сторінку не знайдено|nie znaleziono strony|sayfa bulunamadı|الصفحة غير موجودة",
    r"(?:您(?:访问|请求|查找|要查看)的)?(?:页面|網頁|网页|頁面|文章|内容)(?:不存在|未找到|找不到|已(?:被)?删除|已刪除)",
    r"找不到(?:该|您(?:要|访问|请求)的)?(?:页面|網頁|网页|頁面)",
    r"お探しのページ.{0,20}|ページが見つかりません(?:でした)?|페이지를 찾을 수 없습니다",
)
_CHALLENGE_TITLE = _either(
    r"just a moment[.…]*|attention required!?|access denied[.!]*|one more step|ddos-guard",
    r"(?:robot|security) check",
    r"verif(?:y|ying) you are (?:a )?human[.…]*|are you a (?:robot|human)\??|(?:human|bot) verification",
    r"please (?:wait|verify|enable (?:js|javascript|cookies))[.…]*",
    r"checking your browser.*|pardon our interruption[.…]*",
    r"请稍候[.…]*|安全验证|人机验证",
)
_CHALLENGE_MARKS = re.compile(
    r"_cf_chl_opt|/cdn-cgi/challenge-platform/|cf-browser-verification|captcha-delivery\.com|px-captcha"
    r"|_Incapsula_Resource|awsWafCookieDomainList|id=\"challenge-form\""
)
_SCRIPT_WANTED = _either(
    r"(?:enable|activate|turn on|requires?) (?:javascript|js|cookies)",
    r"javascript (?:is )?(?:disabled|required|must be enabled)",
    r"启用\s?javascript|bitte aktivieren sie javascript|activer javascript",
)
_CONSENT_HOST = re.compile(r"^(?:consent|guce|cmp|privacy-?mgmt|zustimmung)\.|\.privacy-mgmt\.com$")
_CONSENT_PATH = _either(r"/(?:consent|cookie-?wall|zustimmung|purabo|privacywall|collectconsent)(?:[/?.]|$)")
_CONSENT_WORDS = _either(
    r"we (?:and our .{0,40}partners )?(?:use|store|value) .{0,80}(?:cookies|privacy)|before you continue|accept all",
    r"cookie (?:consent|settings|preferences)|alle akzeptieren|akzeptieren und weiter|mit werbung (?:weiter|lesen)",
    r"tout accepter|continuer sans accepter|aceptar todo|rechazar todo|accetta tutto|alles accepteren",
    r"接受所有|同意并继续",
)
_LOGIN_TITLE = _either(
    r"(?:please )?(?:log ?in|sign ?in|log ?on|register)(?: (?:to|to continue|or register|or sign up).{0,40})?",
    r"anmelden|anmeldung|einloggen|connexion|se connecter|iniciar sesión|accedi|登录|登入|ログイン",
)
_INDEX_TYPES = frozenset(("collectionpage", "searchresultspage", "profilepage"))
_VIDEO_TYPES = frozenset(("videoobject", "video.other", "video.movie", "video.episode", "video"))


def not_article_reason(document: Document, metadata: Metadata, *, text: str, words: int) -> str | None:
    """Why the page is no article: soft-404, challenge, consent-wall, login, video, index, empty; None when it is one.

    Further reasons are given where they arise: those of ``read_document``, and ``failed`` by ``extract_article``.

    Args:
        document: The page.
        metadata: What it said about itself.
        text: What was extracted.
        words: Of that text.
    """
    if words < FEW_WORDS:
        reason = _wall(document, metadata, text)
        if reason:
            return reason
    if _is_video(metadata, words):
        return "video"
    if _is_index(document, metadata, words):
        return "index"
    if words == 0 or (words < VERY_FEW_WORDS and not metadata.is_declared_article):
        return "empty"
    return None


def confidence_of(metadata: Metadata | None, *, words: int, is_feed: bool, published: bool, warnings: int) -> float:
    """How sure we are that this is the whole article and nothing but it, in [0, 1].

    Length counts most, then that the page declares itself an article (or the feed brought the text), then title and
    date; each warning takes a little.
    """
    score = 0.35 + 0.3 * min(1.0, words / LONG_WORDS)
    score += 0.15 if is_feed or (metadata is not None and metadata.is_declared_article) else 0.0
    score += 0.1 if metadata is not None and metadata.title else 0.05 if is_feed else 0.0
    score += 0.07 if published else 0.0
    return round(max(0.0, min(1.0, score - 0.05 * warnings)), 2) if words else 0.0


def _wall(document: Document, metadata: Metadata, text: str) -> str | None:
    """What a page with little text says it is."""
    titles = [title.strip() for title in (metadata.page_title, metadata.title) if title]
    forms = [form for title in titles for form in (title, _SITE_SUFFIX.sub("", title))]
    if any(_SOFT_404.fullmatch(form) for form in forms):
        return "soft-404"
    if metadata.is_declared_article:
        return None
    if _is_challenge(document, forms, text):
        return "challenge"
    if _is_consent_wall(document.url, text):
        return "consent-wall"
    return "login" if _is_login(document, forms, text) else None


def _is_challenge(document: Document, forms: list[str], text: str) -> bool:
    said = text or document.source
    return bool(
        any(_CHALLENGE_TITLE.fullmatch(form) for form in forms)
        or _CHALLENGE_MARKS.search(document.source)
        or _SCRIPT_WANTED.search(said)
    )


def _is_consent_wall(url: str | None, text: str) -> bool:
    parts = urlsplit(url or "")
    phrases = {phrase.casefold() for phrase in _CONSENT_WORDS.findall(text)}
    is_wall_url = _CONSENT_HOST.search(parts.hostname or "") or _CONSENT_PATH.search(parts.path)
    return bool(is_wall_url) or len(phrases) > 1  # one phrase alone may be quoted


def _is_login(document: Document, forms: list[str], text: str) -> bool:
    has_password = any(one.get("type") == "password" for one in document.root.iter("input"))
    return has_password and (not text or any(_LOGIN_TITLE.fullmatch(form) for form in forms))


def _is_video(metadata: Metadata, words: int) -> bool:
    is_article = any(name.endswith("article") and name != "article" for name in metadata.types)
    return words < FEW_WORDS // 2 and not is_article and not _VIDEO_TYPES.isdisjoint(metadata.types)


def _is_index(document: Document, metadata: Metadata, words: int) -> bool:
    if metadata.is_declared_article:
        return False
    if not _INDEX_TYPES.isdisjoint(metadata.types):
        return words < LONG_WORDS
    parts = urlsplit(document.url or "")
    return bool(parts.hostname) and not parts.path.strip("/") and not parts.query
