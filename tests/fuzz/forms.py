"""Bodies that are forms with a file (multipart/form-data): recordings to write down or to translate."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import strategies as st

from tests.fuzz.others import OTHERS
from tests.fuzz.subjects import Subject
from tests.fuzz.words import texts

BOUNDARY: Final = b"between"
_BETWEEN: Final = b"--" + BOUNDARY + b"\r\n"
_END: Final = b"--" + BOUNDARY + b"--\r\n"


@dataclass(frozen=True)
class File:
    """A part that is a file."""

    name: str
    media: str
    data: bytes


def part(name: str, value: Any) -> bytes:
    """One part of a form: its head, and what it says."""
    head = f'content-disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, File):
        head += f'; filename="{_quoted(value.name)}"\r\ncontent-type: {_quoted(value.media)}'
    data = value.data if isinstance(value, File) else _written(value).encode("utf-8", "surrogatepass")
    return _BETWEEN + head.encode("utf-8", "surrogatepass") + b"\r\n\r\n" + data + b"\r\n"


def as_form(body: Mapping[str, Any]) -> bytes:
    """Members as parts, those of lists and objects under names in brackets, as clients do."""
    return b"".join(part(name, value) for name, value in _flat(body)) + _END


def _flat(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        if isinstance(value, list):
            yield from ((f"{name}[]", each) for each in value)
        elif isinstance(value, dict):
            yield from ((f"{name}[{inner}]", each) for inner, each in value.items())
        else:
            yield name, value


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _written(value: Any) -> str:
    """As a form has it: numbers and truths are text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wav(seconds: float) -> bytes:
    size = int(seconds * 16_000) * 2
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16,
                       b"data", size)  # fmt: skip
    return head + bytes(size)


_SOUND: Final = _wav(0.1)
_MAGIC: Final = [b"ID3", b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypM4A ", b"\xff\xfb\x90\x00"]
"""How other kinds of sound begin."""
_sounds = st.one_of(
    st.just(_SOUND),
    st.binary(max_size=60),
    st.integers(0, 60).map(lambda cut: _SOUND[:cut]),
    st.binary(min_size=1, max_size=8).map(lambda odd: _SOUND[:20] + odd + _SOUND[20 + len(odd) :]),
    st.builds(bytes.__add__, st.sampled_from(_MAGIC), st.binary(max_size=80)),
)
_files = st.builds(
    File,
    st.one_of(st.sampled_from(["a.wav", "a.mp3", "", "../a.wav", "a" * 300]), texts),
    st.sampled_from(["audio/wav", "text/html", "x", ""]),
    _sounds,
)


@st.composite
def crowded(draw: st.DrawFn, model: str, subject: Subject) -> bytes:
    """A form with parts named twice, in brackets within brackets, or very many of them."""
    name = draw(st.sampled_from(subject.names))
    nested = name + "".join(f"[{draw(texts)}]" for _ in range(draw(st.sampled_from([1, 2, 3, 4, 40]))))
    width = draw(st.sampled_from([0, 1, 90, 98, 101, 2000]))
    parts = [
        part("model", model),
        *(part(each, value) for each, value in subject.smallest.items()),
        part(nested, draw(texts)),
        *(part(f"f{number}", "x") for number in range(width)),
    ]
    parts += draw(st.lists(st.sampled_from(parts), max_size=1))
    return b"".join(draw(st.permutations(parts)) if width < 2 else parts) + draw(st.sampled_from([_END, b"", _BETWEEN]))


def pieces() -> st.SearchStrategy[bytes]:
    """What a form's syntax is made of, in any order."""
    odd = [
        _BETWEEN, _END, b"\r\n", b"\n", b"\r\n\r\n", b'content-disposition: form-data; name="model"', b"; filename=",
        b"content-type: multipart/mixed; boundary=between", b"content-transfer-encoding: base64", b"--", b'"',
    ]  # fmt: skip
    return st.lists(st.one_of(st.sampled_from(odd), st.binary(max_size=30)), max_size=12).map(b"".join)


TRANSCRIPTIONS: Final = Subject(
    path="/v1/audio/transcriptions",
    frame={"file": _files},
    smallest={"file": File("a.wav", "audio/wav", _SOUND)},
    valid={
        "language": texts,
        "prompt": texts,
        "response_format": st.sampled_from(["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]),
        "temperature": st.sampled_from(["0", "1", "0.5", "nan", "1e999", "-0", "2", ""]),
        "timestamp_granularities": st.lists(st.sampled_from(["word", "segment", "x"]), max_size=3),
        "include": st.lists(texts, max_size=2),
        "known_speaker_names": st.lists(texts, max_size=2),
        "chunking_strategy": st.one_of(st.just("auto"), st.dictionaries(texts, texts, max_size=2)),
        "stream": st.sampled_from(["true", "false", "True", "1", "x"]),
    },
    shape=OTHERS,
    media=f"multipart/form-data; boundary={BOUNDARY.decode()}",
    write=as_form,
)
TRANSLATIONS: Final = replace(TRANSCRIPTIONS, path="/v1/audio/translations")
