"""Memory given back, in a process of its own: what a storm of bodies leaves in a thread's arena."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STORM = """
import threading
from costrouter.memory import Surplus, resident_bytes

surplus, last = Surplus(), []
surplus.give_back()
before = resident_bytes()

def storm():
    pieces = [b"%d" % number * 2**15 for number in range(1000)]
    last.append(bytes(2**16))  # what comes last keeps the arena's end in use

thread = threading.Thread(target=storm)
thread.start()
thread.join()
left = resident_bytes() - before
surplus.give_back()
print(left, resident_bytes() - before)
"""


def test_what_a_storm_leaves_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", STORM], cwd=ROOT, check=True, capture_output=True, text=True)
    left, rest = map(int, done.stdout.split())
    assert left > 40 * 2**20
    assert rest < 2 * 2**20
