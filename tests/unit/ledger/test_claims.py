"""Leases, tokens and attempts: what makes late, doubled and dead workers harmless."""

from __future__ import annotations

import multiprocessing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.ledger.conftest import NOW, add_articles
from worker.ledger import articles, hosts
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger, dispatch_lock
from worker.ledger.tables import Row, slots
from worker.ledger.tables import articles as article_rows
from worker.ledger.tables import hosts as host_rows
from worker.model import State
from worker.urls import gate_key

MINUTE = timedelta(minutes=1)
LONG_FREE = {"next_start_at": NOW - timedelta(hours=1)}
UNHURRIED = hosts.Pace(delay_s=0, connections=1000)


def unhurried(_row: Row) -> hosts.Pace:
    return UNHURRIED


def claim(ledger: Ledger, *, now: datetime, limit: int = 100, token: str = "t") -> list[int]:
    with ledger.transaction() as tx:
        if not dispatch_lock(tx):
            return []
        ready = articles.ready_by_host(tx, now=now, limit=limit, pace_of=unhurried)
        if not ready:
            return []
        return articles.lease(tx, ready, token=token, now=now, until=now + 10 * MINUTE, slot_until=now + MINUTE)


def begin(ledger: Ledger, ids: list[int], *, token: str = "t", now: datetime = NOW) -> list[Row]:
    with ledger.transaction() as tx:
        return articles.begin(tx, ids, token=token, state=State.DISCOVERED, until=now + 2 * MINUTE)


def advance(ledger: Ledger, row: Row, now: datetime = NOW) -> bool:
    with ledger.transaction() as tx:
        return articles.advance(tx, row, state=State.DOWNLOADED, until=now + 10 * MINUTE, now=now, values={})


def test_a_message_delivered_three_times_is_worked_once(ledger: Ledger) -> None:
    ids = add_articles(ledger, 3)
    claim(ledger, now=NOW)
    deliveries = [len(begin(ledger, ids)) for _ in range(3)]
    assert deliveries == [3, 0, 0]


def test_a_message_delivered_again_after_its_work_was_saved_finds_nothing(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1)
    claim(ledger, now=NOW)
    (row,) = begin(ledger, ids)
    assert advance(ledger, row)
    assert begin(ledger, ids) == []


def test_a_worker_stopped_past_its_lease_and_continued_saves_nothing(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1)
    claim(ledger, now=NOW)
    (stopped,) = begin(ledger, ids)
    later = NOW + 5 * MINUTE
    assert claim(ledger, now=later, token="u") == ids
    (second,) = begin(ledger, ids, token="u", now=later)
    assert not advance(ledger, stopped, later)
    assert advance(ledger, second, later)


def test_a_late_worker_cannot_end_or_release_what_another_holds(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1)
    claim(ledger, now=NOW)
    (stopped,) = begin(ledger, ids)
    later = NOW + 5 * MINUTE
    claim(ledger, now=later, token="u")
    with ledger.transaction() as tx:
        assert not articles.end(tx, stopped, state=State.REJECTED, now=later, reason="gone")
        assert not articles.let_go(tx, stopped, ready_at=later, counted=True)


def test_a_live_lease_is_not_claimed_again(ledger: Ledger) -> None:
    add_articles(ledger, 2)
    assert len(claim(ledger, now=NOW)) == 2
    assert claim(ledger, now=NOW + MINUTE) == []


def test_a_vanished_worker_s_article_is_ready_again_and_travels_alone(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1)
    claim(ledger, now=NOW)
    begin(ledger, ids)
    with ledger.transaction() as tx:
        (ready,) = articles.ready_by_host(tx, now=NOW + 5 * MINUTE, limit=10, pace_of=unhurried)
    assert ready.alone


