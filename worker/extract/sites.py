"""What is known about single sites' templates: where the article stands, and what stands in it without being of it.

A profile only spares the general rules their guesses; a page that does not look like its profile goes the general way.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteProfile:
    """Classes and ids are exact names, without dot or hash."""

    name: str
    domains: tuple[str, ...]  # and everything below them
    body_ids: tuple[str, ...]
    body_classes: tuple[str, ...]  # the parts inside an element of body_ids that hold the text
    drop_classes: frozenset[str]
    drop_ids: frozenset[str]


# The CMS of Voice of America and of RFE/RL, seen on pages from 2017 to 2025.
PANGEA = SiteProfile(
    name="pangea",
    domains=(
        "voanews.com",
        "voachinese.com",
        "voacantonese.com",
        "voatibetan.com",
        "rferl.org",
        "svoboda.org",
        "azattyq.org",
    ),
    body_ids=("article-content",),
    body_classes=("wsw",),
    drop_classes=frozenset(
        (
            "wsw__embed",
            "media-pholder",
            "c-mmp",
            "content-redirect",
            "news-app-promo",
            "ymla-section",
            "infgraphicsAttach",
        )
    ),
    drop_ids=frozenset(("ymla-section", "comments")),
)
PROFILES = (PANGEA,)


def profile_of(url: str | None) -> SiteProfile | None:
    """The profile of the site an article's URL belongs to, if there is one."""
    try:
        host = urlsplit(url or "").hostname or ""
    except ValueError:
        return None
    return next((p for p in PROFILES if any(host == d or host.endswith(f".{d}") for d in p.domains)), None)
