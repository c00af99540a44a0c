"""The pictures a page names in its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lxml.html
import pytest

from worker.extract.declared import MAX_OF_A_KIND, declared_pictures
from worker.model import ImageCandidate

URL = "https://news.example/a/b.html"


def declared(
    metas: Mapping[str, list[str]] | None = None, nodes: tuple[dict[str, Any], ...] = (), head: str = ""
) -> tuple[ImageCandidate, ...]:
    root = lxml.html.document_fromstring(f"<html><head>{head}<title>x</title></head><body>x</body></html>")
    return declared_pictures(root, metas or {}, nodes, base_url=URL)


def test_every_source_is_read_the_most_trusted_first() -> None:
    pictures = declared(
        {"og:image": ["/og.jpg"], "twitter:image:src": ["/tw.jpg"], "image": ["/item.jpg"]},
        ({"url": "/ld.jpg"},),
        "<link rel='image_src' href='/link.jpg'><link itemprop='image' href='/linked.jpg'>",
    )
    assert [(one.chosen_by, one.url.rpartition("/")[2]) for one in pictures] == [
        ("og:image", "og.jpg"),
        ("twitter:image", "tw.jpg"),
        ("json-ld", "ld.jpg"),
        ("meta", "item.jpg"),
        ("meta", "link.jpg"),
        ("meta", "linked.jpg"),
    ]


@pytest.mark.parametrize(
    ("widths", "wanted"),
    [(["800", "1200"], [800, 1200]), (["800"], [800, None]), ([], [None, None])],
    ids=["each its own", "one for two", "none"],
)
def test_open_graph_s_sizes_go_with_their_pictures(widths: list[str], wanted: list[int | None]) -> None:
    pictures = declared({"og:image": ["/a.jpg", "/b.jpg"], "og:image:width": widths})
    assert [one.width for one in pictures] == wanted


def test_the_plain_open_graph_name_is_read_once() -> None:
    pictures = declared(
        {"og:image": ["http://news.example/a.jpg"], "og:image:secure_url": ["https://news.example/a.jpg"]}
    )
    assert len(pictures) == 1


@pytest.mark.parametrize(
    "node",
    [
        {"creditText": "Lind/Agency"},
        {"copyrightNotice": "Lind/Agency"},
        {"creator": {"@type": "Person", "name": "Lind/Agency"}},
        {"creator": [{"name": "Lind/Agency"}]},
        {"copyrightHolder": {"name": "Lind/Agency"}},
    ],
)
def test_a_credit_is_found_under_any_of_its_names(node: dict[str, Any]) -> None:
    (picture,) = declared(nodes=({"url": "/a.jpg", "caption": "The quay", **node},))
    assert (picture.caption, picture.credit) == ("The quay", "Lind/Agency")


@pytest.mark.parametrize(
    ("width", "wanted"),
    [(1200, 1200), ("1200px", 1200), ({"value": 1200}, 1200), (True, None), (None, None), ("100%", None)],
)
def test_a_node_s_width_is_read_in_whatever_form(width: Any, wanted: int | None) -> None:
    (picture,) = declared(nodes=({"url": "/a.jpg", "width": width},))
    assert picture.width == wanted


def test_what_is_no_picture_is_left_out_and_galleries_are_cut() -> None:
    assert declared({"og:image": ["/logo.png", "data:image/png;base64,x", "javascript:1"]}, ({"url": ""},)) == ()
    assert len(declared(nodes=tuple({"url": f"/{number}.jpg"} for number in range(99)))) == MAX_OF_A_KIND