def test_an_article_whose_worker_vanishes_every_time_is_quarantined(ledger: Ledger) -> None:
    ids = add_articles(ledger, 2)
    now = NOW
    for attempt in range(3):
        claim(ledger, now=now, token=f"t{attempt}")
        assert len(begin(ledger, ids[:1], token=f"t{attempt}", now=now)) == 1
        now += 20 * MINUTE
    with ledger.transaction() as tx:
        assert [row.id for row in articles.give_up_lost(tx, now=now, max_attempts=3)] == ids[:1]
        row = articles.newest(tx, f"{0:032x}")
    assert row is not None
    assert (row.state, row.reason) == (State.QUARANTINED, "worker-lost")


def test_letting_go_uncounted_leaves_the_attempts_as_they_were(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1)
    claim(ledger, now=NOW)
    (row,) = begin(ledger, ids)
    with ledger.transaction() as tx:
        assert articles.let_go(tx, row, ready_at=NOW, counted=False)
        after = articles.newest(tx, row.article_id)
    assert after is not None
    assert (after.attempts, after.lease_token, after.begun) == (0, None, False)


def test_one_site_with_the_oldest_rows_does_not_starve_the_others(ledger: Ledger) -> None:
    add_articles(ledger, 220, host_of=lambda n: "big.example" if n < 200 else f"h{n}.example")
    assert len(claim(ledger, now=NOW, limit=16)) == 16


def test_a_site_gets_one_claim_until_its_delay_is_over(ledger: Ledger) -> None:
    add_articles(ledger, 5, host_of=lambda _: "one.example")

    def second_of_delay(_row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=1, connections=5)

    def claimed(at: datetime) -> int:
        with ledger.transaction() as tx:
            ready = articles.ready_by_host(tx, now=at, limit=10, pace_of=second_of_delay)
            return (
                len(articles.lease(tx, ready, token=f"{at}"[-8:], now=at, until=at + MINUTE, slot_until=at + MINUTE))
                if ready
                else 0
            )

    seconds = (0, 0.5, 0.999, 1, 1.5, 2)
    assert [claimed(NOW + timedelta(seconds=s)) for s in seconds] == [1, 0, 0, 1, 0, 1]


def test_a_site_gets_no_more_claims_than_connections(ledger: Ledger) -> None:
    add_articles(ledger, 5, host_of=lambda _: "one.example")

    def two_at_a_time(_row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=0, connections=2)

    taken = []
    for n in range(4):
        with ledger.transaction() as tx:
            ready = articles.ready_by_host(tx, now=NOW, limit=10, pace_of=two_at_a_time)
            if ready:
                taken += articles.lease(tx, ready, token=f"t{n}", now=NOW, until=NOW + MINUTE, slot_until=NOW + MINUTE)
    assert len(taken) == 2


def test_a_vanished_holder_s_slot_comes_back_by_itself(ledger: Ledger) -> None:
    add_articles(ledger, 1)
    with ledger.transaction() as tx:
        tx.execute(slots.insert().values(holder="gone", host="h0.example", expires_at=NOW + MINUTE))

    def one_at_a_time(_row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=0, connections=1)

    with ledger.transaction() as tx:
        assert articles.ready_by_host(tx, now=NOW, limit=10, pace_of=one_at_a_time) == []
        assert len(articles.ready_by_host(tx, now=NOW + MINUTE, limit=10, pace_of=one_at_a_time)) == 1


def test_sites_without_a_free_place_hide_no_others(ledger: Ledger) -> None:
    add_articles(ledger, 40)
    with ledger.transaction() as tx:
        held = [{"holder": f"t:{n}", "host": f"h{n}.example", "expires_at": NOW + MINUTE} for n in range(30)]
        tx.execute(slots.insert(), held)
        tx.execute(host_rows.update().where(host_rows.c.host.in_([one["host"] for one in held])).values(LONG_FREE))

    def one_at_a_time(_row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=0, connections=1)

    with ledger.transaction() as tx:
        ready = articles.ready_by_host(tx, now=NOW, limit=4, pace_of=one_at_a_time)
    assert len({one.host for one in ready}) == 4


