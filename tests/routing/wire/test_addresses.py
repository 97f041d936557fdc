"""Base URLs and addresses: what a channel may reach and what it may not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from routing.wire.addresses import ForbiddenAddress, Origin, networks, parse, permits, resolve

LOOPBACK = networks(["127.0.0.0/8", "::1/128"])


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443, "/v1")),
        ("https://api.openai.com", Origin("https", "api.openai.com", 443, "")),
        ("https://api.openai.com/v1/", Origin("https", "api.openai.com", 443, "/v1")),
        ("https://API.Example.COM:8443/a/b.c", Origin("https", "api.example.com", 8443, "/a/b.c")),
        ("http://ollama:11434/v1", Origin("http", "ollama", 11434, "/v1")),
        ("http://127.0.0.1/v1", Origin("http", "127.0.0.1", 80, "/v1")),
        ("https://[2606:4700::1]:444/v1", Origin("https", "2606:4700::1", 444, "/v1")),
        ("https://[2606:4700:0:0:0:0:0:1]", Origin("https", "2606:4700::1", 443, "")),
        ("https://xn--bcher-kva.example/v1", Origin("https", "xn--bcher-kva.example", 443, "/v1")),
        ("https://api.0x7f.example", Origin("https", "api.0x7f.example", 443, "")),
        ("fake://cheap", Origin("fake", "cheap", 0, "")),
        ("fake://cheap?delay_ms=5", Origin("fake", "cheap", 0, "?delay_ms=5")),
        ("fake://cheap/v1?delay_ms=5&fail=0.1", Origin("fake", "cheap", 0, "/v1?delay_ms=5&fail=0.1")),
    ],
)
def test_plain_url_is_taken_apart(url: str, origin: Origin) -> None:
    assert parse(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "//api.openai.com/v1",
        "HTTPS://api.openai.com",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/1",
        "javascript:alert(1)",
        "https:/api.openai.com",
        "https:api.openai.com",
        "https://",
        "https:///v1",
        "https://:443/v1",
        "https://?x",
        "https://user@api.openai.com/v1",
        "https://user:password@api.openai.com/v1",
        "https://api.openai.com@127.0.0.1/",
        "https://127.0.0.1%40api.openai.com/",
        "https://api.openai.com/v1?key=1",
        "https://api.openai.com/v1#part",
        "https://api.openai.com#@127.0.0.1",
        "https://api.openai.com\\@127.0.0.1/",
        "https:\\\\api.openai.com",
        " https://api.openai.com",
        "https://api.openai.com ",
        "https://api. openai.com",
        "https://api.openai.com/v1\r\nX-Evil: 1",
        "https://api\t.openai.com",
        "https://api.openai.com/\x00",
        "https://api.openai.com/\x7f",
        "https://bücher.example",
        "https://127。0。0。1/",
        "https://①②⑦.0.0.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://127.0.0.256/",
        "https://1.2.3.4.5/",
        "https://%31%32%37.0.0.1/",
        "https://localhost./",
        "https://a..b/",
        "https://-a.example/",
        "https://a-.example/",
        f"https://{'a' * 64}.example/",
        f"https://{'a.' * 127}a/",
        f"https://a.example/{'a' * 500}",
        "https://[::1/",
        "https://::1/",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.x]/",
        "https://[127.0.0.1]/",
        "https://api.openai.com:/v1",
        "https://api.openai.com:0/v1",
        "https://api.openai.com:65536/v1",
        "https://api.openai.com:0443/v1",
        "https://api.openai.com:+443/v1",
        "https://api.openai.com:443:80/v1",
        "https://api.openai.com/v1/../admin",
        "https://api.openai.com/./v1",
        "https://api.openai.com/%2e%2e/v1",
        "https://api.openai.com//v1",
        "https://api.openai.com/v1;x",
        "https://api.openai.com/v1/chat/completions",
        "https://api.openai.com/v1/embeddings/",
        "https://api.anthropic.com/v1/messages",
        "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
        "fake://",
        "fake://user@cheap",
        "fake://cheap:80",
        "fake://cheap?a b",
    ],
)
def test_doubtful_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        parse(url)


def test_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(ForbiddenAddress) as refusal:
        parse("https://user:hunter2@api.openai.com/v1")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://api.openai.com/v1", "api.openai.com"),
        ("https://api.openai.com:443/v1", "api.openai.com"),
        ("https://api.openai.com:80/v1", "api.openai.com:80"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://[2606:4700::1]:444/v1", "[2606:4700::1]:444"),
        ("fake://cheap", "cheap"),
    ],
)
def test_authority_is_the_host_header(url: str, authority: str) -> None:
    assert parse(url).authority == authority


@pytest.mark.parametrize(
    ("url", "address"),
    [("https://8.8.8.8", "8.8.8.8"), ("https://[::FFFF:1.2.3.4]", "::ffff:102:304"), ("https://one.example", None)],
)
def test_literal_host_is_known_without_the_resolver(url: str, address: str | None) -> None:
    assert parse(url).address == address


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.3.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_public_address_is_reached_by_https_only(address: str) -> None:
    assert permits(address, "https", ()) is True
    assert permits(address, "http", ()) is False


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("0.0.0.0", id="this host"),  # noqa: S104
        pytest.param("0.1.2.3", id="this network"),
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.255.255.254", id="end of loopback"),
        pytest.param("10.0.0.1", id="private 10"),
        pytest.param("172.16.0.1", id="private 172"),
        pytest.param("172.31.255.255", id="end of private 172"),
        pytest.param("192.168.1.1", id="private 192"),
        pytest.param("169.254.169.254", id="metadata"),
        pytest.param("100.64.0.1", id="carrier-grade NAT"),
        pytest.param("100.100.100.200", id="metadata in carrier-grade NAT"),
        pytest.param("192.0.0.192", id="protocol assignments"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarking"),
        pytest.param("198.51.100.1", id="documentation 2"),
        pytest.param("203.0.113.1", id="documentation 3"),
        pytest.param("192.88.99.1", id="6to4 relay"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("239.255.255.250", id="multicast ssdp"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("::", id="v6 this host"),
        pytest.param("::1", id="v6 loopback"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:8.8.8.8", id="mapped public"),
        pytest.param("::ffff:169.254.169.254", id="mapped metadata"),
        pytest.param("::127.0.0.1", id="v4-compatible"),
        pytest.param("64:ff9b::7f00:1", id="NAT64 loopback"),
        pytest.param("64:ff9b:1::a00:1", id="local NAT64"),
        pytest.param("100::1", id="discard"),
        pytest.param("2001::1", id="Teredo"),
        pytest.param("2001:db8::1", id="v6 documentation"),
        pytest.param("2002:7f00:1::1", id="6to4 loopback"),
        pytest.param("2002:808:808::1", id="6to4 public"),
        pytest.param("3fff::1", id="v6 documentation 2"),
        pytest.param("fc00::1", id="unique local"),
        pytest.param("fd00:ec2::254", id="v6 metadata"),
        pytest.param("fe80::1", id="link-local"),
        pytest.param("fe80::1%eth0", id="link-local with zone"),
        pytest.param("fec0::1", id="site-local"),
        pytest.param("ff02::1", id="v6 multicast"),
        pytest.param("not an address", id="no address"),
        pytest.param("2130706433", id="decimal"),
        pytest.param("", id="empty"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_special_address_is_not_reached(address: str, scheme: str) -> None:
    assert permits(address, scheme, ()) is False


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize(
    ("address", "network"),
    [("127.0.0.1", "127.0.0.0/8"), ("10.1.2.3", "10.1.0.0/16"), ("::1", "::1/128"), ("8.8.8.8", "8.8.8.8/32")],
)
def test_allowed_network_is_reached_by_either_scheme(address: str, network: str, scheme: str) -> None:
    assert permits(address, scheme, networks([network])) is True


def test_allowed_network_allows_nothing_beside_it() -> None:
    assert permits("10.2.0.1", "https", networks(["10.1.0.0/16"])) is False
    assert permits("::ffff:127.0.0.1", "https", LOOPBACK) is False


@pytest.mark.parametrize("scheme", ["ftp", "fake", "HTTPS", ""])
def test_other_scheme_reaches_nothing(scheme: str) -> None:
    assert permits("127.0.0.1", scheme, LOOPBACK) is False


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "example.com", "", "127.1/8"])
def test_malformed_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        networks([text])


def test_host_resolves_to_its_permitted_addresses() -> None:
    addresses = asyncio.run(resolve(parse("http://localhost:9999/v1"), LOOPBACK))
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert addresses != []


def test_address_outside_the_allowed_networks_is_dropped() -> None:
    assert asyncio.run(resolve(parse("http://127.0.0.1:9999"), networks(["127.0.0.1/32"]))) == ["127.0.0.1"]
    with pytest.raises(ForbiddenAddress, match="no public address"):
        asyncio.run(resolve(parse("http://127.0.0.2:9999"), networks(["127.0.0.1/32"])))


def test_name_of_a_forbidden_address_is_refused() -> None:
    with pytest.raises(ForbiddenAddress, match="no public address"):
        asyncio.run(resolve(parse("https://localhost"), ()))


def test_plain_http_to_a_public_address_is_refused_as_such() -> None:
    with pytest.raises(ForbiddenAddress, match="Plain http"):
        asyncio.run(resolve(parse("http://8.8.8.8"), ()))


def test_unknown_name_is_no_matter_of_policy() -> None:
    with pytest.raises(socket.gaierror):
        asyncio.run(resolve(parse("https://no-such-host.invalid"), ()))
