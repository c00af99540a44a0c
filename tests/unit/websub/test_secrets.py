"""A callback's URL is a secret: whoever knows it can end a subscription."""

from __future__ import annotations

from worker.observe import scrubbed


def test_a_callback_s_url_reaches_no_report() -> None:
    event = {"request": {"url": "https://mill.example/news/websub/unguessable?hub.mode=denied"}}
    assert scrubbed(event) == {"request": {"url": "https://mill.example/news/websub/[removed]?[removed]"}}
