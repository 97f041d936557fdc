"""Forms as they go upstream, and back: what one wrote the other reads."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.api import form, idempotency
from routing.providers.media import File, encode


def parsed(body: dict[str, Any]) -> dict[str, Any]:
    kind, pieces = encode(body)
    return asyncio.run(form.parse(b"".join(pieces), form.boundary_of(kind, "")))


def test_form_reads_as_it_was_written() -> None:
    body = {
        "model": "whisper-1",
        "file": File('a "quoted" name.wav', "audio/wav", b"\r\n--" + bytes(range(256)) * 5_000),
        "timestamp_granularities": ["word", "segment"],
        "chunking_strategy": {"type": "server_vad", "threshold": "0.5"},
        "prompt": "Biển\r\nlà gì?",
    }
    assert parsed(body) == body


def test_numbers_and_truths_are_text_and_null_is_absent() -> None:
    assert parsed({"a": 1, "b": 0.5, "c": True, "d": None, "e": []}) == {"a": "1", "b": "0.5", "c": "true"}


@given(data=st.binary(max_size=2_000), text=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_bytes_and_any_text_arrive(data: bytes, text: str) -> None:
    body = {"file": File("f", "audio/wav", data), "prompt": text}
    assert parsed(body) == body


def test_files_bytes_are_not_copied() -> None:
    data = bytes(1_000)
    _kind, pieces = encode({"file": File("f", "audio/wav", data)})
    assert any(piece is data for piece in pieces)


@pytest.mark.parametrize(
    "kind", ["audio/wav\r\nx: y", "", "audio", "a/b; c\n"], ids=["header", "empty", "half", "line"]
)
def test_media_type_that_is_none_is_not_passed_on(kind: str) -> None:
    _kind, pieces = encode({"file": File("f", kind, b"x")})
    assert b"content-type: application/octet-stream\r\n\r\n" in pieces[0]


def test_name_cannot_begin_another_header() -> None:
    _kind, pieces = encode({"file": File('f"\r\nx: y', "audio/wav", b"x")})
    assert b'filename="f%22%0D%0Ax: y"' in pieces[0]


def test_digest_is_the_forms_whatever_its_boundary_and_order() -> None:
    body = {"model": "m", "file": File("f", "audio/wav", b"x")}
    assert digest(parsed(body)) == digest(dict(reversed(parsed(body).items())))
    assert digest({**body, "file": File("f", "audio/wav", b"y")}) != digest(body)
    assert digest({**body, "model": "n"}) != digest(body)
    assert digest({**body, "file": File("g", "audio/wav", b"x")}) != digest(body)


def digest(body: dict[str, Any]) -> bytes:
    return asyncio.run(form.digest(body))


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_000])
def test_digest_in_pieces_is_that_of_one_go(size: int) -> None:
    data, made = bytes(range(256)) * (size // 256) + b"x" * (size % 256), hashlib.sha256()
    asyncio.run(idempotency.add(made, data))
    assert made.digest() == hashlib.sha256(data).digest()
