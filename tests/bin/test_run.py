"""`make run` says in one sentence what is in its way."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).resolve().parents[2]


def run(var: Path, port: str) -> tuple[int, str]:
    """The exit code, and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bin.run", "--port", port],
        cwd=ROOT, env={**os.environ, "COSTROUTER_VAR": str(var)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "http", "8000x", ""])
def test_port_that_is_none_is_named(tmp_path: Path, port: str) -> None:
    code, said = run(tmp_path, port)

    assert (code, said.count("\n")) == (1, 1)
    assert "is no port" in said


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = run(tmp_path, str(port))

    assert (code, said.count("\n")) == (1, 1)
    assert f"port {port} cannot be used" in said


@pytest.mark.parametrize("var", ["/proc/none", str(ROOT / "manage.py"), str(ROOT / "manage.py" / "var")])
def test_folder_that_cannot_be_used_is_named(var: str) -> None:
    code, said = run(Path(var), str(servers.free_port()))

    assert (code, said.count("\n")) == (1, 1), said
    assert f"make run: {var} cannot be used: " in said


@pytest.mark.parametrize("name", ["run.lock", "server.log"])
def test_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    code, said = run(tmp_path, str(servers.free_port()))

    assert (code, "Traceback" in said) == (1, False), said
    assert f"make run: {tmp_path / name} cannot be used: Is a directory" in said


def test_second_one_of_a_checkout_is_told_where_the_first_is(tmp_path: Path) -> None:
    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("http://127.0.0.1:8123")
        lock.flush()
        code, said = run(tmp_path, "8124")

    assert (code, said.count("\n")) == (1, 1)
    assert "http://127.0.0.1:8123" in said
