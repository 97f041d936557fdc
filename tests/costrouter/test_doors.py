"""Both doors to the planes: granian's own interface, as bin/serve opens it, and ASGI."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from costrouter.planes import SlowBodies
from routing.api.errors import RequestTimeout
from tests.databases import SqliteDatabases
from tests.gateway import Gateway

DOORS = {"rsgi": "costrouter.rsgi:application", "asgi": "costrouter.asgi:application"}
GRANIAN = Path(sys.executable).with_name("granian")


@dataclass(frozen=True, slots=True)
class Demo:
    """A gateway with the demo's tenant, and how to reach it."""

    gateway: Gateway
    client: httpx.Client
    model: str

    def body(self, **fields: object) -> dict[str, object]:
        return {"model": self.model, "messages": [{"role": "user", "content": "Hello"}], **fields}


@pytest.fixture(scope="module", params=[*DOORS.items()], ids=[*DOORS])
def demo(
    request: pytest.FixtureRequest, sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    interface, application = request.param
    flags = ["--interface", interface, "--loop", "uvloop", "--http", "1", "--no-ws"]
    command = ["sh", "-c", f'exec {GRANIAN} {" ".join(flags)} --host 127.0.0.1 --port "$PORT" {application}']
    var = tmp_path_factory.mktemp("var")
    gateway = Gateway(database_url=sqlite_databases.migrated(), var=var, command=command)
    try:
        gateway.manage("demo")
        values = dict(line.split("=", 1) for line in (var / "demo.env").read_text().split())
        headers = {"authorization": f"Bearer {values['COSTROUTER_KEY']}"}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
            yield Demo(gateway, client, values["COSTROUTER_MODEL"])
    finally:
        gateway.stop()


def test_whole_answer(demo: Demo) -> None:
    answer = _until_known(demo)

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
        bodies = SlowBodies(seconds=0.1)
        quick = asyncio.create_task(bodies.read(asyncio.sleep(0.01, b"quick")))
        slow = asyncio.create_task(bodies.read(asyncio.sleep(30, b"slow")))
        await asyncio.sleep(0.05)
        later = asyncio.create_task(bodies.read(asyncio.sleep(0.08, b"later")))

        with pytest.raises(RequestTimeout):
            await slow
        assert (await quick, await later) == (b"quick", b"later")

        gone = asyncio.create_task(bodies.read(asyncio.sleep(30, b"gone")))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(play())


def _until_known(demo: Demo) -> httpx.Response:
    """The answer to a request, once the process has seen the demo's catalogue."""
    for _attempt in range(40):
        answer = demo.client.post("/v1/chat/completions", json=demo.body())
        if answer.status_code == 200:
            break
    return answer
