"""The list against the registry: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.feedlist import FeedConfig
from worker.feeds.reconcile import BY_HAND, FROM_FILE, Registered, Step, reconcile, said_by


def listed(slug: str = "tram", **said: Any) -> FeedConfig:
    return FeedConfig(slug=slug, url=f"https://{slug}.example/rss", **said)


def registered(config: FeedConfig, *, origin: str = FROM_FILE, removed: bool = False, **learnt: Any) -> Registered:
    return Registered(slug=config.slug, origin=origin, removed=removed, said={**said_by(config), **learnt})


@pytest.mark.parametrize(
    ("config", "feed", "kind"),
    [
        pytest.param(listed(), None, "added", id="new"),
        pytest.param(listed(), registered(listed()), None, id="agreed"),
        pytest.param(listed(), registered(listed(), title="Its own"), None, id="a title it learnt"),
        pytest.param(listed(title="T"), registered(listed(), title="Its own"), "changed", id="another title"),
        pytest.param(listed(priority=1), registered(listed()), "changed", id="another priority"),
        pytest.param(listed(), registered(listed(), removed=True), "returned", id="back again"),
        pytest.param(listed(), registered(listed(), origin=BY_HAND), "changed", id="taken over from hand"),
        pytest.param(None, registered(listed()), "removed", id="vanished"),
        pytest.param(None, registered(listed(), removed=True), None, id="vanished long ago"),
        pytest.param(None, registered(listed(), origin=BY_HAND), None, id="by hand"),
    ],
)
def test_what_a_feed_needs(config: FeedConfig | None, feed: Registered | None, kind: str | None) -> None:
    steps = reconcile([config] if config else [], [feed] if feed else [])
    assert [step.kind for step in steps] == ([kind] if kind else [])


def test_a_change_names_what_was_and_what_will_be() -> None:
    [step] = reconcile([listed(priority=1, language="en")], [registered(listed())])
    assert step.values == {"priority": 1, "language": "en"}
    assert step.before == {"priority": 0, "language": None}


def written(feeds: Sequence[Registered], steps: Sequence[Step]) -> list[Registered]:
    """The registry after the steps."""
    after = {feed.slug: feed for feed in feeds}
    for step in steps:
        before = after.get(step.slug)
        said = {**(before.said if before else {}), **step.values}
        after[step.slug] = Registered(slug=step.slug, origin=FROM_FILE, removed=step.kind == "removed", said=said)
    return list(after.values())


configs = st.builds(
    listed,
    st.sampled_from(["tram", "ferry", "kite", "choir"]),
    title=st.sampled_from([None, "A", "B"]),
    headers=st.sampled_from([{}, {"X-Key": "${KEY}"}]),
    first_poll=st.sampled_from(["all", "none", 5]),
    enabled=st.booleans(),
)
lists = st.lists(configs, unique_by=lambda config: config.slug)
registries = st.lists(
    st.builds(registered, configs, origin=st.sampled_from([FROM_FILE, BY_HAND, "sample"]), removed=st.booleans()),
    unique_by=lambda feed: feed.slug,
)


@given(lists, registries)
def test_one_round_is_enough(named: list[FeedConfig], known: list[Registered]) -> None:
    assert reconcile(named, written(known, reconcile(named, known))) == ()


@given(lists, registries)
def test_what_was_added_by_hand_is_never_taken_off(named: list[FeedConfig], known: list[Registered]) -> None:
    removed = {step.slug for step in reconcile(named, known) if step.kind == "removed"}
    assert not removed & {feed.slug for feed in known if feed.origin != FROM_FILE}
    assert not removed & {config.slug for config in named}
