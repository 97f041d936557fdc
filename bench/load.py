"""The two loads, JSON and streams, run on the other core, every answer checked."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import payloads
from bench.payloads import Question, StreamForm, StreamShape
from bench.processes import OTHER_CORE, BenchmarkError, run
from bench.stream_client import sse_events

PATH = payloads.CHAT.path
_SCRIPT = Path(__file__).with_name("completions.lua")


@dataclass(slots=True)
class Target:
    """Something that answers completions on loopback, and the books of what it was asked for."""

    name: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    stream_port: int = 0
    """Another port for streams; 0 if it is the same."""
    completed: int = 0
    """Requests answered so far, streams included."""

    def __post_init__(self) -> None:
        self.stream_port = self.stream_port or self.port


@dataclass(frozen=True, slots=True)
class JsonLoad:
    completed: int
    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class StreamLoad:
    streams: int
    events: int
    first_byte_p50_ms: float
    first_byte_p99_ms: float


def json_load(
    target: Target,
    *,
    folder: Path,
    connections: int,
    seconds: float,
    drain: float = 1,
    question: Question = payloads.CHAT,
) -> JsonLoad:
    """A closed loop of JSON requests for so many seconds; `drain` is the time the last answers get."""
    body = folder / "request.json"
    body.write_bytes(question.body)
    headers = [item for header in target.headers.items() for item in header]
    output = run(
        ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds + drain)}s",
         "--timeout", "30s", "--latency", "--script", _SCRIPT, f"http://127.0.0.1:{target.port}{question.path}", "--",
         str(seconds), body, *headers],
        seconds=seconds + drain + 30,
    )  # fmt: skip
    result = json.loads(output.partition("RESULT ")[2] or "{}")
    if not result or result["errors"] or not result["completed"] or result["completed"] != result["sent"]:
        raise BenchmarkError(f"{target.name}: not every JSON request was answered with 200:\n{output}")
    target.completed += result["completed"]
    # At the end of the time, each connection but the one that noticed it still waits for its answer.
    answered_in_time = result["sent_in_time"] - (connections - 1)
    return JsonLoad(
        completed=result["completed"],
        per_second=answered_in_time / result["elapsed"],
        p50_ms=result["p50_us"] / 1000,
        p99_ms=result["p99_us"] / 1000,
    )


def stream_load(
    target: Target,
    shape: StreamShape,
    *,
    root: Path,
    connections: int,
    seconds: float,
    ramp: float = 0,
    when_open: Callable[[], None] | None = None,
    form: StreamForm = payloads.CHAT_STREAM,
) -> StreamLoad:
    """Streams of one shape, `connections` at a time; `when_open` is called while all of the first wave are open."""
    limit = seconds + ramp + shape.seconds * 2 + 30
    order = stream_order(target, shape, form) | {
        "connections": connections, "seconds": seconds, "ramp": ramp, "limit": limit
    }  # fmt: skip
    with _stream_client(root) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(json.dumps(order))
        client.stdin.close()
        if client.stdout.readline().strip() == "open" and when_open:
            when_open()
        output = client.stdout.read()
        if client.wait(limit + 10):
            raise BenchmarkError(f"{target.name}: {shape.model} was not answered whole:\n{output[-2000:]}")
    result = json.loads(output)
    target.completed += result["streams"]
    return StreamLoad(
        streams=result["streams"],
        events=result["events"],
        first_byte_p50_ms=result["first_byte_ms"]["p50"],
        first_byte_p99_ms=result["first_byte_ms"]["p99"],
    )


def stream_order(target: Target, shape: StreamShape, form: StreamForm) -> dict[str, Any]:
    """What a stream client sends, and by what it knows a whole answer."""
    request = _stream_request(target, shape, form).decode()
    return {
        "port": target.stream_port, "request": request, "events": form.events(shape), "last": form.last.decode()
    }  # fmt: skip


def check(target: Target) -> None:
    """One JSON request, read and compared; raises BenchmarkError if the upstream's text did not arrive."""
    answer = _post(target, target.port, payloads.request_body(payloads.JSON_MODEL))
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError) as error:
        raise BenchmarkError(f"{target.name}: not a completion: {answer[:500]!r}") from error
    if content != json.loads(payloads.answer())["choices"][0]["message"]["content"]:
        raise BenchmarkError(f"{target.name}: another text than the upstream's: {content!r}")
    target.completed += 1


def check_embeddings(target: Target) -> None:
    """One embeddings request; raises BenchmarkError if the upstream's vector did not arrive."""
    answer = _post(target, target.port, payloads.EMBEDDINGS.body, payloads.EMBEDDINGS.path)
    if json.loads(answer)["data"] != json.loads(payloads.embeddings_answer())["data"]:
        raise BenchmarkError(f"{target.name}: another vector than the upstream's: {answer[:500]!r}")
    target.completed += 1


def check_stream(target: Target, form: StreamForm = payloads.CHAT_STREAM) -> None:
    """One stream, read and compared chunk by chunk; raises BenchmarkError if the upstream's text did not arrive."""
    shape = payloads.SHORT
    answer = _post(target, target.stream_port, form.body(shape.model), form.path)
    expected = _texts(payloads.stream_events(shape, with_usage=False), payloads.CHAT_STREAM)
    # _post has removed the chunked framing: put one frame around it for the common reader.
    events = sse_events(b"\r\n\r\n%x\r\n%s\r\n" % (len(answer), answer))
    is_whole = len(events) == form.events(shape) and events[-1].startswith(form.last)
    if not is_whole or _texts(events, form) != expected:
        raise BenchmarkError(f"{target.name}: another stream than the upstream's: {answer[:500]!r}")
    target.completed += 1


def _texts(events: list[bytes], form: StreamForm) -> list[str]:
    """What a stream's chunks say, before the event that ends it."""
    return form.texts([json.loads(event.removeprefix(b"data: ")) for event in events[:-1]])


def _post(target: Target, port: int, body: bytes, path: str = PATH) -> bytes:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", path, body, {"content-type": "application/json", **target.headers})
        response = connection.getresponse()
        answer = response.read()
    if response.status != 200:
        raise BenchmarkError(f"{target.name} answered {response.status}: {answer[:500]!r}")
    return answer


def _stream_request(target: Target, shape: StreamShape, form: StreamForm) -> bytes:
    body = form.body(shape.model)
    headers = {
        "host": f"127.0.0.1:{target.stream_port}",
        "content-type": "application/json",
        "accept": "text/event-stream",
        "content-length": str(len(body)),
        **target.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {form.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@contextlib.contextmanager
def _stream_client(root: Path) -> Iterator[subprocess.Popen[str]]:
    command = ["taskset", "-c", str(OTHER_CORE), sys.executable, "-m", "bench.stream_client"]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        try:
            yield client
        finally:
            if client.poll() is None:
                client.kill()
