"""Is what was read an article at all, and how sure are we of it?

Conservative by rule: a real article is never lost for a phrase in it. Each reason needs a page that says it of itself
(title, type, form) and has next to no text, or says nothing else.
"""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import SplitResult, urlsplit

import lxml.etree

from worker.extract.document import Document, element_count, elements_at, short_text
from worker.extract.metadata import Metadata
from worker.extract.walls import (
    BROKEN,
    CHALLENGE,
    CHALLENGE_MARKS,
    CONSENT_HOST,
    CONSENT_PATH,
    CONSENT_PHRASES,
    CONSENT_TITLE,
    GONE,
    GONE_PATH,
    LIST_PATH,
    LOGIN,
    LOGIN_PATH,
    PERHAPS_GONE,
    SEARCH,
    SEARCH_PATH,
    SEARCH_QUERY,
    SENTENCES,
    says,
    sentences,
    title_forms,
)
from worker.text import word_count

FEW_WORDS = 120  # an error page, a wall or a form may say this much
VERY_FEW_WORDS = 10
TEASER_WORDS = 400  # an error page whose title is beyond doubt may list other articles at this length
LONG_WORDS = 150  # from here on length is no doubt any more
FEW_ELEMENTS = 150  # of a page that is nothing but a challenge
STUB_CHARS = 300_000  # of its source, with the script in it
TEXT_CHARS = 4_000  # of a text of FEW_WORDS
SLUG_WORDS = 3  # of a list's name in its address: headlines have more
MAX_SAID = 300  # characters of a <noscript> that says something
# Promised F1 -> share of pages whose text then had an F1 of 0.9 or more. Fitted on 892 recorded pages of news and
# blogs, each read by trees that had not seen its host; fitted on one half, the other half agrees within 0.05.
PROMISES = (
    (0.0, 0.0), (0.5, 0.01), (0.75, 0.22), (0.85, 0.4), (0.9, 0.59), (0.925, 0.65), (0.95, 0.8), (0.96, 0.84),
    (0.97, 0.93), (0.98, 0.95), (0.99, 0.98), (1.0, 0.99),
)  # fmt: skip

_INDEX_TYPES = frozenset(("collectionpage", "searchresultspage", "profilepage"))
_VIDEO_TYPES = frozenset(("videoobject", "video.other", "video.movie", "video.episode", "video"))
_POSTING_TYPES = ("blogposting", "report")
_MOUNTS = lxml.etree.XPath(
    "//*[self::app-root or self::div[@id='root' or @id='app' or @id='__next' or @id='__nuxt' or @id='___gatsby'"
    " or @id='react-root' or @id='app-root' or @id='svelte' or @id='q-app' or @id='main-app' or @id='ember-app']]"
)
_NOSCRIPTS = lxml.etree.XPath("//noscript")
_CREDENTIALS = lxml.etree.XPath("//input[@type='password' or @type='email' or @autocomplete='username']")
_PASSWORDS = lxml.etree.XPath("//input[@type='password']")


def not_article_reason(document: Document, metadata: Metadata, *, text: str, words: int) -> str | None:
    """Why the page is no article, or None when it is one.

    Further reasons are given where they arise: those of ``read_document``, and ``failed`` by ``extract_article``.

    Args:
        document: The page.
        metadata: What it said about itself.
        text: What was extracted.
        words: Of that text.

    Returns: ``soft-404``, ``error-page`` (the site is broken or closed for repairs), ``challenge``, ``consent-wall``,
        ``login``, ``geo-blocked``, ``age-gate``, ``paywall`` (not even a teaser), ``needs-script``, ``video``,
        ``index``, ``empty``.
    """
    forms = title_forms(metadata.page_title, metadata.title)
    parts = urlsplit(document.url or "")
    if words < TEASER_WORDS and not metadata.is_declared_article and says(GONE, forms):
        return "soft-404"
    if words < FEW_WORDS:
        reason = _wall(document, metadata, forms, parts, text[:TEXT_CHARS])
        if reason:
            return reason
    if _is_video(metadata, words):
        return "video"
    if _is_index(metadata, words, forms, parts):
        return "index"
    if words == 0 or (words < VERY_FEW_WORDS and not metadata.is_declared_article):
        return _why_empty(document, metadata)
    return None


def _wall(document: Document, metadata: Metadata, forms: list[str], parts: SplitResult, text: str) -> str | None:
    """What a page with little text says it is."""
    if says(GONE, forms) or says(PERHAPS_GONE, forms):
        return "soft-404"
    other = None if metadata.is_declared_article else _wall_but_gone(document, forms, parts, text)
    return other or _says_only(text)


