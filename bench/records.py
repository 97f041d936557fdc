"""What pages and books cost over five million usage records.

Fills a throw-away PostgreSQL with a month of records of two hundred tenants (one has 855,000 of five million), then
measures the roll-ups, the pages that read them, the administration's lists, closing and drafting everybody's month,
proving the books, and what one more record costs to write, in turn with the same on an empty table. It fails if a bar
is missed; it writes bench/results/records.json.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench import command, results, stores
from bench.gateways import ROOT
from bench.processes import Fleet
from bench.results import Bar

RECORDS = 5_000_000
_TENANTS = 200
_LARGE_SHARE = 0.171
_AT_ONCE = 250_000
_DAYS = 30
_REQUESTS = ("requests_ms", "requests_rare_ms", "requests_model_ms")


def main(options: argparse.Namespace) -> int:
    with Fleet() as fleet:
        env = {
            "DJANGO_SETTINGS_MODULE": "costrouter.settings",
            "DATABASE_URL": stores.start_postgresql(fleet, port=options.port),
            "REDIS_URL": "",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "KEY_PEPPERS": secrets.token_urlsafe(48),
            "MASTER_KEYS": f"bench:{base64.b64encode(os.urandom(32)).decode()}",
            "COSTROUTER_VAR": str(fleet.folder / "var"),
            "ADMIN_SECOND_FACTOR": "false",
        }
        for url in (env["DATABASE_URL"], stores.create_database(env["DATABASE_URL"], "empty")):
            run = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            subprocess.run(run, env={**os.environ, **env, "DATABASE_URL": url}, cwd=ROOT, check=True)
        inside = [sys.executable, "-m", "bench.records", "--inside", "--records", str(options.records)]
        done = subprocess.run(
            inside, env={**os.environ, **env}, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    bars = [
        Bar("roll-up of a day made again, seconds", figures["rebuild_day_s"], at_most=10),
        Bar("month by day, ms", figures["month_by_day_ms"], at_most=300),
        Bar("month by model, ms", figures["month_by_model_ms"], at_most=300),
        Bar("overview's figures, ms", figures["overview_ms"], at_most=100),
        Bar("polls, ms", max(figures["poll_ms"], figures["poll_rare_ms"]), at_most=100),
        Bar("list of requests, ms", max(figures[name] for name in _REQUESTS), at_most=300),
        Bar("the administration's slowest list, ms", max(_lists(figures).values()), at_most=300),
        Bar("a month of all tenants closed and drafted, seconds", figures["close_s"], at_most=300),
        Bar("verify, seconds", figures["verify_s"], at_most=60),
        Bar("a record written, times that on an empty table", figures["write_ratio"], at_most=1.1),
    ]
    for name, value in figures.items():
        print(f"{name:24} {value:12.3f}")
    for bar in bars:
        print(f"{'pass' if bar.is_met else 'MISS'}  {bar.name:55} {bar.value:10.3f}   bar {bar.bound}")
    if not options.quick:
        results.write("records", {"records": options.records, "figures": figures, "bars": [bar.row() for bar in bars]})
    return 0 if all(bar.is_met for bar in bars) else 1


# --- with Django, in a process of its own ----------------------------------------------------------------------------


def inside(count: int) -> dict[str, float]:
    import django

    django.setup()
    from bench.month import Month

    month = Month(_TENANTS, _DAYS)
    filled = 0
    while filled < count:
        filled += month.fill(min(_AT_ONCE, count - filled), _LARGE_SHARE)
        say(f"{filled:,} of {count:,} records")
    month.settle()
    month.analyze()
    figures: dict[str, float] = {}
    figures["month_unrolled_ms"] = timed(month.by_day, 1)
    figures["catch_up_s"] = timed(month.catch_up, 1) / 1000
    figures["rebuild_day_s"] = timed(month.rebuild_a_day, 3) / 1000
    say("rolled up")
    for name, deed in month.pages().items():
        figures[name] = timed(deed, 9)
    for name, deed in month.lists().items():
        figures[name] = timed(deed, 3)
    say("lists read")
    figures["close_s"] = timed(month.close, 1) / 1000
    figures["finalise_s"] = timed(month.finalise, 1) / 1000
    for name, deed in month.lists_of_documents().items():
        figures[name] = timed(deed, 3)
    say("closed")
    figures["verify_s"] = timed(month.verify, 1) / 1000
    say("verified")
    full, empty = month.write_in_turn(21)
    figures["write_full_us"], figures["write_empty_us"] = statistics.median(full), statistics.median(empty)
    # Of one right after the other: a machine may change its speed from one minute to the next.
    figures["write_ratio"] = statistics.median(one / other for one, other in zip(full, empty, strict=True))
    return figures


def _lists(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if name.startswith("list_")}


def timed(deed: Callable[[], object], turns: int) -> float:
    """Milliseconds, the median."""
    took = []
    for _turn in range(turns):
        began = time.perf_counter()
        deed()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    made = command.parser("bench.records", __doc__)
    made.add_argument("--records", type=int, default=RECORDS)
    made.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return made


def _run(options: argparse.Namespace) -> int:
    if options.quick:
        options.records = min(options.records, 100_000)
    return main(options)


if __name__ == "__main__":
    given = _parser().parse_args()
    if given.inside:  # on the stores of the process that started this one
        print(json.dumps(inside(given.records)))
    else:
        sys.exit(command.run(_parser(), _run))
