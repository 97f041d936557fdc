"""Addresses and networks in the forms that people and proxies write."""

from __future__ import annotations

import pytest

from accounts.networks import parse_address, parse_network


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.5", "203.0.113.5"),
        (" 203.0.113.5 ", "203.0.113.5"),
        ("203.0.113.5:8080", "203.0.113.5"),
        ('"203.0.113.5:8080"', "203.0.113.5"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
    ],
)
def test_address_is_what_it_means(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "203.0.113.5:", "203.0.113.5:http", "203.0.113.5:70000", "[2001:db8::1",
     "[2001:db8::1]443x", "203.0.113", "010.0.0.1", "1.2.3.4, 5.6.7.8", "1.2.3.4:٣",
     "localhost", "::g", "203.0.113.0/24"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("203.0.113.7/255.255.255.0", "203.0.113.0/24"),
        (" 203.0.113.7 / 24 ", "203.0.113.0/24"),
        ('"203.0.113.0/24"', "203.0.113.0/24"),
        ("203.0.113.5", "203.0.113.5/32"),
        ("203.0.113.5:8080", "203.0.113.5/32"),
        ("[2001:db8::1]:443", "2001:db8::1/128"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::/0", "::/0"),
    ],
)
def test_network_is_what_it_means(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    "text",
    ["", "/", "unknown", "203.0.113.0/33", "203.0.113.0/x", "203.0.113.0/24:80", "10.0.0.0/255.0.255.0", "*",
     "::ffff:10.0.0.0/8", "::ffff:a00:0/95"],
)  # fmt: skip
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_network(text)
