"""Which upstream addresses a channel may reach. Pure but for `resolve`, which asks the resolver.

A base URL is parsed by one strict grammar of our own, so that no two readers can differ about its host; a host is
resolved once, every address is judged by itself, and the connection is made to an address that was judged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

import msgspec

Network = IPv4Network | IPv6Network

DEFAULT_PORT: Final = {"https": 443, "http": 80}
_LONGEST_URL: Final = 500

_URL: Final = re.compile(r"([a-z]+)://([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(.*))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~:@+,=-]+)*")
_ENDPOINT: Final = re.compile(r"/(?:completions|messages|responses|embeddings)$|:[A-Za-z]+Content$")
"""Where the address of an endpoint was copied, each request would go to one below it, and get 404."""
# What the C library's inet_aton would read as a number: decimal, octal or hexadecimal.
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)

# What is not global unicast (IANA special-purpose registries); `is_global` differs between releases of Python.
_SPECIAL_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Global unicast is 2000::/3 alone: mapped, NAT64, unique local, link-local and multicast addresses are outside it.
# Inside it, protocol assignments with Teredo, documentation and 6to4 are special.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


def _(message: str) -> str:
    """Marks a message for translation; the pages that show it translate it."""
    return message


class ForbiddenAddress(ValueError):
    """A channel may not use this base URL or reach this address. The message is for operators; it quotes nothing."""


class Origin(msgspec.Struct, frozen=True):
    """A checked base URL. `host` is lower-case and without brackets, `path` without a trailing slash.

    The scheme "fake" names the built-in upstream: its port is 0 and its query stays in `path`.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT.get(self.scheme, 0) else f"{host}:{self.port}"

    @property
    def address(self) -> str | None:
        """The host, if it is a literal address rather than a name."""
        try:
            return str(ipaddress.ip_address(self.host))
        except ValueError:
            return None


def parse(base_url: str) -> Origin:
    """The origin and base path of a channel's URL; raises ForbiddenAddress unless it is plain and unambiguous."""
    if len(base_url) > _LONGEST_URL:
        raise ForbiddenAddress(_("The URL is too long."))
    if not all("!" <= character <= "~" for character in base_url) or "\\" in base_url:
        raise ForbiddenAddress(
            _("The URL may contain only printable ASCII characters, no spaces and no backslashes; "
              "write international host names in their xn-- form.")
        )  # fmt: skip
    match = _URL.fullmatch(base_url)
    if match is None or match[1] not in {"https", "http", "fake"}:
        raise ForbiddenAddress(_("The URL must begin with https:// (or http:// to a network that is allowed)."))
    scheme, authority, path, rest = match.groups()
    if "@" in authority:
        raise ForbiddenAddress(
            _("The URL must not contain a user name or password; enter the secret in its own field.")
        )
    if scheme == "fake":
        return Origin(scheme, _host_name(authority.lower()), 0, path.rstrip("/") + rest)
    if rest:
        raise ForbiddenAddress(_("The URL must not contain a query or a fragment."))
    host, port = _split(authority, DEFAULT_PORT[scheme])
    return Origin(scheme, host, port, _base_path(path))


def permits(address: str, scheme: str, networks: Sequence[Network]) -> bool:
    """Whether a channel may connect to this address: a public one by https, one in `networks` also by http."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if scheme not in DEFAULT_PORT:
        return False
    return any(parsed in network for network in networks) or (scheme == "https" and _is_public(parsed))


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from their CIDR texts; raises ValueError for anything else, also for host bits that are set."""
    return tuple(ipaddress.ip_network(text.strip()) for text in texts)


async def resolve(origin: Origin, networks: Sequence[Network]) -> list[str]:
    """The addresses of the origin's host that a channel may connect to, in the resolver's order, never empty.

    Raises ForbiddenAddress if there are only others, OSError (socket.gaierror) if the name does not resolve. Connect
    to one of these very addresses: a second look-up may answer differently.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        origin.host, origin.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return checked(addresses, origin.scheme, networks)


def checked(addresses: Sequence[str], scheme: str, networks: Sequence[Network]) -> list[str]:
    """Those of the addresses that are permitted; raises ForbiddenAddress if none is."""
    permitted = [address for address in addresses if permits(address, scheme, networks)]
    if permitted:
        return permitted
    if scheme == "http" and any(permits(address, "https", networks) for address in addresses):
        raise ForbiddenAddress(_("Plain http is allowed only to the networks in CHANNEL_NETWORKS; use https."))
    raise ForbiddenAddress(
        _("The host has no public address; if it is meant to be reached, allow its network in CHANNEL_NETWORKS.")
    )


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _split(authority: str, default_port: int) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ForbiddenAddress(_("The URL has no valid host."))
    host, port = match[1].lower(), match[2]
    return _host_address(host) or _host_name(host), default_port if port is None else _port(port)


def _host_address(host: str) -> str | None:
    """The literal address in its canonical spelling; None if the host is a name."""
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise ForbiddenAddress(_("The URL has no valid host.")) from None
    # A name that ends in a number is an address to some readers (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return None
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise ForbiddenAddress(_("An IPv4 address must be written as four decimal numbers.")) from None


def _host_name(host: str) -> str:
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ForbiddenAddress(_("The URL has no valid host."))
    return host


def _port(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise ForbiddenAddress(_("The port must be a number from 1 to 65535."))
    return int(text)


def _base_path(path: str) -> str:
    path = path.rstrip("/")
    if not _PATH.fullmatch(path) or any(segment in {".", ".."} for segment in path.split("/")):
        raise ForbiddenAddress(_("The path may contain only plain segments, without dots alone or percent signs."))
    if _ENDPOINT.search(path):
        raise ForbiddenAddress(_("The URL must end before the endpoint, such as /chat/completions: requests add that."))
    return path