def _wall_but_gone(document: Document, forms: list[str], parts: SplitResult, text: str) -> str | None:
    if len(document.source) <= STUB_CHARS and element_count(document.root) <= FEW_ELEMENTS:
        if says(CHALLENGE, forms) or CHALLENGE_MARKS.search(document.source):
            return "challenge"
        if says(BROKEN, forms):
            return "error-page"
    if _is_consent_wall(forms, parts, text):
        return "consent-wall"
    if _is_login(document, forms, parts, text):
        return "login"
    return "soft-404" if GONE_PATH.search(parts.path) else None


def _says_only(text: str) -> str | None:
    """The wall that all of the text is about, but for a few words."""
    said = sentences(text)
    for reason, pattern in SENTENCES.items():
        others = [sentence for sentence in said if not pattern.search(sentence)]
        if len(others) < len(said) and word_count(" ".join(others)) < VERY_FEW_WORDS:
            return reason
    return None


def _is_consent_wall(forms: list[str], parts: SplitResult, text: str) -> bool:
    if says(CONSENT_TITLE, forms) or CONSENT_HOST.search(parts.hostname or "") or CONSENT_PATH.search(parts.path):
        return True
    return len({phrase.casefold() for phrase in CONSENT_PHRASES.findall(text)}) > 1  # one phrase alone may be quoted


def _is_login(document: Document, forms: list[str], parts: SplitResult, text: str) -> bool:
    if says(LOGIN, forms) or LOGIN_PATH.search(parts.path):
        return bool(elements_at(_CREDENTIALS, document.root))
    return not text and bool(elements_at(_PASSWORDS, document.root))


def _is_video(metadata: Metadata, words: int) -> bool:
    is_article = any(
        name.endswith(("article", *_POSTING_TYPES)) and name != "article"  # og:type, which videos have too
        for name in metadata.types
    )
    return words < FEW_WORDS // 2 and not is_article and not _VIDEO_TYPES.isdisjoint(metadata.types)


def _is_index(metadata: Metadata, words: int, forms: list[str], parts: SplitResult) -> bool:
    if metadata.is_declared_article:
        return False
    if parts.hostname and not parts.path.strip("/") and not parts.query:
        return True
    if words >= LONG_WORDS:
        return False
    is_search = SEARCH_PATH.search(parts.path) or SEARCH_QUERY.search(parts.query)
    if not _INDEX_TYPES.isdisjoint(metadata.types) or (is_search and says(SEARCH, forms)):
        return True
    listed = LIST_PATH.search(parts.path)
    return listed is not None and listed[1].count("-") < SLUG_WORDS


def _why_empty(document: Document, metadata: Metadata) -> str:
    """What keeps the text from us, where the page shows it."""
    if metadata.paywalled:
        return "paywall"
    notes = (short_text(one, MAX_SAID) or "" for one in elements_at(_NOSCRIPTS, document.root)[:5])
    if any(SENTENCES["needs-script"].search(note) for note in notes):
        return "needs-script"
    is_mount = any(short_text(one, MAX_SAID) is not None for one in elements_at(_MOUNTS, document.root)[:3])
    return "needs-script" if is_mount and document.root.find(".//script") is not None else "empty"


def confidence_of(
    metadata: Metadata | None,
    *,
    words: int,
    is_feed: bool,
    published: bool,
    warnings: int,
    sureness: float | None = None,
) -> float:
    """How sure we are that this is the whole article and nothing but it, in [0, 1].

    Where leaves were weighed: how often a choice that promises such an F1 reaches 0.9, of pages of sites that taught
    the model nothing; a little less for a page that does not declare itself an article, or is undated. Where nothing
    is promised (a site's profile, the feed's text) length counts most. Each takes something off a short text,
    and for each warning.

    Args:
        metadata: What the page said about itself; None when there is no page.
        words: Of the text.
        is_feed: The text is the feed's own.
        published: Its date is known.
        warnings: How many there are.
        sureness: The F1 that the leaves' probabilities promise; None when nothing is promised.
    """
    if not words:
        return 0.0
    length = min(1.0, words / LONG_WORDS)
    is_declared = is_feed or (metadata is not None and metadata.is_declared_article)
    if sureness is not None:
        score = _kept_promises(sureness) - 0.15 * (1 - length) - 0.01 * (not is_declared) - 0.01 * (not published)
    else:
        score = 0.35 + 0.3 * length + 0.15 * is_declared + 0.07 * published
        score += 0.1 if metadata is not None and metadata.title else 0.05 if is_feed else 0.0
    return round(max(0.0, min(1.0, score - 0.05 * warnings)), 2)


def _kept_promises(sureness: float) -> float:
    """PROMISES at this point, straight lines between."""
    for (low, below), (high, above) in pairwise(PROMISES):
        if sureness <= high:
            return below + (above - below) * (sureness - low) / (high - low)
    return PROMISES[-1][1]
