"""Codex CLI, unchanged, edits a file through the gateway; the upstream is scripted and speaks chat's format.

CODEX names its executable (`npm install @openai/codex`); without one there is nothing to run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.models import Price
from routing.models import CatalogueModel, CostPrice
from tests import upstream as up
from tests.callers import Caller
from tests.databases import PostgresDatabases
from tests.installation import CHEAP, DOLLAR
from tests.worlds import World, redis_database

CODEX = os.environ.get("CODEX") or shutil.which("codex")
pytestmark = pytest.mark.skipif(CODEX is None, reason="Codex CLI is not installed; CODEX names its executable")
PATCH = "*** Begin Patch\n*** Update File: hello.txt\n@@\n-Hello\n+Xin chào\n*** End Patch\n"


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    return start_shared_world(database_url=postgres_databases.migrated(), redis_url=redis_database(4))


def offered(world: World, name: str) -> str:
    """A model of this public name, which decides what Codex sends; its upstream's name."""
    with world.installation.changes():
        model, is_new = CatalogueModel.objects.get_or_create(name=name, defaults={"context_window": 400_000})
        if not is_new:
            return str(model.routes.get().upstream_name)
        Price.objects.create(model=name, input=2 * DOLLAR, output=8 * DOLLAR)
        route, _secret = world.installation._route(model, CHEAP)
        assert CostPrice.objects.filter(route=route).exists()
    return str(route.upstream_name)


def calling(name: str, arguments: Any) -> up.Reply:
    function = {"name": name, "arguments": ""}
    begun = {"index": 0, "id": "call_1", "type": "function", "function": function}
    pieces = [up.chunk({"tool_calls": [begun]})]
    text = json.dumps(arguments)
    pieces += [
        up.chunk({"tool_calls": [{"index": 0, "function": {"arguments": text[at : at + 7]}}]})
        for at in range(0, len(text), 7)
    ]
    ended = [up.chunk({}, finish_reason="tool_calls"), up.usage_chunk()]
    return up.stream(*map(up.event, (up.ROLE, *pieces, *ended)), up.DONE)


def codex(caller: Caller, home: Path, folder: Path, model: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What it does with a small task, with the base URL and the key set and nothing else."""
    assert CODEX is not None
    url = f"{caller.installation.gateway_url}/v1"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [
            CODEX, "exec", "--skip-git-repo-check", "--sandbox", "workspace-write", "-m", model,
            "-c", f'openai_base_url="{url}"', *options, "Say hello in Vietnamese in hello.txt.",
        ],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, "CODEX_HOME": str(home), "CODEX_API_KEY": caller.secret},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "name", "arguments"),
    [
        pytest.param("gpt-5.5", "apply_patch", {"input": PATCH}, id="custom tool"),
        pytest.param("lab-agent", "exec_command", {"cmd": "sed -i 's/Hello/Xin chào/' hello.txt"}, id="function"),
        pytest.param(
            "gpt-5.6-sol",
            "functions__exec",
            {"input": f"await tools.apply_patch({json.dumps(PATCH)})"},
            id="custom tool in a namespace",
        ),
    ],
)
def test_codex_edits_a_file(world: World, tmp_path: Path, model: str, name: str, arguments: Any) -> None:
    caller, folder = world.caller(), tmp_path / "work"
    folder.mkdir()
    (folder / "hello.txt").write_text("Hello\n")
    upstream_name = offered(world, model)
    caller.upstream.on(upstream_name, calling(name, arguments), up.told("Done, it says so now."))

    ran = codex(caller, tmp_path / "home", folder, model)

    assert ran.returncode == 0, ran.stderr
    assert (folder / "hello.txt").read_text() == "Xin chào\n", ran.stderr
    assert "Done, it says so now." in ran.stdout
    caller.wait_until_settled()
    assert [record.outcome for record in caller.records] == ["success"] * 2