def put_behind(ledger: Ledger, ids: list[int], **values: Any) -> None:
    with ledger.transaction() as tx:
        behind = {"priority": articles.AFTER_THE_NEWS, **values}
        tx.execute(article_rows.update().where(article_rows.c.id.in_(ids)).values(behind))


def test_a_site_is_asked_for_its_news_first_and_once(ledger: Ledger) -> None:
    ids = add_articles(ledger, 6, host_of=lambda n: f"h{n % 2}.example")
    put_behind(ledger, ids[:3])
    with ledger.transaction() as tx:
        ready = articles.ready_by_host(tx, now=NOW, limit=10, pace_of=unhurried, behind=5)
    assert [one.id for one in ready if one.host == "h0.example"] == [ids[4]]
    assert [one.id for one in ready if one.host == "h1.example"] == [ids[3]]


@pytest.mark.parametrize(
    ("limit", "behind", "taken"), [(10, 2, (3, 2)), (4, 2, (3, 1)), (2, 2, (2, 0)), (10, 0, (3, 0))]
)
@pytest.mark.parametrize("state", [State.DISCOVERED, State.PICTURED])
def test_what_is_no_news_takes_what_news_leaves(
    ledger: Ledger, state: State, limit: int, behind: int, taken: tuple[int, int]
) -> None:
    ids = add_articles(ledger, 9)
    with ledger.transaction() as tx:
        tx.execute(article_rows.update().values(state=state))
    put_behind(ledger, ids[:6])
    with ledger.transaction() as tx:
        if state is State.DISCOVERED:
            ready = articles.ready_by_host(tx, now=NOW, limit=limit, pace_of=unhurried, behind=behind)
        else:
            ready = articles.ready_past_download(tx, now=NOW, limit=limit, behind=behind)
    assert (sum(not one.behind for one in ready), sum(one.behind for one in ready)) == taken
    assert [one.behind for one in ready] == sorted(one.behind for one in ready)


