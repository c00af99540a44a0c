"""What a broker's URL says: is it Redis, and how is its certificate looked at? Several hosts stand between ``;``."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

REDIS_SCHEMES = frozenset({"redis", "rediss", "redis+socket"})
TLS_OPTIONS = "ssl_"  # how the names of a rediss URL's options begin; kombu hands them to the client
CERTIFICATE_OPTION = "ssl_cert_reqs"
NO_URL = "it is no URL: a port is a number, and a password's / ? # @ : ; are written %2F %3F %23 %40 %3A %3B"
CERTIFICATE_CHECKS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def is_redis(url: str) -> bool:
    """Is this a Redis URL of any kind (rediss, a Unix socket)?"""
    return urlsplit(url).scheme in REDIS_SCHEMES


def tls_options(url: str) -> dict[str, Any]:
    """What a rediss URL asks of TLS; certificates are verified unless it says otherwise. Empty for other URLs.

    The first host speaks for all. Left to itself kombu would verify nothing.

    Raises: ValueError: ``ssl_cert_reqs`` says none of what it may say.
    """
    parts = urlsplit(url.partition(";")[0])
    if parts.scheme != "rediss":
        return {}
    asked: dict[str, Any] = {name: value for name, value in parse_qsl(parts.query) if name.startswith(TLS_OPTIONS)}
    check = asked.get(CERTIFICATE_OPTION, "required").lower().removeprefix("cert_")
    if check not in CERTIFICATE_CHECKS:
        raise ValueError(f"{CERTIFICATE_OPTION} must be one of {', '.join(CERTIFICATE_CHECKS)}")
    asked[CERTIFICATE_OPTION] = CERTIFICATE_CHECKS[check]
    if "ssl_check_hostname" in asked:
        asked["ssl_check_hostname"] = asked["ssl_check_hostname"].lower() != "false"
    return asked


def verifies(url: str) -> bool:
    """Is the broker's certificate looked at, if it shows one?"""
    return tls_options(url).get(CERTIFICATE_OPTION) is not ssl.CERT_NONE


def without_tls_options(url: str) -> str:
    """The URL as kombu gets it, beside ``tls_options``: what the URL says itself would replace them."""
    return ";".join(_without_tls_options(part) for part in url.split(";"))


def _without_tls_options(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    kept = [(name, value) for name, value in parse_qsl(parts.query) if not name.startswith(TLS_OPTIONS)]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def unverified(url: str) -> str:
    """The same broker, its certificate not looked at; a URL that says what it wants stays as it is."""
    return ";".join(_unverified(urlsplit(part)) for part in url.split(";"))


def _unverified(parts: SplitResult) -> str:
    said = parse_qsl(parts.query)
    if parts.scheme != "rediss" or CERTIFICATE_OPTION in dict(said):
        return urlunsplit(parts)
    return urlunsplit(parts._replace(query=urlencode([*said, (CERTIFICATE_OPTION, "none")])))


def checked(url: str) -> str:
    """The URL, when a broker may be found by it.

    Raises: ValueError: saying what to write instead; nothing of the URL is in it.
    """
    for part in url.split(";"):
        _check(part)
    tls_options(url)
    return url


def _check(url: str) -> None:
    if "://" not in url:
        raise ValueError("write it as redis://:password@host:6379/0 or amqp://user:password@host//")
    parts = taken_apart(url)
    if parts.scheme.startswith("sentinel"):
        raise ValueError("Redis Sentinel is not supported: name the Redis itself")
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(NO_URL)
    if parts.scheme in {"redis", "rediss"}:
        _check_redis(parts)


def taken_apart(url: str) -> SplitResult:
    """Its parts; the port is a number.

    Raises: ValueError: it is no URL. The library's own sentences would quote from passwords.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(NO_URL) from None
    if parts.netloc.count("@") > 1:
        raise ValueError(NO_URL)
    return parts


def _check_redis(parts: SplitResult) -> None:
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("behind a Redis host stands the number of a database, as in redis://host:6379/0")
    unknown = [name for name, _ in parse_qsl(parts.query) if not name.startswith(TLS_OPTIONS)]
    if unknown:
        raise ValueError(
            "a Redis URL may end in options that begin with ssl_ only; the password stands before the host, as in "
            "redis://:password@host:6379/0"
        )
