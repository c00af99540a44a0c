"""Which feeds a site's home page names. Pure: bytes and headers in, candidates out; whoever asks tries them.

A page is read tag by tag, never as a tree: no nesting and no crowd of attributes can make that slow, and what stands in
scripts, comments and attribute values is no tag here.

Source: html.spec.whatwg.org, link types ``alternate`` and (an earlier draft's) ``feed``: of several feeds the first is
the page's default; jsonfeed.org/version/1.1, discovery; RFC 8288 (``Link`` headers); sitemaps.org (``Sitemap:`` lines).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, urljoin, urlsplit

from worker.text import clean_line, decode, sniff_declared, strip_tags, unescape
from worker.urls import gate_key, usable_url

How = Literal["link", "anchor", "robots", "guess"]

MAX_BYTES = 4 * 1024 * 1024
MAX_CANDIDATES = 30
MAX_GUESSES = 8
MAX_ROBOTS = 500 * 1024
LONGEST_TITLE = 200

FEED_TYPES = frozenset({
    "application/rss+xml", "application/atom+xml", "application/feed+json", "application/x-rss+xml",
    "application/x-atom+xml", "text/rss+xml", "text/atom+xml", "application/rss", "application/atom", "text/rss",
})  # fmt: skip
MAYBE_TYPES = frozenset({"application/rdf+xml", "application/xml", "text/xml", "application/json"})
_RANKS: Mapping[How, int] = {"link": 0, "anchor": 1, "robots": 2, "guess": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An address that may be a feed's."""

    url: str
    how: How  # a <link> or Link header says so; an <a> leads there; robots.txt names it; the CMS usually has one there
    title: str | None = None
    media_type: str | None = None
    is_comments: bool = False  # what readers wrote, not what the site did


class HeaderLink(NamedTuple):
    """One link of a ``Link`` header; ``target`` is absolute."""

    rels: frozenset[str]
    target: str
    media_type: str | None = None
    title: str | None = None


def candidates(
    html: bytes, *, url: str, content_type: str | None = None, links: Iterable[HeaderLink] = ()
) -> tuple[Candidate, ...]:
    """The feeds that a page names, the likeliest first: the site's own before its readers' comments, declared ones
    before those it only links to, each in the page's order. At most MAX_CANDIDATES; never raises.

    Args:
        html: The page, content coding undone; MAX_BYTES of it are read.
        url: Where it was found, after redirects.
        content_type: Its header, for the charset.
        links: Of its ``Link`` headers.
    """
    page = _read(html, content_type)
    base = usable_url(page.base, url) or url
    found = [_declared(link.rels, link.media_type, link.target, link.title, link.target) for link in links]
    for tag in page.tags:
        said = tag.attributes
        target = _target(said.get("href", ""), base)
        if target is None:
            continue
        rels = frozenset(said.get("rel", "").lower().split())
        one = _declared(rels, said.get("type"), target, said.get("title"), said.get("href", ""))
        if one is None and tag.name != "link":
            one = _linked(target, said, tag.text, home=url)
        found.append(one)
    return _ordered(one for one in found if one is not None and one.url != usable_url(url))


def news_sitemaps(robots_text: str, url: str) -> tuple[Candidate, ...]:
    """The sitemaps of a robots.txt that are of news, by their names; the site's whole stock is no source of news."""
    said = (usable_url(line[1], url) for line in _SITEMAP.finditer(robots_text[:MAX_ROBOTS]))
    return _ordered(Candidate(url=one, how="robots") for one in said if one and _NEWS.search(urlsplit(one).path))


def guesses(html: bytes, *, url: str, content_type: str | None = None) -> tuple[Candidate, ...]:
    """Where a feed would be if the site named none: by the CMS that the page says made it, then by common custom.

    At most MAX_GUESSES, those in the page's own folder first. To be tried one after the other, until one is a feed.
    """
    generator = _read(html, content_type).generator.lower()
    paths = [path for name, path in _BY_GENERATOR.items() if name in generator]
    folder, root = urljoin(url, "./"), urljoin(url, "/")
    bases = [root] if urlsplit(folder).path == urlsplit(root).path else [folder, root]
    addresses = [urljoin(base, path) for path in (*paths, *_BY_CUSTOM) for base in bases]
    return tuple(Candidate(url=one, how="guess") for one in dict.fromkeys(addresses))[:MAX_GUESSES]


