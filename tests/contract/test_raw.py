"""Bytes that no client library sends, on real sockets: refused in the endpoint's own envelope, and the loop goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.callers import MESSAGES, Caller
from tests.installation import Offer

QUIET_SECONDS: Final = 1.0
"""What has not been answered by then is waited for no longer."""
SECOND_ANSWER_SECONDS: Final = 0.2
"""So long a second answer is waited for behind the one that is due."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back over one connection."""

    answers: list[Answer]
    is_closed: bool
    """Whether the server hung up."""
    raw: bytes


def say(
    caller: Caller, *parts: bytes, hangs_up: bool = False, quiet: float = QUIET_SECONDS, head: bool = False,
    is_one: bool = False,
) -> Heard:  # fmt: skip
    """Sends the parts one after the other, and hears until the server hangs up or is quiet.

    `is_one`: one answer is due, and what comes behind a whole one is waited for a moment only.
    """
    address = urlsplit(caller.installation.gateway_url)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as wire:
        try:
            for part in parts:
                wire.sendall(part)
        except OSError:
            pass  # it has answered, and hung up
        if hangs_up:
            return Heard([], True, b"")
        raw, is_closed = _listen(wire, quiet, is_one=is_one)
    return Heard(list(_answers(raw, head)), is_closed, raw)


def _listen(wire: socket.socket, quiet: float, *, is_one: bool) -> tuple[bytes, bool]:
    raw = b""
    wire.settimeout(quiet)
    try:
        while data := wire.recv(65_536):
            raw += data
            if is_one and _is_whole(raw):
                wire.settimeout(SECOND_ANSWER_SECONDS)
    except TimeoutError:
        return raw, False
    except ConnectionResetError:
        return raw, True
    return raw, True


def _is_whole(raw: bytes) -> bool:
    top, blank, body = raw.partition(b"\r\n\r\n")
    _name, has_length, length = top.lower().partition(b"\r\ncontent-length:")
    return bool(blank and has_length) and len(body) >= int(length.partition(b"\r\n")[0])


def _answers(raw: bytes, head: bool) -> Any:
    while raw:
        top, _blank, raw = raw.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = 0 if head or status < 200 or status == 204 else int(headers.get("content-length", len(raw)))
        body, raw = raw[:length], raw[length:]
        yield Answer(status, headers, body)


def post(caller: Caller, path: str, body: bytes, *headers: str, key: str | None = None, version: str = "1.1") -> bytes:
    """A whole request with the caller's key; `headers` come last."""
    lines = [f"POST {path} HTTP/{version}", "host: gateway", key or f"authorization: Bearer {caller.secret}",
             "content-type: application/json", *headers]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chat(model: Offer, **members: Any) -> bytes:
    return json.dumps({"model": model.name, "messages": MESSAGES, "max_tokens": 8, **members}).encode()


PATHS: Final = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "google": "/v1beta/models/{model}:generateContent",
}


def envelope_of(dialect: str, answer: Answer) -> None:
    """The refusal is this dialect's."""
    body = answer.error
    if dialect == "anthropic":
        assert body["type"] == "error", body
        assert set(body["error"]) >= {"type", "message"}, body
    elif dialect == "google":
        assert (body["error"]["code"], type(body["error"]["status"])) == (answer.status, str), body
    else:
        assert set(body["error"]) >= {"message", "type", "code", "param"}, body


def check_api(dialect: str, heard: Heard) -> None:
    """Nothing of it is a fault of ours, HTML, or an unannounced end."""
    assert heard.raw[:9] in {b"", b"HTTP/1.1 ", b"HTTP/1.0 "}, heard.raw[:80]
    for answer in heard.answers:
        assert answer.status < 500, (answer.status, answer.body)
        assert b"<html" not in answer.body.lower()
        if answer.status >= 400:
            assert answer.headers.get("content-type", "").startswith("application/json"), (answer, heard.raw[:400])
            envelope_of(dialect, answer)
    if heard.is_closed and heard.answers:
        last = heard.answers[-1]
        assert last.headers.get("connection", "").lower() == "close" or heard.raw.startswith(b"HTTP/1.0"), last


