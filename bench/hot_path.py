"""What one gateway process costs on one core, with the books on.

The gateway has core 0 to itself; load, upstreams, PostgreSQL and Redis share core 1. Windows of all candidates
alternate, so that they see the same machine. `--before FOLDER` measures another version of this project, checked out
there, in the same rounds, and says what changed. With `--quotas` each request draws on two quotas beside the wallet.
The run fails if any answer was wrong, if the books do not add up afterwards, or if a bar is missed; it writes
bench/results/hot_path.json (hot_path_quotas.json).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import command, load, machine, network, peers, results
from bench.gateways import OURS, Books, Checkout, Running, Stand, open_books, open_stand, start_gateway, start_null
from bench.load import Target
from bench.payloads import EMBEDDINGS, MESSAGES_STREAM
from bench.peers import PEERS, Peer
from bench.peers.setting import Setting
from bench.processes import BenchmarkError, Fleet
from bench.results import Bar
from bench.samples import Samples
from bench.windows import SLOW_STREAMS, Plan, Windows

_GATEWAY = OURS.name
_BEFORE = "before"
_STREAM_FIGURES = (
    "paced_cpu_us_per_chunk", "burst_cpu_us_per_chunk", "messages_paced_cpu_us_per_chunk", "added_ttfb_ms",
    "kib_per_open_stream",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidates:
    """All that is measured in one run."""

    ours: Running
    before: Running | None
    null: Running
    batched: Running
    peers: Sequence[tuple[Peer, Running]]

    @property
    def versions(self) -> list[Running]:
        """The gateway, and the version it is compared with."""
        return [self.ours] + ([self.before] if self.before else [])


def measure(
    plan: Plan, *, only: set[str], with_peers: bool, before: Path | None, has_quotas: bool, first_port: int
) -> tuple[Samples, dict[str, int]]:
    """Brings everything up, runs the rounds, proves the books and takes everything down.

    Returns the samples and how the requests stand in the books.
    """
    nginx, stream, postgresql, redis, null, batched, gateway, former, peer = range(first_port, first_port + 9)
    with Fleet() as fleet:
        stand = open_stand(fleet, postgresql_port=postgresql, redis_port=redis, json_port=nginx, stream_port=stream)
        books = open_books(fleet, stand, has_quotas=has_quotas)
        windows = Windows(fleet, plan, Target("upstream", nginx, stream_port=stream), Samples(machine.SLOW_STATE))
        candidates = Candidates(
            start_gateway(fleet, books, port=gateway),
            _start_before(fleet, stand, before, port=former) if before else None,
            start_null(fleet, port=null),
            start_null(fleet, port=batched, batched=True),
            _start_peers(fleet, stand, first_port=peer) if with_peers else [],
        )
        _run_rounds(windows, candidates, only)
        return windows.samples, _proved(books, candidates.ours.target)


def report(samples: Samples, rounds: int, *, only: set[str], counted: dict[str, int]) -> dict[str, Any]:
    """The document of bench/results/hot_path.json; plain numbers are medians of the rounds."""
    document: dict[str, Any] = {}
    if "json" in only:
        document["null_cpu_us"] = samples.median("null cpu_us")
        document["null_batched_cpu_us"] = samples.median("null-batched cpu_us")
        document["json"] = {
            "cpu_us": samples.spread(f"{_GATEWAY} cpu_us"),
            "to_null": samples.median(f"{_GATEWAY} to_null"),
            "rps": samples.spread(f"{_GATEWAY} rps"),
            "added_ms": {
                "p50": samples.median(f"{_GATEWAY} added_p50_ms"),
                "p99": samples.median(f"{_GATEWAY} added_p99_ms"),
            },
        }
    if "embeddings" in only:
        document["embeddings"] = {
            "cpu_us": samples.spread(f"{_GATEWAY} embeddings_cpu_us"),
            "to_null": samples.median(f"{_GATEWAY} embeddings_to_null"),
        }
    if "stream" in only:
        document["stream"] = {figure: samples.median(f"{_GATEWAY} {figure}") for figure in _STREAM_FIGURES}
    document["peers"] = {
        name: {"cpu_us": samples.median(f"{name} cpu_us"), "rps": samples.median(f"{name} rps")}
        for name in (peer.name for peer in PEERS)
        if f"{name} cpu_us" in samples.series
    }
    changed = [name for name in samples.series if name.endswith(f"_to_{_BEFORE}")]
    if changed:
        document[_BEFORE] = {name.removeprefix(f"{_GATEWAY} "): samples.median(name) for name in changed}
    return document | {"books": counted} | results.provenance(samples, rounds)


def bars(document: dict[str, Any]) -> list[Bar]:
    """The promises that this run can judge."""
    found = []
    if "json" in document:
        measured = document["json"]
        found.append(Bar("JSON request, CPU in null requests", measured["to_null"], at_most=4.2))
        found.append(Bar("added at one connection, median ms", measured["added_ms"]["p50"], at_most=5))
        for name, factor in ((peers.LITELLM, 30), (peers.PORTKEY, 5)):
            if name in document["peers"]:
                times = measured["rps"]["median"] / document["peers"][name]["rps"]
                found.append(Bar(f"throughput, times that of {name}", times, at_least=factor))
    if "embeddings" in document:
        measured = document["embeddings"]
        found.append(Bar("embeddings request, CPU in null requests", measured["to_null"], at_most=4.5))
    if "stream" in document:
        measured = document["stream"]
        found.append(Bar("paced stream, CPU us a chunk", measured["paced_cpu_us_per_chunk"], at_most=130))
        found.append(Bar("burst stream, CPU us a chunk", measured["burst_cpu_us_per_chunk"], at_most=30))
        translated = measured["messages_paced_cpu_us_per_chunk"]
        found.append(Bar("messages over chat, paced chunk, CPU us", translated, at_most=200))
        found.append(Bar("memory of an open stream, KiB", measured["kib_per_open_stream"], at_most=60))
    return found


def main() -> int:
    parser = command.parser("bench.hot_path", __doc__)
    parser.add_argument("--peers", action="store_true", help="measure other gateways in the same rounds")
    parser.add_argument("--before", type=Path, help="a folder with another version of this project, to compare with")
    parser.add_argument("--quotas", action="store_true", help="the tenant and the key have quotas (results apart)")
    parser.add_argument(
        "--only", default="json,embeddings,stream", help="some of json, embeddings, stream (default: all)"
    )
    return command.run(parser, _main)


def _main(options: argparse.Namespace) -> int:
    only = set(options.only.split(","))
    if options.peers and "json" not in only:
        raise BenchmarkError("the peers are measured by JSON requests; leave json in --only")
    plan = command.plan(options)
    if options.peers:
        _prepare_peers()
    samples, counted = measure(
        plan,
        only=only,
        with_peers=options.peers,
        before=options.before,
        has_quotas=options.quotas,
        first_port=options.port,
    )
    document = report(samples, plan.rounds, only=only, counted=counted)
    judged = bars(document)
    results.write(
        "hot_path_quotas" if options.quotas else "hot_path", document | {"bars": [bar.row() for bar in judged]}
    )
    results.show_samples(samples)
    return results.show_bars(judged)


def _prepare_peers() -> None:
    """Installs what is missing, then leaves the machine's network."""
    for peer in PEERS:
        peer.install()
    network.isolate()


