"""A scriptable OpenAI-compatible server on loopback: real sockets, exact faults, every request recorded.

A reply is a list of steps that are written to the socket one by one, so that a fault can sit at any byte. Replies
are queued per upstream model name; the last one of a queue repeats, and an unscripted name gets an ordinary answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import io
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from multipart import MultipartParser, parse_options_header

from tests.servers import free_port

JSON: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Until:
    """Silence until the test sets this event."""

    event: threading.Event


@dataclass(frozen=True, slots=True)
class Forever:
    """The same bytes again and again, so many seconds apart, until the peer hangs up."""

    data: bytes
    pause: float


class End(enum.Enum):
    """What happens to the connection after the last step."""

    KEEP_OPEN = "keep open"
    CLOSE = "close"
    RESET = "reset"


Step: TypeAlias = bytes | Pause | Until | Forever
HANG: Final = Pause(3600)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does with one request."""

    steps: tuple[Step, ...]
    end: End = End.KEEP_OPEN


@dataclass(slots=True)
class Received:
    """One request as it came over the wire, and what became of its reply. Times are seconds of the monotonic clock."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    arrived_at: float
    gone: threading.Event = field(default_factory=threading.Event)
    gone_at: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    steps_sent: int = 0

    @property
    def json(self) -> JSON:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form without its files, whose bytes may hold anything."""
        _type, options = parse_options_header(self.header("content-type") or "")
        size = len(self.body) + 1  # nothing goes to a temporary file, which somebody would have to close
        parts = MultipartParser(io.BytesIO(self.body), options["boundary"], spool_limit=size, memory_limit=2 * size)
        return {part.name: part.value for part in parts if part.filename is None}

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    def was_left_within(self, seconds: float) -> bool:
        """Whether the peer hung up, before the reply was whole, within so many seconds from now."""
        return self.gone.wait(seconds)


Script: TypeAlias = Reply | Callable[[Received], Reply]


# --- replies ---------------------------------------------------------------------------------------------------------

USAGE: Final[dict[str, Any]] = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
DONE: Final = b"data: [DONE]\n\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
CREATED: Final = 1_700_000_000
UPSTREAM_ID: Final = "chatcmpl-upstream-own-id"


class _Absent:
    """A member that is left out, which is not the same as null."""


