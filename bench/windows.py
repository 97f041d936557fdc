"""The windows of a run: one load on one server, its cost and latency added to the samples.

Series are named "<server> <figure>": cpu_us (of a JSON request), rps, added_p50_ms, paced_cpu_us_per_chunk, ...
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from bench import load, machine
from bench.gateways import ROOT, Running
from bench.load import Target
from bench.payloads import (
    BURST,
    CHAT,
    CHAT_STREAM,
    MESSAGES_STREAM,
    PACED,
    SHORT,
    SLOW,
    Question,
    StreamForm,
    StreamShape,
)
from bench.processes import Fleet
from bench.samples import Samples
from bench.stores import STORES

CONNECTIONS: Final = 32
PACED_STREAMS: Final = 40
BURST_STREAMS: Final = 8
SLOW_STREAMS: Final = 1000
CPU_FIGURES: Final = ("cpu_us", "paced_cpu_us_per_chunk", "burst_cpu_us_per_chunk")

_SLOW_RAMP_SECONDS = 4
_IDLE_SECONDS = 2
_PSS_READINGS = 3
_PSS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds there are, and how long each window of one takes, in seconds."""

    rounds: int
    json: float = 3
    single: float = 2
    streams: float = 4
    warm_up: float = 3
    drain: float = 1
    """What the last answers of a JSON window get."""

    @classmethod
    def quick(cls, rounds: int) -> Plan:
        return cls(rounds, json=1, single=1, streams=1, warm_up=1)


