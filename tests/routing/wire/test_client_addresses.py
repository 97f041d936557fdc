"""Where the hot path's HTTP client connects to, and whom it believes there."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from routing.wire.addresses import Origin
from routing.wire.client import Client
from tests.routing.wire.raw_upstream import (
    HELLO,
    LOOPBACK,
    Runner,
    answer_of,
    answers,
    ask,
    fault_of,
    opened,
    seconds,
    serving,
)


def test_forbidden_address_is_never_connected_to(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            assert await fault_of(answer_of(Client(()), server)) == "connect_failed"
            assert server.connections == 0

    run(test())


@pytest.mark.parametrize("secret", ["s\r\nx-injected: 1", "s\nx", "s\rx", "s\0", "schlüssel…"])
def test_header_that_would_not_be_one_header_is_never_sent(run: Runner, secret: str) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            assert await fault_of(ask(Client(LOOPBACK), server, secret=secret)) == "connect_failed"
            assert server.connections == 0

    run(test())


# --- TLS -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of the test's own, and a file with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    path: Path


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *, is_ca: bool
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    own = certificate("authority", key, "authority", key, is_ca=True)
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    path.write_bytes(own.public_bytes(serialization.Encoding.PEM))
    return Authority(key, own, path)


def server_context(authority: Authority, name: str, folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    signed = certificate(name, key, "authority", authority.key, is_ca=False)
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_tls_upstream_is_asked_for_by_its_name_and_verified(
    run: Runner, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    context = server_context(authority, "localhost", tmp_path)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def test() -> None:
        async with (
            serving(answers(HELLO), tls=context, host="localhost") as server,
            opened(Client(LOOPBACK)) as client,
        ):
            assert [await answer_of(client, server), await answer_of(client, server)] == [b"hello", b"hello"]
            assert (names, server.connections) == (["localhost"], 1)

    run(test())


def test_certificate_for_another_name_is_refused(
    run: Runner, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    context = server_context(authority, "other.example", tmp_path)

    async def test() -> None:
        async with serving(answers(HELLO), tls=context, host="localhost") as server:
            assert await fault_of(answer_of(Client(LOOPBACK), server)) == "tls_failed"
            assert server.requests == []

    run(test())


def test_certificate_of_an_unknown_authority_is_refused(run: Runner, authority: Authority, tmp_path: Path) -> None:
    context = server_context(authority, "localhost", tmp_path)

    async def test() -> None:
        async with serving(answers(HELLO), tls=context, host="localhost") as server:
            assert await fault_of(answer_of(Client(LOOPBACK), server)) == "tls_failed"
            assert server.requests == []

    run(test())


def test_plain_http_behind_https_is_refused(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            origin = Origin("https", "127.0.0.1", server.origin.port, "")
            exchange = Client(LOOPBACK).post(origin, "/", (), b"", seconds(connect=1))
            assert await fault_of(exchange) in {"tls_failed", "connect_failed", "connect_timeout"}
            assert server.requests == []

    run(test())
