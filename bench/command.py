"""What every benchmark's command line has in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench.processes import BenchmarkError, settle_harness
from bench.windows import Plan


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, help="default 5, with --quick 2")
    made.add_argument("--quick", action="store_true", help="short windows: shows that it works, proves nothing")
    made.add_argument("--port", type=int, default=9450, help="the first of a dozen ports on loopback")
    return made


def plan(options: argparse.Namespace) -> Plan:
    return Plan.quick(options.rounds or 2) if options.quick else Plan(options.rounds or 5)


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], int]) -> int:
    """Runs a benchmark and returns its exit code: 1 if it failed or missed a bar."""
    options = parser.parse_args()
    try:
        settle_harness()
        return main(options)
    except BenchmarkError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
