"""Each case that other billing engines' own suites assert has a test that bears its number: E1 to E36, P1 to P14.

A case is a function named `test_e15_...` or `test_p7_...` (several numbers may stand in one name), here or, where the
case is another room's, in the file that `ELSEWHERE` names.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parent.parent
CASES: Final = [*(f"e{number}" for number in range(1, 37)), *(f"p{number}" for number in range(1, 15))]
ELSEWHERE: Final = {
    "p10": "administration/test_read_back.py",  # every form's and API's fields, not those of money alone
    "p11": "routing/catalogue/test_vendor_prices.py",  # the room that imports prices
    "p12": "portal/test_focus.py",  # what a tenant exports
    "p14": "chaos/test_races.py",  # keys, over several processes
}
DIFFERENT: Final = {
    "e28": "a column store's: here a record is written by who takes the reservation away, so that nothing is there to"
    " collapse; that the same request at another time is the same request is tested",
    "p14": "here a rotation is a second key beside the first, each valid by itself; that no process refuses the one"
    " that holds is tested",
}
"""Cases that are not quite ours, and why: their tests assert our own form of them."""
_NAME: Final = re.compile(r"test_((?:[ep]\d+_)+)")


def _named() -> dict[str, set[str]]:
    """The files of the tests that bear a number, by the number; functions that are there, not words in comments."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match = _NAME.match(node.name) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
            for number in match[1].rstrip("_").split("_") if match else ():
                found[number].add(path.relative_to(TESTS).as_posix())
    return found


@pytest.fixture(scope="module")
def named() -> dict[str, set[str]]:
    return _named()


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_test_that_bears_its_number(case: str, named: dict[str, set[str]]) -> None:
    home = ELSEWHERE.get(case, "billing/")
    assert [name for name in sorted(named.get(case, ())) if name.startswith(home)]


def test_no_test_bears_a_number_that_is_no_case(named: dict[str, set[str]]) -> None:
    assert set(named) == set(CASES)


def test_cases_of_other_rooms_and_those_not_quite_ours_are_cases() -> None:
    assert ELSEWHERE.keys() | DIFFERENT.keys() <= set(CASES)
