"""The channel test: one real request to a real server on loopback."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from routing.catalogue.probe import Result, probe
from routing.models import Channel
from routing.wire.addresses import networks

CANARY = "sk-canary-0123456789"
LOOPBACK = networks(["127.0.0.0/8"])


class Upstream(ThreadingHTTPServer):
    """Answers every request with one status and keeps what it was asked."""

    def __init__(self, status: int, location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.location = location
        self.seen: list[tuple[str, dict[str, str]]] = []

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        if self.server.location:
            self.send_header("location", self.server.location)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        """Says nothing."""


@pytest.fixture
def start() -> Iterator[Callable[..., Upstream]]:
    """Starts upstreams (`start(status, location)`), stopped at the end."""
    started: list[Upstream] = []

    def run(status: int = 200, location: str = "", context: ssl.SSLContext | None = None) -> Upstream:
        upstream = Upstream(status, location)
        if context is not None:
            upstream.socket = context.wrap_socket(upstream.socket, server_side=True)
        threading.Thread(target=upstream.serve_forever, args=(0.01,), daemon=True).start()
        started.append(upstream)
        return upstream

    yield run
    for upstream in started:
        upstream.shutdown()
        upstream.server_close()


def _channel(base_url: str, secret: str = CANARY) -> Channel:
    channel = Channel(name="tested", provider="openai", base_url=base_url, connect_timeout=2, first_byte_timeout=0.5)
    channel.set_secret(secret)
    return channel


def _probe(channel: Channel) -> Result:
    return asyncio.run(probe(channel, LOOPBACK))


def test_answering_upstream_is_well(start: Callable[..., Upstream]) -> None:
    upstream = start(200)
    result = _probe(_channel(f"http://{upstream.origin}/v1"))
    assert (result.ok, result.status, result.message) == (True, 200, "The upstream answers.")
    assert 0 <= result.latency_ms < 5000


def test_request_is_minimal_and_carries_the_secret(start: Callable[..., Upstream]) -> None:
    upstream = start(200)
    _probe(_channel(f"http://{upstream.origin}/v1"))
    [(path, headers)] = upstream.seen
    assert path == "/v1/models"
    assert headers["host"] == upstream.origin
    assert headers["authorization"] == f"Bearer {CANARY}"
    assert "cookie" not in headers


def test_channel_without_a_secret_sends_none(start: Callable[..., Upstream]) -> None:
    upstream = start(200)
    _probe(_channel(f"http://{upstream.origin}", secret=""))
    assert "authorization" not in upstream.seen[0][1]


def test_name_is_resolved_once_and_stays_the_host(start: Callable[..., Upstream]) -> None:
    upstream = start(200)
    port = upstream.server_address[1]
    assert _probe(_channel(f"http://localhost:{port}/v1")).ok is True
    assert upstream.seen[0][1]["host"] == f"localhost:{port}"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (204, "The upstream answers."),
        (401, "The upstream refuses the secret."),
        (403, "The upstream refuses the secret."),
        (404, "The upstream has no list of models at this path; check the base URL."),
        (429, "The upstream answers, but is limiting requests."),
        (503, "The upstream answers with an error."),
    ],
)
def test_status_becomes_words(start: Callable[..., Upstream], status: int, message: str) -> None:
    result = _probe(_channel(f"http://{start(status).origin}"))
    assert (result.ok, result.status, result.message) == (status == 204, status, message)


def test_redirect_is_not_followed(start: Callable[..., Upstream]) -> None:
    target = start(200)
    result = _probe(_channel(f"http://{start(302, f'http://{target.origin}/steal').origin}"))
    assert (result.ok, result.status) == (False, 302)
    assert target.seen == []


def test_proxy_of_the_environment_is_not_used(start: Callable[..., Upstream], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, upstream = start(200), start(200)
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.origin}")
    monkeypatch.setenv("ALL_PROXY", f"http://{proxy.origin}")
    assert _probe(_channel(f"http://{upstream.origin}")).ok is True
    assert (len(upstream.seen), proxy.seen) == (1, [])


def test_forbidden_address_is_not_called(start: Callable[..., Upstream]) -> None:
    upstream = start(200)
    result = asyncio.run(probe(_channel(f"http://{upstream.origin}"), ()))
    assert (result.ok, result.status) == (False, None)
    assert "CHANNEL_NETWORKS" in result.message
    assert upstream.seen == []


def test_refused_connection_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = _probe(_channel(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (result.ok, result.message) == (False, "The connection was refused.")


def test_silent_upstream_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = _probe(_channel(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert (result.ok, result.message) == (False, "The upstream did not answer in time.")


def test_other_protocol_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _greet(server), daemon=True).start()
        result = _probe(_channel(f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert (result.ok, result.message) == (False, "The upstream broke the connection or does not speak HTTP.")


def _greet(server: socket.socket) -> None:
    connection, _address = server.accept()
    with connection:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.recv(65536)


def test_certificate_that_nobody_signed_is_told(start: Callable[..., Upstream], tmp_path: Path) -> None:
    upstream = start(200, context=_self_signed(tmp_path))
    result = _probe(_channel(f"https://{upstream.origin}"))
    assert result.message == "The TLS handshake failed: the certificate is not valid for this host."
    assert upstream.seen == []


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


def test_secret_that_does_not_open_is_told(start: Callable[..., Upstream]) -> None:
    upstream = start(200)
    channel, other = _channel(f"http://{upstream.origin}"), _channel("http://127.0.0.1")
    channel.sealed_secret = other.sealed_secret
    assert _probe(channel).message.startswith("The secret cannot be opened")
    assert upstream.seen == []


def test_built_in_upstream_is_well_at_once() -> None:
    result = _probe(Channel(name="fake", provider="fake", base_url="fake://cheap"))
    assert (result.ok, result.status) == (True, None)


def test_unknown_name_is_told() -> None:
    assert _probe(_channel("https://no-such-host.invalid")).message == "The host name does not resolve."


@pytest.mark.parametrize("status", [200, 302, 401, 500])
def test_message_never_holds_secret_or_address(start: Callable[..., Upstream], status: int) -> None:
    upstream = start(status)
    message = _probe(_channel(f"http://{upstream.origin}")).message
    assert CANARY not in message
    assert upstream.origin not in message
