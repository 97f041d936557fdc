"""Every pair of a client's format and an upstream's dialect: the same text, calls and counts, whole and as a stream.

And a stream that ends too soon is an error in the client's own format at every event, never a whole answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests import dialects
from tests import upstream as up
from tests.callers import Caller
from tests.clients import CLIENTS, Client, completions, google, messages, responses
from tests.dialects import ANTHROPIC, CHAT, COMPLETIONS, GEMINI, RESPONSES, Dialect
from tests.worlds import World

PAIRS: Final[list[tuple[Client, Dialect]]] = [
    *((client, dialect) for client in CLIENTS for dialect in (CHAT, ANTHROPIC, GEMINI, RESPONSES)),
    (completions, COMPLETIONS),
]


def spoken(client: Client, dialect: Dialect) -> Dialect:
    """What the upstream is asked in, and answers in: one that has the Responses API beside chat's is asked in both."""
    return CHAT if dialect is RESPONSES and client is not responses else dialect


def named(client: Client, dialect: Dialect) -> str:
    return f"{client.__name__} before {dialect.name}"


every_pair = pytest.mark.parametrize(
    ("client", "dialect"), PAIRS, ids=[named(client, dialect) for client, dialect in PAIRS]
)


def _texts() -> Iterator[Any]:
    """Where both carry arguments as a text, and not as an object."""
    for client, dialect in PAIRS:
        answer = spoken(client, dialect)
        for is_stream in (False, True):
            has_text = answer.has_pieces if is_stream else answer.has_text and client is not messages
            if answer.calls and has_text and client is not google:
                way = "stream" if is_stream else "whole"
                yield pytest.param(client, dialect, is_stream, id=f"{named(client, dialect)}, {way}")


TEXTS: Final = list(_texts())


def _cuts() -> Iterator[Any]:
    """After each event that does not make the answer whole."""
    for client, dialect in PAIRS:
        if spoken(client, dialect) is dialect:
            for length in range(dialect.needed):
                yield pytest.param(client, dialect, length, id=f"{named(client, dialect)}, {length} events")


CUTS: Final = list(_cuts())


@pytest.fixture(scope="module", autouse=True)
def _models(shared_world: World) -> None:
    """All that this module needs, at once: each lot takes a moment until the gateway knows it."""
    asked = [*PAIRS, *PAIRS, *(each.values[:2] for each in (*TEXTS, *CUTS))]
    shared_world.installation.stock(dict(Counter(dialect.shape for _client, dialect in asked)))


@every_pair
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_every_pair_says_the_same(
    world: World, caller: Caller, client: Client, dialect: Dialect, is_stream: bool
) -> None:
    model, answer = world.offer(dialect.shape), spoken(client, dialect)
    caller.upstream.on(model.upstream, answer.stream if is_stream else answer.whole)

    said = client(caller, model, is_stream=is_stream)

    assert (said.is_broken, said.text) == (False, dialects.TEXT)
    assert said.calls == ([(dialects.TOOL, json.loads(dialects.ARGUMENTS))] if answer.calls else [])
    assert said.counts == (dialects.INPUT, dialects.CACHED, dialects.OUTPUT)
    record = caller.only_record()
    assert (record.outcome, record.usage_source) == ("success", "upstream")
    assert (record.usage.input, record.usage.cached_input, record.usage.output) == said.counts


@pytest.mark.parametrize(("client", "dialect", "is_stream"), TEXTS)
def test_arguments_are_the_upstreams_to_the_byte(
    world: World, caller: Caller, client: Client, dialect: Dialect, is_stream: bool
) -> None:
    model, answer = world.offer(dialect.shape), spoken(client, dialect)
    caller.upstream.on(model.upstream, answer.stream if is_stream else answer.whole)

    assert client(caller, model, is_stream=is_stream).arguments == [dialects.ARGUMENTS]


@pytest.mark.parametrize(("client", "dialect", "length"), CUTS)
def test_stream_that_ends_after_any_event_is_an_error(
    world: World, caller: Caller, client: Client, dialect: Dialect, length: int
) -> None:
    model = world.offer(dialect.shape)
    caller.upstream.on(model.upstream, up.stream(*dialect.events[:length]))

    assert client(caller, model, is_stream=True).is_broken
    assert caller.only_record().outcome == "upstream_error"