def clear_choice(found: Iterable[Candidate]) -> Candidate | None:
    """The one feed that these are, if they are one: perhaps in several formats, with or without its comments.

    None: there is none, or a person has to choose.
    """
    own = [one for one in found if not one.is_comments]
    best = [one for one in own if one.how == own[0].how] if own else []
    names = {_without_format(one.title) for one in best}
    kinds = [one.media_type for one in best]
    is_one = len(best) == 1 or (len(names) == 1 and None not in kinds and len(set(kinds)) == len(kinds))
    return best[0] if is_one else None


# ---------------------------------------------------------------- what looks like a feed

_COMMENTS = re.compile(
    r"/comments?(?:[/._-]|\Z)|\bcomments?\b|\bkommentare?\b|\bcommentaires?\b|\bcomentarios\b|\bcomentários\b|评论|評論|コメント",
    re.IGNORECASE,
)
_FORMAT = re.compile(r"\b(?:rss|atom|rdf|json|xml|feeds?|[012]\.\d{1,2}|[12])\b|[^\w]+", re.IGNORECASE)
_FEED_PATH = re.compile(
    r"(?:\.(?:rss|atom|rdf)|/(?:rss|feed|atom|rdf)2?"
    r"|(?:^|[/._-])(?:rss|feeds?|atom|newsfeed|index)[\w-]{0,20}\.(?:xml|rdf|json|php|aspx?|jsp)"
    r"|/(?:rss|feeds?|atom)/[^?#]{1,100}|/feeds/posts/default|/rss-?feeds?)/?\Z",
    re.IGNORECASE,
)
_FEED_QUERY = frozenset({
    ("feed", "rss"), ("feed", "rss2"), ("feed", "atom"), ("feed", "rdf"), ("format", "rss"), ("format", "feed"),
    ("format", "atom"), ("type", "rss"), ("type", "atom"), ("alt", "rss"), ("alt", "atom"), ("output", "rss"),
    ("output", "atom"), ("rss", "1"),
})  # fmt: skip
_FEED_HOST = re.compile(r"(?:feeds?\d?|rss)\.")
_FEED_WORDS = re.compile(r"\b(?:rss|atom|xml|feed)\b|订阅|訂閱", re.IGNORECASE)
_ELSEWHERE = frozenset(
    {"feeds.feedburner.com", "feeds2.feedburner.com", "feedx.net", "rsshub.app"}
)  # they host others'
_NO_FEED = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|ico|css|js|html?|pdf|zip|opml)\Z|/wp-json/|/oembed", re.IGNORECASE)
_NEWS = re.compile(r"news", re.IGNORECASE)
_SITEMAP = re.compile(r"^[ \t]*+sitemap[ \t]*+:[ \t]*+(\S{1,2000})", re.IGNORECASE | re.MULTILINE)
# Where each of these puts its main feed, by its own documentation.
_BY_GENERATOR = {
    "wordpress": "feed/",
    "ghost": "rss/",
    "blogger": "feeds/posts/default",
    "drupal": "rss.xml",
    "joomla": "?format=feed&type=rss",
    "jekyll": "feed.xml",
    "hugo": "index.xml",
    "hexo": "atom.xml",
    "squarespace": "?format=rss",
    "wix": "blog-feed.xml",
    "discourse": "latest.rss",
    "dokuwiki": "feed.php",
}
_BY_CUSTOM = ("feed/", "rss.xml", "feed.xml", "atom.xml", "rss", "index.xml")


def _declared(
    rels: frozenset[str], media_type: str | None, target: str, title: str | None, href: str
) -> Candidate | None:
    """What a link's relation and type say is a feed. ``rel=feed`` needs no type, but may not have HTML's."""
    kind = (media_type or "").partition(";")[0].strip().lower()
    is_feed = kind in FEED_TYPES or (kind in MAYBE_TYPES and not _NO_FEED.search(urlsplit(target).path))
    if "feed" in rels:
        is_feed = is_feed or not kind
    elif "alternate" not in rels or "stylesheet" in rels:
        return None
    return _candidate(target, "link", title, kind or None, href) if is_feed else None


def _linked(target: str, said: Mapping[str, str], text: str, *, home: str) -> Candidate | None:
    """What an anchor's address says is a feed, on the page's own site or with those who host feeds for others."""
    parts = urlsplit(target)
    host = parts.hostname or ""
    if gate_key(target) != gate_key(home) and host not in _ELSEWHERE:
        return None
    if _NO_FEED.search(parts.path):
        return None
    words = " ".join((text, said.get("title", ""), said.get("class", "")))
    is_feed = (
        _FEED_PATH.search(parts.path)
        or (_FEED_HOST.match(host) and parts.path.strip("/"))
        or not _FEED_QUERY.isdisjoint((name.lower(), value.lower()) for name, value in parse_qsl(parts.query[:1000]))
        or (parts.path.lower().endswith((".xml", ".json")) and _FEED_WORDS.search(words))
    )
    return _candidate(target, "anchor", said.get("title") or text, None, target) if is_feed else None


