"""Memory given back, in processes of their own: what a storm of bodies leaves in a thread's arena, and circles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STORM = """
import threading
from costrouter.memory import Surplus, resident_bytes

surplus, last = Surplus(), []
surplus.give_back(0)
before = resident_bytes()

def storm():
    pieces = [b"%d" % number * 2**15 for number in range(1000)]
    last.append(bytes(2**16))  # what comes last keeps the arena's end in use

thread = threading.Thread(target=storm)
thread.start()
thread.join()
left = resident_bytes() - before
surplus.give_back(0)
print(left, resident_bytes() - before)
"""


def test_what_a_storm_leaves_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", STORM], cwd=ROOT, check=True, capture_output=True, text=True)
    left, rest = map(int, done.stdout.split())
    assert left > 40 * 2**20
    assert rest < 2 * 2**20


CIRCLES = """
import weakref
from costrouter.memory import Surplus, collect_seldom

class Link:
    pass

def circles(number):
    for _ in range(number):
        link = Link()
        link.own = link
    return weakref.ref(link)

collect_seldom()
surplus = Surplus()
few = circles(1_000)
surplus.give_back(0)
many = circles(50_000)
surplus.give_back(1_000)
print(few() is None, many() is None)
surplus.give_back(5)
print(few() is None, many() is None)
"""


def test_circles_are_looked_for_while_few_requests_are_under_way_and_only_if_there_may_be_many() -> None:
    done = subprocess.run([sys.executable, "-c", CIRCLES], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", "True", "True"]


GROWN = """
import gc, sys
from costrouter.memory import Surplus, collect_seldom

collect_seldom()
surplus = Surplus()
surplus.give_back(0)

def free_tuples():
    return sum(map(len, [[(n,) for n in range(3_000)]]))

free_tuples()
before = sys.getallocatedblocks()
surplus.give_back(0)
held = [bytes(1_000) for _ in range(20_000)]
grown = sys.getallocatedblocks() - before
surplus.give_back(0)
let_go = grown - (sys.getallocatedblocks() - before) > 1_500
times = gc.get_stats()[2]["collections"]
surplus.give_back(0)
print(let_go, gc.get_stats()[2]["collections"] - times)
"""


def test_process_that_has_grown_lets_go_of_the_interpreters_free_objects() -> None:
    """2,000 tuples of one member lie about in what a storm took. Once: who stays large has large caches."""
    done = subprocess.run([sys.executable, "-c", GROWN], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "0"]
