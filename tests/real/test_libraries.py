"""LangChain, LlamaIndex and Vercel's AI SDK, unchanged, at the Responses API and at embeddings.

Each runs in an environment of its own under var/, before a scripted upstream.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bench import installs
from tests import upstream as up
from tests.callers import Caller
from tests.databases import PostgresDatabases
from tests.fuzz.answers import answer
from tests.installation import SINGLE, Shape
from tests.upstream import Received, Reply
from tests.worlds import World, redis_database

PROGRAMS: Final = Path(__file__).with_name("programs")
EMBEDS: Final = Shape(endpoints=("embeddings",))
VECTOR: Final = [0.5, -0.25]
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Huế"}'}}


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    return start_shared_world(database_url=postgres_databases.migrated(), redis_url=redis_database(4))


def says(request: Received) -> Reply:
    """A call where there are tools, else an ordinary answer."""
    if request.json.get("tools"):
        return up.answer(None, finish_reason="tool_calls", message={"tool_calls": [CALL]})
    return answer(request)


def python(program: str, *words: str) -> Any:
    interpreter = installs.virtualenv("libraries", PROGRAMS / "python.txt")
    return _said([str(interpreter), str(PROGRAMS / program), *words])


def node(program: str, *words: str) -> Any:
    """In a folder under var/, where its packages are."""
    folder = installs.FOLDER / "ai-sdk"
    for name in ("package.json", program):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROGRAMS / name, folder / name)
    if not (folder / "node_modules").exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
        subprocess.run(install, check=True, capture_output=True, timeout=installs.INSTALL_SECONDS)
    return _said(["node", str(folder / program), *words])


def _said(command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def told(world: World, caller: Caller) -> Iterator[list[str]]:
    """What a program is told: where, with which key, and the models; afterwards all of it was billed."""
    chat, embedder = world.offer(SINGLE), world.offer(EMBEDS)
    caller.upstream.on(chat.upstream, says)
    caller.upstream.on(embedder.upstream, answer)
    yield [f"{caller.installation.gateway_url}/v1", caller.secret, chat.name, embedder.name]
    caller.wait_until_settled()
    assert {record.outcome for record in caller.records} == {"success"}
    assert {record.endpoint for record in caller.records} == {"responses", "embeddings"}


def assert_right(said: Any) -> None:
    assert (said["whole"], said["stream"]) == ("Hello there!", "One two three four five")
    assert (said["query"], said["documents"]) == (VECTOR, [VECTOR] * 3)


def test_langchain_and_llamaindex(told: list[str]) -> None:
    said = python("langchain_and_llamaindex.py", *told)

    for library in ("langchain", "llamaindex"):
        assert_right(said[library])
    assert said["langchain"]["usage"] == said["langchain"]["streamed_usage"] == [12, 5]
    assert said["langchain"]["calls"] == [["get_weather", {"city": "Huế"}]]


def test_vercels_ai_sdk(told: list[str]) -> None:
    said = node("ai_sdk.mjs", *told)

    assert_right(said)
    assert said["usage"] == said["streamed_usage"] == [12, 5]
    assert said["calls"] == [["get_weather", {"city": "Huế"}]]