ABSENT: Final = _Absent()


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A status line and headers."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def framed(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def plain(
    status: int,
    body: bytes | JSON,
    *,
    content_type: str = "application/json",
    headers: Iterable[tuple[str, str]] = (),
    delay: float = 0,
    end: End = End.KEEP_OPEN,
) -> Reply:
    """A whole reply with a content length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    start = head(status, [("content-type", content_type), ("content-length", str(len(data))), *headers])
    return Reply((Pause(delay), start + data), end)


def completion(
    content: str | None = "Hello there!",
    *,
    usage: JSON | _Absent = ABSENT,
    n: int = 1,
    finish_reason: str = "stop",
    message: Mapping[str, Any] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """A chat.completion as a bare server sends it: no refusal, no logprobs."""
    answer = {"role": "assistant", "content": content, **(message or {})}
    body: dict[str, Any] = {
        "id": UPSTREAM_ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": "upstream-own-name",
        "choices": [{"index": i, "message": answer, "finish_reason": finish_reason} for i in range(n)],
        **members,
    }
    if not isinstance(usage, _Absent):
        body["usage"] = usage
    return body


def answer(content: str | None = "Hello there!", *, usage: JSON | _Absent = USAGE, **members: Any) -> Reply:
    """A complete JSON answer."""
    return plain(200, completion(content, usage=usage, **members))


def event(payload: JSON) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def chunk(
    delta: Mapping[str, Any] | None = None,
    *,
    index: int = 0,
    finish_reason: str | None = None,
    usage: JSON | _Absent = ABSENT,
    choices: list[JSON] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """A chat.completion.chunk as a bare server sends it."""
    body: dict[str, Any] = {
        "id": UPSTREAM_ID,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "upstream-own-name",
        "choices": [{"index": index, "delta": dict(delta or {}), "finish_reason": finish_reason}]
        if choices is None
        else choices,
        **members,
    }
    if not isinstance(usage, _Absent):
        body["usage"] = usage
    return body


def usage_chunk(usage: JSON = USAGE) -> dict[str, Any]:
    """The chunk without choices that carries the usage."""
    return chunk(choices=[], usage=usage)


ROLE: Final = chunk({"role": "assistant", "content": None})
FINISH: Final = chunk({}, finish_reason="stop")


def words(text: str) -> list[dict[str, Any]]:
    """A content chunk per word."""
    return [chunk({"content": word if i == 0 else " " + word}) for i, word in enumerate(text.split())]


def stream(
    *parts: Step,
    end: End = End.KEEP_OPEN,
    is_terminated: bool = True,
    headers: Iterable[tuple[str, str]] = (),
    status: int = 200,
) -> Reply:
    """A chunked event stream, each part of bytes in a transfer chunk of its own."""
    start = head(
        status,
        [("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), *headers],
    )
    steps = tuple(framed(part) if isinstance(part, bytes) else part for part in parts)
    return Reply((start, *steps, *((LAST_CHUNK,) if is_terminated else ())), end)


def told(
    text: str = "One two three four five", *, usage: JSON | _Absent = USAGE, pause: float = 0, n: int = 1
) -> Reply:
    """A complete stream: for each choice its role, a chunk per word and the finish, then a usage chunk and [DONE]."""
    parts: list[Step] = []
    for index in range(n):
        for item in (ROLE, *words(text), FINISH):
            (choice,) = item["choices"]
            parts += [event({**item, "choices": [{**choice, "index": index}]}), Pause(pause)]
    if not isinstance(usage, _Absent):
        parts.append(event(usage_chunk(usage)))
    return stream(*parts, DONE)


def ordinary(request: Received) -> Reply:
    """What an unscripted model answers: JSON or a stream, as asked, counting five tokens per choice."""
    body = request.json if request.body else {}
    if not isinstance(body, dict) or "messages" not in body:
        return plain(200, {"object": "list", "data": []})
    n = body.get("n") or 1
    usage = {"prompt_tokens": 12, "completion_tokens": 5 * n, "total_tokens": 12 + 5 * n}
    if not body.get("stream"):
        return answer(usage=usage, n=n)
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    return told(usage=usage if wants_usage else ABSENT, n=n)


# --- the server ------------------------------------------------------------------------------------------------------


class Upstream:
    """The server, in a thread of its own. `url` is what a channel's base URL should be."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.closes_on_accept = False
        self.port = 0
        self._queues: dict[str, deque[Script]] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> Upstream:
        """Listens on a free port, or again on the one it had."""
        listener = _listener(self.port)
        self.port = listener.getsockname()[1]
        is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(listener, is_up)), daemon=True)
        self._thread.start()
        is_up.wait(10)
        return self

    def stop(self) -> None:
        """Stops listening and resets what is open, as a killed server does."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
            self._loop = self._thread = None

    def on(self, model: str, *replies: Script) -> None:
        """Queues replies for requests that name this upstream model; the last one repeats."""
        with self._lock:
            self._queues[model] = deque(replies)

    def received(self, model: str) -> list[Received]:
        """The requests that named this upstream model so far."""
        return [request for request in list(self.requests) if _model_of(request) == model]

    def wait_for(self, model: str, count: int = 1, *, seconds: float = 5) -> list[Received]:
        """The requests for a model once there are so many of them."""
        deadline = time.monotonic() + seconds
        while len(found := self.received(model)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} requests for {model} after {seconds} s")
            time.sleep(0.005)
        return found

    async def _main(self, listener: socket.socket, is_up: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        loop = self._loop
        server = await loop.create_server(lambda: _Connection(self, loop), sock=listener)
        is_up.set()
        await self._stopping.wait()
        server.close()
        # asyncio.run cancels the open connections, which resets them.

    def _next(self, request: Received) -> Reply:
        self.requests.append(request)
        with self._lock:
            queue = self._queues.get(_model_of(request) or "")
            script: Script = ordinary
            if queue:
                script = queue.popleft() if len(queue) > 1 else queue[0]
        return script if isinstance(script, Reply) else script(request)


class _Connection(asyncio.StreamReaderProtocol):
    """One connection: requests one after the other, with an eye on the peer hanging up."""

    def __init__(self, upstream: Upstream, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(limit=1 << 26, loop=loop), self._serve, loop=loop)
        self._upstream = upstream
        self._left = asyncio.Event()

    def eof_received(self) -> bool | None:
        self._left.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._left.set()
        super().connection_lost(exc)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._upstream.connections += 1
        try:
            if not self._upstream.closes_on_accept:
                while await self._exchange(reader, writer):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection may carry another."""
        request = await _read_request(reader)
        reply = self._upstream._next(request)
        writing = asyncio.ensure_future(_write(writer, reply, request))
        leaving = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not writing.done() or writing.exception() is not None:
                request.gone_at = time.monotonic()
                request.gone.set()
                return False
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
        request.done.set()
        if reply.end is End.RESET:
            await asyncio.sleep(0.02)  # what was written reaches the peer before the reset overtakes it
            _reset(writer)
        return reply.end is End.KEEP_OPEN


async def _write(writer: asyncio.StreamWriter, reply: Reply, request: Received) -> None:
    for step in reply.steps:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Until):
            while not step.event.is_set():  # noqa: ASYNC110 -- the test's thread sets it
                await asyncio.sleep(0.005)
        elif isinstance(step, Forever):
            while True:
                writer.write(step.data)
                await writer.drain()
                await asyncio.sleep(step.pause)
        else:
            writer.write(step)
            await writer.drain()
        request.steps_sent += 1


async def _read_request(reader: asyncio.StreamReader) -> Received:
    lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
    method, path, _version = lines[0].split(" ", 2)
    headers = [(name, value.strip()) for name, _colon, value in (line.partition(":") for line in lines[1:])]
    request = Received(method, path, headers, b"", time.monotonic())
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        request.body = b"".join([part async for part in _chunks(reader)])
    elif length := int(request.header("content-length") or 0):
        request.body = await reader.readexactly(length)
    return request


async def _chunks(reader: asyncio.StreamReader) -> Any:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")


def _model_of(request: Received) -> str | None:
    if (request.header("content-type") or "").startswith("multipart/form-data"):
        return request.form.get("model")
    with contextlib.suppress(ValueError):
        body = request.json
        named = body.get("model") if isinstance(body, dict) else None
        return named or _model_in(request.path)
    return None


def _model_in(path: str) -> str | None:
    """As Google's paths have it: `/models/{model}:generateContent`."""
    _base, mark, call = path.partition("/models/")
    return call.rpartition(":")[0] if mark else None


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _listener(port: int) -> socket.socket:
    """A listening socket on this port, or on a free one below the ephemeral range."""
    while True:
        # Its protocol said, or asyncio leaves Nagle's algorithm on and a reset takes away what still waits.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port or free_port()))
            sock.listen(1024)
        except OSError:
            sock.close()
            if port:
                raise
            continue
        return sock


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port whose handshake never completes: its queue of one is taken, so further connections wait for ever."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", free_port()))
        sock.listen(0)
        port = int(sock.getsockname()[1])
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()