REFUSED: Final[dict[str, Callable[[Caller, str, bytes], bytes]]] = {
    "two keys": lambda c, p, b: post(c, p, b, f"content-length: {len(b)}", "authorization: Bearer sk-other"),
    "the same key twice": lambda c, p, b: post(
        c, p, b, f"content-length: {len(b)}", f"authorization: Bearer {c.secret}"
    ),
    "two x-api-keys": lambda c, p, b: post(
        c, p, b, f"content-length: {len(b)}", "x-api-key: sk-other", key=f"x-api-key: {c.secret}"
    ),
    "two media types": lambda c, p, b: post(c, p, b, f"content-length: {len(b)}", "content-type: text/plain"),
    "two encodings": lambda c, p, b: post(
        c, p, b, f"content-length: {len(b)}", "content-encoding: gzip", "content-encoding: identity"
    ),
    "two idempotency keys": lambda c, p, b: post(
        c, p, b, f"content-length: {len(b)}", "idempotency-key: a", "idempotency-key: b"
    ),
    "no body": lambda c, p, b: post(c, p, b""),
    "a body that is empty": lambda c, p, b: post(c, p, b"", "content-length: 0"),
    "chunked and empty": lambda c, p, b: post(c, p, b"0\r\n\r\n", "transfer-encoding: chunked"),
    "a length of too many digits": lambda c, p, b: post(c, p, b, "content-length: 99999999999999999"),
    "expects and is too large": lambda c, p, b: post(c, p, b"", "content-length: 99999999999", "expect: 100-continue"),
    "a query of bad percent-encoding": lambda c, p, b: post(c, p + "?a=%zz%00%ff", b"{", "content-length: 1"),
    "an upgrade to websocket": lambda c, p, b: post(
        c,
        p,
        b"{",
        "content-length: 1",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    ),
    "an upgrade to h2c": lambda c, p, b: post(
        c,
        p,
        b"{",
        "content-length: 1",
        "connection: upgrade, http2-settings",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAARAAAAAAAIAAAAA",
    ),
    "HTTP/1.0": lambda c, p, b: post(c, p, b"{", "content-length: 1", version="1.0"),
    "HTTP/1.0 that keeps its connection": lambda c, p, b: post(
        c, p, b"{", "content-length: 1", "connection: keep-alive", version="1.0"
    ),
    "a key of latin letters": lambda c, p, b: post(
        c, p, b, f"content-length: {len(b)}", key="authorization: Bearer sk-\xe9\xff"
    ),
    "a long header": lambda c, p, b: post(c, p, b"{", "content-length: 1", f"x-long: {'a' * 60_000}"),
    "ninety headers": lambda c, p, b: post(c, p, b"{", "content-length: 1", *(f"x-{n}: a" for n in range(90))),
    "host twice": lambda c, p, b: post(c, p, b"{", "content-length: 1", "host: other"),
    "trailers": lambda c, p, b: post(
        c,
        p,
        b"1\r\n{\r\n0\r\nx-late: a\r\nauthorization: Bearer x\r\n\r\n",
        "transfer-encoding: chunked",
        "trailer: x-late",
    ),
    "chunk extensions": lambda c, p, b: post(c, p, b'1;a=b;c="d"\r\n{\r\n0;e\r\n\r\n', "transfer-encoding: chunked"),
    "chunk sizes with zeros before": lambda c, p, b: post(
        c, p, b"0001\r\n{\r\n0000\r\n\r\n", "transfer-encoding: chunked"
    ),
    "absolute form": lambda c, p, b: post(c, f"http://gateway{p}", b"{", "content-length: 1"),
    "absolute form of another host": lambda c, p, b: post(c, f"http://evil.example.com{p}", b"{", "content-length: 1"),
    "a body shorter than said, then silence cut": lambda c, p, b: post(c, p, b"\xff", "content-length: 1"),
    "TRACE": lambda c, p, b: f"TRACE {p} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {c.secret}\r\n\r\n".encode(),
    "an unknown method": lambda c, p, b: (
        f"BREW {p} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {c.secret}\r\n\r\n".encode()
    ),
    "PUT": lambda c, p, b: f"PUT {p} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}".encode(),
    "DELETE": lambda c, p, b: f"DELETE {p} HTTP/1.1\r\nhost: a\r\n\r\n".encode(),
    "a chunk size of letters": lambda c, p, b: post(c, p, b"zz\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"),
    "a chunk size of 20 digits": lambda c, p, b: post(c, p, b"f" * 20 + b"\r\n{}", "transfer-encoding: chunked"),
    "a chunk longer than said": lambda c, p, b: post(c, p, b"1\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"),
    "a chunk without its end": lambda c, p, b: post(c, p, b"2\r\n{}0\r\n\r\n", "transfer-encoding: chunked"),
}


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("case", REFUSED)
def test_odd_request_is_refused_in_its_endpoints_envelope(
    caller: Caller, model: Offer, case: str, dialect: str
) -> None:
    path = PATHS[dialect].format(model=model.name)
    body = chat(model) if dialect != "google" else b'{"contents":[{"parts":[{"text":"hi"}]}]}'
    with caller.nothing_changes():
        heard = say(caller, REFUSED[case](caller, path, body), is_one=True)

    assert len(heard.answers) == 1, heard.raw
    assert 400 <= heard.answers[0].status < 500, heard.raw
    check_api(dialect, heard)
    assert caller.ask(model).status_code == 200, "the loop goes on"


