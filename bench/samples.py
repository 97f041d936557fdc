"""What the windows of a run measured: values with the speed of the core beside them, and their spread. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypedDict

_ENOUGH = 3


class Spread(TypedDict):
    min: float
    median: float
    max: float


@dataclass(frozen=True, slots=True)
class Sample:
    value: float
    probe_us: float
    """CPU time of the probe loop beside it: how fast the core was."""


@dataclass(slots=True)
class Samples:
    """Named series, one sample a round. Those from the machine's slow state are left out where enough others exist."""

    slow_state: float
    """A sample is slow if its probe took this much longer than the fastest of the run."""
    series: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float, probe_us: float) -> None:
        self.series[name].append(Sample(value, probe_us))

    def spread(self, name: str) -> Spread:
        values = [sample.value for sample in self._believed(name)]
        return {"min": min(values), "median": statistics.median(values), "max": max(values)}

    def median(self, name: str) -> float:
        return self.spread(name)["median"]

    def slow_count(self, name: str) -> int:
        return sum(self._is_slow(sample) for sample in self.series[name])

    @property
    def windows(self) -> int:
        return sum(len(samples) for samples in self.series.values())

    @property
    def slow_windows(self) -> int:
        return sum(self.slow_count(name) for name in self.series)

    def _believed(self, name: str) -> list[Sample]:
        samples = self.series[name]
        quiet = [sample for sample in samples if not self._is_slow(sample)]
        return quiet if len(quiet) >= _ENOUGH else samples

    def _is_slow(self, sample: Sample) -> bool:
        fastest = min(other.probe_us for samples in self.series.values() for other in samples)
        return sample.probe_us > self.slow_state * fastest
