"""Which requests share a host gate: those to one registrable domain, unless a reviewed list says otherwise. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from worker.errors import UsageError
from worker.fetch.pacing import HostPolicy
from worker.urls import gate_key, usable_url

Scope = Literal["host", "domain", "group"]

LONGEST_DELAY_S = 3600.0
MOST_CONNECTIONS = 100
_SCOPES = ("host", "domain", "group")
_FIELDS = ("name", "hosts", "scope", "delay_s", "connections")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"[^/?#@:\s]+|\[[0-9A-Fa-f:.]+\]")
_GROUP = "group:"  # no host name has a colon before its port


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One entry of the list.

    ``scope``: each of ``hosts`` has a gate of its own; or each domain, as if it were not listed; or all of them share
    one, called ``name``. ``hosts``: as they go on the wire; ``*.`` before one stands for every name below it.
    ``delay_s``, ``connections``: None: as for every other site.
    """

    scope: Scope
    hosts: tuple[str, ...]
    name: str | None = None
    delay_s: float | None = None
    connections: int | None = None


class Gates:
    """The list, ready to be asked: which gate a URL belongs to, and what a gate's policy is."""

    def __init__(self, listed: Iterable[Gate] = ()) -> None:
        gates = tuple(listed)
        self._count = len(gates)
        self._of_domain = {host: gate for gate in gates if gate.scope == "domain" for host in gate.hosts}
        self._of_pattern = {host: gate for gate in gates if gate.scope != "domain" for host in gate.hosts}
        self._of_group = {f"{_GROUP}{gate.name}": gate for gate in gates if gate.scope == "group"}

    def __len__(self) -> int:
        return self._count

    def key(self, url: str) -> str:
        """The name under which requests to this URL are counted; ``""`` for an unusable one.

        The most particular entry counts: a host itself before ``*.`` of its parents, the nearest parent first.
        """
        usable = usable_url(url) if self._of_pattern else None
        if usable is None:
            return gate_key(url)
        parts = urlsplit(usable)
        host = parts.hostname or ""
        gate = self._listed(host)
        if gate is None:
            return gate_key(usable)
        if gate.scope == "group":
            return f"{_GROUP}{gate.name}"
        return host if parts.port is None else parts.netloc

    def policy(self, key: str, usual: HostPolicy) -> HostPolicy:
        """What may be taken at the gate of this name; ``usual`` where the list does not say."""
        if not self._count:
            return usual
        gate = self._of_group.get(key) or self._of_host_key(key) or self._of_domain.get(key)
        if gate is None:
            return usual
        return HostPolicy(
            delay_s=usual.delay_s if gate.delay_s is None else gate.delay_s,
            connections=usual.connections if gate.connections is None else gate.connections,
        )

    def _of_host_key(self, key: str) -> Gate | None:
        gate = self._listed(urlsplit(f"//{key}").hostname or "") if self._of_pattern else None
        return gate if gate is not None and gate.scope == "host" else None

    def _listed(self, host: str) -> Gate | None:
        return next((self._of_pattern[one] for one in _patterns(host) if one in self._of_pattern), None)


def read_gates(text: str) -> Gates:
    """The gates of a list: an array of tables ``[[gate]]``.

    Raises: UsageError: naming the entry, the field and what to write instead.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The list of gates is not TOML: {error}.") from error
    unknown = sorted(set(document) - {"gate"})
    if unknown:
        raise UsageError(f"The list of gates has {', '.join(unknown)}: it knows only tables named [[gate]].")
    tables = document.get("gate", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError("The list of gates has [gate]: write [[gate]], with double brackets, for each one.")
    listed = tuple(_gate(table, number) for number, table in enumerate(tables, 1))
    for what, said in (
        ("host", [host for gate in listed for host in gate.hosts]),
        ("name", [gate.name for gate in listed if gate.name is not None]),
    ):
        twice = next((value for value in said if said.count(value) > 1), None)
        if twice is not None:
            raise UsageError(f"The list of gates has the {what} {twice} twice: keep one of them.")
    return Gates(listed)


def _gate(said: Mapping[str, Any], number: int) -> Gate:
    which = f"Gate {said.get('name', number)}"
    unknown = sorted(set(said) - set(_FIELDS))
    if unknown:
        raise UsageError(f"{which}: {', '.join(unknown)} is not known; fields are {', '.join(_FIELDS)}.")
    scope, name, hosts = said.get("scope"), said.get("name"), said.get("hosts")
    if scope not in _SCOPES:
        raise UsageError(f"{which}: scope must be one of {', '.join(_SCOPES)}.")
    if name is None and scope == "group":
        raise UsageError(f"{which}: a group needs a name: it is the gate's.")
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise UsageError(f"{which}: name must be a-z, 0-9 and -, beginning with a letter or digit, at most 63.")
    if not isinstance(hosts, list) or not hosts:
        raise UsageError(f'{which}: hosts must be an array of host names, such as ["example.com", "*.example.com"].')
    return Gate(
        scope=cast("Scope", scope),
        name=name,
        hosts=tuple(_pattern(which, host, scope) for host in hosts),
        delay_s=_number(which, said, "delay_s", 0.0, LONGEST_DELAY_S),
        connections=_whole(which, said, "connections", 1, MOST_CONNECTIONS),
    )


def _pattern(which: str, said: Any, scope: str) -> str:
    """A host as it goes on the wire, with its ``*.`` if it had one."""
    text = said if isinstance(said, str) else ""
    name = text.removeprefix("*.")
    url = usable_url(f"http://{name}/") if _HOST.fullmatch(name) else None
    parts = urlsplit(url or "")
    if url is None or not parts.hostname:
        raise UsageError(f"{which}: {said!r} is no host name: write example.com or *.example.com, without a port.")
    if scope == "domain" and text != gate_key(url):
        raise UsageError(f"{which}: {text} is not a whole domain: write {gate_key(url)}.")
    return parts.hostname if name == text else f"*.{parts.hostname}"


def _number(which: str, said: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = said.get(name)
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (good and low <= value <= high):
        raise UsageError(f"{which}: {name} must lie between {low:g} and {high:g}.")
    return None if value is None else float(value)


def _whole(which: str, said: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    value = said.get(name)
    good = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (good and low <= value <= high):
        raise UsageError(f"{which}: {name} must be a whole number between {low} and {high}.")
    return value


def _patterns(host: str) -> Iterator[str]:
    """What may name this host, the most particular first."""
    yield host
    while host := host.partition(".")[2]:
        yield f"*.{host}"