def _candidate(url: str, how: How, title: str | None, media_type: str | None, href: str) -> Candidate:
    name = clean_line(strip_tags(title or ""), LONGEST_TITLE) or None
    is_comments = bool(_COMMENTS.search(urlsplit(href).path if href.startswith("http") else href))
    return Candidate(
        url=url,
        how=how,
        title=name,
        media_type=media_type,
        is_comments=is_comments or bool(name and _COMMENTS.search(name)),
    )


def _ordered(found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    first: dict[str, Candidate] = {}
    for one in sorted(found, key=lambda one: (one.is_comments, _RANKS[one.how])):
        first.setdefault(one.url, one)
    return tuple(first.values())[:MAX_CANDIDATES]


def _without_format(title: str | None) -> str:
    return _FORMAT.sub(" ", title or "").casefold().strip()


def _target(href: str, base: str) -> str | None:
    """Absolute; ``feed:`` in front of an address, as some browsers wanted it, is taken off."""
    href = href.strip()
    if href[:5].lower() == "feed:":
        href = href[5:]
    return usable_url(href, base)


# ---------------------------------------------------------------- tags

_START = re.compile(r"<(?:(?P<comment>!--)|(?P<name>[a-zA-Z][^\s/>]*+))")
_ATTRIBUTES = re.compile(
    r"""(?:[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>"'][^\s>]*+)?+)?+)*+[\s/]*+"""
)
_ATTRIBUTE = re.compile(
    r"""[\s/]*+(?P<name>[^\s/>][^\s/>=]*+)"""
    r"""(?:\s*+=\s*+(?:"(?P<double>[^"]*+)(?:"|\Z)|'(?P<single>[^']*+)(?:'|\Z)|(?P<bare>[^\s>"'][^\s>]*+))?+)?+"""
)
_COMMENT_END = re.compile(r"--!?>")
_RAW_TEXT = frozenset({"script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp", "template"})
_RAW_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW_TEXT}
_WANTED = frozenset({"link", "a", "area", "base", "meta"})
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]+)", re.IGNORECASE)
MAX_ATTRIBUTES = 50  # of one tag that are looked at
MAX_TAGS = 5_000  # of a page that could name a feed
MAX_TEXT = 300  # characters behind an anchor that are its text


class _Tag(NamedTuple):
    name: str
    attributes: Mapping[str, str]
    text: str  # what stands behind an <a>, up to its end


@dataclass(slots=True)
class _Page:
    base: str
    generator: str
    tags: list[_Tag]


def _read(html: bytes, content_type: str | None) -> _Page:
    body = html[:MAX_BYTES]
    charset = _CHARSET.search(content_type or "")
    source = decode(body, http_charset=charset[1] if charset else None, declared=sniff_declared(body)).text
    page = _Page("", "", [])
    for name, attributes, end in _tags(source):
        if name == "base":
            page.base = page.base or attributes.get("href", "")
        elif name == "meta":
            if attributes.get("name", "").lower() == "generator":
                page.generator = page.generator or attributes.get("content", "")
        elif "href" in attributes:
            behind = source[end : end + MAX_TEXT].partition("</a")[0] if name == "a" else ""
            page.tags.append(_Tag(name, attributes, strip_tags(behind)))
            if len(page.tags) == MAX_TAGS:
                break
    return page


def _tags(source: str) -> Iterator[tuple[str, Mapping[str, str], int]]:
    """Name, attributes and end of each start tag that could say something; linear in the length of the source."""
    position = 0
    while (start := _START.search(source, position)) is not None:
        if start["comment"]:
            ended = _COMMENT_END.search(source, start.end() - 2)  # <!--> is a whole comment
            position = ended.end() if ended else len(source)
            continue
        name = start["name"].lower()
        said = _ATTRIBUTES.match(source, start.end())
        assert said is not None
        position = said.end()
        if name in _RAW_TEXT:
            ended = _RAW_ENDS[name].search(source, position)
            position = ended.end() if ended else len(source)
        elif name in _WANTED:
            yield name, _attributes(said[0]), position + 1


def _attributes(text: str) -> dict[str, str]:
    """Of attributes with one name the first counts."""
    found: dict[str, str] = {}
    for number, one in enumerate(_ATTRIBUTE.finditer(text)):
        if number == MAX_ATTRIBUTES:
            break
        value = next((one[group] for group in ("double", "single", "bare") if one[group] is not None), "")
        found.setdefault(one["name"].lower(), unescape(value))
    return found
