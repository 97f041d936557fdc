"""Addresses and networks in the forms that people and proxies write."""

from __future__ import annotations

import pytest

from accounts.networks import parse_address, parse_network, throttled_as


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


@pytest.mark.parametrize(
    ("address", "throttled"),
    [
        pytest.param("203.0.113.5", "203.0.113.5", id="as it is"),
        pytest.param("203.0.113.5:8080", "203.0.113.5", id="another port of it"),
        pytest.param("[::ffff:203.0.113.5]:443", "203.0.113.5", id="in IPv6"),
        pytest.param("2001:db8:1:2::1", "2001:db8:1:2::/64", id="IPv6"),
        pytest.param("[2001:DB8:1:2:ffff::9]:443", "2001:db8:1:2::/64", id="its neighbour, which is the same customer"),
        pytest.param("2001:db8:1:3::1", "2001:db8:1:3::/64", id="another customer"),
        pytest.param("unknown", "unknown", id="no address"),
        pytest.param("", "", id="none"),
    ],
)
def test_throttles_take_the_addresses_of_one_customer_for_one(address: str, throttled: str) -> None:
    assert throttled_as(address) == throttled
