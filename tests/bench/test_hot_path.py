from typing import Any

import pytest

from bench import hot_path
from bench.gateways import GRANIAN, ROOT
from bench.machine import SLOW_STATE
from bench.peers import PEERS, ferrogw, vllm_router
from bench.results import Bar
from bench.samples import Samples
from costrouter import server

GOOD: dict[str, Any] = {
    "json": {"to_null": 4.2, "rps": {"median": 3000.0}, "added_ms": {"p50": 5.0}},
    "embeddings": {"to_null": 4.5},
    "stream": {
        "paced_cpu_us_per_chunk": 130.0,
        "burst_cpu_us_per_chunk": 30.0,
        "messages_paced_cpu_us_per_chunk": 200.0,
        "kib_per_open_stream": 60.0,
    },
    "peers": {"litellm": {"rps": 100.0}, "portkey": {"rps": 600.0}},
}


def test_every_bar_is_judged_and_met_at_its_bound() -> None:
    bars = hot_path.bars(GOOD)

    assert [bar.bound for bar in bars] == [
        "<= 4.2",
        "<= 5",
        ">= 30",
        ">= 5",
        "<= 4.5",
        "<= 130",
        "<= 30",
        "<= 200",
        "<= 60",
    ]
    assert all(bar.is_met for bar in bars)


@pytest.mark.parametrize("name", [peer.name for peer in PEERS])
def test_every_peer_that_was_measured_is_reported(name: str) -> None:
    samples = Samples(slow_state=SLOW_STATE)
    samples.add(f"{name} cpu_us", 300.0, probe_us=1.0)
    samples.add(f"{name} rps", 2000.0, probe_us=1.0)

    document = hot_path.report(samples, 1, only=set(), counted={})

    assert document["peers"] == {name: {"cpu_us": 300.0, "rps": 2000.0}}


def test_peers_without_a_bar_are_information_only() -> None:
    unjudged = {name: {"rps": 1_000_000.0} for name in (ferrogw.BARE, ferrogw.BOOKS, vllm_router.NAME)}

    bars = hot_path.bars({"json": GOOD["json"], "peers": unjudged})

    assert [bar.bound for bar in bars] == ["<= 4.2", "<= 5"]


def test_only_what_was_measured_is_judged() -> None:
    bars = hot_path.bars({"json": GOOD["json"], "peers": {}})

    assert [bar.bound for bar in bars] == ["<= 4.2", "<= 5"]


@pytest.mark.parametrize(
    "bar", [Bar("cost", 4.21, at_most=4.2), Bar("throughput", 29.9, at_least=30)], ids=["above", "below"]
)
def test_missed_bar_is_reported_as_missed(bar: Bar) -> None:
    assert bar.row()["met"] is False


def test_benchmark_serves_with_the_flags_of_production() -> None:
    """As costrouter/server.py tells granian."""
    assert (ROOT / "bin" / "serve").read_text().rstrip().endswith("-m costrouter.server")
    assert (
        "--interface", "asgi", "--loop", "uvloop", "--http", "1", "--no-ws",
        "--backlog", str(server.BACKLOG), "--backpressure", str(server.MOST_OPEN),
    ) == GRANIAN  # fmt: skip
