"""The two planes behind the real server: bodies, answers, streams with back-pressure, pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from routing.api.errors import RequestTimeout
from routing.api.headers import RequestHeaders
from routing.api.intake import Intake
from tests.databases import SqliteDatabases
from tests.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Demo:
    """A gateway with the demo's tenant, and how to reach it."""

    gateway: Gateway
    client: httpx.Client
    model: str

    def body(self, **fields: object) -> dict[str, object]:
        return {"model": self.model, "messages": [{"role": "user", "content": "Hello"}], **fields}


@pytest.fixture(scope="module")
def demo(sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    var = tmp_path_factory.mktemp("var")
    env = {"CHANNEL_NETWORKS": "127.0.0.0/8"}
    gateway = Gateway(database_url=sqlite_databases.migrated(), var=var, env=env)
    try:
        gateway.manage("demo")
        values = dict(line.split("=", 1) for line in (var / "demo.env").read_text().split())
        headers = {"authorization": f"Bearer {values['COSTROUTER_KEY']}"}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
            yield Demo(gateway, client, values["COSTROUTER_MODEL"])
    finally:
        gateway.stop()


def test_whole_answer(demo: Demo) -> None:
    _until_known(demo)

    answer = demo.client.post("/v1/chat/completions", json=demo.body())

    assert answer.status_code == 200
    assert answer.json()["model"] == demo.model
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["content-type"] == "application/json"


def test_stream(demo: Demo) -> None:
    _until_known(demo)

    with demo.client.stream("POST", "/v1/chat/completions", json=demo.body(stream=True)) as stream:
        events = [line for line in stream.iter_lines() if line.startswith("data: ")]

    assert stream.status_code == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0].removeprefix("data: "))["object"] == "chat.completion.chunk"


class Flood(threading.Thread):
    """An upstream whose streams never end, and that counts what it could send."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = 0
        self.is_cut = threading.Event()

    def run(self) -> None:
        connection, _peer = self._listener.accept()
        with self._listener, connection, contextlib.suppress(OSError):
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            chunk = {"choices": [{"index": 0, "delta": {"content": "x" * 60_000}, "finish_reason": None}]}
            event = b"data: %s\n\n" % json.dumps(chunk).encode()
            while True:
                connection.sendall(event)
                self.sent += len(event)
        self.is_cut.set()


def test_client_that_does_not_read_stops_the_upstream_and_fills_no_memory(demo: Demo) -> None:
    flood = Flood()
    flood.start()
    demo.gateway.manage(
        *("add_channel", "flood", "--base-url", f"http://127.0.0.1:{flood.port}/v1", "--model", "flood"),
        *("--cost-input", "0", "--cost-output", "0", "--price-input", "0", "--price-output", "0"),
    )
    (worker,) = demo.gateway.pids
    _until_known(demo, "flood")
    before = _resident_mib(worker)

    with demo.client.stream("POST", "/v1/chat/completions", json=demo.body(model="flood", stream=True)) as stream:
        pieces = stream.iter_raw()  # kept: without it the stream is closed
        next(pieces)
        sent, deadline = -1, time.monotonic() + 20
        while flood.sent != sent and time.monotonic() < deadline:  # until nothing moves any more
            sent = flood.sent
            time.sleep(1)
        assert flood.sent == sent
        assert flood.sent < 32 * 2**20  # sockets' buffers and ours
        assert _resident_mib(worker) - before < 32

    assert flood.is_cut.wait(5)  # the client has left


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_body_in_parts_without_its_length(demo: Demo) -> None:
    _until_known(demo)
    text = json.dumps(demo.body()).encode()

    answer = demo.client.post(
        "/v1/chat/completions", content=iter([text[:7], text[7:]]), headers={"content-type": "application/json"}
    )

    assert answer.status_code == 200


def test_body_that_grows_too_large(demo: Demo) -> None:
    parts = (b" " * 2**20 for _part in range(64))

    answer = demo.client.post("/v1/chat/completions", content=parts, headers={"content-type": "application/json"})

    assert answer.json()["error"]["code"] == "request_too_large"


def test_errors_have_the_contracts_shape(demo: Demo) -> None:
    unknown, keyless = demo.client.get("/v1/nothing"), httpx.get(f"{demo.gateway.url}/v1/models")

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    assert (keyless.status_code, keyless.json()["error"]["code"]) == (401, "invalid_api_key")


def test_pages_and_files_of_the_web_plane(demo: Demo) -> None:
    home = demo.client.get("/", follow_redirects=True)
    sign_in = demo.client.get("/accounts/login/", follow_redirects=True)

    assert (home.status_code, sign_in.status_code) == (200, 200)
    assert "csrftoken" in sign_in.cookies
    assert home.headers["content-type"].startswith("text/html")


def test_form_of_the_web_plane(demo: Demo) -> None:
    page = demo.client.get("/accounts/login/", follow_redirects=True)
    token = page.cookies.get("csrftoken", demo.client.cookies.get("csrftoken"))

    answer = demo.client.post(
        str(page.url), data={"login": "nobody@example.com", "password": "wrong", "csrfmiddlewaretoken": token}
    )

    assert answer.status_code == 200
    assert "nobody@example.com" in answer.text


def test_body_that_comes_too_slowly() -> None:
    async def play() -> None:
        intake = Intake(1_000, seconds=0.1)

        def body(text: bytes, seconds: float) -> asyncio.Task[bytes]:
            async def receive() -> dict[str, Any]:
                await asyncio.sleep(seconds)
                return {"type": "http.request", "body": text, "more_body": False}

            return asyncio.create_task(intake.read(receive, RequestHeaders([])))

        quick, slow = body(b"quick", 0.01), body(b"slow", 30)
        await asyncio.sleep(0.05)
        later = body(b"later", 0.08)

        with pytest.raises(RequestTimeout):
            await slow
        assert (await quick, await later) == (b"quick", b"later")

        gone = body(b"gone", 30)
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(play())


def _until_known(demo: Demo, model: str = "") -> None:
    """Returns once the process has seen the model; the demo's own if none is named."""
    for _attempt in range(40):
        if demo.client.get(f"/v1/models/{model or demo.model}").status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError(f"{model or demo.model} is not served")