def test_looking_for_news_takes_no_longer_however_much_is_behind_it(tmp_path: Path) -> None:
    steps = []
    for count in (100, 4000):
        ledger = Ledger(f"sqlite:///{tmp_path / f'{count}.db'}")
        migrate(ledger)
        ids = add_articles(ledger, count)
        put_behind(ledger, ids[: count // 2])
        put_behind(ledger, ids[count // 2 :], state=State.PICTURED)
        steps.append(steps_of_a_look(ledger))
        ledger.close()
    assert steps[1] < 2 * steps[0]


def steps_of_a_look(ledger: Ledger) -> int:
    """In hundreds, as SQLite counts what it does, for all that dispatch asks when nothing more may start behind news."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with ledger.transaction() as tx:
        connection = tx.connection.driver_connection
        assert connection is not None
        connection.set_progress_handler(count, 100)
        articles.standing(tx, now=NOW, queued_until=NOW, max_attempts=5)
        articles.ready_past_download(tx, now=NOW, limit=64, behind=16)
        articles.ready_by_host(tx, now=NOW, limit=64, pace_of=unhurried, behind=0)
        connection.set_progress_handler(None, 100)
    return steps


def test_a_start_is_refused_when_the_queue_made_two_claims_of_a_site_meet(ledger: Ledger) -> None:
    add_articles(ledger, 1)

    def second_of_delay(_row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=1, connections=5)

    with ledger.transaction() as tx:
        _, wait = hosts.start(tx, ["h0.example"], now=NOW, pace_of=second_of_delay)
        assert wait == {}
        _, wait = hosts.start(tx, ["h0.example"], now=NOW + timedelta(seconds=0.4), pace_of=second_of_delay)
        assert wait == {"h0.example": NOW + timedelta(seconds=1)}


def test_taking_a_place_is_granted_refused_and_given_back(ledger: Ledger) -> None:
    def one_at_a_time(_row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=0, connections=1)

    def take(holder: str) -> datetime | None:
        with ledger.transaction() as tx:
            return hosts.take(tx, "a.example", holder=holder, now=NOW, expires_at=NOW + MINUTE, pace_of=one_at_a_time)

    assert take("x") is None
    refused = take("y")
    assert refused is not None
    assert refused > NOW
    with ledger.transaction() as tx:
        hosts.give_back(tx, "a.example", holder="x")
    assert take("y") is None


def test_retry_goes_on_behind_the_page_that_is_kept(ledger: Ledger) -> None:
    ids = add_articles(ledger, 2)
    with ledger.transaction() as tx:
        tx.execute(article_rows.update().values(state=State.QUARANTINED, reason="bug", ended_at=NOW))
        tx.execute(
            article_rows.update().where(article_rows.c.id == ids[0]).values(spooled=True, exchange={"key": "spool/x"})
        )
        assert sorted(articles.retry(tx, ids, now=NOW, host_of=gate_key)) == sorted(ids)
        states = {row.id: row.state for row in articles.select_rows(tx)}
    assert states == {ids[0]: State.DOWNLOADED, ids[1]: State.DISCOVERED}


def test_retry_asks_a_page_again_that_said_no_and_where_the_feed_said(ledger: Ledger) -> None:
    ids = add_articles(ledger, 2)
    with ledger.transaction() as tx:
        aside = {
            "state": State.REJECTED,
            "reason": "gone",
            "ended_at": NOW,
            "spooled": True,
            "host": "elsewhere.example",
        }
        tx.execute(article_rows.update().values(**aside, exchange={"key": "spool/x", "problem": "gone"}))
        redirected = {"exchange": {"key": "spool/x"}, "fetch_url": "http://elsewhere.example/"}
        tx.execute(article_rows.update().where(article_rows.c.id == ids[1]).values(**redirected))
        assert sorted(articles.retry(tx, ids, now=NOW, host_of=gate_key)) == sorted(ids)
        rows = articles.select_rows(tx)
    assert {row.state for row in rows} == {State.DISCOVERED}
    assert {row.host for row in rows} == {gate_key(row.url) for row in rows}


@pytest.mark.parametrize("reason", articles.INPUT_LOST)
def test_retry_goes_back_to_the_page_when_what_came_of_it_is_lost(ledger: Ledger, reason: str) -> None:
    ids = add_articles(ledger, 1)
    with ledger.transaction() as tx:
        aside = {"state": State.QUARANTINED, "reason": reason, "ended_at": NOW, "archived_at": NOW, "spooled": True}
        tx.execute(article_rows.update().values(**aside, exchange={"key": "spool/x"}))
        assert articles.retry(tx, ids, now=NOW, host_of=gate_key) == ids
        assert [row.state for row in articles.select_rows(tx)] == [State.DISCOVERED]


def test_what_nothing_is_left_of_cannot_be_retried(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1)
    with ledger.transaction() as tx:
        tx.execute(article_rows.update().values(state=State.REJECTED, reason="empty", ended_at=NOW, url=None))
        assert articles.retry(tx, ids, now=NOW, host_of=gate_key) == []


def test_a_site_that_asks_for_patience_is_open_again_when_its_time_has_come(ledger: Ledger) -> None:
    ids = add_articles(ledger, 1, host_of=lambda _: "a.example")
    with ledger.transaction() as tx:
        hosts.save_state(tx, "a.example", {"level": 1}, hold_until=NOW + MINUTE)
        assert articles.ready_by_host(tx, now=NOW, limit=10, pace_of=unhurried) == []
        (ready,) = articles.ready_by_host(tx, now=NOW + 2 * MINUTE, limit=10, pace_of=unhurried)
        assert hosts.load(tx, ["a.example"])["a.example"].next_start_at == NOW + MINUTE
    assert ready.id == ids[0]


def test_a_booked_start_is_never_moved_back(ledger: Ledger) -> None:
    add_articles(ledger, 1, host_of=lambda _: "a.example")
    with ledger.transaction() as tx:
        row = hosts.load(tx, ["a.example"])["a.example"]
        hosts.save_state(tx, "a.example", {}, hold_until=NOW + 10 * MINUTE)
        hosts.reserve(tx, [(row, hosts.Pace(delay_s=1, connections=1))], now=NOW)
        assert hosts.load(tx, ["a.example"])["a.example"].next_start_at == NOW + 10 * MINUTE


def test_a_chain_that_could_not_be_started_is_ready_again_at_once(ledger: Ledger) -> None:
    ids = add_articles(ledger, 2)
    assert sorted(claim(ledger, now=NOW, token="t")) == sorted(ids)
    assert claim(ledger, now=NOW, token="u") == []
    with ledger.transaction() as tx:
        articles.unlease(tx, "t", ids)
    assert sorted(claim(ledger, now=NOW, token="u")) == sorted(ids)


def test_of_several_rows_saved_together_only_those_that_are_still_ours_are(ledger: Ledger) -> None:
    ids = add_articles(ledger, 3)
    claim(ledger, now=NOW)
    rows = begin(ledger, ids)
    later = NOW + 5 * MINUTE
    with ledger.transaction() as tx:
        tx.execute(article_rows.update().where(article_rows.c.id == ids[1]).values(lease_token="another"))
        changed = [(row, {"title": f"title {row.id}"}) for row in rows]
        saved = articles.advance_all(tx, changed, state=State.DOWNLOADED, until=later, now=NOW)
        titles = {row.id: row.title for row in articles.select_rows(tx)}
        assert saved == {ids[0], ids[2]}
        assert [titles[one] == f"title {one}" for one in ids] == [True, False, True]
        assert articles.end_all(tx, rows, state=State.PUBLISHED, now=NOW) == set()  # they are a state further


def test_the_next_wake_up_is_the_first_moment_a_waiting_row_may_start(ledger: Ledger) -> None:
    add_articles(ledger, 2, host_of=lambda _: "one.example")
    with ledger.transaction() as tx:
        tx.execute(
            sa.text("UPDATE hosts SET next_start_at = :at WHERE host = 'one.example'").bindparams(
                sa.bindparam("at", NOW + timedelta(seconds=3), type_=article_rows.c.ready_at.type)
            )
        )
        woken = articles.next_ready_at(tx, now=NOW, horizon=NOW + timedelta(seconds=10))
        too_far = articles.next_ready_at(tx, now=NOW, horizon=NOW + timedelta(seconds=2))
    assert woken == NOW + timedelta(seconds=3)
    assert too_far is None


# ---------------------------------------------------------------- many at once


def _claimer(url: str, number: int, results: Any) -> None:
    ledger = Ledger(url)
    mine: list[int] = []
    idle = 0
    round_number = 0
    while idle < 20:
        round_number += 1
        got = claim(ledger, now=NOW, limit=64, token=f"{number}-{round_number}")
        idle = 0 if got else idle + 1
        mine += got
    results.put(mine)
    ledger.close()


@pytest.mark.timeout(180)
def test_four_processes_claiming_at_once_never_claim_a_row_twice(ledger: Ledger) -> None:
    ids = add_articles(ledger, 5000, host_of=lambda n: f"h{n % 500}.example")
    with ledger.transaction() as tx:  # every site takes as many as it has, so that rows are the only bound
        tx.execute(sa.text("DELETE FROM slots"))
    url = ledger.engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_claimer, args=(url, n, results)) for n in range(4)]
    for worker in workers:
        worker.start()
    claimed = [article_pk for _ in workers for article_pk in results.get(timeout=150)]
    for worker in workers:
        worker.join()
    assert len(claimed) == len(set(claimed)) == len(ids)
