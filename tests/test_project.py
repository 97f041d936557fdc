"""The project's own files agree with each other: settings and their documents, deployment, targets."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from routing.endpoints import ENDPOINTS
from routing.providers import ADAPTERS

ROOT = Path(__file__).resolve().parent.parent
OF_THE_SERVER = {"HOST", "PORT", "WEB_PROCESSES", "POSTGRES_PASSWORD"}
"""Read by bin/serve and docker-compose.yml, not by the settings."""


def _settings_names() -> set[str]:
    """The first argument of every `env.something("NAME")` and `_secret("NAME")` in costrouter/settings.py."""
    calls = (node for node in ast.walk(ast.parse((ROOT / "costrouter/settings.py").read_text())) if _reads_a_name(node))
    return {call.args[0].value for call in calls}  # type: ignore[attr-defined]


def _reads_a_name(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="env")) | ast.Name(id="_secret"), args=[ast.Constant(), *_]):
            return True
        case _:
            return False


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_every_setting_stands_in_the_example() -> None:
    names = re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert set(names) == _settings_names() | OF_THE_SERVER
    assert len(names) == len(set(names))


def test_every_setting_stands_in_the_runbook() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    names = re.findall(r"[A-Z][A-Z_]+", " ".join(rows))

    assert set(names) == _settings_names() | OF_THE_SERVER
    assert len(names) == len(set(names))


def test_only_the_settings_read_the_environment() -> None:
    sources = [path for app in ("accounts", "billing", "routing") for path in (ROOT / app).rglob("*.py")]

    readers = {path.relative_to(ROOT).as_posix() for path in sources if "os.environ" in path.read_text()}

    assert readers == {"routing/management/commands/add_channel.py"}  # a secret out of the operator's own shell


def test_compose_has_the_five_services_and_the_migration() -> None:
    assert set(_compose()["services"]) == {"web", "worker", "beat", "postgres", "redis", "migrate"}


@pytest.mark.parametrize("service", ["web", "worker", "beat", "postgres", "redis"])
def test_service_has_a_health_check_and_comes_back(service: str) -> None:
    definition = _compose()["services"][service]

    assert definition["healthcheck"]["test"]
    assert definition["restart"] == "unless-stopped"


def test_every_mounted_volume_is_named() -> None:
    compose = _compose()

    mounted = {
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    }

    assert mounted == set(compose["volumes"])


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "SECRET_KEY", "KEY_PEPPERS", "MASTER_KEYS"])
def test_compose_refuses_to_start_without(name: str) -> None:
    uses = re.findall(r"\$\{" + name + r"[^}]*\}", (ROOT / "docker-compose.yml").read_text())

    assert uses
    assert all(use.startswith("${" + name + ":?") for use in uses)


def test_only_the_web_port_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in _compose()["services"].items() if "ports" in service}

    assert published == {"web": ["127.0.0.1:${PORT:-8000}:8000"]}


def test_pipeline_must_not_know_any_endpoint_nor_any_dialect() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(contract["forbidden_modules"] for contract in contracts if contract["id"] == "strangers")

    endpoints = {type(endpoint).__module__ for endpoint in ENDPOINTS.values()}
    dialects = {type(adapter).__module__ for adapter in ADAPTERS.values()}

    assert set(forbidden) == {".".join(module.split(".")[:3]) for module in endpoints | dialects}


def test_make_alone_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    environment = {"PATH": os.environ["PATH"]}

    listed = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    phony = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    assert re.findall(r"^make (\S+)", listed, re.MULTILINE) == phony


@pytest.mark.parametrize("path", ["bin/bootstrap", "bin/serve", "bin/healthy", ".ci/run"])
def test_script_is_executable_and_parses(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)
    shell = (ROOT / path).read_text().partition("\n")[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", path], cwd=ROOT, check=True)
