"""The reviewed list of feeds, as ``feeds.toml`` writes it, read and checked. Pure."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from worker.errors import UsageError
from worker.urls import usable_url

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SHORTEST_INTERVAL_S = 10.0
LONGEST_INTERVAL_S = 30 * 86_400.0
CHOICES = {
    "fulltext": ("auto", "always", "never"),
    "document_body": ("clean", "feed"),
    "offsite": ("follow", "skip"),
    "robots": ("ignore", "obey"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedConfig:
    """What an operator says about a feed."""

    slug: str
    url: str
    title: str | None = None
    language: str | None = None
    interval_s: float | None = None
    fulltext: str = "auto"
    document_body: str = "clean"
    image_proxy: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first_poll: str | int = "all"  # all, none, or the newest so many
    offsite: str = "follow"
    robots: str = "ignore"  # of the feed document's own site: a person subscribed to it
    priority: int = 0
    enabled: bool = True


FIELDS = tuple(f.name for f in fields(FeedConfig))


def read_feedlist(text: str) -> tuple[FeedConfig, ...]:
    """The feeds of a list: an array of tables ``[[feed]]``.

    Raises: UsageError: naming the feed, the field and what to write instead.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The list of feeds is not TOML: {error}.") from error
    unknown = sorted(set(document) - {"feed"})
    if unknown:
        raise UsageError(f"The list of feeds has {', '.join(unknown)}: it knows only tables named [[feed]].")
    tables = document.get("feed", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError("The list of feeds has [feed]: write [[feed]], with double brackets, for each one.")
    listed = tuple(feed_config(table) for table in tables)
    for name, of in (("slug", [one.slug for one in listed]), ("url", [one.url for one in listed])):
        twice = next((value for value in of if of.count(value) > 1), None)
        if twice is not None:
            raise UsageError(f"The list of feeds has the {name} {twice} twice: keep one of them.")
    return listed


def feed_config(said: Mapping[str, Any]) -> FeedConfig:
    """One feed, checked; ``None`` stands for "not said".

    Raises: UsageError: naming the feed, the field and what to write instead.
    """
    given = {name: value for name, value in said.items() if value is not None}
    which = str(given.get("slug") or given.get("url") or "without slug")
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        raise UsageError(f"Feed {which}: {', '.join(unknown)} is not known; fields are {', '.join(FIELDS)}.")
    for name in ("slug", "url"):
        if not given.get(name):
            raise UsageError(f"Feed {which}: {name} is missing.")
    return FeedConfig(**{name: _CHECKS[name](which, value) for name, value in given.items()})


def slug_from(title_or_url: str) -> str:
    """A slug made of a title, or of a URL's host and last word; empty when there is nothing to make it of."""
    text = title_or_url
    if url := usable_url(text):
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.").removeprefix("feeds.").removeprefix("rss.")
        words = [
            word for word in re.split(r"[/.]", parts.path) if word not in {"", "rss", "xml", "feed", "feeds", "atom"}
        ]
        text = " ".join([host.split(".")[0], *words[-1:]])
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-")


# ---------------------------------------------------------------- fields


def _slug(which: str, value: Any) -> str:
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise UsageError(
            f"Feed {which}: slug {value!r} must be a-z, 0-9 and -, beginning with a letter or digit, at most 63."
        )
    return value


def _url(which: str, value: Any) -> str:
    url = usable_url(value) if isinstance(value, str) else None
    if url is None or "@" in urlsplit(value.strip()).netloc:  # a usable URL has lost user and password
        raise UsageError(
            f"Feed {which}: url must be an http or https address without user and password: a header carries them, "
            'such as Authorization = "Basic ${NAME}".'
        )
    return url


def _text(name: str) -> Any:
    def check(which: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"Feed {which}: {name} must be a text.")
        return value.strip()

    return check


def _language(which: str, value: Any) -> str:
    if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
        raise UsageError(f"Feed {which}: language must be a tag such as en or zh-Hans, not {value!r}.")
    return value


def _interval(which: str, value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not SHORTEST_INTERVAL_S <= value <= LONGEST_INTERVAL_S:
        raise UsageError(
            f"Feed {which}: interval_s must be {SHORTEST_INTERVAL_S:.0f} to {LONGEST_INTERVAL_S:.0f} seconds."
        )
    return float(value)


def _choice(name: str) -> Any:
    def check(which: str, value: Any) -> str:
        if value not in CHOICES[name]:
            raise UsageError(f"Feed {which}: {name} must be one of {', '.join(CHOICES[name])}, not {value!r}.")
        return str(value)

    return check


def _image_proxy(which: str, value: Any) -> str:
    if not isinstance(value, str) or "{url}" not in value or usable_url(value.replace("{url}", "x")) is None:
        raise UsageError(
            f"Feed {which}: image_proxy must be an address with {{url}} in it, where the picture's own goes."
        )
    return value


def _headers(which: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f'Feed {which}: headers must be a table, such as {{ Authorization = "Bearer ${{TOKEN}}" }}.')
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name) or not isinstance(text, str) or not text.isprintable():
            raise UsageError(
                f"Feed {which}: header {name!r} is no header: a name of letters and -, a value on one line."
            )
    return dict(value)


def _first_poll(which: str, value: Any) -> str | int:
    count = value.get("newest") if isinstance(value, Mapping) and set(value) == {"newest"} else value
    if count in ("all", "none"):
        return str(count)
    if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        return count
    raise UsageError(f'Feed {which}: first_poll must be "all", "none" or {{ newest = 5 }}, not {value!r}.')


def _priority(which: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -1000 <= value <= 1000:  # noqa: PLR2004
        raise UsageError(f"Feed {which}: priority must be a whole number from -1000 to 1000.")
    return value


def _enabled(which: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"Feed {which}: enabled must be true or false.")
    return value


_CHECKS: dict[str, Any] = {
    "slug": _slug,
    "url": _url,
    "title": _text("title"),
    "language": _language,
    "interval_s": _interval,
    "fulltext": _choice("fulltext"),
    "document_body": _choice("document_body"),
    "image_proxy": _image_proxy,
    "headers": _headers,
    "first_poll": _first_poll,
    "offsite": _choice("offsite"),
    "robots": _choice("robots"),
    "priority": _priority,
    "enabled": _enabled,
}
