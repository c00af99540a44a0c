"""Which addresses may be asked at all: public ones, and those that a setting allows. Pure.

The check is made twice. ``check_url`` refuses spellings on which two parsers could disagree; the connection then asks
``refusal`` about every address that the name really resolved to, and dials exactly the address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, urlsplit

from worker.errors import RefusedAddressError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")

# Not public, or not for us, though Python 3.11's is_global says otherwise.
_ALSO_REFUSED: tuple[tuple[IPNetwork, str], ...] = (
    (ipaddress.ip_network("168.63.129.16/32"), "a cloud's metadata address"),
    (ipaddress.ip_network("192.0.0.0/24"), "an address of protocol use"),
    (ipaddress.ip_network("192.88.99.0/24"), "an address of protocol use"),
    (ipaddress.ip_network("3fff::/20"), "an address for documentation"),
)
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)

_MAX_URL_CHARS = 8192
_MAX_HOST_CHARS = 253
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_NUMBER_LIKE = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)  # WHATWG: "ends in a number"
_FOREIGN_DOTS = "\u3002\uff0e\uff61\u2024\ufe52"


class AddressGuard:
    """Decides about addresses, ports and URL spellings.

    Args:
        allow_networks: Networks that may be fetched, at any port, although they are not public.
        allow_ports: Ports that public addresses may be asked at.
    """

    def __init__(self, allow_networks: Iterable[IPNetwork], allow_ports: Iterable[int]) -> None:
        self._allow_networks = tuple(allow_networks)
        self._allow_ports = frozenset(allow_ports)

    def refusal(self, address: str, port: int | None = None) -> str | None:
        """Why this address (and port, when given) may not be asked; None when it may.

        An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64, Teredo) is judged too: a gateway would unwrap it.

        Args:
            address: An IP address as text; anything else is refused.
            port: 1 to 65535; None leaves ports out of it.
        Source: RFC 6890 registries; RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo).
        """
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return "not an IP address"
        if isinstance(ip, ipaddress.IPv6Address):
            if ip.scope_id is not None:
                return "a link-local address"
            ip = ip.ipv4_mapped or ip  # the kernel dials the IPv4 address
        if self._is_allowed(ip):
            return None
        for one in (ip, *_embedded(ip)):
            why = _why_not_public(one)
            if why is not None and not self._is_allowed(one):
                return why
        if port is not None and port not in self._allow_ports:
            return f"port {port} is not among those allowed"
        return None

    def check_url(self, url: str) -> None:
        """Refuse what must not be requested, whatever it would resolve to.

        Anything but http(s), user names, backslashes and percent signs where the host stands, hosts that are numbers
        in disguise (decimal, octal, hex, short, full-width), IP addresses and ports that are not allowed. A port of a
        host name is judged here only when no network is allowed, otherwise once its addresses are known.

        Raises: RefusedAddressError: the message never holds user name, password or query.
        Source: WHATWG URL 3.5 (host parsing); Orange Tsai, "A New Era of SSRF" (2017).
        """
        parts = _split(url)
        if parts.scheme not in {"http", "https"}:
            raise RefusedAddressError(f"only http and https are fetched, not {parts.scheme[:20] or 'no scheme'!r}")
        if re.search(r"[\\@\s]", parts.netloc) or (not parts.path and "@" in parts.query + parts.fragment):
            raise RefusedAddressError("a user name, backslash or blank where the host stands")
        host, port = _host_and_port(parts)
        literal = _literal(host)
        if literal is None:
            _check_name(host)
            if self._allow_networks or port in self._allow_ports:
                return
            raise RefusedAddressError(f"port {port} is not among those allowed")
        if (why := self.refusal(literal, port)) is not None:
            raise RefusedAddressError(f"{literal} is refused: {why}")

    def _is_allowed(self, ip: IPAddress) -> bool:
        return any(ip.version == network.version and ip in network for network in self._allow_networks)


def _embedded(ip: IPAddress) -> Iterator[IPAddress]:
    if isinstance(ip, ipaddress.IPv4Address):
        return
    if ip in _NAT64 or ip in _V4_COMPATIBLE:
        yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo


def _why_not_public(ip: IPAddress) -> str | None:
    for says, why in (
        (ip in _METADATA, "a cloud's metadata address"),
        (ip.is_unspecified, "the unspecified address"),
        (ip.is_loopback, "a loopback address"),
        (ip.is_link_local, "a link-local address"),
        (ip.is_multicast, "a multicast address"),
        (ip.is_private, "a private address"),
    ):
        if says:
            return why
    for network, why in _ALSO_REFUSED:
        if ip.version == network.version and ip in network:
            return why
    if isinstance(ip, ipaddress.IPv4Address):
        return None if ip.is_global and not ip.is_reserved else "not a public address"
    if ip in _NAT64:
        return None  # what it embeds is judged instead
    return None if ip in _GLOBAL_UNICAST and ip.is_global else "not a global unicast address"


def _split(url: str) -> SplitResult:
    if len(url) > _MAX_URL_CHARS:
        raise RefusedAddressError(f"a URL of {len(url)} characters")
    if _CONTROL.search(url):  # urlsplit would drop some of them silently
        raise RefusedAddressError("a URL with control characters")
    try:
        return urlsplit(url)
    except ValueError as error:  # brackets that do not match, and the like
        raise RefusedAddressError("a URL whose host cannot be read") from error


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RefusedAddressError("a URL whose port is not a number from 1 to 65535") from error
    if not host:
        raise RefusedAddressError("a URL without a host")
    if port == 0:
        raise RefusedAddressError("a URL whose port is not a number from 1 to 65535")
    return host, port or (443 if parts.scheme == "https" else 80)


def _literal(host: str) -> str | None:
    """The host when it is an IP address in its one unambiguous form; None when it is a name.

    Raises: RefusedAddressError: a number in another form, which some resolvers take for an address.
    """
    if ":" in host:
        return host
    last = host.removesuffix(".").rpartition(".")[2]
    if not _NUMBER_LIKE.fullmatch(last):
        return None
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise RefusedAddressError(f"{host[:60]} is a number, not a host name") from error


def _check_name(host: str) -> None:
    if "%" in host:
        raise RefusedAddressError("a host name with percent signs")
    if not host.isascii():
        if any(_poses_as_ascii(char) for char in host):
            raise RefusedAddressError("a host name with digits, letters or dots in disguise")
        return  # the request's builder writes it as punycode, and the result is checked again
    labels = host.removesuffix(".").split(".")
    if len(host) > _MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedAddressError("a malformed host name")


def _poses_as_ascii(char: str) -> bool:
    """A dot, digit or letter that some parser would fold into ASCII. Han numerals (Lo) are ordinary letters."""
    if char.isascii():
        return False
    is_digit = char.isnumeric() and unicodedata.category(char) != "Lo"
    folds = any(folded.isascii() for folded in unicodedata.normalize("NFKC", char))
    return char in _FOREIGN_DOTS or is_digit or folds
