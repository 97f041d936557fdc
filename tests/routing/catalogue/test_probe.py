"""The channel test: one real request for each route, to a real server on loopback."""

from __future__ import annotations

import datetime as dt
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from billing.kinds import Usage
from routing.catalogue.probe import FAULTS, Result, probe
from routing.models import CatalogueModel, Channel, CostPrice, Route
from routing.wire.addresses import networks
from routing.wire.answer import Fault
from tests import upstream as up
from tests.upstream import Upstream

CANARY = "sk-canary-0123456789"
LOOPBACK = networks(["127.0.0.0/8"])
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    started = Upstream().start()
    yield started
    started.stop()


@pytest.fixture
def _database(db: None) -> None:
    """The tests below write channels, routes and prices."""


pytestmark = pytest.mark.usefixtures("_database")


def made(base_url: str, *, provider: str = "openai", secret: str = CANARY, prices: bool = True) -> Route:
    """A route on a channel of its own, at 1 and 2 ledger units a token."""
    name = f"tested-{next(_numbers)}"
    channel = Channel(name=name, provider=provider, base_url=base_url, connect_timeout=2, first_byte_timeout=0.5)
    channel.set_secret(secret)
    channel.save()
    route = Route.objects.create(
        channel=channel, model=CatalogueModel.objects.create(name=name), upstream_name=f"up-{name}"
    )
    if prices:
        CostPrice.objects.create(route=route, input=1_000_000, output=2_000_000)
    return route


def one(route: Route, allowed: Any = LOOPBACK) -> Result:
    (result,) = probe(route.channel, [route], allowed)
    return result


# --- a model of vectors ----------------------------------------------------------------------------------------------


def embedder(base_url: str, provider: str = "openai") -> Route:
    route = made(base_url, provider=provider)
    CatalogueModel.objects.filter(pk=route.model_id).update(endpoints=["embeddings"])
    return Route.objects.select_related("channel", "model").get(pk=route.pk)


def test_route_of_vectors_is_asked_for_one(upstream: Upstream) -> None:
    route = embedder(upstream.url)
    body = {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    upstream.on(route.upstream_name, up.plain(200, body))

    result = one(route)

    assert (result.is_ok, result.usage, result.cost) == (True, Usage(input=3), 3)
    asked = upstream.requests[-1]
    assert (asked.path.rpartition("/")[2], asked.json) == ("embeddings", {"model": route.upstream_name, "input": "Hi"})


@pytest.mark.parametrize("body", [{"data": []}, {"choices": []}, b"no JSON", {"error": {"message": "no"}}])
def test_route_that_answers_without_a_vector_is_not_well(upstream: Upstream, body: Any) -> None:
    route = embedder(upstream.url)
    upstream.on(route.upstream_name, up.plain(200, body))
    result = one(route)
    assert not result.is_ok
    assert result.message.startswith("The answer is not one: ")


def test_fake_channel_plays_vectors() -> None:
    result = one(embedder("fake://vectors", provider="fake"))
    assert (result.is_ok, result.usage) == (True, Usage(input=1))


# --- an upstream that answers ----------------------------------------------------------------------------------------


def test_answering_route_is_well_and_says_what_it_said_used_and_cost(upstream: Upstream) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.told("Hello over there", usage=up.USAGE, pause=0.02))
    result = one(route)
    assert (result.is_ok, result.status, result.message) == (True, 200, "The upstream answers.")
    assert (result.words, result.usage, result.is_estimated) == ("Hello over there", Usage(input=12, output=5), False)
    assert (result.cost, result.currency) == (12 + 2 * 5, "USD")
    assert result.first_token_ms is not None
    assert 0 < result.first_token_ms < result.duration_ms


def test_request_is_the_smallest_streamed_and_carries_the_secret(upstream: Upstream) -> None:
    route = made(upstream.url)
    one(route)
    (received,) = upstream.received(route.upstream_name)
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert (received.json["stream"], received.json["max_tokens"]) == (True, 16)
    assert received.header("authorization") == f"Bearer {CANARY}"
    assert received.header("host") == f"127.0.0.1:{upstream.port}"


def test_every_route_is_tested_by_itself(upstream: Upstream) -> None:
    first = made(upstream.url)
    second = Route.objects.create(channel=first.channel, model=first.model, upstream_name="up-other")
    upstream.on("up-other", up.plain(404, {"error": {"message": "no such model"}}))
    good, bad = probe(first.channel, [first, second], LOOPBACK)
    assert (good.is_ok, bad.is_ok, bad.status, bad.words) == (True, False, 404, "404: no such model")
    assert bad.message.startswith("The upstream has no such model or endpoint")


