"""What is no request at all: broken JSON, ambiguous JSON, bombs, other encodings, wrong paths and methods."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.callers import MESSAGES, PATH, Caller, decoded
from tests.envelopes import assert_refused
from tests.installation import Offer

LIMIT = 20 * 1024 * 1024
VALID = json.dumps({"model": "M", "messages": MESSAGES})


def with_member(text: str) -> bytes:
    """The valid body with one more member, written as it is."""
    return (VALID[:-1] + ", " + text + "}").encode()


NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n\t",
    "open brace": b"{",
    "array": b"[]",
    "string": b'"hello"',
    "number": b"5",
    "null": b"null",
    "true": b"true",
    "trailing object": VALID.encode() + b"{}",
    "trailing garbage": VALID.encode() + b"x",
    "trailing NUL": VALID.encode() + b"\x00",
    "trailing comma": with_member('"x": 1,'),
    "trailing comma in an array": with_member('"x": [1,]'),
    "single quotes": b"{'model': 'M'}",
    "unquoted name": b"{model: 1}",
    "comment": with_member('"x": 1 /* no */'),
    "byte order mark": b"\xef\xbb\xbf" + VALID.encode(),
    "utf-16": VALID.encode("utf-16"),
    "utf-16 without a mark": VALID.encode("utf-16-le"),
    "utf-32": VALID.encode("utf-32"),
    "invalid utf-8": with_member('"x": "').removesuffix(b"}") + b'\xff\xfe"}',
    "latin-1": with_member('"x": "').removesuffix(b"}") + b'caf\xe9"}',
    "surrogate in utf-8": with_member('"x": "').removesuffix(b"}") + b'\xed\xa0\x80"}',
    "overlong utf-8": with_member('"x": "').removesuffix(b"}") + b'\xc0\xaf"}',
    "NaN": with_member('"temperature": NaN'),
    "Infinity": with_member('"temperature": Infinity'),
    "minus Infinity": with_member('"temperature": -Infinity'),
    "1e999": with_member('"temperature": 1e999'),
    "minus 1e999": with_member('"x": -1e999'),
    "huge integer": with_member('"seed": ' + "9" * 40),
    "very huge integer": with_member('"x": ' + "9" * 5000),
    "huge negative integer": with_member('"x": -' + "9" * 40),
    "plus sign": with_member('"x": +1'),
    "leading zero": with_member('"x": 01'),
    "no digit before the point": with_member('"x": .5'),
    "no digit after the point": with_member('"x": 1.'),
    "hexadecimal": with_member('"x": 0x10'),
    "tab in a string": with_member('"x": "a\tb"'),
    "newline in a string": with_member('"x": "a\nb"'),
    "bad escape": with_member('"x": "\\x41"'),
    "short unicode escape": with_member('"x": "\\u12"'),
    "form": b"model=M&messages=hi",
    "html": b"<html></html>",
    "random bytes": bytes(range(256)),
}
DUPLICATES: dict[str, bytes] = {
    "at the top": with_member('"model": "other"'),
    "spelt with an escape": with_member('"\\u006dodel": "other"'),
    "the same value": with_member('"model": "M"'),
    "in a message": b'{"model": "M", "messages": [{"role": "user", "content": "a", "content": "b"}]}',
    "in an unknown field": with_member('"x": {"y": {"z": 1, "z": 1}}'),
    "in an array": with_member('"x": [{"a": 1}, {"b": 1, "b": 2}]'),
    "empty names": with_member('"x": {"": 1, "": 2}'),
}
BOMBS: dict[str, bytes] = {
    "deep arrays": with_member('"x": ' + "[" * 65 + "]" * 65),
    "deep objects": with_member('"x": ' + '{"a": ' * 65 + "1" + "}" * 65),
    "very deep": with_member('"x": ' + "[" * 100_000 + "]" * 100_000),
    "deep in a message": json.dumps({"model": "M", "messages": MESSAGES})[:-3].encode()
    + b', "x": '
    + b"[" * 70
    + b"]" * 70
    + b"}]}",
    "wide array": with_member('"x": [' + "1," * 200_500 + "1]"),
    "wide object": with_member('"x": {' + ",".join(f'"{i}": 1' for i in range(200_500)) + "}"),
    "deep where a duplicate hides it": with_member('"x": ' + "[" * 980 + "]" * 980 + ', "x": 1'),
    "wide where a duplicate hides it": with_member('"x": [' + "1," * 1_500_000 + '1], "x": 1'),
    "many small arrays": with_member('"x": [' + "[]," * 200_500 + "[]]"),
}
BAD_UNICODE: dict[str, bytes] = {
    "high surrogate": b'{"model": "M", "messages": [{"role": "user", "content": "\\ud83c"}]}',
    "low surrogate": b'{"model": "M", "messages": [{"role": "user", "content": "\\udf0f"}]}',
    "surrogates the wrong way round": b'{"model": "M", "messages": [{"role": "user", "content": "\\udf0f\\ud83c"}]}',
    "surrogate before a letter": b'{"model": "M", "messages": [{"role": "user", "content": "\\ud83cx"}]}',
    "NUL in the content": b'{"model": "M", "messages": [{"role": "user", "content": "a\\u0000b"}]}',
    "NUL in the model": b'{"model": "M\\u0000", "messages": [{"role": "user", "content": "a"}]}',
    "NUL in an unknown field": with_member('"x": {"y": "\\u0000"}'),
    "NUL in a name": with_member('"x\\u0000": 1'),
    "surrogate in a name": with_member('"x\\ud83c": 1'),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_body_that_is_no_json_object_is_refused(caller: Caller, body: bytes) -> None:
    with caller.nothing_changes():
        response = caller.post(body)

    assert_refused(response, 400, "invalid_json", param=None)


@pytest.mark.parametrize("body", DUPLICATES.values(), ids=DUPLICATES.keys())
def test_member_named_twice_is_refused(caller: Caller, body: bytes) -> None:
    with caller.nothing_changes():
        response = caller.post(body)

    assert_refused(response, 400, "duplicate_key")


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_json_bomb_is_refused(caller: Caller, body: bytes) -> None:
    with caller.nothing_changes():
        response = caller.post(body)

    assert_refused(response, 400, "json_too_complex")


@pytest.mark.parametrize("body", BAD_UNICODE.values(), ids=BAD_UNICODE.keys())
def test_text_that_is_no_text_is_refused(caller: Caller, body: bytes) -> None:
    with caller.nothing_changes():
        response = caller.post(body)

    assert_refused(response, 400, "invalid_unicode")


def test_body_just_below_the_bounds_of_complexity_is_served(caller: Caller, model: Offer) -> None:
    nested: object = 1
    for _level in range(62):
        nested = [nested]

    response = caller.ask(model, deep=nested, wide=[1] * 190_000)

    assert response.status_code == 200
    (request,) = caller.upstream.received(model.upstream)
    assert request.json["deep"] == nested
    assert request.json["wide"] == [1] * 190_000


@pytest.mark.parametrize(
    "text", ["Xin chào thế giới", "🌏👩‍👩‍👧‍👦", "a\u2028b\u2029c", "\ufeffinside", "\x7f", "\u202e"]
)
def test_any_real_text_reaches_the_upstream_as_it_was(caller: Caller, model: Offer, text: str) -> None:
    assert caller.ask(model, messages=[{"role": "user", "content": text}]).status_code == 200

    (request,) = caller.upstream.received(model.upstream)
    assert request.json["messages"] == [{"role": "user", "content": text}]


# --- size ------------------------------------------------------------------------------------------------------------


def test_body_over_the_limit_is_refused_by_its_declared_length_alone(caller: Caller) -> None:
    host = urlsplit(caller.installation.gateway_url)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: {host.netloc}\r\nauthorization: Bearer {caller.secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {LIMIT + 1}\r\n\r\n"
    )
    with caller.nothing_changes(), socket.create_connection((str(host.hostname), host.port or 80), 5) as sock:
        sock.sendall(head.encode() + b'{"model"')
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        body, status = answer.read(), answer.status

    assert status == 413
    assert decoded(body)["error"]["code"] == "request_too_large"
    assert answer.headers["x-should-retry"] == "false"


def test_chunked_body_over_the_limit_is_refused(caller: Caller) -> None:
    url = urlsplit(caller.installation.gateway_url)
    with caller.nothing_changes(), socket.create_connection((str(url.hostname), url.port or 80), 10) as sock:
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {caller.secret}\r\n"
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        sending = threading.Thread(target=_send_all, args=(sock, head.encode(), _endless_chunks()), daemon=True)
        sending.start()
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        body, status = answer.read(), answer.status

    assert status == 413
    assert decoded(body)["error"]["code"] == "request_too_large"


def test_body_of_exactly_the_limit_is_read(caller: Caller, model: Offer) -> None:
    body = json.dumps(caller.body(model, pad="")).encode()
    padded = body.replace(b'"pad": ""', b'"pad": "' + b"x" * (LIMIT - len(body)) + b'"')

    with caller.nothing_changes():
        response = caller.post(padded)

    assert len(padded) == LIMIT
    assert_refused(response, 400, "context_length_exceeded")


def _endless_chunks() -> Iterator[bytes]:
    yield b'a\r\n{"model":"\r\n'
    for _count in range(24 * 16):
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"


def _send_all(sock: socket.socket, head: bytes, chunks: Iterator[bytes]) -> None:
    try:
        sock.sendall(head)
        for part in chunks:
            sock.sendall(part)
    except OSError:
        pass  # the gateway has heard enough


# --- media types -----------------------------------------------------------------------------------------------------

OTHER_MEDIA: dict[str, dict[str, str]] = {
    "text": {"content-type": "text/plain"},
    "form": {"content-type": "application/x-www-form-urlencoded"},
    "multipart": {"content-type": "multipart/form-data; boundary=x"},
    "xml": {"content-type": "application/xml"},
    "json in name only": {"content-type": "application/jsonish"},
    "latin-1": {"content-type": "application/json; charset=latin-1"},
    "utf-16": {"content-type": "application/json; charset=utf-16"},
    "gzip": {"content-encoding": "gzip"},
    "deflate": {"content-encoding": "deflate"},
    "br": {"content-encoding": "br"},
    "unknown coding": {"content-encoding": "rot13"},
}
JSON_MEDIA = [
    "application/json",
    "application/json; charset=utf-8",
    'application/json; charset="UTF-8"',
    "Application/JSON",
    "application/json;charset=UTF-8",
]


@pytest.mark.parametrize("headers", OTHER_MEDIA.values(), ids=OTHER_MEDIA.keys())
def test_other_media_and_encodings_are_refused(caller: Caller, model: Offer, headers: dict[str, str]) -> None:
    with caller.nothing_changes():
        response = caller.post(json.dumps(caller.body(model)), **headers)

    assert_refused(response, 415, "unsupported_media_type", param=None)


def test_really_compressed_body_is_refused_unread(caller: Caller, model: Offer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)

    with caller.nothing_changes():
        response = caller.post(bomb, **{"content-encoding": "gzip"})

    assert_refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", JSON_MEDIA)
def test_every_spelling_of_json_is_accepted(caller: Caller, model: Offer, content_type: str) -> None:
    response = caller.post(json.dumps(caller.body(model)), **{"content-type": content_type})

    assert response.status_code == 200
