"""The rigs: bodies of a subject, from nearly valid ones to plain bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from tests.fuzz import forms
from tests.fuzz.subjects import Subject, as_json
from tests.fuzz.words import values

Rig = Callable[[str, Subject], st.SearchStrategy[bytes]]
"""Bodies for a model."""


@st.composite
def near_valid(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    """A good frame, and members of the right kind, or of any."""
    is_good = draw(st.booleans())
    named = st.just(model) if is_good else st.one_of(st.just(model), st.just(model), values)
    body: dict[str, Any] = {"model": draw(named)}
    if is_good:
        members = st.fixed_dictionaries({**subject.frame, **draw(_some(subject.valid))})
        return subject.write(body | draw(members))
    body |= {name: draw(subject.member(name)) for name in subject.frame}
    for name in draw(st.lists(st.sampled_from(subject.names), max_size=5)):
        body[name] = draw(subject.member(name))
    return subject.write(body)


def _some(members: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.lists(st.sampled_from(sorted(members)), max_size=4, unique=True)
    return names.map(lambda chosen: {name: members[name] for name in chosen})


_ODD: Final = [
    b'"',
    b"{",
    b"}",
    b"[" * 40,
    b",",
    b"\\u0000",
    b"\\ud800",
    b"9" * 30,
    b"1e999",
    b"NaN",
    b"\r\n--",
    b"%00",
]


@st.composite
def mutated(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    """The text of a request with pieces cut, doubled or overwritten."""
    raw = bytearray(draw(near_valid(model, subject)))
    for _count in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(raw) - 1)))
        stop = min(len(raw), start + draw(st.integers(0, 12)))
        raw[start:stop] = draw(
            st.one_of(st.binary(max_size=6), st.just(bytes(raw[start:stop]) * 2), st.sampled_from(_ODD))
        )
    return bytes(raw)


def doubled(model: str, subject: Subject) -> st.SearchStrategy[bytes]:
    """A request with members named twice, nested deeply, or very wide."""
    return _doubled_json(model, subject) if subject.write is as_json else forms.crowded(model, subject)


@st.composite
def _doubled_json(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    name, value = draw(st.sampled_from(subject.names)), draw(values)
    depth = draw(st.sampled_from([1, 5, 63, 64, 65, 980, 2000]))
    width, wide = draw(st.sampled_from([1, 10, 190_000, 210_000])), draw(st.sampled_from(["wide", *subject.frame]))
    members = {
        **{each: json.dumps(given) for each, given in {"model": model, **subject.smallest}.items()},
        wide: f"[{','.join(['0'] * width)}]",
    }
    said = [f"{json.dumps(each)}: {given}" for each, given in members.items()]
    said.append(f"{json.dumps(name)}: {'[' * depth + json.dumps(value) + ']' * depth}")
    said += draw(st.lists(st.sampled_from(said), max_size=1))
    return ("{" + ", ".join(draw(st.permutations(said))) + "}").encode()


def raw_bytes(_model: str, subject: Subject) -> st.SearchStrategy[bytes]:
    syntax = values.map(as_json) if subject.write is as_json else forms.pieces()
    return st.one_of(st.binary(max_size=300), syntax)


RIGS: Final[Mapping[str, Rig]] = {
    "raw bytes": raw_bytes,
    "near valid": near_valid,
    "mutated": mutated,
    "doubled, deep or wide": doubled,
}
