"""The invented forms of upstreams' bytes, through a real gateway, before OpenAI's own package.

What a reader makes of them in process stands with the forms; here is what is left of it at the client and in the books.
Many forms are tried at once, each by a thread with a model of its own.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final

import openai
import orjson
import pytest

from billing.kinds import Usage
from tests import schemas
from tests import upstream as up
from tests.callers import Caller
from tests.installation import SINGLE, Offer, Shape, Via
from tests.routing import dialects
from tests.routing.providers.openai import test_bytes as chat
from tests.routing.providers.openai.test_bytes import BROKEN, FAILURES, GOOD, NO_ANSWERS, WHOLE_ANSWERS, Broken, Said
from tests.worlds import World

THREADS: Final = 4
GROUPS: Final = sorted({name.partition(":")[0] for name in GOOD})
SHAPES: Final = {
    "anthropic": Shape(vias=(Via(provider="anthropic"),)),
    "gemini": Shape(vias=(Via(provider="gemini"),)),
    "openai": Shape(vias=(Via(options=(("endpoints", ("responses",)),)),)),
}
CHAT: Final = frozenset(("anthropic", "gemini"))
PROMPT: Final[Any] = [{"role": "user", "content": "hi"}]
Look = Callable[[openai.OpenAI, Offer], None]
"""Tries one form at a model; raises AssertionError, or one of the package's errors, for what is wrong."""


# --- many at once ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stocked(shared_world: World) -> World:
    """A world with models of each kind of upstream, for every test here."""
    installation = shared_world.installation
    installation.stock(dict.fromkeys(SHAPES.values(), 2 * THREADS) | {SINGLE: 10 * THREADS})
    return shared_world


@pytest.fixture
def caller(stocked: World, caller: Caller) -> Caller:
    return caller


def faults(caller: Caller, shape: Shape, looks: Mapping[str, Look]) -> dict[str, str]:
    """What is wrong, by the form's name."""
    models: SimpleQueue[Offer] = SimpleQueue()
    for _thread in range(THREADS):
        models.put(caller.installation.offer(shape))

    def fault(look: Look) -> str:
        model = models.get()
        try:
            look(client, model)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - all that is wrong is told at once
            return f"{type(error).__name__}: {error}"[:400]
        finally:
            models.put(model)
        return ""

    with sdk(caller) as client, ThreadPoolExecutor(THREADS) as threads:
        found = dict(zip(looks, threads.map(fault, looks.values()), strict=True))
    return {name: words for name, words in found.items() if words}


def sdk(caller: Caller) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.holder.secret, max_retries=0
    )  # fmt: skip


def in_pieces(data: bytes, size: int) -> up.Reply:
    return up.stream(*(data[at : at + size] for at in range(0, len(data), size)))


def broken_off(data: bytes) -> up.Reply:
    return up.stream(data, is_terminated=False, end=up.End.RESET)


def answer_of(data: bytes) -> up.Reply:
    return up.plain(200, data)


# --- what a client reads ---------------------------------------------------------------------------------------------