@dataclass(frozen=True, slots=True)
class Windows:
    fleet: Fleet
    plan: Plan
    direct: Target
    """The upstreams without a gateway."""
    samples: Samples

    def json(
        self,
        running: Running,
        *,
        seconds: float | None = None,
        drain: float | None = None,
        question: Question = CHAT,
    ) -> float:
        """A closed loop of JSON requests on 32 connections; returns the CPU microseconds that one took."""
        name = f"{running.target.name} {question.name}"
        before = self._stores_cpu_seconds()
        with machine.Meter(running.server) as meter:
            done = load.json_load(
                running.target,
                folder=self.fleet.folder,
                connections=CONNECTIONS,
                seconds=seconds or self.plan.json,
                drain=drain or self.plan.drain,
                question=question,
            )
        cpu_us = meter.cpu_seconds * 1e6 / done.completed
        self.samples.add(f"{name}cpu_us", cpu_us, meter.probe_us)
        self.samples.add(f"{name}rps", done.per_second, meter.probe_us)
        self.samples.add(f"{name}foreign_cores", meter.foreign, meter.probe_us)
        if running.keeps_books:
            for store, seconds in self._stores_cpu_seconds().items():
                spent_us = (seconds - before[store]) * 1e6 / done.completed
                self.samples.add(f"{name}{store}_cpu_us", spent_us, meter.probe_us)
        return cpu_us

    def json_beside_null(self, running: Running, null: Running, question: Question = CHAT) -> None:
        """The server between two halves of the null application's window, and the ratio of their costs.

        The machine changes its speed by itself: what is measured on both sides sees what the server saw.
        """
        half = self.plan.json / 2
        before_us = self.json(null, seconds=half)
        cpu_us = self.json(running, question=question)
        null_us = (before_us + self.json(null, seconds=half)) / 2
        name = f"{running.target.name} {question.name}"
        probe_us = max(self.samples.series[f"{each}cpu_us"][-1].probe_us for each in (name, f"{null.target.name} "))
        self.samples.add(f"{name}to_null", cpu_us / null_us, probe_us)

    def latency(self, running: Running) -> None:
        """At one connection, directly to the upstream and through the server, right after each other."""
        name = running.target.name
        with machine.Meter(running.server) as meter:
            direct, through = (
                load.json_load(target, folder=self.fleet.folder, connections=1, seconds=self.plan.single)
                for target in (self.direct, running.target)
            )
        self.samples.add(f"{name} added_p50_ms", through.p50_ms - direct.p50_ms, meter.probe_us)
        self.samples.add(f"{name} added_p99_ms", through.p99_ms - direct.p99_ms, meter.probe_us)

    def streams(self, running: Running) -> None:
        """Paced and burst streams, and the time to the first byte."""
        self._chunks("paced", running, PACED, PACED_STREAMS, ramp=1)
        self._chunks("burst", running, BURST, BURST_STREAMS, ramp=0)
        self._first_byte(running)

    def messages(self, running: Running) -> None:
        """Paced streams for clients of Anthropic's format, from the upstream that speaks OpenAI's.

        A chunk is the upstream's, as in the other figures; the client sees three events more.
        """
        self._chunks("messages_paced", running, PACED, PACED_STREAMS, ramp=1, form=MESSAGES_STREAM)

    def compare(self, running: Running, before: Running) -> None:
        """What each CPU figure of this round is of the same of another version, measured right after it."""
        for figure in CPU_FIGURES:
            pair = [self.samples.series.get(f"{each.target.name} {figure}") for each in (running, before)]
            if all(pair):
                ours, theirs = (taken[-1] for taken in pair if taken)
                probe_us = max(ours.probe_us, theirs.probe_us)
                self.samples.add(f"{running.target.name} {figure}_to_before", ours.value / theirs.value, probe_us)

    def open_streams(self, running: Running) -> None:
        """KiB per open stream: once a run, on a fresh process, because memory once taken is kept."""
        server = running.server
        time.sleep(_IDLE_SECONDS)
        idle = server.pss_kib()
        readings: list[int] = []

        def read_while_open() -> None:
            for _ in range(_PSS_READINGS):
                readings.append(server.pss_kib())
                time.sleep(_PSS_SECONDS)

        with machine.Meter(server) as meter:
            load.stream_load(
                running.target,
                SLOW,
                root=ROOT,
                connections=SLOW_STREAMS,
                seconds=0,
                ramp=_SLOW_RAMP_SECONDS,
                when_open=read_while_open,
            )
        kib = (max(readings) - idle) / SLOW_STREAMS
        self.samples.add(f"{running.target.name} kib_per_open_stream", kib, meter.probe_us)

    def warm_up(self, running: Running, *, streams: bool, seconds: float | None = None) -> None:
        """One checked answer of each kind, then load that is not measured."""
        load.check(running.target)
        load.json_load(
            running.target,
            folder=self.fleet.folder,
            connections=CONNECTIONS,
            seconds=seconds or self.plan.warm_up,
            drain=3,
        )
        if streams:
            load.check_stream(running.target)
            load.stream_load(running.target, SHORT, root=ROOT, connections=BURST_STREAMS, seconds=1)

    def _stores_cpu_seconds(self) -> dict[str, float]:
        return {name: self.fleet.servers[name].cpu_seconds() for name in STORES if name in self.fleet.servers}

    def _first_byte(self, running: Running) -> None:
        name = running.target.name
        with machine.Meter(running.server) as meter:
            direct, through = (
                load.stream_load(target, SHORT, root=ROOT, connections=1, seconds=self.plan.streams)
                for target in (self.direct, running.target)
            )
        self.samples.add(f"{name} added_ttfb_ms", through.first_byte_p50_ms - direct.first_byte_p50_ms, meter.probe_us)
        self.samples.add(
            f"{name} added_ttfb_p99_ms", through.first_byte_p99_ms - direct.first_byte_p99_ms, meter.probe_us
        )

    def _chunks(
        self,
        kind: str,
        running: Running,
        shape: StreamShape,
        streams: int,
        *,
        ramp: float,
        form: StreamForm = CHAT_STREAM,
    ) -> None:
        with machine.Meter(running.server) as meter:
            done = load.stream_load(
                running.target, shape, root=ROOT, connections=streams, seconds=self.plan.streams, ramp=ramp, form=form
            )
        cpu_us = meter.cpu_seconds * 1e6 / (done.streams * CHAT_STREAM.events(shape))
        self.samples.add(f"{running.target.name} {kind}_cpu_us_per_chunk", cpu_us, meter.probe_us)