def _start_before(fleet: Fleet, stand: Stand, folder: Path, *, port: int) -> Running:
    books = open_books(fleet, stand, Checkout.at(_BEFORE, folder.resolve()), database=1)
    return start_gateway(fleet, books, port=port)


def _start_peers(fleet: Fleet, stand: Stand, *, first_port: int) -> list[tuple[Peer, Running]]:
    return [
        (peer, peer.start(fleet, Setting(port, stand.json_port, stand.database_url)))
        for port, peer in enumerate(PEERS, first_port)
    ]


def _run_rounds(windows: Windows, candidates: Candidates, only: set[str]) -> None:
    _warm_up(windows, candidates, streams="stream" in only)
    if "stream" in only:
        results.progress(f"memory of {SLOW_STREAMS} open streams")
        windows.open_streams(candidates.ours)
    for number in range(windows.plan.rounds):
        results.progress(f"round {number + 1} of {windows.plan.rounds}")
        if "json" in only:
            _json_round(windows, candidates)
        if "embeddings" in only:
            windows.json_beside_null(candidates.ours, candidates.null, EMBEDDINGS)
        if "stream" in only:
            for running in candidates.versions:
                windows.streams(running)
            windows.messages(candidates.ours)
        if candidates.before:
            windows.compare(candidates.ours, candidates.before)


def _warm_up(windows: Windows, candidates: Candidates, *, streams: bool) -> None:
    results.progress("warm-up")
    for null in (candidates.null, candidates.batched):
        windows.warm_up(null, streams=False)
    for version in candidates.versions:
        windows.warm_up(version, streams=streams)
    for peer, running in candidates.peers:
        windows.warm_up(running, streams=False, seconds=peer.warm_up)
    load.check_embeddings(candidates.ours.target)
    if streams:
        load.check_stream(candidates.ours.target, MESSAGES_STREAM)


def _json_round(windows: Windows, candidates: Candidates) -> None:
    for version in candidates.versions:
        windows.json_beside_null(version, candidates.null)
    windows.json(candidates.batched)
    for peer, running in candidates.peers:
        windows.json(running, seconds=peer.seconds, drain=peer.drain)
    for version in candidates.versions:
        windows.latency(version)


def _proved(books: Books, target: Target) -> dict[str, int]:
    results.progress("books")
    counted = {"completed": target.completed} | books.prove(target.completed)
    print(f"books: {target.completed} requests completed, {counted['success']} usage records, verify clean")
    return counted


if __name__ == "__main__":
    sys.exit(main())