def test_usage_that_is_not_told_is_estimated(upstream: Upstream) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.told("One two", usage=up.ABSENT))
    result = one(route)
    assert (result.is_ok, result.is_estimated, result.usage) == (True, True, Usage(output=2))


def test_route_without_a_cost_price_has_no_cost(upstream: Upstream) -> None:
    result = one(made(upstream.url, prices=False))
    assert (result.is_ok, result.cost, result.currency) == (True, None, "")


def test_channel_without_a_secret_sends_none(upstream: Upstream) -> None:
    route = made(upstream.url, secret="")
    one(route)
    assert upstream.received(route.upstream_name)[0].header("authorization") is None


def test_name_is_resolved_once_and_stays_the_host(upstream: Upstream) -> None:
    route = made(f"http://localhost:{upstream.port}/v1")
    assert one(route).is_ok is True
    assert upstream.received(route.upstream_name)[0].header("host") == f"localhost:{upstream.port}"


def test_built_in_upstream_is_tested_too() -> None:
    result = one(made("fake://cheap?tokens=3", provider="fake", secret=""))
    assert (result.is_ok, result.usage is not None and result.usage.output) == (True, 3)


# --- an upstream that does not ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (302, "The upstream answers with a redirect, which is never followed; check the base URL."),
        (401, "The upstream refuses the secret."),
        (403, "The upstream refuses the secret."),
        (404, "The upstream has no such model or endpoint; check the upstream name and the base URL."),
        (429, "The upstream answers, but is limiting requests."),
        (503, "The upstream answers with an error."),
    ],
)
def test_status_becomes_words(upstream: Upstream, status: int, message: str) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.plain(status, {"error": {"message": "because"}}))
    result = one(route)
    assert (result.is_ok, result.status, result.message, result.words) == (False, status, message, f"{status}: because")


def test_upstream_that_answers_something_else_is_not_well(upstream: Upstream) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.stream(up.event({"data": []}), up.DONE))
    result = one(route)
    assert (result.is_ok, result.message) == (
        False,
        "The answer is not one: the stream ended before the answer was whole.",
    )


def test_stream_that_breaks_off_is_not_well(upstream: Upstream) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.stream(up.event(up.chunk({"content": "Hi"}))))
    result = one(route)
    assert (result.is_ok, result.words) == (False, "Hi")
    assert result.message == "The answer is not one: the stream ended before the answer was whole."


def test_redirect_is_not_followed(upstream: Upstream) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.plain(302, b"", headers=[("location", f"{upstream.url}/steal")]))
    one(route)
    assert len(upstream.received(route.upstream_name)) == 1


def test_proxy_of_the_environment_is_not_used(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert one(made(upstream.url)).is_ok is True


def test_forbidden_address_is_not_called(upstream: Upstream) -> None:
    route = made(upstream.url)
    result = one(route, allowed=())
    assert (result.is_ok, result.status, "CHANNEL_NETWORKS" in result.words) == (False, None, True)
    assert upstream.received(route.upstream_name) == []


def test_refused_connection_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = one(made(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (result.is_ok, result.message) == (False, "No connection could be made.")


def test_silent_upstream_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = one(made(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert (result.is_ok, result.message) == (False, "The upstream did not answer in time.")


def test_other_protocol_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _greet(server), daemon=True).start()
        result = one(made(f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert (result.is_ok, result.message) == (False, "The upstream does not speak HTTP as it should.")


def _greet(server: socket.socket) -> None:
    connection, _address = server.accept()
    with connection:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.recv(65536)


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Says nothing."""


def test_certificate_that_nobody_signed_is_told(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    server.socket = _self_signed(tmp_path).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        result = one(made(f"https://127.0.0.1:{server.server_address[1]}"))
    finally:
        server.shutdown()
        server.server_close()
    assert result.message == "The TLS handshake failed: the certificate is not valid for this host."


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_secret_that_does_not_open_is_told(upstream: Upstream) -> None:
    route, other = made(upstream.url), made(upstream.url)
    route.channel.sealed_secret = other.channel.sealed_secret
    assert one(route).message.startswith("The secret cannot be opened")
    assert upstream.received(route.upstream_name) == []


def test_unknown_name_is_told() -> None:
    result = one(made("https://no-such-host.invalid"))
    assert (result.message, "did not resolve" in result.words) == ("No connection could be made.", True)


def test_upstream_that_repeats_our_secret_is_not_quoted(upstream: Upstream) -> None:
    route = made(upstream.url)
    upstream.on(route.upstream_name, up.plain(401, {"error": {"message": f"bad key {CANARY}"}}))
    assert one(route).words == "401: bad key …"


def test_every_fault_of_the_client_has_words() -> None:
    assert set(FAULTS) == set(get_args(Fault))
