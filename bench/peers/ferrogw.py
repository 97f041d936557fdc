"""ferrogw, a gateway in Go: as it comes, and with what it has for limits, budgets and a log of requests.

Its rate limit and its budget count in the memory of the process; the log is in PostgreSQL, one row a request, written
before the answer. Keys stay in memory as well, its default, in its favour: in PostgreSQL it would update the key's row
at every request.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg

from bench import installs, load, payloads, stores
from bench.gateways import Running
from bench.load import Target
from bench.peers.setting import Setting
from bench.processes import GATEWAY_CORE, BenchmarkError, Fleet

BARE: Final = "ferrogw"
BOOKS: Final = "ferrogw-books"

_PINS = Path(__file__).with_suffix(".txt")
_MASTER_KEY = "fgw_bench_master_key"

# The model is sent upstream under a name in its price list, so that it knows what a request costs.
_CONFIG = f"""
strategy:
  mode: single
targets:
  - virtual_key: openai
    models: [gpt-4o-mini]
aliases:
  {payloads.JSON_MODEL}: gpt-4o-mini
"""

# Limits are checked at every request and never met, as those of our own key. A budget needs both stages: the first
# compares, the second adds. Below the process's own log level, the logger writes to its store only.
_BOOKS_CONFIG = f"""
{_CONFIG}
plugins:
  - name: rate-limit
    type: ratelimit
    stage: before_request
    enabled: true
    config: {{requests_per_second: 30000000, key_rpm: 2000000000}}
  - name: budget
    type: ratelimit
    stage: before_request
    enabled: true
    config: &budget {{spend_limit_usd: 1000000, input_per_m_tokens: 0.15, output_per_m_tokens: 0.6}}
  - name: budget
    type: ratelimit
    stage: after_request
    enabled: true
    config: *budget
  - name: request-logger
    type: logging
    stage: after_request
    enabled: true
    config: {{level: debug, persist: true}}
"""


def install() -> Path:
    """Returns its command, a static binary."""
    return installs.virtualenv(BARE, _PINS).with_name("ferrogw")


def start_bare(fleet: Fleet, setting: Setting) -> Running:
    """It checks the key and forwards; no limits, no budget, no log."""
    return _start(fleet, BARE, setting, _CONFIG, {})


def start_with_books(fleet: Fleet, setting: Setting) -> Running:
    """With limits and a budget for each key, and a log in a database of its own; one request proves that it is kept."""
    url = stores.create_database(setting.database_url, "ferrogw")
    env = {"REQUEST_LOG_STORE_BACKEND": "postgres", "REQUEST_LOG_STORE_DSN": f"{url}?sslmode=disable"}
    running = _start(fleet, BOOKS, setting, _BOOKS_CONFIG, env, keeps_books=True)
    load.check(running.target)
    with psycopg.connect(url) as connection:
        logged = connection.execute("SELECT count(*) FROM request_logs WHERE cost_usd > 0").fetchone()
    if logged != (1,):
        raise BenchmarkError(f"{BOOKS} did not log what its request cost:\n{running.server.last_words()}")
    return running


def _start(
    fleet: Fleet, name: str, setting: Setting, config: str, env: Mapping[str, str], *, keeps_books: bool = False
) -> Running:
    file = fleet.folder / f"{name}.yaml"
    file.write_text(config)
    server = fleet.start(
        name,
        [install(), "serve"],
        core=GATEWAY_CORE,
        env={
            "GATEWAY_CONFIG": str(file),
            "GATEWAY_ENV": "production",
            "PORT": str(setting.port),
            "MASTER_KEY": _MASTER_KEY,
            "OPENAI_API_KEY": "bench-upstream-secret",
            "OPENAI_BASE_URL": f"{setting.upstream_url}/v1",
            "LOG_LEVEL": "error",
            # A limit for each address, on by default.
            "RATE_LIMIT_RPS": "0",
            # Its price list is the one in the binary.
            "FERRO_MODEL_CATALOG_TIMEOUT": "0",
            **env,
        },
        cwd=fleet.folder,
    )
    server.await_port(setting.port)
    key = _issue_key(setting.port)
    return Running(Target(name, setting.port, {"authorization": f"Bearer {key}"}), server, keeps_books)


def _issue_key(port: int) -> str:
    headers = {"authorization": f"Bearer {_MASTER_KEY}", "content-type": "application/json"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/admin/keys", '{"name": "bench"}', headers)
        response = connection.getresponse()
        answer = response.read()
    if response.status != http.client.CREATED:
        raise BenchmarkError(f"ferrogw issued no key: {response.status} {answer[:500]!r}")
    return str(json.loads(answer)["key"])
