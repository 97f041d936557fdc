"""Every pattern of ours against long hostile text, as it is used: the time grows with the text, never with its square.

The tree is read for them, so that a new one is tried by itself.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
ROOMS: Final = ("accounts", "administration", "billing", "bin", "costrouter", "portal", "routing")
LETTERS: Final = 100_000
BOUNDED: Final = {
    "billing.payments.memos._CODE": 1_000,
    "billing.payments.memos: [^0-9A-Z]": 1_000,
    "portal.reference.markup._TOKENS": 2_000,
    "routing.providers.anthropic.messages._NOT_OF_AN_ID": 200,
    "routing.endpoints.chat.answer._MONEY": 64,
    "routing.providers.openai.counts._WORD": 48,
    "routing.providers.openai.finish._HUMP": 100,
    "routing.providers.openai.meanings._FILLING": 100,
    "routing.providers.openai.refusals._ACCOUNT_DATA": 1_000,
    "routing.providers.openai.refusals._MARKED_MESSAGE": 8_000,
    "routing.providers.openai.refusals._OVERFLOW": 1_300,
    "routing.providers.openai.rests._PARTS": 1_000,
    "routing.providers.openai.rests._SENTENCE": 1_000,
}
"""Those that meet no more characters than these: a bound stands before them, or the text is our own."""
MADE_WITHIN: Final = 3
"""Those that are made from others as they are used: a memo's code, the name of a member (routing/wire/frames.py), the
addresses of a price list's vendors, which are the package's."""
SECONDS: Final = 0.005
"""Of this thread's processor time, the best of three tries: what else the machine does is not counted."""
_TRIES: Final = 3
PIECES: Final = [
    "a", "0", "-", ".", "/", ":", "a.", "a-", "-a", "/a", "a/", "a, ", "sk-", "sk-a", "sk-cr-", "0x", "[", "[:", "<",
    "`", "$", " - at `", " - at `$.", " - at `key` in `$", "Expected `int", "Object missing required field `", "a://",
    "deadbeef-", "chatcmpl-", "v1", "api", "\n", " ", "\\", '"', "'", "_a", "aA", "1s", "data:a/a;a", "error code: ",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
]  # fmt: skip
_WORDS: Final = re.compile(r"[A-Za-z0-9<>\" :@/_-]{2,}")


def patterns() -> Iterator[tuple[str, str]]:
    """The name of each pattern that a module of ours keeps, and each way in which that module uses it."""
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in sorted(_kept(tree)):
            for way in sorted(_ways(tree, name)) or ["search"]:
                yield f"{module}.{name}", way


def compiled() -> int:
    """How many patterns are compiled in our sources."""
    trees = (ast.parse(path.read_text()) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return sum(_is_compiling(node) for tree in trees for node in ast.walk(tree))


def written_within() -> Iterator[tuple[str, str, str | bytes, int]]:
    """Patterns that are written where they are used: a name, the way, the pattern and its flags."""
    for path, call in _calls_of_re():
        written = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
        if isinstance(written, str | bytes):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            flags = [getattr(re, ast.unparse(each.value).removeprefix("re.")) for each in call.keywords]
            way = ast.unparse(call.func).removeprefix("re.")
            name = written if isinstance(written, str) else written.decode()
            yield f"{module}: {name}", way, written, sum(flags)


def _calls_of_re() -> Iterator[tuple[Path, ast.Call]]:
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _OF_RE:
                yield path, node


_OF_RE: Final = {f"re.{way}" for way in ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")}


def _kept(tree: ast.Module) -> set[str]:
    """Names of the module's that stand for a pattern."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_compiling(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _is_compiling(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile"


def _ways(tree: ast.Module, name: str) -> set[str]:
    """The pattern's methods that are called."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {each.attr for each in called if isinstance(each, ast.Attribute) and ast.unparse(each.value) == name}


FOUND: Final = list(patterns())
WITHIN: Final = list(written_within())


def test_every_pattern_is_tried() -> None:
    """One that is compiled elsewhere than at the top of its module would not be."""
    assert len({name for name, _way in FOUND}) == compiled() > 50
    assert {name for name, *_way in (*FOUND, *WITHIN)} >= BOUNDED.keys()
    assert len(list(_calls_of_re())) == len(WITHIN) + MADE_WITHIN


@pytest.mark.parametrize(("name", "way"), FOUND, ids=[f"{name}.{way}" for name, way in FOUND])
def test_long_text_costs_no_more_than_its_length(name: str, way: str) -> None:
    module, _dot, member = name.rpartition(".")
    assert_quick(getattr(importlib.import_module(module), member), way, BOUNDED.get(name, LETTERS))


@pytest.mark.parametrize(("name", "way", "written", "flags"), WITHIN, ids=[each[0] for each in WITHIN])
def test_patterns_that_are_written_where_they_are_used_cost_no_more(
    name: str, way: str, written: str | bytes, flags: int
) -> None:
    assert_quick(re.compile(written, flags), way, BOUNDED.get(name, LETTERS))


def assert_quick(pattern: re.Pattern[Any], way: str, length: int) -> None:
    """Against long text of each piece, and of the words in the pattern itself."""
    source = pattern.pattern if type(pattern.pattern) is str else pattern.pattern.decode()
    for piece in [*PIECES, *sorted(set(_WORDS.findall(source)))]:
        text = (piece * length)[: length - 1] + "\x00"
        took = _seconds(pattern, way, text)
        for _again in range(_TRIES - 1):
            took = min(took, _seconds(pattern, way, text)) if took > SECONDS else took
        assert took < SECONDS, (piece, took)


def _seconds(pattern: re.Pattern[Any], way: str, text: str) -> float:
    hostile = text if type(pattern.pattern) is str else text.encode()
    arguments = (hostile[:0], hostile) if way in {"sub", "subn"} else (hostile,)
    began = time.thread_time()
    found = getattr(pattern, way)(*arguments)
    if way == "finditer":
        list(found)
    return time.thread_time() - began
