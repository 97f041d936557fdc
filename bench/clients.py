"""What the HTTP client of the hot path costs (ADR 0002).

Each client sits in the same bare ASGI application on the same server and forwards JSON and streams; all are up at
once and their windows alternate. Writes bench/results/clients.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import command, installs, machine, results, upstreams
from bench.gateways import ROOT, Running, serve, start_null
from bench.load import Target
from bench.processes import Fleet
from bench.samples import Samples
from bench.windows import Plan, Windows

OWN = "own"
NAMES = (OWN, "aiohttp", "pyreqwest", "httpx")

_REQUIREMENTS = Path(__file__).with_name("clients.txt")
_FIGURES = ("cpu_us", "to_null", "rps", "paced_cpu_us_per_chunk", "burst_cpu_us_per_chunk", "added_ttfb_ms",
            "kib_per_open_stream")  # fmt: skip


def measure(plan: Plan, names: Sequence[str], *, first_port: int) -> Samples:
    json_port, stream_port, null_port = range(first_port, first_port + 3)
    with Fleet() as fleet:
        upstreams.start(fleet, json_port=json_port, stream_port=stream_port, root=ROOT)
        direct = Target("upstream", json_port, stream_port=stream_port)
        windows = Windows(fleet, plan, direct, Samples(machine.SLOW_STATE))
        null = start_null(fleet, port=null_port)
        forwarders = [
            _start(fleet, name, port=null_port + 1 + number, direct=direct) for number, name in enumerate(names)
        ]
        _run_rounds(windows, null, forwarders)
        return windows.samples


def report(samples: Samples, rounds: int, names: Sequence[str]) -> dict[str, Any]:
    """The document of bench/results/clients.json: medians by client."""
    clients = {name: {figure: samples.median(f"{name} {figure}") for figure in _FIGURES} for name in names}
    return {"null_cpu_us": samples.median("null cpu_us"), "clients": clients} | results.provenance(samples, rounds)


def main() -> int:
    parser = command.parser("bench.clients", __doc__)
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)} (default: all)")
    return command.run(parser, _main)


def _main(options: argparse.Namespace) -> int:
    names = options.only.split(",")
    plan = command.plan(options)
    samples = measure(plan, names, first_port=options.port)
    results.write("clients", report(samples, plan.rounds, names))
    results.show_samples(samples)
    return 0


def _start(fleet: Fleet, name: str, *, port: int, direct: Target) -> Running:
    """Serves the forwarder over this client; foreign clients come from an environment of their own."""
    env = {"BENCH_JSON_PORT": str(direct.port), "BENCH_STREAM_PORT": str(direct.stream_port)}
    if name != OWN:
        python = installs.virtualenv("clients", _REQUIREMENTS)
        env["PYTHONPATH"] = str(next(python.parent.parent.glob("lib/python3*/site-packages")))
    server = serve(fleet, name, f"bench.applications.{name}_client:application", port=port, env=env)
    return Running(Target(name, port), server)


def _run_rounds(windows: Windows, null: Running, forwarders: Sequence[Running]) -> None:
    windows.warm_up(null, streams=False)
    for running in forwarders:
        results.progress(f"warm-up and memory: {running.target.name}")
        windows.warm_up(running, streams=True)
        windows.open_streams(running)
    for number in range(windows.plan.rounds):
        results.progress(f"round {number + 1} of {windows.plan.rounds}")
        for running in forwarders:
            windows.json_beside_null(running, null)
            windows.streams(running)


if __name__ == "__main__":
    sys.exit(main())
