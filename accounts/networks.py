"""Addresses and networks as people and proxies write them, read as what they mean.

An IPv4 address inside IPv6 (`::ffff:192.0.2.1`, RFC 4291, 2.5.5.2) is that IPv4 address: a listener for both families
sees its peers so.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED_BITS: Final = 96
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> Address:
    """One address, also in quotes, in brackets, with a port or with a zone; raises ValueError for anything else."""
    text = text.strip().strip('"').strip()
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not (port[0] == ":" and _is_port(port[1:]))):
            raise ValueError(f"{port!r} is no port")
    elif text.count(":") == 1:
        text, _colon, port = text.partition(":")
        if not _is_port(port):
            raise ValueError(f"{port!r} is no port")
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """A network with its prefix or mask, or the network of one address; raises ValueError for anything else.

    >>> str(parse_network("203.0.113.7/255.255.255.0"))
    '203.0.113.0/24'
    """
    text = text.strip().strip('"').strip()
    if "/" not in text:
        return ipaddress.ip_network(parse_address(text))
    network = ipaddress.ip_network("".join(text.split()), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        return ipaddress.IPv4Network((int(address or 0), network.prefixlen - _MAPPED_BITS))
    if isinstance(network, ipaddress.IPv6Network) and parse_address(text.partition("/")[0]).version == 4:
        raise ValueError(f"{text} is wider than all of IPv4: its prefix counts from 96")
    return network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(parse_network, texts))


def neighbourhood(address: str) -> str:
    """The network whose addresses are likely one customer's: /24 of IPv4, /48 of IPv6; what is no address, as it is.

    >>> neighbourhood("203.0.113.7")
    '203.0.113.0/24'
    """
    try:
        found = parse_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def throttled_as(address: str) -> str:
    """What throttles count by: an IPv4 address, or the /64 of an IPv6 one; what is no address, as it is.

    Whoever has one address of IPv6 has a whole /64 of them (RFC 4291, 2.5.4), and some proxies say a port beside it.

    >>> throttled_as("[2001:db8:1:2::7]:443")
    '2001:db8:1:2::/64'
    """
    try:
        found = parse_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def client_address(peer: str, forwarded_for: str, trusted_proxies: Sequence[Network]) -> str:
    """The caller's address: the peer, or where the peer is a trusted proxy the nearest untrusted hop it names.

    If all that it names are trusted too, the farthest. `forwarded_for` is `X-Forwarded-For`, empty if absent. A hop
    that is no address, such as `unknown`, is returned as it is: nobody's.
    """
    if not trusted_proxies:
        return peer
    address = peer
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    for address in (peer, *reversed(hops)):
        try:
            ip = parse_address(address)
        except ValueError:
            return address
        if not any(ip in network for network in trusted_proxies):
            return address
    return address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) < 1 << 16
