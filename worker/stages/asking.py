"""Asking the web for a person who waits: as politely as ever, at the sites' pace, and nothing is written anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from config.settings import Settings
from worker.errors import NewsmillError, QuarantineError, RetryableError
from worker.fetch import pacing
from worker.fetch.classify import VerdictKind, judge
from worker.fetch.coding import decoded_body
from worker.fetch.gates import Gates
from worker.fetch.http import Fetcher, FetchRequest, RedirectStopped
from worker.fetch.robots import CAP_BYTES, RobotsDecision, allowed, crawl_delay_s, is_unreachable, read_robots
from worker.model import Exchange, Hop
from worker.stages.trialreport import Pace, shown_url
from worker.urls import authority

MAX_LEGS = 4  # sites that one chain of redirects may cross
LONGEST_WAIT_S = 30.0  # between two requests; a site that wants more is looked at less closely


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a look needs: the web, and no ledger, store or broker."""

    settings: Settings
    fetcher: Fetcher
    gates: Gates
    clock: Callable[[], datetime]
    pause: Callable[[float], None]  # seconds; only a person's command may wait, no worker does
    tell: Callable[[str], None] = lambda _said: None  # what is being done, as it is


class RobotsForbidError(NewsmillError):
    """robots.txt does not want this address to be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A site's robots.txt."""

    decision: RobotsDecision
    crawl_delay_s: float | None
    is_unreadable: bool


class Asker:
    """Asks one request after another, each site no faster than its gate would let it."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._free_at: dict[str, float] = {}  # by gate, on the monotonic clock
        self._closed: dict[str, str] = {}  # gates of sites that asked to be left alone, and their words
        self._rules: dict[str, Rules] = {}
        self._latency_s: dict[str, float] = {}
        self.requests = 0

    def get(self, make: Callable[[str], FetchRequest], url: str, *, obeys: bool) -> Exchange:
        """One visit, redirects and the robots.txt of each site included.

        Raises: RobotsForbidError; RetryableError: the site must not be asked now; as the door says.
        """
        hops: tuple[Hop, ...] = ()
        obeys = obeys and self._doors.settings.obey_robots
        for _leg in range(MAX_LEGS):
            if obeys:
                rules = self.rules(url)
                if not allowed(rules.decision.text, self._doors.settings.user_agent, url):
                    raise RobotsForbidError("robots.txt cannot be read" if rules.is_unreadable else "robots")
            try:
                exchange = self._leg(make(url), obeys=obeys)
            except RedirectStopped as stop:
                hops, url = (*hops, *stop.exchange_so_far.hops), stop.next_url
                self._learn(stop.exchange_so_far.final)
            else:
                self._learn(exchange.final)
                return Exchange(hops=(*hops, *exchange.hops))
        raise QuarantineError("redirect-loop", f"crosses more than {MAX_LEGS} sites: {shown_url(url)}")

    def _leg(self, request: FetchRequest, *, obeys: bool) -> Exchange:
        gate = self._doors.gates.key(request.url)

        def may_visit(target: str) -> None:
            if self._doors.gates.key(target) != gate or (obeys and authority(target) != authority(request.url)):
                raise NewsmillError("a visit of its own")

        self._wait(gate, request.url)
        self.requests += 1
        try:
            return self._doors.fetcher.fetch(request, may_visit=may_visit)
        finally:
            self._free_at[gate] = time.monotonic() + self.pace(request.url).delay_s

    def _wait(self, gate: str, url: str) -> None:
        if gate in self._closed:
            raise RetryableError(f"{gate} asked to be left alone ({self._closed[gate]})")
        wait_s = self._free_at.get(gate, 0.0) - time.monotonic()
        if wait_s > LONGEST_WAIT_S:
            raise RetryableError(f"{gate} wants {wait_s:.0f} s between requests, which was not waited for")
        self._doors.tell(f"asking {shown_url(url)}")
        if wait_s > 0:
            self._doors.pause(wait_s)

    def _learn(self, hop: Hop) -> None:
        gate = self._doors.gates.key(hop.url)
        self._latency_s[gate] = (hop.ended_at - hop.began_at).total_seconds()
        answer = judge(hop.status, hop.headers, now=hop.ended_at, sent_validators=True)
        if answer.kind is VerdictKind.SLOW_DOWN:
            self._closed[gate] = f"HTTP {hop.status}"

    def rules(self, url: str) -> Rules:
        """The robots.txt that an address stands under, asked for once."""
        where = authority(url)
        if where not in self._rules:
            self._rules[where] = self._read_rules(where)
            self._free_at[self._doors.gates.key(url)] = time.monotonic() + self.pace(url).delay_s  # as it asks
        return self._rules[where]

    def _read_rules(self, where: str) -> Rules:
        settings = self._doors.settings

        def request(url: str) -> FetchRequest:
            return FetchRequest(
                url=url, accept="text/plain,*/*;q=0.5", cap_bytes=CAP_BYTES, total_timeout_s=settings.fetch_timeout_s
            )

        status, body = None, None
        try:
            hop = self.get(request, f"{where}/robots.txt", obeys=False).final
            status, body = hop.status, decoded_body(hop, CAP_BYTES)
        except QuarantineError:
            status = 404  # a robots.txt that leads to an address that must not be asked is none
        except NewsmillError:
            status = None
        decision = read_robots(status, body, now=self._doors.clock())
        return Rules(
            decision=decision,
            crawl_delay_s=crawl_delay_s(decision.text, settings.user_agent),
            is_unreadable=is_unreachable(status),
        )

    def verdict(self, url: str) -> str:
        """allowed, disallowed or unreadable."""
        rules = self.rules(url)
        if rules.is_unreadable:
            return "unreadable"
        return "allowed" if allowed(rules.decision.text, self._doors.settings.user_agent, url) else "disallowed"

    def pace(self, url: str) -> Pace:
        """How the site of an address would be paced, by what is known of it so far."""
        settings, gate = self._doors.settings, self._doors.gates.key(url)
        usual = pacing.HostPolicy(delay_s=settings.host_delay_s, connections=settings.host_connections)
        policy = self._doors.gates.policy(gate, usual)
        rules = self._rules.get(authority(url))
        latency_s = self._latency_s.get(gate, 0.0)
        state = pacing.HostState(latency_s=latency_s)
        asked_s = rules.crawl_delay_s if rules else None
        return Pace(
            gate=gate,
            delay_s=pacing.effective_delay_s(policy, state, asked_s),
            connections=pacing.effective_connections(policy, state),
            crawl_delay_s=asked_s,
            latency_s=round(latency_s, 3),
            next_poll_s=None,
        )
