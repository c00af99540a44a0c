"""SURT: the form of a URL by which web archives sort and look up captures. Pure.

``https://www.News.example:443/A/?b=2&a=1`` is ``example,news)/a?a=1&b=2``: what differs only in spelling has one key.
The rules are those of the canonicalisation that the Wayback Machine, pywb and cdxj-indexer share; tests compare the
keys with theirs, since a key that differs in one character is a capture that replay does not find.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from urllib.parse import SplitResultBytes, unquote_to_bytes

_MAX_ROUNDS = 32  # of undoing %-escapes; every further one is somebody's joke, and each costs a pass over the URL
_CONTROLS = re.compile(rb"[\n\r\t]")
_SCHEME = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*:")
_HTTPS_OVER_AGAIN = re.compile(rb"(https?://)+")
_PARTS = re.compile(rb"([a-zA-Z][a-zA-Z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?")
_PLAIN_HOST = re.compile(rb"[a-z0-9.-]+")
_NOT_IN_A_LINE = re.compile(rb"[^\x21-\x7e]")
_TO_ESCAPE = re.compile(rb"[^\x21\x22\x24\x26-\x7e]")
_WWW = re.compile(rb"www\d*\.")
_NUMBER_ADDRESS = re.compile(rb"(?:[1-9][0-9]*|0[0-7]*)(?:\.[0-9]+){0,3}")
_PATH_SESSIONS = (
    re.compile(rb"(.*/)\((?:[a-z]\([0-9a-z]{24}\))+\)/([^?]+\.aspx.*)", re.DOTALL),
    re.compile(rb"(.*/)\([0-9a-z]{24}\)/([^?]+\.aspx.*)", re.DOTALL),
)
_QUERY_SESSIONS = tuple(
    re.compile(rb"(.*)(?:" + pattern + rb")(?:&(.*))?", re.DOTALL)
    for pattern in (
        rb"jsessionid=[0-9a-z]{32}",
        rb"phpsessid=[0-9a-z]{32}",
        rb"sid=[0-9a-z]{32}",
        rb"aspsessionid[a-z]{8}=[a-z]{24}",
        rb"cfid=[^&]+&cftoken=[^&]+",
    )
)
_DEFAULT_PORTS = {b"http": 80, b"https": 443}


def surt_key(url: str) -> str:
    """The key of a URL, ASCII without blanks; a URL that has none (a port that is no number) is its own.

    Anything may be given: user name, password and fragment are dropped, ``http://`` is put in front of what has no
    scheme, ``urn:`` and its like stay as they are, in lower case.
    """
    given = url.encode("utf-8", "replace")
    try:
        return _key(given).decode("ascii")
    except ValueError:
        return _NOT_IN_A_LINE.sub(_percent, given).decode("ascii")


def _key(given: bytes) -> bytes:
    """Raises: ValueError: its authority makes no sense."""
    url = _CONTROLS.sub(b"", given.strip())
    if not _SCHEME.match(url):
        url = b"http://" + url
    scheme, authority, path, query = _split(url)
    host, port = _host_and_port(authority)
    if scheme.startswith(b"http") and not host and path:  # http:////news.example/
        host, _, path = path.lstrip(b"/").partition(b"/")
        path = b"/" + path
    site, path, asked = _plain_host(host, scheme), _unescaped(path), _asked(query)
    if not site:
        path = _plain_path(_escaped(path))
        return scheme + b":" + (path or b"/" if asked else path) + asked
    if port is not None and port != _DEFAULT_PORTS.get(scheme.lower(), 0):
        site += b":%d" % port
    return site + b")" + _plain_path(_escaped(_normal_path(path))) + asked


def _split(url: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Scheme, authority, path, query; the fragment is left out."""
    url = _HTTPS_OVER_AGAIN.sub(lambda match: match[1], url, count=1) if url.startswith(b"http") else url
    parts = _PARTS.match(url)
    if parts is None:
        raise ValueError(f"no URL: {url[:100]!r}")
    scheme, authority, path, query = parts.groups(b"")
    return scheme, authority, path, query


def _host_and_port(authority: bytes) -> tuple[bytes, int | None]:
    """As the standard library reads them. Raises: ValueError: the port is none."""
    if _PLAIN_HOST.fullmatch(authority):  # nearly all
        return authority, None
    if authority.endswith(b":"):
        authority = authority.rstrip(b":")
    parts = SplitResultBytes(b"", authority, b"", b"", b"")
    return parts.hostname or b"", parts.port or None


def _plain_host(host: bytes, scheme: bytes) -> bytes:
    """Escapes undone, IDN in ASCII, numbers as an address, no ``www.``, parts reversed."""
    host = _unescaped(host)
    if not host.isascii():
        with suppress(UnicodeError):  # too long a label, say: it stays as it is
            host = host.decode("utf-8", "ignore").encode("idna")
    host = host.replace(b"..", b".").strip(b".")
    host = _address(host) or _escaped(host.lower()).lower()
    if scheme != b"dns" and (www := _WWW.match(host)):
        host = host[www.end() :]
    return b",".join(reversed(host.split(b".")))


def _address(host: bytes) -> bytes | None:
    """The IPv4 address that a number, or up to four, stand for; as browsers read them, too."""
    if not _NUMBER_ADDRESS.fullmatch(host):
        return None
    try:
        packed = (int(host) & 0xFFFFFFFF).to_bytes(4, "big") if host.isdigit() else socket.inet_aton(host.decode())
    except (OSError, ValueError):
        return None
    return socket.inet_ntoa(packed).encode("ascii")


def _normal_path(path: bytes) -> bytes:
    """Without ``.``, ``..`` and doubled slashes; one that leads above the root keeps its first ``..``."""
    if b"/." not in path and b"//" not in path and path.startswith(b"/"):
        return path
    kept: list[bytes] = []
    for part in path.split(b"/")[1:]:
        if part == b"..":
            kept = kept[:-1] if kept else [part]
        elif part != b".":
            kept.append(part)
    if not kept:
        return b"/"
    return b"/" + b"".join(part + b"/" for part in kept[:-1] if part) + kept[-1]


def _plain_path(path: bytes) -> bytes:
    """In lower case, without session ids and the slash at its end."""
    path = path.lower()
    if b".aspx" in path:
        for session in _PATH_SESSIONS:
            if found := session.fullmatch(path):
                path = found[1] + found[2]
    return path[:-1] if path.endswith(b"/") and len(path) > 1 else path


def _asked(query: bytes) -> bytes:
    """The query with its question mark: in lower case, without session ids, in alphabetical order."""
    if not query:
        return b""
    query = _escaped(_unescaped(query)).lower()
    if b"id=" in query or b"aspsessionid" in query:
        for session in _QUERY_SESSIONS:
            if found := session.fullmatch(query):
                query = found[1] + (found[2] or b"")
    if b"&" in query:
        parts = query.split(b"&")
        parts.sort(key=lambda part: part.split(b"=", 1))
        query = b"&".join(parts)
    return b"?" + query if query else b""


def _unescaped(text: bytes) -> bytes:
    """Until nothing is left to undo: %2541 is A."""
    for _ in range(_MAX_ROUNDS):
        if b"%" not in text:
            break
        plain = unquote_to_bytes(text)
        if plain == text:
            break
        text = plain
    return text


def _escaped(text: bytes) -> bytes:
    """What cannot stand in a key, and the percent sign itself."""
    return _TO_ESCAPE.sub(_percent, text)


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(match[0])
