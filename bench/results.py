"""Results: the JSON files under bench/results, the tables on the terminal, and the bars."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import machine
from bench.gateways import ROOT
from bench.samples import Samples

FOLDER = ROOT / "bench" / "results"


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise with its measured value; exactly one of the two bounds is set."""

    name: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.at_least is not None and self.value >= self.at_least

    @property
    def bound(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"

    def row(self) -> dict[str, Any]:
        return {"name": self.name, "value": rounded(self.value), "bar": self.bound, "met": self.is_met}


def provenance(samples: Samples, rounds: int) -> dict[str, Any]:
    """Where, when and under what disturbance the figures were taken, and every series' spread."""
    return {
        "spread": {name: samples.spread(name) for name in samples.series},
        "rounds": rounds,
        "windows": {"all": samples.windows, "slow": samples.slow_windows},
        "machine": machine.description(),
        "versions": machine.versions(),
        "commit": machine.commit(ROOT),
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def write(name: str, document: dict[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(rounded(document), indent=2) + "\n")
    print(f"written: {path.relative_to(ROOT)}")


def show_samples(samples: Samples) -> None:
    print(f"\n{'':34}{'min':>10}{'median':>10}{'max':>10}   slow windows")
    for name, taken in samples.series.items():
        spread = samples.spread(name)
        figures = "".join(f"{rounded(value):>10}" for value in (spread["min"], spread["median"], spread["max"]))
        print(f"{name:34}{figures}   {samples.slow_count(name)} of {len(taken)}")


def show_bars(bars: Sequence[Bar]) -> int:
    """Prints every bar and returns the exit code: 1 if one is missed."""
    print()
    for bar in bars:
        print(f"{'pass' if bar.is_met else 'MISS':6}{bar.name:46}{rounded(bar.value):>10}   bar {bar.bound}")
    return 0 if all(bar.is_met for bar in bars) else 1


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rounded(value: Any) -> Any:
    """Floats in a document to as many digits as mean something."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 1 if abs(value) >= 10 else 3)
    return value
