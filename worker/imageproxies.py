"""Image proxies: services that resize a picture and carry its own URL inside theirs. Only text is looked at."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

_HINTS = (
    "weserv.nl", "wsrv.nl", ".wp.com", "/_next/image", "/_vercel/image", "/.netlify/images", "/image/fetch/",
    "/cdn-cgi/image/", "ampproject.org", "bing-amp.com", "/gadgets/proxy",
)  # fmt: skip
_WESERV_HOSTS = frozenset({"images.weserv.nl", "wsrv.nl"})
# The options that weserv documents; any other parameter after an origin with a query of its own belongs to that query.
_WESERV_OPTION = re.compile(
    r"w|h|dpr|fit|cbg|we|a|crop|precrop|trim|tbg|mask|mtrim|mbg|flip|flop|ro|rbg|bg|blur|con|filt|gam|mod|sat|hue|sharp"
    r"|tint|af|encoding|maxage|l|ll|default|filename|il|n|output|page|q"
)
_SITE_S_OWN = re.compile(r"(?:/[\w.-]+){0,4}/(?:_next/image|_vercel/image|\.netlify/images)/?")
_PHOTON_HOST = re.compile(r"i[0-3]\.wp\.com")
_AMP_HOST = re.compile(r"(?:[\w-]+\.)?(?:cdn\.ampproject\.org|bing-amp\.com)")
_AMP_PATH = re.compile(r"/i(?:i/w\d{1,5})?/(s/)?(?=[^/]+\.[^/]+/)")
_GOOGLE_HOST = re.compile(r"[\w-]+\.googleusercontent\.com")
_CLOUDINARY = re.compile(r"/image/fetch/(?:[^/]{1,300}/){0,6}?(?=https?(?::|%3a))", re.IGNORECASE)
_CLOUDFLARE = re.compile(r"/cdn-cgi/image/[^/]{1,300}(?=/)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ONE_SLASH = re.compile(r"(https?):/(?!/)", re.IGNORECASE)  # servers fold "//" within a path


def may_carry_origin(url: str) -> bool:
    """A cheap look at a URL in any form: False when it is no known proxy's, as nearly all are."""
    lowered = url.lower()
    return any(hint in lowered for hint in _HINTS)


def origin_in(url: str) -> str | None:
    """The reference to a picture that a proxy's URL carries, as the proxy would read it; None: it is no proxy's.

    Known are weserv (images.weserv.nl, wsrv.nl), Photon (i0.wp.com to i3), the image routes of Next.js, Vercel and
    Netlify, Cloudinary's and Substack's ``image/fetch``, Cloudflare's ``cdn-cgi/image``, the AMP caches and Google's
    gadget proxy. Services whose URL names a picture of their own (Imgix, Thumbor keys, Cloudinary uploads) are none.

    Args:
        url: An absolute http(s) URL in which every escape is well formed.

    Returns: An absolute URL or one relative to ``url``; unchecked: it is as little to be trusted as any other.
    Source: weserv's documentation of ``url`` and its issues for ``ssl:``; Jetpack's ``jetpack_photon_url`` for ``ssl``
        and ``q``; Next.js, "next/image"; Cloudinary, "Deliver remote media files"; Cloudflare Images, "Transform via
        URL"; Google AMP Cache, "AMP Cache URL format".
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _WESERV_HOSTS:
        return _weserv_origin(parts.query)
    if _PHOTON_HOST.fullmatch(host):
        return _photon_origin(parts)
    if _AMP_HOST.fullmatch(host):
        return _amp_origin(parts)
    if _SITE_S_OWN.fullmatch(parts.path) or (_GOOGLE_HOST.fullmatch(host) and parts.path == "/gadgets/proxy"):
        return unquote(_parameter(parts.query, "url") or "") or None
    return _origin_in_path(parts)


def _weserv_origin(query: str) -> str | None:
    """Without a scheme it is http, ``ssl:`` means https."""
    pairs = query.split("&")
    start = next((n for n, pair in enumerate(pairs) if pair.startswith("url=")), None)
    if start is None:
        return None
    value = pairs[start][len("url=") :]
    if "?" in value:  # an origin whose query was not encoded: what follows and is no option belongs to it
        own = [pair for pair in pairs[start + 1 :] if not _WESERV_OPTION.fullmatch(pair.partition("=")[0])]
        origin = "&".join([value, *own])
    else:
        origin = unquote(value)
    origin = origin.strip()
    if origin.lower().startswith("ssl:"):
        return "https://" + origin[len("ssl:") :].lstrip("/")
    scheme = _SCHEME.match(origin)
    if scheme and origin.startswith("/", scheme.end()):  # "host:8080/a.jpg" has none
        return origin
    return "http://" + origin.lstrip("/")


def _photon_origin(parts: SplitResult) -> str | None:
    host, _, path = parts.path.lstrip("/").partition("/")
    if "." not in host or not path:
        return None
    scheme = "https" if _parameter(parts.query, "ssl") == "1" else "http"
    query = unquote(_parameter(parts.query, "q") or "")
    return f"{scheme}://{host}/{path}" + (f"?{query}" if query else "")


def _amp_origin(parts: SplitResult) -> str | None:
    start = _AMP_PATH.match(parts.path)
    if start is None:
        return None
    return ("https://" if start[1] else "http://") + parts.path[start.end() :] + _query(parts)


def _origin_in_path(parts: SplitResult) -> str | None:
    if start := _CLOUDINARY.search(parts.path):
        named = parts.path[start.end() :]
        # An origin with a query of its own is encoded, once: then nothing in it is the proxy's any more.
        return _ONE_SLASH.sub(r"\1://", named + _query(parts) if "/" in named else unquote(named), count=1)
    if start := _CLOUDFLARE.search(parts.path):
        named = parts.path[start.end() :]
        inner = named.lstrip("/")
        is_absolute = inner.lower().startswith(("http:", "https:"))
        return _ONE_SLASH.sub(r"\1://", inner, count=1) + _query(parts) if is_absolute else named + _query(parts)
    return None


def _parameter(query: str, name: str) -> str | None:
    return next((pair[len(name) + 1 :] for pair in query.split("&") if pair.startswith(f"{name}=")), None)


def _query(parts: SplitResult) -> str:
    return f"?{parts.query}" if parts.query else ""
