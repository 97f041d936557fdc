"""The embedded default's secrets: made once, complete, readable by their owner alone."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from costrouter import embedded

ROOT = Path(__file__).resolve().parent.parent.parent


def values(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_first_run_writes_the_secrets_for_their_owner_alone(tmp_path: Path) -> None:
    path = embedded.secrets_file(tmp_path / "var")

    assert path == tmp_path / "var" / "secrets.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["secrets.env"]  # noqa: PTH208 - names are what is compared


def test_secrets_are_of_full_length_and_all_different(tmp_path: Path) -> None:
    written = values(embedded.secrets_file(tmp_path))

    assert set(written) == {"SECRET_KEY", "KEY_PEPPERS", "MASTER_KEYS"}
    assert len(written["SECRET_KEY"]) >= 64
    assert len(written["KEY_PEPPERS"]) >= 64
    name, _colon, key = written["MASTER_KEYS"].partition(":")
    assert (name, len(base64.b64decode(key, validate=True))) == ("k1", 32)
    assert written["SECRET_KEY"] != written["KEY_PEPPERS"]
    assert "," not in written["KEY_PEPPERS"], "a comma would make two peppers of it"


def test_second_run_keeps_the_secrets(tmp_path: Path) -> None:
    first = embedded.secrets_file(tmp_path).read_text()

    assert embedded.secrets_file(tmp_path).read_text() == first


def test_two_installations_have_nothing_in_common(tmp_path: Path) -> None:
    one, two = values(embedded.secrets_file(tmp_path / "one")), values(embedded.secrets_file(tmp_path / "two"))

    assert not set(one.values()) & set(two.values())


def test_draft_of_a_run_that_died_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".secrets.half").write_text("SECRET_")

    path = embedded.secrets_file(tmp_path)

    assert set(values(path)) == {"SECRET_KEY", "KEY_PEPPERS", "MASTER_KEYS"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from costrouter.embedded import secrets_file; "
        f"print(secrets_file(Path({str(tmp_path)!r})).read_text())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _process in range(4)
    ]
    outputs = {process.communicate(timeout=30)[0] for process in started}

    assert len(outputs) == 1
    assert "MASTER_KEYS=k1:" in outputs.pop()


@pytest.mark.parametrize("name", ["SECRET_KEY", "KEY_PEPPERS", "MASTER_KEYS"])
def test_real_installation_without_a_secret_does_not_start(tmp_path: Path, name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != name}
    environment |= {"DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}", "COSTROUTER_VAR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f"{name} must hold" in done.stderr
    assert not (tmp_path / "secrets.env").exists()
