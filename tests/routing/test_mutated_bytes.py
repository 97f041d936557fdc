"""What servers really send, with an odd member somewhere: an answer or none, and nothing else is raised."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from random import Random
from typing import Any, Final

import pytest

from routing.providers.base import MalformedAnswer
from tests.routing import dialects
from tests.routing.dialects import streamed, whole
from tests.routing.providers.openai import test_bytes as chat


def _all_of(streams: Mapping[str, tuple[bytes, Any]], answers: Mapping[str, tuple[Any, Any]]) -> list[bytes]:
    return [
        *(data for data, _said in streams.values()),
        *(json.dumps(value).encode() for value, _said in answers.values()),
    ]


CHAT: Final = [*chat.NO_PERFECT_CHUNKS.values(), *chat.REASONS.values(), *chat.USAGES.values(), *chat.TOOLS.values()]
BYTES: Final[dict[tuple[str, str], list[bytes]]] = {
    ("openai", "chat.completions"): [data for data, _said in CHAT],
    ("llamacpp", "chat.completions"): [data for data, _said in CHAT],
    ("openai", "completions"): [data for data, _said in CHAT],
    ("anthropic", "chat.completions"): _all_of(dialects.ANTHROPICS, dialects.WHOLE_ANTHROPICS),
    ("anthropic", "messages"): _all_of(dialects.ANTHROPICS, dialects.WHOLE_ANTHROPICS),
    ("gemini", "chat.completions"): _all_of(dialects.GOOGLES, dialects.WHOLE_GOOGLES),
    ("gemini", "generate"): _all_of(dialects.GOOGLES, dialects.WHOLE_GOOGLES),
    ("openai", "responses"): _all_of(dialects.RESPONSES, dialects.WHOLE_RESPONSES),
}
ODD: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2.5, 2**63, 1e400, "", "1", "{", "x", [], [1], [None], [{}], {}, {"a": 1}, {"type": "x"},
)  # fmt: skip
TIMES: Final = 600


@pytest.mark.parametrize(("provider", "endpoint"), BYTES)
def test_odd_member_raises_nothing_but_that_there_is_no_answer(provider: str, endpoint: str) -> None:
    random = Random(f"{provider} {endpoint}")
    for _time in range(TIMES):
        data = _mutated(random.choice(BYTES[provider, endpoint]), random)
        for read in (streamed, whole):
            with contextlib.suppress(MalformedAnswer):
                read(provider, endpoint, data)


def _mutated(data: bytes, random: Random) -> bytes:
    """With one place of one line's JSON taken out or changed; as it is where it has none that Python reads."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    start = lines[place].find(b"{")
    with contextlib.suppress(ValueError):
        value = json.loads(lines[place][start:]) if start >= 0 else {}
        path = random.choice(list(paths_in(value)) or [()])
        if path:
            _change(value, path, random)
            lines[place] = lines[place][:start] + json.dumps(value).encode()
    return b"\n".join(lines)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for name, each in inner:
        yield (*path, name)
        yield from paths_in(each, (*path, name))


def _change(value: Any, path: tuple[Any, ...], random: Random) -> None:
    for name in path[:-1]:
        value = value[name]
    if random.random() < 0.15:
        del value[path[-1]]
    else:
        value[path[-1]] = deepcopy(random.choice(ODD))