POST: Final = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
CHUNKED: Final = POST + b"transfer-encoding: chunked\r\n"
GET: Final = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n"

BY_THE_SERVER: Final[dict[str, tuple[bytes, int | None]]] = {
    "two lengths": (POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ", 400),
    "a list of lengths": (POST + b"content-length: 2, 3\r\n\r\n{} ", 400),
    "a negative length": (POST + b"content-length: -1\r\n\r\n{}", 400),
    "a length with a plus": (POST + b"content-length: +2\r\n\r\n{}", 400),
    "a length of letters": (POST + b"content-length: two\r\n\r\n{}", 400),
    "a length of 30 digits": (POST + b"content-length: 999999999999999999999999999999\r\n\r\n{}", 400),
    "an unknown transfer coding": (POST + b"transfer-encoding: gzip\r\n\r\n{}", 400),
    "chunked not last": (POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked with a vertical tab": (POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunks over HTTP/1.0": (
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a folded header": (GET + b"x-a: b\r\n c\r\n\r\n", 400),
    "a space before the colon": (GET + b"x-a : b\r\n\r\n", 400),
    "a header without a colon": (GET + b"nothing\r\n\r\n", 400),
    "a header without a name": (GET + b": b\r\n\r\n", 400),
    "a NUL in a header": (GET + b"x-a: b\x00c\r\n\r\n", 400),
    "a bare CR in a header": (GET + b"x-a: b\rc\r\n\r\n", 400),
    "a thousand headers": (GET + b"" + b"x-a: b\r\n" * 1000 + b"\r\n", 431),
    "a megabyte of header": (GET + b"x-a: " + b"b" * 1_000_000 + b"\r\n\r\n", 431),
    "a target of a megabyte": (b"GET /v1/" + b"b" * 1_000_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 431),
    "no target": (b"GET  HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "a space in the target": (b"GET /v1/mo dels HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "a letter beyond ASCII in the target": (b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "no version": (b"GET /v1/models\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v1/models HTTP/0.9\r\n\r\n", 400),
    "HTTP/2.0": (b"GET /v1/models HTTP/2.0\r\nhost: a\r\n\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), None),
    "a TLS greeting": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160), 400),
    "noise": (bytes(range(256)) * 4 + b"\r\n\r\n", 400),
}
"""What the HTTP server itself refuses before anybody of us sees it, and the status it says so with; None is silence."""


@pytest.mark.parametrize("case", BY_THE_SERVER)
def test_what_is_no_http_is_refused_by_the_server_which_says_that_it_hangs_up(
    caller: Caller, model: Offer, case: str
) -> None:
    raw, status = BY_THE_SERVER[case]
    with caller.nothing_changes():
        heard = say(caller, raw)

    assert [answer.status for answer in heard.answers] == ([] if status is None else [status]), heard.raw
    assert [(answer.body, answer.headers["connection"]) for answer in heard.answers] in ([], [(b"", "close")])
    assert heard.is_closed
    assert caller.ask(model).status_code == 200, "the loop goes on"


BY_US: Final[dict[str, tuple[bytes, int, bool]]] = {
    "length and chunks": (
        POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
        401,
        True,
    ),
    "chunks and length": (CHUNKED + b"content-length: 4\r\n\r\n0\r\n\r\n" + GET + b"\r\n", 401, True),
    "chunked twice": (POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 401, True),
    "a chunk size of letters": (CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n", 401, True),
    "a chunk size of 20 digits": (CHUNKED + b"\r\nfffffffffffffffffff\r\n", 401, True),
    "a chunk longer than said": (CHUNKED + b"\r\n1\r\n{}\r\n0\r\n\r\n", 401, True),
    "no host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 401, False),
    "bad percent-encoding": (b"GET /v1/%zz%ff%00 HTTP/1.1\r\nhost: a\r\n\r\n", 404, False),
    "half of a percent-encoding": (b"GET /v1/models% HTTP/1.1\r\nhost: a\r\n\r\n", 404, False),
    "encoded slashes and dots": (b"GET /v1%2f..%2fadmin%2f HTTP/1.1\r\nhost: a\r\n\r\n", 404, False),
    "dots out of the plane": (b"GET /v1/../admin/ HTTP/1.1\r\nhost: a\r\n\r\n", 404, False),
    "two slashes": (b"GET //v1/models HTTP/1.1\r\nhost: a\r\n\r\n", 404, False),
    "a bad host": (b"GET /v1/models HTTP/1.1\r\nhost: a/?#@b\r\n\r\n", 401, False),
    "lines that end with LF": (b"GET /v1/models HTTP/1.1\nhost: a\n\n", 401, False),
    "blank lines before": (b"\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n", 401, False),
    "an expectation nobody knows": (POST + b"expect: 200-ok\r\ncontent-length: 2\r\n\r\n{}", 401, True),
}
"""Without a key, what the server lets through: the status, and whether the connection ends with it.

Of two requests in one, the second must not be answered: the first one's length is in doubt.
"""


@pytest.mark.parametrize("case", BY_US)
def test_what_is_hardly_http_is_refused_in_the_envelope(caller: Caller, model: Offer, case: str) -> None:
    raw, status, ends = BY_US[case]
    with caller.nothing_changes():
        heard = say(caller, raw)

    assert [answer.status for answer in heard.answers] == [status], heard.raw
    assert heard.is_closed == ends
    check_api("openai", heard)
    assert caller.ask(model).status_code == 200, "the loop goes on"


OF_NO_PATH: Final = {
    "CONNECT": b"CONNECT gateway:443 HTTP/1.1\r\nhost: gateway:443\r\n\r\n",
    "a star for target": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.mark.parametrize("case", OF_NO_PATH)
def test_target_without_a_path_is_a_page_that_is_refused(caller: Caller, model: Offer, case: str) -> None:
    with caller.nothing_changes():
        heard = say(caller, OF_NO_PATH[case])

    assert [answer.status for answer in heard.answers] == [400], heard.raw
    assert caller.ask(model).status_code == 200, "the loop goes on"


def test_connection_goes_on_behind_a_refusal_whose_body_was_small(caller: Caller, model: Offer) -> None:
    nobody = post(caller, PATHS["openai"], b"{}", "content-length: 2", key="authorization: Bearer sk-nobody")
    body = chat(model)

    heard = say(caller, nobody, post(caller, PATHS["openai"], body, f"content-length: {len(body)}"))

    assert [answer.status for answer in heard.answers] == [401, 200], heard.raw
    assert not heard.is_closed
