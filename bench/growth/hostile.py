"""Bodies of the allowed size that are made to keep a process busy: what its other requests notice of each.

The gateway runs with a watch on its event loop (bench/applications/watched.py). Each body is sent some times, while a
neighbour asks for something small every few milliseconds.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from bench import payloads
from bench.applications.watched import PATH as WATCH
from bench.gateways import Books, Running
from bench.load import PATH as CHAT
from bench.results import Bar

SIZE: Final = 20 * 1024 * 1024
"""Of a body: as large as MAX_BODY_BYTES allows by default."""
MODEL: Final = "hostile"
"""Its context window is larger than any text of this size (bench/growth/inside.py)."""
AT_MOST: Final = 25
_TIMES: Final = 3
_EVERY: Final = 0.005
_ROOM: Final = 200
"""Bytes of a body around what fills it."""
Body = tuple[str, bytes, Mapping[str, str]]
"""Path, bytes and further headers."""


def _chat(content: bytes, messages: bytes = b"", beside: bytes = b"") -> bytes:
    """A request whose first message has this content; with further messages, and members."""
    head = b'{"model":"%b","max_tokens":16,"messages":[{"role":"user","content":' % MODEL.encode()
    return b"".join((head, content, b"}", messages, b"]", beside, b"}"))


def _messages(number: int) -> bytes:
    return b',{"role":"user","content":"%b"}' % (b"a" * (SIZE // number - 50)) * number


def _calling(arguments: bytes) -> bytes:
    call = b'{"id":"c","type":"function","function":{"name":"f","arguments":%b}}' % arguments
    return b',{"role":"assistant","tool_calls":[%b]}' % call


def _text(piece: str) -> bytes:
    """A string of the piece again and again."""
    raw = piece.encode()
    return b'"%b"' % (raw * ((SIZE - _ROOM) // len(raw)))


def _wide(letter: str) -> bytes:
    return b'"%b%b"' % (b"a" * 10_000_000, letter.encode())


def _list(member: bytes, number: int = 0) -> bytes:
    """So many members, or as many as fit."""
    return b"[%b]" % b",".join([member] * (number or (SIZE - _ROOM) // (len(member) + 1)))


def _names(number: int, last: int = 0) -> bytes:
    """An object of so many long names; `last` is one more, perhaps one of them again."""
    return b"{%b}" % b",".join([b'"%0*d":1' % (SIZE // number - 10, each) for each in (*range(number), last or number)])


def _part(text: bytes) -> bytes:
    return b'{"type":"text","text":"%b"}' % text


def _plain(make: Callable[[], bytes]) -> Callable[[], Body]:
    return lambda: (CHAT, make(), {})


_EMPTY: Final = b'"x"'
_PARTS: Final = 65_000
ACCEPTED: Final[dict[str, Callable[[], Body]]] = {
    "a small request": lambda: (CHAT, _chat(_EMPTY), {}),
    "one picture": _plain(
        lambda: _chat(b'[{"type":"image_url","image_url":{"url":"data:image/png;base64,%b"}}]' % _text("A")[1:-201])
    ),
    "one long string": _plain(lambda: _chat(_text("a"))),
    "one long string, idempotency key": lambda: (CHAT, _chat(_text("a")), {"idempotency-key": str(time.time_ns())}),
    "10,000,000 escapes": _plain(lambda: _chat(_text("\\n"))),
    "pairs of escapes": _plain(lambda: _chat(_text("\\ud83d\\ude00"))),
    "letters beyond ASCII": _plain(lambda: _chat(_text("\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}"))),
    "emoji": _plain(lambda: _chat(_text("\N{GRINNING FACE}"))),
    "one wide letter": _plain(lambda: _chat(_wide("\N{GRINNING FACE}"))),
    "65,000 parts": _plain(lambda: _chat(_list(_part(b"a" * 290), _PARTS))),
    "65,000 parts of escapes": _plain(lambda: _chat(_list(_part(b"\\n" * 145), _PARTS))),
    "60 levels, 3,000 times": _plain(lambda: _chat(_EMPTY, beside=b',"x":%b' % _list(b"[" * 60 + b"]" * 60, 3_000))),
    "190,000 names": _plain(lambda: _chat(_EMPTY, beside=b',"x":%b' % _names(190_000))),
    "190,000 numbers": _plain(lambda: _chat(_EMPTY, beside=b',"x":%b' % _list(b"0." + b"1" * 100, 190_000))),
    "blanks": _plain(lambda: _chat(_EMPTY, beside=b" " * (SIZE - _ROOM))),
    "arguments of a call": _plain(lambda: _chat(_EMPTY, _calling(_text("[1]")))),
}
REFUSED: Final[dict[str, Callable[[], Body]]] = {
    "10,000,000 small numbers": _plain(lambda: _chat(_EMPTY, beside=b',"x":%b' % _list(b"1"))),
    "20,000,000 brackets": _plain(lambda: _chat(b"[" * (SIZE - _ROOM))),
    "7,000,000 empty lists": _plain(lambda: _chat(_EMPTY, beside=b',"x":%b' % _list(b"[]"))),
    "a name that comes twice": _plain(lambda: _chat(_EMPTY, beside=b',"x":%b' % _names(190_000, 5))),
    "12,000 messages": _plain(lambda: _chat(_EMPTY, _messages(12_000))),
    "65,000 parts, the last a wrong one": _plain(
        lambda: _chat(_list(_part(b"a" * 290), _PARTS)[:-1] + b',{"type":"text"}]')
    ),
    "escapes, the last a wrong one": _plain(lambda: _chat(_text("\\n")[:-1] + b'\\x"')),
    "letters, the last cut": _plain(lambda: _chat(_text("\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}")[:-2] + b'"')),
    "half a pair at the end": _plain(lambda: _chat(_text("\\n")[:-1] + b'\\ud800"')),
    "no end": _plain(lambda: _chat(_text("a"))[:-4]),
}
IN_OTHER_FORMATS: Final[dict[str, Callable[[], Body]]] = {
    "65,000 blocks of Anthropic's, in chat": lambda: ("/v1/messages", _chat(_list(_part(b"a" * 290), _PARTS)), {}),
    "65,000 parts of a response's input, in chat": lambda: (
        "/v1/responses",
        b'{"model":"%b","max_output_tokens":16,"input":[{"role":"user","content":%b}]}'
        % (MODEL.encode(), _list(b'{"type":"input_text","text":"%b"}' % (b"a" * 280), _PARTS)),
        {},
    ),
    "10,000 parts of Google's, in chat": lambda: (
        f"/v1beta/models/{MODEL}:generateContent",
        b'{"contents":[{"role":"user","parts":%b}]}' % _list(b'{"text":"%b"}' % (b"a" * 2_000), 10_000),
        {},
    ),
}


def measure(gateway: Running, books: Books) -> Iterator[Bar]:
    books.checkout.run("-m", "bench.growth.inside", "hostile", MODEL, env=books.env, seconds=120)
    time.sleep(2)  # until the gateway has seen it
    print(f"{'':40}{'late':>8}{'work':>8}{'neighbour':>11}{'MiB':>7}  status", flush=True)
    worst = 0.0
    for name, make in (ACCEPTED | REFUSED | IN_OTHER_FORMATS).items():
        seen = [asyncio.run(_notice(gateway, make())) for _time in range(_TIMES)]
        late, work, neighbour, peak = (max(each[place] for each in seen) for place in range(4))
        worst = max(worst, work)
        print(f"{name:40}{late:8.1f}{work:8.1f}{neighbour:11.1f}{peak:7.0f}  {seen[0][4]}", flush=True)
    yield Bar("longest turn of a hostile body, ms of CPU", worst, at_most=AT_MOST)


async def _notice(gateway: Running, body: Body) -> tuple[float, float, float, float, int]:
    """How late the loop's timer came and what it worked meanwhile, what the neighbour waited, the peak, the status."""
    taken: list[float] = []
    neighbour = asyncio.create_task(_ask(gateway, taken))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(_get, gateway)
    taken.clear()
    status = await asyncio.to_thread(_post, gateway, body)
    await asyncio.sleep(0.1)
    found = await asyncio.to_thread(_get, gateway)
    neighbour.cancel()
    with suppress(asyncio.CancelledError):
        await neighbour
    return found["late"], found["work"], max(taken, default=0.0), found["peak"], status


async def _ask(gateway: Running, taken: list[float]) -> None:
    """Something small, again and again; notes the milliseconds."""
    body = payloads.request_body(payloads.JSON_MODEL)
    lines = (f"{name}: {value}\r\n" for name, value in {**_headers(gateway), "host": "bench"}.items())
    message = f"POST {CHAT} HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n".encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.target.port)
    while True:
        began = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        taken.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(_EVERY)


def _post(gateway: Running, body: Body) -> int:
    path, raw, more = body
    connection = http.client.HTTPConnection("127.0.0.1", gateway.target.port, timeout=60)
    connection.request("POST", path, raw, {**_headers(gateway), **more})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def _get(gateway: Running) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.target.port, timeout=60)
    connection.request("GET", WATCH)
    found: dict[str, float] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def _headers(gateway: Running) -> dict[str, str]:
    return {**gateway.target.headers, "content-type": "application/json"}
