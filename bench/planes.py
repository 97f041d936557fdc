"""What Django's own ASGI handler costs a request, and what the API plane's handler costs instead (ADR 0001).

The same view, parsing the request and writing an answer, behind Django's handler with its default middleware,
without any, and behind the gateway's lean handler, beside the null application. Writes bench/results/planes.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from bench import command, machine, results
from bench.gateways import Running, serve, start_null
from bench.load import Target
from bench.processes import Fleet
from bench.samples import Samples
from bench.windows import Plan, Windows

_FIGURES = ("cpu_us", "to_null", "rps")

PLANES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "stock-default-middleware": ("bench.applications.stock:application", {"BENCH_MIDDLEWARE": "default"}),
    "stock-no-middleware": ("bench.applications.stock:application", {"BENCH_MIDDLEWARE": "none"}),
    "lean": ("bench.applications.lean:application", {"DJANGO_SETTINGS_MODULE": "costrouter.settings"}),
}
"""Application and environment of each arrangement."""


def measure(plan: Plan, names: list[str], *, first_port: int) -> Samples:
    with Fleet() as fleet:
        null = start_null(fleet, port=first_port)
        windows = Windows(fleet, plan, null.target, Samples(machine.SLOW_STATE))
        planes = [_start(fleet, name, port=first_port + 1 + number) for number, name in enumerate(names)]
        for running in (null, *planes):
            windows.warm_up(running, streams=False)
        for number in range(plan.rounds):
            results.progress(f"round {number + 1} of {plan.rounds}")
            for running in planes:
                windows.json_beside_null(running, null)
                windows.latency(running)
        return windows.samples


def report(samples: Samples, rounds: int, names: list[str]) -> dict[str, Any]:
    """The document of bench/results/planes.json: medians by arrangement."""
    planes = {name: {figure: samples.median(f"{name} {figure}") for figure in _FIGURES} for name in names}
    return {"null_cpu_us": samples.median("null cpu_us"), "planes": planes} | results.provenance(samples, rounds)


def main() -> int:
    parser = command.parser("bench.planes", __doc__)
    parser.add_argument("--only", default=",".join(PLANES), help=f"some of {','.join(PLANES)} (default: all)")
    return command.run(parser, _main)


def _main(options: argparse.Namespace) -> int:
    names = options.only.split(",")
    plan = command.plan(options)
    samples = measure(plan, names, first_port=options.port)
    results.write("planes", report(samples, plan.rounds, names))
    results.show_samples(samples)
    return 0


def _start(fleet: Fleet, name: str, *, port: int) -> Running:
    application, env = PLANES[name]
    # The gateway's settings write their embedded secrets there; no database is asked.
    env = {**env, "COSTROUTER_VAR": str(fleet.folder / "var")}
    return Running(Target(name, port), serve(fleet, name, application, port=port, env=env))


if __name__ == "__main__":
    sys.exit(main())
