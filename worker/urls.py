"""URLs: which ones may be used, which ones mean the same, and how they are named in keys, messages and logs.

Everything here is pure and answers for any string; nothing raises on a bad one. Addresses are judged elsewhere (the
fetching room resolves names); here a URL is only text.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import cache, lru_cache
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

import idna
from publicsuffixlist import PublicSuffixList

from worker.imageproxies import may_carry_origin, origin_in
from worker.tracking import is_tracking

MAX_URL_CHARS = 8192  # nginx and Apache stop at 8 KiB; what is longer is no article
MAX_LABEL_CHARS = 120
MAX_PROXIES = 2

DEFAULT_PORTS = {"http": 80, "https": 443}

_BLANKS = " \t\r\n\f\v\xa0\u2003\u3000\ufeff"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMERIC_LABEL = re.compile(r"(?:\d+|0x[0-9a-f]*)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_PLAIN = re.compile(
    r"https?://(?:[a-z0-9-]{1,63}\.){1,9}[a-z]{2,24}/[A-Za-z0-9_~/,;:@!$&'()*+=-]*"
    r"(?:\.[A-Za-z0-9]+)?(?:\?[A-Za-z0-9_.~/,;:@!$&'()*+=-]*)?"
)
_ESCAPED_AGAIN = re.compile(r"&(?:amp;)+")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE_IN_PATH = "/%:@!$&'()*+,;=-._~"
_SAFE_IN_QUERY = _SAFE_IN_PATH + "?"

_SESSION = re.compile(r";jsessionid=[^/;]*", re.IGNORECASE)  # Servlet specification 7.1.3: in the path, not the query

# One CMS (Pangea), one rule: the article is the number, the slug before it may change or be absent.
_PANGEA_SITES = frozenset({"voachinese.com", "voanews.com", "voacantonese.com", "voatibetan.com", "rferl.org"})
_PANGEA_ARTICLE = re.compile(r"/a/(?:[^/]+/)?(\d+)\.html")
_PANGEA_PICTURE = re.compile(r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=[_.]|\Z)", re.IGNORECASE)
_PANGEA_PICTURE_HOST = re.compile(r"gdb\.(?:voanews\.com|rferl\.org)")

_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)\Z", re.IGNORECASE)
_SIZE_SUFFIX = re.compile(r"-\d{2,5}x\d{2,5}(?=\.[A-Za-z]+\Z)")  # WordPress: photo-610x610.jpg


def usable_url(raw: str, base: str | None = None) -> str | None:
    """An absolute http(s) URL that may be requested as it is, or None.

    Blanks around it are cut, a relative reference is resolved, ``&amp;`` left over from double escaping becomes ``&``,
    everything outside ASCII is percent-encoded, the host is lower-case punycode without a trailing dot, a default port,
    user name, password and fragment are dropped.

    None for what no one should request: other schemes (``javascript:``, ``data:``, ``mailto:``, ``feed:``), control,
    bidirectional or zero-width characters, backslashes before the query (browsers and libraries disagree on them),
    hosts that end in a number without being an address in plain form (``0x7f.1``, ``2130706433``), and nonsense.

    Source: RFC 3986; the host rules follow the WHATWG URL standard and IDNA 2008 (UTS 46).
    """
    text = raw.strip(_BLANKS)
    if not text or len(text) > MAX_URL_CHARS or _CONTROL.search(text):
        return None
    if "/../" not in text and "/./" not in text and _PLAIN.fullmatch(text) and "&amp;" not in text:
        return text
    text = _ESCAPED_AGAIN.sub("&", text)
    if "\\" in text.partition("?")[0].partition("#")[0]:
        return None
    try:
        return _usable(
            urlsplit(text if _SCHEME.match(text) or not base else urljoin(_ESCAPED_AGAIN.sub("&", base), text))
        )
    except ValueError:
        return None


def _usable(parts: SplitResult) -> str | None:
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS or parts.netloc.count("@") > 1:
        return None
    host = _clean_host(parts.hostname or "")
    if host is None:
        return None
    port = parts.port  # ValueError when it is no port
    if port == 0:
        return None
    netloc = host if port is None or port == DEFAULT_PORTS[scheme] else f"{host}:{port}"
    path = _without_dots(_encoded(parts.path or "/", _SAFE_IN_PATH))
    url = urlunsplit((scheme, netloc, path, _encoded(parts.query, _SAFE_IN_QUERY), ""))
    return url if len(url) <= MAX_URL_CHARS else None


def _clean_host(host: str) -> str | None:
    """The host as it goes on the wire, IPv6 addresses in brackets; None when it is none."""
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host).compressed}]" if "%" not in host else None
    was_ascii = host.isascii()
    if not was_ascii:
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    host = host.lower().removesuffix(".")
    if not _HOST.fullmatch(host):
        return None
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        return str(ipaddress.IPv4Address(host)) if was_ascii else None  # ValueError for every form but the plain one
    return host


def _encoded(text: str, safe: str) -> str:
    return quote(_BAD_ESCAPE.sub("%25", text), safe=safe)


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4, keeping empty segments."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def canonical_url(url: str) -> str:
    """The form under which a URL is compared: two URLs of one article have one. Idempotent.

    Scheme https, host lower-case, no default port, no fragment, no tracking parameters and session ids (see
    ``worker.tracking``), percent-encoding in one spelling. Whatever may tell two articles apart is kept, since to join
    two loses one: the order, case and repetition of other parameters, trailing and doubled slashes, ``www.``, mobile
    and AMP hosts and paths. Where a server makes no difference, its redirect does the joining. Pages told apart by
    their fragment alone (``#!/article/1``) have one form; a feed's entries then go by guid or text. On Pangea sites the
    number in the path is the article. A string that is no usable URL comes back stripped and otherwise as it was.
    """
    usable = usable_url(url)
    if usable is None:
        return url.strip(_BLANKS)
    parts = urlsplit(usable)
    host = parts.hostname or ""
    article = _PANGEA_ARTICLE.fullmatch(parts.path)
    if article and _registrable(host) in _PANGEA_SITES:
        return f"https://{_pangea_host(host)}/a/{article[1]}.html"
    netloc = f"[{host}]" if ":" in host else host
    if parts.port not in {None, *DEFAULT_PORTS.values()}:
        netloc = f"{netloc}:{parts.port}"
    site = (_registrable(host) or "") if parts.query else ""
    pairs = [pair for pair in parts.query.split("&") if pair and not _is_tracking(pair, site)]
    path = _without_dots(_SESSION.sub("", _one_spelling(parts.path))) or "/"
    return urlunsplit(("https", netloc, path, _one_spelling("&".join(pairs)), ""))


def _pangea_host(host: str) -> str:
    """``m.`` and no prefix are other doors of ``www.``; ``learningenglish.`` and the like count on their own."""
    site = _registrable(host)
    return f"www.{site}" if host in {site, f"m.{site}", f"amp.{site}"} else host


def _is_tracking(pair: str, site: str) -> bool:
    name, _, value = pair.partition("=")
    return is_tracking(unquote(name), unquote(value), site)


def _one_spelling(text: str) -> str:
    """Escapes in upper case, and none for characters that never need one."""

    def spell(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(spell, text)


def identity_of(url: str | None, feed_slug: str, guid: str | None, heading: str | None, text: str) -> str:
    """The string that names an article: its canonical URL, else within its feed its guid, else its text.

    Args:
        heading: What the guid needs beside it because it stands for several articles; None: it stands for one.
        text: A digest of all that the feed says of it.
    """
    usable = usable_url(url) if url else None
    if usable:
        return canonical_url(usable)
    if guid:
        return f"guid:{feed_slug}:{guid}" if heading is None else f"guid+title:{feed_slug}:{guid}\x1f{heading}"
    return f"text:{feed_slug}:{text}"


def article_id_of(identity: str) -> str:
    """The first 32 hex digits of the identity's SHA-256: the same on every machine, for ever."""
    return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def gate_key(url: str) -> str:
    """The name under which the host gate counts requests to a site.

    The registrable domain; an address, or a name without a public suffix (``localhost``), stands for itself, with
    ``:port`` when the port is not the scheme's own. An unusable URL has the key ``""``.
    """
    usable = usable_url(url)
    if usable is None:
        return ""
    parts = urlsplit(usable)
    host = parts.hostname or ""
    if site := _registrable(host):
        return site
    if parts.port is None:
        return host
    return f"[{host}]:{parts.port}" if ":" in host else f"{host}:{parts.port}"


@lru_cache(maxsize=4096)
def _registrable(host: str) -> str | None:
    if ":" in host or _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        return None
    site: str | None = _suffixes().privatesuffix(host)
    return site


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # the list inside the package: nothing is downloaded


def authority(url: str) -> str:
    """``scheme://host[:port]``, where robots.txt is asked for; ``""`` for an unusable URL."""
    usable = usable_url(url)
    if usable is None:
        return ""
    parts = urlsplit(usable)
    return f"{parts.scheme}://{parts.netloc}"


def unwrap_proxy(url: str) -> tuple[str, str | None]:
    """The picture behind a proxy's URL, and the proxy's URL; ``(url, None)`` for every other URL.

    Knows the proxies of ``worker.imageproxies``, one inside the other at most MAX_PROXIES times. Each origin has to be
    usable: it is as little to be trusted as any other URL.
    """
    if not may_carry_origin(url):
        return url, None
    outer = usable_url("https:" + url.strip() if url.strip().startswith("//") else url)
    origin = outer
    for _ in range(MAX_PROXIES):
        named = origin_in(origin) if origin else None
        inner = usable_url(named, origin) if named else None
        if inner is None:
            break
        origin = inner
    return (url, None) if origin is None or origin == outer else (origin, outer)


def picture_identity(url: str) -> str:
    """The URL that names a picture: the origin behind a proxy, over https.

    A proxied picture and a plain one are then one picture. A URL with a port of its own keeps its scheme: nobody
    speaks TLS on the port where somebody else speaks HTTP.
    """
    origin, _ = unwrap_proxy(url)
    usable = usable_url(origin)
    return origin if usable is None else _over_https(usable)


def _over_https(usable: str) -> str:
    rest = usable.removeprefix("http://")
    has_port = ":" in rest.partition("/")[0].rpartition("]")[2]
    return usable if rest is usable or has_port else f"https://{rest}"


@lru_cache(maxsize=1024)
def picture_key(url: str) -> str:
    """What two URLs of one picture in different sizes have in common; for comparing only.

    On Pangea's picture servers the GUID; elsewhere host and path without WordPress's size suffix, and the query only
    where the path does not name a picture file.
    """
    usable = usable_url(unwrap_proxy(url)[0])
    if usable is None:
        return url
    authority, slash, rest = _over_https(usable).partition("://")[2].partition("/")
    path, _, query = f"{slash}{rest}".partition("?")
    guid = _PANGEA_PICTURE.match(path)
    if guid and _PANGEA_PICTURE_HOST.fullmatch(authority):
        return f"gdb:{guid[1].lower()}"
    names_file = _PICTURE_FILE.search(path) is not None
    path = _SIZE_SUFFIX.sub("", _one_spelling(path) if "%" in path else path)
    return f"{authority}{path}?{query}" if query and not names_file else f"{authority}{path}"


def display_url(url: str) -> str:
    """A URL for labels and logs: no user name, password, query or fragment (they carry secrets), control characters
    escaped, at most MAX_LABEL_CHARS characters.
    """
    head = url.strip().partition("#")[0].partition("?")[0]
    scheme, slashes, rest = head.partition("://")
    if slashes:
        host, slash, path = rest.partition("/")
        head = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    shown = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), head)
    return shown if len(shown) <= MAX_LABEL_CHARS else shown[: MAX_LABEL_CHARS - 1] + "…"
