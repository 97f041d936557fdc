"""A whole answer from an upstream's bytes, however they come: at once, or as a stream that nobody asked for."""

from __future__ import annotations

from typing import Any, Final

from routing.endpoints.base import Assembler, Form
from routing.providers.base import End, MalformedAnswer, Reader
from routing.wire.answer import MAX_BODY_BYTES, Answer
from routing.wire.events import after_marks
from routing.wire.values import Values

_EVENTS: Final = b"text/event-stream"
MOST_LOOKED_AT: Final = 256 * 1024
"""Bytes of a body within which its first piece must end, if it comes in pieces."""


async def read_whole(form: Form, request: Any, reader: Reader, answer: Answer) -> dict[str, Any]:
    """Raises MalformedAnswer for what is no whole answer."""
    if answer.headers.get(b"content-type", b"").startswith(_EVENTS):
        return await _assemble(form.assembler(request), reader, answer)
    body = await answer.read()
    try:
        return reader.whole(body)
    except MalformedAnswer:
        if not _is_stream(body) or _begins_with_answer(form, request, reader, body):
            raise
    assembler = form.assembler(request)
    return _whole(assembler, _add(assembler, reader, body) or _add(assembler, reader, None))


def _is_stream(body: bytes) -> bool:
    """Whether a body that is no answer has several JSON objects, or events; a text that holds one has neither."""
    values = Values()
    values.feed(after_marks(body[:MOST_LOOKED_AT]))
    rest = values.rest or b""
    return values.are_pieces or bool(rest and not rest.startswith(b'"'))


def _begins_with_answer(form: Form, request: Any, reader: Reader, body: bytes) -> bool:
    """Whether the first of several objects is an answer by itself: then they are no pieces, and nobody knows which."""
    found = Values().feed(after_marks(body[:MOST_LOOKED_AT]))
    if not found[1:]:
        return False
    try:
        form.check(request, reader.whole(found[0]))
    except MalformedAnswer:
        return False
    return True


async def _assemble(assembler: Assembler, reader: Reader, answer: Answer) -> dict[str, Any]:
    end: End | None = None
    data: bytes | None = b""
    received = 0
    while end is None and data is not None:
        data = await answer.next()
        received += len(data or b"")
        if received > MAX_BODY_BYTES:
            raise MalformedAnswer("the answer is too large")
        end = _add(assembler, reader, data)
    return _whole(assembler, end)


def _add(assembler: Assembler, reader: Reader, data: bytes | None) -> End | None:
    """Adds what the bytes say (None at their end); the end, if they say that."""
    for event in reader.feed(data):
        if type(event) is dict:
            assembler.add(event)
        elif isinstance(event, End):
            return event
    return None


def _whole(assembler: Assembler, end: End | None) -> dict[str, Any]:
    if end is not None and end.error is not None:
        raise MalformedAnswer(end.error)
    if end is None and not assembler.is_complete:
        raise MalformedAnswer("the stream ended before the answer was whole")
    return assembler.answer()
