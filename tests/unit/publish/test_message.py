"""The message's form is a promise: what is built must fit the schemas, whatever went in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from worker.errors import QuarantineError
from worker.model import Access, ArticleRecord, Extraction, ImageCandidate, Picture
from worker.publish import message as m

SCHEMAS = Path(__file__).resolve().parents[3] / "config" / "schemas"
AT = datetime(2025, 1, 17, 14, 50, 11, tzinfo=UTC)
TEXT_KEY = "text/" + "ab" * 32
RECORD_ID = "urn:uuid:01234567-89ab-cdef-0123-456789abcdef"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}-1.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


ARTICLE = validator("article")


def record(**changes: Any) -> ArticleRecord:
    known: dict[str, Any] = {
        "title": "Ein Titel",
        "authors": ("A. Autor", "B. Autor"),
        "published_at": AT,
        "published_from": "feed-body",
        "language": "zh",
        "tags": ("x",),
        "summary": "Kurz.",
        "text": "Eins.\n\nZwei.",
        "image": ImageCandidate(
            url="https://p.example/a.jpg", chosen_by="og:image", caption="Bild", credit="AP", width=9, height=5
        ),
        "access": Access(paywalled=None, partial=False),
        "extraction": Extraction(method="page", version="1", confidence=0.97),
    }
    return ArticleRecord(**{**known, **changes})


def publication(**changes: Any) -> m.Publication:
    known: dict[str, Any] = {
        "article_id": "0123456789abcdef0123456789abcdef",
        "revision": 1,
        "kind": "published",
        "sequence": 1041,
        "url": "https://news.example/a",
        "url_requested": "https://news.example/a?utm=1",
        "url_final": "https://news.example/a",
        "guid": "a",
        "sightings": (m.Sighting(feed="voa-chinese", feed_date=None, seen_at=AT),),
        "discovered_at": AT,
        "downloaded_at": AT + timedelta(seconds=3),
        "text_ref": TEXT_KEY,
        "html_ref": "html/" + "cd" * 32,
        "word_count": 2,
        "text_sha256": "ab" * 32,
        "simhash": "00ff00ff00ff00ff",
        "robots": "allowed",
        "archive": m.ArchiveKeys(warc="warc/2025/01/17/0123-1.warc.gz", record_id=RECORD_ID),
    }
    return m.Publication(**{**known, **changes})


def built(picture: Picture | None = None, **changes: Any) -> dict[str, Any]:
    return m.build_message(record(**changes), picture, publication())


def test_a_built_message_fits_its_schema() -> None:
    ARTICLE.validate(built())


def test_a_message_with_nothing_known_fits_its_schema() -> None:
    bare = ArticleRecord(title=None, extraction=Extraction(method="feed", version="1", confidence=0.0))
    publication_ = publication(
        url_requested=None, url_final=None, guid=None, downloaded_at=None, text_ref=None, html_ref=None, word_count=None,
        text_sha256=None, simhash=None, robots=None,
    )  # fmt: skip
    ARTICLE.validate(m.build_message(bare, None, publication_))


def test_a_revision_tells_what_changed() -> None:
    change = m.Change(previous=1, fields=("title",), ratio=0.1, change_class="minor")
    message = m.build_message(record(), None, publication(revision=2, kind="updated", change=change))
    ARTICLE.validate(message)
    assert message["change"] == {"previous": 1, "fields": ["title"], "ratio": 0.1, "class": "minor"}


@pytest.mark.parametrize(
    "damage",
    [
        {"extra": 1},
        {"text": None, "text_ref": None},
        {"published_at": "2025-01-17T14:50:11+08:00"},
        {"revision": 0},
        {"image": {}},
    ],
    ids=["a field more", "no text and no reference", "a time that is not UTC", "revision 0", "an empty picture"],
)
def test_the_schema_refuses(damage: dict[str, Any]) -> None:
    assert not ARTICLE.is_valid({**built(), **damage})


@pytest.mark.parametrize("field", sorted(ARTICLE.schema["properties"]))
def test_the_schema_wants_every_field(field: str) -> None:
    message = built()
    del message[field]
    assert not ARTICLE.is_valid(message)


def test_the_id_is_made_of_article_and_revision() -> None:
    assert built()["id"] == "0123456789abcdef0123456789abcdef:1"


def test_a_picture_with_bytes_keeps_what_its_page_said_of_it() -> None:
    picture = Picture(
        url="https://p.example/a.jpg",
        sha256="ef" * 32,
        ref="pictures/ef.jpg",
        media_type="image/jpeg",
        width=900,
        height=506,
    )
    image = built(picture)["image"]
    assert (image["width"], image["height"], image["sha256"]) == (900, 506, "ef" * 32)
    assert (image["caption"], image["credit"], image["chosen_by"]) == ("Bild", "AP", "og:image")


def test_another_picture_does_not_take_over_the_first_ones_caption() -> None:
    image = built(Picture(url="https://p.example/b.jpg"))["image"]
    assert image["url"] == "https://p.example/b.jpg"
    assert image["caption"] is None


def test_a_picture_that_cannot_be_fetched_is_still_named() -> None:
    message = built(Picture(url="https://p.example/a.jpg", problem="404"))
    ARTICLE.validate(message)
    assert message["image"]["url"] == "https://p.example/a.jpg"
    assert message["image"]["sha256"] is message["image"]["ref"] is None


def test_an_article_without_any_picture_has_null() -> None:
    assert built(image=None)["image"] is None


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -1.0, 7.0])
def test_a_senseless_confidence_becomes_a_share(confidence: float) -> None:
    message = built(extraction=Extraction(method="page", version="1", confidence=confidence))
    ARTICLE.validate(message)
    assert 0 <= json.loads(m.frozen_body(message, 65_536))["extraction"]["confidence"] <= 1


@pytest.mark.parametrize(
    "changes", [{"kind": "shouted"}, {"revision": 0}, {"sequence": 0}, {"discovered_at": AT.replace(tzinfo=None)}]
)
def test_an_impossible_publication_is_refused_at_once(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        publication(**changes)


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (AT, "2025-01-17T14:50:11Z"),
        (AT.replace(microsecond=120), "2025-01-17T14:50:11.000120Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (None, None),
    ],
)
def test_times_are_rfc_3339_in_utc(moment: datetime | None, written: str | None) -> None:
    assert m.rfc3339(moment) == written


def test_a_local_time_is_refused() -> None:
    with pytest.raises(ValueError):
        m.rfc3339(AT.astimezone(timezone(timedelta(hours=8))))


# ---------------------------------------------------------------- freezing


def test_a_small_message_is_frozen_as_it_is() -> None:
    message = built()
    body = m.frozen_body(message, 65_536)
    assert json.loads(body) == message
    assert b'": ' not in body


def test_the_same_message_freezes_to_the_same_bytes() -> None:
    assert m.frozen_body(built(), 65_536) == m.frozen_body(built(), 65_536)


def test_a_long_text_is_referenced_and_nothing_else_is_cut() -> None:
    message = built(text="字" * 30_000)
    frozen = json.loads(m.frozen_body(message, 65_536))
    assert frozen == {**message, "text": None}
    ARTICLE.validate(frozen)


def test_a_text_that_is_not_stored_stays_and_the_rest_gives_way() -> None:
    message = m.build_message(record(text="x" * 30_000, summary="s" * 60_000), None, publication(text_ref=None))
    frozen = json.loads(m.frozen_body(message, 65_536))
    assert frozen["text"] == "x" * 30_000
    assert len(frozen["summary"]) <= 500


def test_a_text_that_does_not_fit_and_is_not_stored_makes_no_message() -> None:
    message = m.build_message(record(text="x" * 70_000), None, publication(text_ref=None))
    with pytest.raises(QuarantineError, match="message-too-large"):
        m.frozen_body(message, 65_536)


def test_a_text_that_just_fits_stays() -> None:
    message = built(text="")
    room = 65_536 - len(m.frozen_body(message, 65_536))
    assert json.loads(m.frozen_body(built(text="x" * room), 65_536))["text"] == "x" * room
    assert json.loads(m.frozen_body(built(text="x" * (room + 1)), 65_536))["text"] is None


def test_what_was_cut_is_named() -> None:
    frozen = json.loads(m.frozen_body(built(summary="s" * 70_000, tags=("t" * 90_000,)), 65_536))
    assert frozen["extraction"]["warnings"] == ["cut-to-fit:tags,summary"]
    assert frozen["summary"].endswith("…")


def test_an_absurd_url_ends_in_a_named_outcome() -> None:
    message = m.build_message(record(), None, publication(url="https://news.example/" + "x" * 70_000))
    with pytest.raises(QuarantineError) as caught:
        m.frozen_body(message, 65_536)
    assert caught.value.reason == "message-too-large"


def test_a_lone_surrogate_becomes_a_replacement_and_a_pair_its_character() -> None:
    frozen = json.loads(m.frozen_body(built(title="a\ud800b", summary="\ud83d\ude00"), 65_536))
    assert frozen["title"] == "a\ufffdb"
    assert frozen["summary"] == "😀"


words = st.text(st.characters(), max_size=60)
long_words = st.builds(lambda text, times: text * times, words, st.integers(1, 60))


@settings(max_examples=60, deadline=None)
@given(
    title=st.none() | st.builds(lambda text: text[:1000], long_words),
    authors=st.lists(long_words, max_size=30).map(tuple),
    tags=st.lists(long_words, max_size=30).map(tuple),
    summary=st.none() | long_words,
    text=long_words,
    site_name=st.none() | long_words,
    section=st.none() | long_words,
    licence=st.none() | long_words,
    warnings=st.lists(long_words, max_size=20).map(tuple),
    cap=st.sampled_from([4096, 8192, 65_536]),
)
def test_any_words_fit_under_the_cap_and_the_schema(cap: int, warnings: tuple[str, ...], **words: Any) -> None:
    extraction = Extraction(method="page", version="1", confidence=0.5, warnings=warnings)
    body = m.frozen_body(built(**words, extraction=extraction), cap)
    assert len(body) <= cap
    ARTICLE.validate(json.loads(body))


def test_many_sightings_and_long_addresses_fit_under_the_smallest_cap() -> None:
    sightings = tuple(m.Sighting(feed=f"feed-{n}", feed_date=AT, seen_at=AT) for n in range(500))
    url = "https://news.example/" + "x" * 1900
    message = m.build_message(
        record(title="\x01" * 1000),
        None,
        publication(sightings=sightings, url=url, url_final=url, url_requested=url, guid=url),
    )
    body = m.frozen_body(message, 4096)
    frozen = json.loads(body)
    ARTICLE.validate(frozen)
    assert len(body) <= 4096
    assert frozen["url"] == url


# ---------------------------------------------------------------- addressing


def test_the_routing_key_names_kind_and_feed() -> None:
    assert m.routing_key("updated", "voa-chinese") == "article.updated.voa-chinese"


@pytest.mark.parametrize(
    ("kind", "slug"),
    [("shouted", "voa"), ("published", "a.b"), ("published", "#"), ("published", ""), ("published", "x" * 101)],
)
def test_a_routing_key_with_other_words_is_refused(kind: str, slug: str) -> None:
    with pytest.raises(ValueError):
        m.routing_key(kind, slug)


def test_headers_are_cloud_events_in_binary_mode() -> None:
    assert m.headers(built()) == {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "0123456789abcdef0123456789abcdef:1",
        "cloudEvents_source": "newsmill",
        "cloudEvents_type": "newsmill.article.published.v1",
        "cloudEvents_time": "2025-01-17T14:50:14Z",
        "cloudEvents_subject": "0123456789abcdef0123456789abcdef",
        "cloudEvents_dataschema": "urn:newsmill:article:1",
    }


def test_a_frozen_body_sent_again_is_the_same_message() -> None:
    body = m.frozen_body(built(), 65_536)
    first, again = m.outgoing_article(body, "voa-chinese"), m.outgoing_article(body, "voa-chinese")
    assert first == again
    assert first.body is body
    assert (first.message_id, first.exchange, first.routing_key) == (
        "0123456789abcdef0123456789abcdef:1", "newsmill", "article.published.voa-chinese",
    )  # fmt: skip


# ---------------------------------------------------------------- for operators


@pytest.mark.parametrize("event", m.EventName.__args__)
def test_every_event_fits_its_schema(event: m.EventName) -> None:
    message = m.event_message(event, at=AT, feed="voa", article_id="a1", url="https://news.example/a", reason="why")
    validator("event").validate(message)
    assert m.outgoing_event(message).routing_key == event
    assert m.outgoing_event(message).exchange == "newsmill.events"
    assert m.headers(message)["cloudEvents_type"] == f"newsmill.{event}.v1"


def test_an_event_is_small_whatever_it_tells() -> None:
    message = m.event_message("feed.failing", at=AT, feed="voa", url="https://" + "x" * 9000, reason="y" * 9000)
    validator("event").validate(message)
    assert len(m.outgoing_event(message).body) < 2000
    assert message["url"] is None


def test_an_event_told_twice_has_one_id() -> None:
    first, again = (m.event_message("item.discovered", at=AT, article_id="a1") for _ in range(2))
    assert first["id"] == again["id"] == "item.discovered:a1:2025-01-17T14:50:11Z"


@pytest.mark.parametrize("changes", [{"event": "feed.happy"}, {"feed": None}])
def test_an_event_of_no_kind_or_about_nothing_is_refused(changes: dict[str, Any]) -> None:
    known = {"event": "feed.failing", "feed": "voa"}
    with pytest.raises(ValueError):
        m.event_message(at=AT, **{**known, **changes})


def test_the_heartbeat_fits_its_schema() -> None:
    message = m.heartbeat_message(at=AT, counts={"published": 3}, last_published_at=None)
    validator("heartbeat").validate(message)
    assert m.outgoing_event(message).routing_key == "heartbeat"
    assert m.headers(message)["cloudEvents_type"] == "newsmill.heartbeat.v1"


# ---------------------------------------------------------------- the AsyncAPI document


def asyncapi() -> dict[str, Any]:
    return yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))


def test_the_asyncapi_document_points_only_at_what_exists() -> None:
    document = asyncapi()
    assert document["asyncapi"].startswith("3.")
    references = list(_references(document))
    assert {path for path in references if path.startswith("./")} == {
        f"./{path.name}" for path in SCHEMAS.glob("*.json")
    }
    for reference in references:
        if reference.startswith("#/"):
            place: Any = document
            for step in reference[2:].split("/"):
                place = place[step]


def _references(place: Any) -> Any:
    if isinstance(place, dict):
        if "$ref" in place:
            yield place["$ref"]
        for value in place.values():
            yield from _references(value)


def test_the_asyncapi_document_names_exchanges_kinds_and_events_as_the_code_does() -> None:
    channels = asyncapi()["channels"]
    assert channels["articles"]["bindings"]["amqp"]["exchange"]["name"] == m.EXCHANGE
    assert channels["events"]["bindings"]["amqp"]["exchange"]["name"] == m.EVENTS_EXCHANGE
    assert channels["articles"]["parameters"]["kind"]["enum"] == list(m.Kind.__args__)
    assert channels["events"]["parameters"]["event"]["enum"] == list(m.EventName.__args__)


@pytest.mark.parametrize("name", ["article", "event", "heartbeat"])
def test_our_headers_fit_the_asyncapi_document(name: str) -> None:
    message = {
        "article": built(),
        "event": m.event_message("feed.silent", at=AT, feed="voa"),
        "heartbeat": m.heartbeat_message(at=AT, counts={}, last_published_at=AT),
    }[name]
    schema = asyncapi()["components"]["messages"][name]["headers"]
    Draft202012Validator(schema).validate(m.headers(message))
    assert set(m.headers(message)) <= set(schema["properties"])


# ---------------------------------------------------------------- text by reference


@pytest.mark.parametrize("characters", range(40_000, 60_000, 1_000))
@pytest.mark.parametrize("letter", ["x", "文", '"'], ids=["one byte", "three bytes", "escaped"])
def test_a_text_that_was_not_stored_fits_into_its_message(letter: str, characters: int) -> None:
    size = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    read = record(text=letter * (characters // size), tags=tuple(f"tag {number}" for number in range(40)))
    sightings = tuple(m.Sighting(feed=f"feed-{number:056d}", feed_date=AT, seen_at=AT) for number in range(40))
    said = m.build_message(read, None, publication(text_ref=None, sightings=sightings))
    if m.may_outgrow(read, 65_536):
        assert characters > 48_000
    else:
        assert json.loads(m.frozen_body(said, 65_536)) == said


def test_a_text_over_the_cap_is_always_stored() -> None:
    assert m.may_outgrow(record(text="x" * 65_536), 65_536)
    assert m.may_outgrow(record(text="x"), 4096)
    assert not m.may_outgrow(record(text="x" * 16_000), 65_536)