def streamed(client: openai.OpenAI, model: Offer) -> tuple[Said, Any]:
    """What chat's helper has put together, and its usage."""
    thought = ""
    final: Any = None
    with client.chat.completions.stream(
        model=model.name, messages=PROMPT, stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "chunk":
                assert schemas.faults(schemas.CHUNK, event.chunk.to_dict()) == []
                for choice in event.chunk.choices:
                    thought += getattr(choice.delta, "reasoning_content", None) or ""
        final = stream.current_completion_snapshot  # (the final one is refused where it was cut by its length)
    return _said(final, thought), final.usage


def whole(client: openai.OpenAI, model: Offer) -> tuple[Said, Any]:
    """The same of an answer that is not streamed."""
    answer = client.chat.completions.create(model=model.name, messages=PROMPT)
    assert schemas.faults(schemas.COMPLETION, answer.to_dict()) == []
    return _said(answer, getattr(answer.choices[0].message, "reasoning_content", None) or ""), answer.usage


def _said(answer: Any, thought: str) -> Said:
    (choice,) = answer.choices
    calls = tuple((call.function.name, call.function.arguments) for call in choice.message.tool_calls or ())
    return Said(choice.message.content or "", choice.finish_reason, calls, thought)


def responded(client: openai.OpenAI, model: Offer) -> tuple[Said, Any]:
    """What the helper of responses has put together, of events that it raises for where one is out of order."""
    with client.responses.stream(model=model.name, input="hi") as stream:
        last = [event for event in stream if event.type in {"response.completed", "response.incomplete"}]
    return _of_response(last[-1].response)


def response(client: openai.OpenAI, model: Offer) -> tuple[Said, Any]:
    return _of_response(client.responses.create(model=model.name, input="hi"))


def _of_response(answer: Any) -> tuple[Said, Any]:
    calls = tuple((item.name, item.arguments) for item in answer.output if item.type == "function_call")
    finish = "length" if answer.status == "incomplete" else "tool_calls" if calls else "stop"
    return Said(answer.output_text, finish, calls), answer.usage


def units(usage: Any) -> int:
    """The cost that the client is told, in ledger units."""
    cost: float = usage.cost
    return round(cost * 10**9)


def assert_told(counted: Usage, usage: Any) -> None:
    """The client is told these counts, and what they cost where nothing but plain tokens was used."""
    if hasattr(usage, "prompt_tokens"):
        input_, inner = usage.prompt_tokens, usage.prompt_tokens_details
        output, outer = usage.completion_tokens, usage.completion_tokens_details
    else:
        input_, inner = usage.input_tokens, usage.input_tokens_details
        output, outer = usage.output_tokens, usage.output_tokens_details
    told = input_, inner.cached_tokens, output, outer.reasoning_tokens
    assert told == (counted.input, counted.cached_input, counted.output, counted.reasoning)
    if counted == Usage(input=counted.input, output=counted.output) and counted.output:  # nothing said costs nothing
        assert units(usage) == counted.input * 2_000 + counted.output * 8_000


# --- chat's format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_helper_reads_every_good_form(caller: Caller, group: str) -> None:
    """Whole and in pieces; cut right before it is whole it raises."""
    shown: SimpleQueue[int] = SimpleQueue()

    def look(data: bytes, said: Said) -> Look:
        def tried(client: openai.OpenAI, model: Offer) -> None:
            for size in (len(data), 7):
                caller.upstream.on(model.upstream, in_pieces(data, size))
                seen, usage = streamed(client, model)
                shown.put(units(usage))
                assert_same(seen, said)
                if said.usage:
                    assert_told(said.usage, usage)
            caller.upstream.on(model.upstream, cut_off(data))
            with pytest.raises(openai.APIError):
                streamed(client, model)

        return tried

    forms = {name: look(*form) for name, form in GOOD.items() if name.startswith(f"{group}:")}

    assert faults(caller, SINGLE, forms) == {}
    caller.wait_until_settled()
    good = [record for record in caller.records if record.outcome == "success"]
    assert len(good) == shown.qsize() == 2 * len(forms)
    assert sum(record.cost for record in good) == sum(shown.get() for _each in good)


def assert_same(seen: Any, said: Any) -> None:
    assert (seen.text, seen.finish, seen.calls) == (said.text, said.finish, said.calls)
    assert seen.thought == getattr(said, "thought", "")


def cut_off(data: bytes) -> up.Reply:
    """Right before the answer is whole: some end there as if it were, the others break off."""
    is_ended = len(data) % 2 == 0
    places = range(len(data) - 1, 0, -1)
    cut = next((cut for cut in places if isinstance(chat.stream(data[:cut], is_ended=is_ended), Broken)), 0)
    return up.stream(data[:cut]) if is_ended else broken_off(data[:cut])


def test_client_reads_every_whole_answer(caller: Caller) -> None:
    shown: SimpleQueue[int] = SimpleQueue()

    def look(data: bytes, said: Said) -> Look:
        def tried(client: openai.OpenAI, model: Offer) -> None:
            caller.upstream.on(model.upstream, answer_of(data))
            is_wide = data.startswith(codecs.BOM_UTF16)
            # Asked to stream, it answers at once; what streams is UTF-8.
            for read in (whole,) if is_wide else (whole, streamed):
                seen, usage = read(client, model)
                shown.put(units(usage))
                assert_same(seen, said)
                if said.usage:
                    assert_told(said.usage, usage)

        return tried

    forms = {name: look(*form) for name, form in WHOLE_ANSWERS.items()}

    assert faults(caller, SINGLE, forms) == {}
    caller.wait_until_settled()
    assert {record.outcome for record in caller.records} == {"success"}
    assert sum(record.cost for record in caller.records) == sum(shown.get() for _each in caller.records)


def test_client_raises_for_every_broken_form(caller: Caller) -> None:
    def look(reply: up.Reply, read: Callable[[openai.OpenAI, Offer], Any]) -> Look:
        def tried(client: openai.OpenAI, model: Offer) -> None:
            caller.upstream.on(model.upstream, reply)
            with pytest.raises(openai.APIError):
                read(client, model)
            caller.upstream.on(model.upstream, up.ordinary)  # more good ones than bad, or the route is left alone
            for _time in range(2):
                whole(client, model)

        return tried

    streams = {name: look(in_pieces(data, 64), streamed) for name, data in {**BROKEN, **FAILURES}.items()}
    answers = {f"whole: {name}": look(answer_of(data), whole) for name, data in NO_ANSWERS.items()}

    assert faults(caller, SINGLE, streams | answers) == {}
    caller.wait_until_settled()
    outcomes = [record.outcome for record in caller.records]
    assert outcomes.count("success") == 2 * len(streams | answers) == len(outcomes) - len(streams | answers)


# --- other formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", SHAPES)
def test_helper_reads_every_good_form_of_other_formats(caller: Caller, provider: str) -> None:
    """Streams and whole answers; a stream that is cut in its middle raises."""
    read, read_whole = (streamed, whole) if provider in CHAT else (responded, response)

    def look(said: dialects.Said, replies: list[up.Reply], reader: Any, cut: bytes = b"") -> Look:
        def tried(client: openai.OpenAI, model: Offer) -> None:
            for reply in replies:
                caller.upstream.on(model.upstream, reply)
                seen, usage = reader(client, model)
                assert (seen.text, seen.finish, seen.calls) == (said.text, said.finish, said.calls)
                if said.usage:
                    assert_told(said.usage, usage)
            if cut:
                caller.upstream.on(model.upstream, up.stream(cut))
                with pytest.raises(openai.APIError):
                    reader(client, model)

        return tried

    streams = {
        name: look(said, [in_pieces(data, size) for size in (len(data), 7)], read, cut_of(data, said))
        for name, (of, data, said) in dialects.STREAMS.items()
        if of == provider
    }
    answers = {
        f"whole: {name}": look(said, [answer_of(orjson.dumps(value))], read_whole)
        for name, (of, value, said) in dialects.WHOLE.items()
        if of == provider
    }

    assert faults(caller, SHAPES[provider], streams | answers) == {}


def cut_of(data: bytes, said: dialects.Said) -> bytes:
    """The stream up to its middle; nothing where no more is said, so that nothing would be missing."""
    return data[: len(data) // 2] if said.text or said.calls else b""


@pytest.mark.parametrize("provider", SHAPES)
def test_client_raises_for_every_broken_form_of_other_formats(caller: Caller, provider: str) -> None:
    read = streamed if provider in CHAT else responded
    good = next(data for of, data, _said in dialects.STREAMS.values() if of == provider)

    def look(data: bytes) -> Look:
        def tried(client: openai.OpenAI, model: Offer) -> None:
            caller.upstream.on(model.upstream, in_pieces(data, 64))
            with pytest.raises(openai.APIError):
                read(client, model)
            caller.upstream.on(model.upstream, up.stream(good))
            for _time in range(2):
                read(client, model)

        return tried

    forms = {name: look(data) for name, (of, data) in dialects.BROKEN.items() if of == provider}

    assert faults(caller, SHAPES[provider], forms) == {}
