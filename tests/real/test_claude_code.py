"""Claude Code, unchanged, edits a file through the gateway, before a scripted upstream of either format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import upstream as up
from tests.callers import Caller
from tests.databases import PostgresDatabases
from tests.installation import SINGLE, Shape, Via
from tests.real import claude_code
from tests.routing.providers.anthropic.streams import STOP, begins, brings, closes, ends, opens
from tests.worlds import World, redis_database

USAGE = {"prompt_tokens": 20_000, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 15_000}}
THEIRS = {"input_tokens": 5_000, "cache_read_input_tokens": 15_000, "output_tokens": 30}
OWN = Shape(vias=(Via(provider="anthropic"),))
COST = 5_000 * 2_000 + 15_000 * 500 + 30 * 8_000


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    return start_shared_world(database_url=postgres_databases.migrated(), redis_url=redis_database(4))


Call = tuple[str, dict[str, Any]]


def in_chat(*each: Call) -> up.Reply:
    """A stream that calls tools, their arguments interleaved letter by letter."""
    texts = [json.dumps(arguments) for _name, arguments in each]
    deltas = [
        {"index": index, "id": f"call_{index}_{name}", "type": "function", "function": {"name": name, "arguments": ""}}
        for index, (name, _arguments) in enumerate(each)
    ]
    for at in range(max(map(len, texts))):
        pieces = enumerate(text[at : at + 1] for text in texts)
        deltas += [{"index": index, "function": {"arguments": piece}} for index, piece in pieces if piece]
    chunks = [up.chunk({"content": "Let me see."}), *(up.chunk({"tool_calls": [delta]}) for delta in deltas)]
    last = [up.chunk({}, finish_reason="tool_calls"), up.usage_chunk(USAGE)]
    return up.stream(b"".join(map(up.event, [*chunks, *last])), up.DONE)


def natively(*each: Call) -> up.Reply:
    """The same in Anthropic's format, one call after the other."""
    parts = [begins({**THEIRS, "output_tokens": 1})]
    for index, (name, arguments) in enumerate(each):
        text = json.dumps(arguments)
        parts.append(opens(index, type="tool_use", id=f"toolu_{index}_{name}", name=name, input={}))
        parts += [brings("input_json", index, partial_json=text[at : at + 7]) for at in range(0, len(text), 7)]
        parts.append(closes(index))
    return up.stream(b"".join(parts), ends("tool_use", usage={"output_tokens": 30}), STOP)


def said_natively(text: str) -> up.Reply:
    parts = (begins(THEIRS), opens(), brings("text", text=text), closes(), ends(usage={"output_tokens": 30}), STOP)
    return up.stream(b"".join(parts))


def said_in_chat(text: str) -> up.Reply:
    return up.told(text, usage=USAGE)


WAYS = {"over chat": (SINGLE, in_chat, said_in_chat), "native": (OWN, natively, said_natively)}


@pytest.mark.parametrize(("shape", "calls", "says"), WAYS.values(), ids=WAYS.keys())
def test_agent_edits_a_file(
    world: World,
    caller: Caller,
    tmp_path: Path,
    shape: Shape,
    calls: Callable[..., up.Reply],
    says: Callable[[str], up.Reply],
) -> None:
    model = world.offer(shape)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "notes.txt").write_text("The sea is red.\n")
    (folder / "other.txt").write_text("Nothing.\n")
    path = str(folder / "notes.txt")
    steps = [
        calls(("Read", {"file_path": path}), ("Read", {"file_path": str(folder / "other.txt")})),
        calls(("Edit", {"file_path": path, "old_string": "red", "new_string": "blue"})),
        says("Done: the sea is blue."),
    ]
    caller.upstream.on(model.upstream, *steps)

    done = claude_code.run(
        "Correct the colour of the sea in notes.txt.",
        folder=folder,
        base_url=caller.installation.gateway_url,
        key=caller.secret,
        model=model.name,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["result"], told["is_error"]) == ("Done: the sea is blue.", False)
    assert (folder / "notes.txt").read_text() == "The sea is blue.\n"
    asked = [received.json for received in caller.upstream.received(model.upstream)]
    assert "The sea is red." in json.dumps(asked[1]["messages"])
    assert len(asked) == len(steps)
    caller.wait_until_settled()
    assert [(record.outcome, record.cost) for record in caller.records] == [("success", COST)] * len(steps)
    assert told["usage"]["input_tokens"] == 5_000 * len(steps)
    assert told["usage"]["cache_read_input_tokens"] == 15_000 * len(steps)
