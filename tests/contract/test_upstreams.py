"""Upstreams that speak chat in forms of their own, before every kind of client: whole where they are, never where not.

The forms are those of public reports; where one is a known server's, it is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import upstream as up
from tests.callers import Caller
from tests.clients import CLIENTS, Client, Said, chat, google, messages
from tests.installation import Offer, Shape, Via
from tests.routing.providers.anthropic import streams
from tests.worlds import World

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
COST = 100 * 2_000 + 10 * 8_000
TEXT = [up.chunk({"role": "assistant", "content": "Hello"}), up.chunk({"content": " there"}), up.FINISH]
PARAMETERS = {"type": "object", "properties": {}}
each_client = pytest.mark.parametrize("client", CLIENTS, ids=[client.__name__ for client in CLIENTS])


# --- streams in other forms ------------------------------------------------------------------------------------------


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def member_of_list(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n,\r\n"


FORMS: dict[str, tuple[bytes, Callable[[Any], bytes], bytes]] = {
    "blank before the colon": (b"", lambda value: b"data : " + line(value) + b"\n", up.DONE),
    "NDJSON": (b"", line, b""),  # Ollama's and LM Studio's older servers, proxies that take the events apart
    "NDJSON, a blank line between": (b"\r\n", lambda value: line(value) + b"\r\n", b""),
    "NDJSON, events' end": (b"\xef\xbb\xbf", line, up.DONE),
    "NDJSON, its end on a line": (b"", line, b"[DONE]\n"),
    "JSON text sequence": (b"", lambda value: b"\x1e" + line(value), b""),  # RFC 7464
    "list": (b"[", member_of_list, json.dumps(up.usage_chunk(USAGE)).encode() + b"]"),  # Google's, without alt=sse
    "wrapped in data": (b"", lambda value: up.event({"code": 0, "data": value}), up.DONE),
    "wrapped in result": (b"", lambda value: up.event({"result": value, "success": True, "errors": []}), up.DONE),
    "NDJSON, wrapped": (b"", lambda value: line({"data": value}), b""),
    # Servers whose library writes the field's name write it, too; and objects that were written to be looked at.
    "the field's name twice": (b"", lambda value: b"data: data: " + line(value) + b"\n", b"data: data: [DONE]\n\n"),
    "over lines, the first with a name": (
        b"",
        lambda value: b"data: " + json.dumps(value, indent=1).encode() + b"\n\n",
        up.DONE,
    ),
    "NUL behind each event": (b"", lambda value: up.event(value) + b"\0", up.DONE),
    "encoded twice": (b"", lambda value: up.event(json.dumps(value)), up.DONE),
    "events of several": (b"", lambda value: up.event([value, {}]), up.DONE),
}


EVERYWHERE = ("NDJSON", "list", "wrapped in data")
"""Forms that are tried before every client; the others before chat's, since all read alike."""
TRIED = [
    pytest.param(form, client, id=f"{name}-{client.__name__}")
    for name, form in FORMS.items()
    for client in (CLIENTS if name in EVERYWHERE else [chat])
]
each_form = pytest.mark.parametrize(("form", "client"), TRIED)


def told(form: tuple[bytes, Callable[[Any], bytes], bytes], *chunks: Any, size: int = 0, end: bool = True) -> up.Reply:
    """These chunks in a form, in transfer chunks of this many bytes; where it has not ended, its connection breaks."""
    start, write, last = form
    parts = [start + write(chunks[0]), *map(write, chunks[1:]), *([last] if end else [])]
    data = b"".join(parts)
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [part for part in parts if part]
    # What came before the connection breaks must be out: a break throws away what is still on its way.
    return up.stream(*pieces, end=up.End.KEEP_OPEN if end else up.End.CLOSE, is_terminated=end)


@each_form
@pytest.mark.parametrize("size", [0, 7])
def test_stream_in_another_form_is_the_same_answer(
    caller: Caller, model: Offer, form: Any, size: int, client: Client
) -> None:
    caller.upstream.on(model.upstream, told(form, *TEXT, up.usage_chunk(USAGE), size=size))

    assert client(caller, model, is_stream=True) == Said("Hello there")
    record = caller.only_record()
    assert (record.outcome, record.cost) == ("success", COST)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/event-stream"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_stream_that_nobody_asked_for_is_put_together(caller: Caller, model: Offer, form: Any, kind: str) -> None:
    start, write, last = form
    body = start + b"".join(map(write, [*TEXT, up.usage_chunk(USAGE)])) + last
    caller.upstream.on(model.upstream, up.plain(200, body, content_type=kind))

    assert chat(caller, model, is_stream=False) == Said("Hello there")
    assert caller.only_record().cost == COST


def test_pieces_go_out_as_they_come(caller: Caller, model: Offer) -> None:
    parts = [line(chunk) for chunk in TEXT]
    caller.upstream.on(model.upstream, up.stream(*parts[:2], up.Pause(0.3), parts[2]))

    seen = caller.listen(model)

    first = next(at for at, data in seen.arrivals if b"Hello" in data)
    assert (seen.text(), seen.is_done, seen.arrivals[-1][0] - first > 0.2) == ("Hello there", True, True)


def test_first_of_several_lines_waits_for_no_other(caller: Caller, model: Offer) -> None:
    parts = [line(chunk) for chunk in TEXT]
    caller.upstream.on(model.upstream, up.stream(parts[0], up.Pause(0.4), *parts[1:]))

    seen = caller.listen(model)

    first = next(at for at, data in seen.arrivals if b"Hello" in data)
    assert (seen.text(), seen.is_done, seen.arrivals[-1][0] - first > 0.3) == ("Hello there", True, True)


@each_form
@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("is_clean", [False, True], ids=["broken off", "ended"])
def test_stream_in_another_form_that_is_cut_is_broken(
    caller: Caller, model: Offer, form: Any, length: int, client: Client, is_clean: bool
) -> None:
    start, write, _last = form
    reply = told((start, write, b""), *TEXT[:length], end=is_clean)
    caller.upstream.on(model.upstream, reply)

    assert client(caller, model, is_stream=True).is_broken
    assert caller.only_record().outcome == "upstream_error"


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_cut_stream_that_nobody_asked_for_is_no_answer(
    caller: Caller, model: Offer, form: Any, length: int
) -> None:  # fmt: skip
    start, write, _last = form
    body = start + b"".join(map(write, TEXT[:length]))
    caller.upstream.on(model.upstream, up.plain(200, body))

    assert chat(caller, model, is_stream=False).is_broken
    assert caller.only_record().cost == 0


WRAPS: dict[str, Callable[[Any], Any]] = {
    "a text": json.dumps,
    "a list": lambda answer: [answer],
    "data": lambda answer: {"code": 0, "message": "ok", "data": answer},
    "result": lambda answer: {"result": answer, "success": True, "errors": [], "messages": []},  # Cloudflare's API
    "output": lambda answer: {"output": answer, "usage": answer.pop("usage"), "request_id": "r"},  # DashScope's own
}


@each_client
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS.keys())
def test_whole_answer_in_an_envelope_is_the_answer(
    caller: Caller, model: Offer, wrap: Any, client: Client, is_stream: bool
) -> None:
    caller.upstream.on(model.upstream, up.plain(200, wrap(up.completion("Hello there", usage=USAGE))))

    assert client(caller, model, is_stream=is_stream) == Said("Hello there")
    assert caller.only_record().cost == COST


@each_client
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_envelope_with_an_error_is_none(caller: Caller, model: Offer, client: Client, is_stream: bool) -> None:
    body = {"result": up.completion("Hel"), "error": {"message": "out of memory"}}
    caller.upstream.on(model.upstream, up.plain(200, body))

    assert client(caller, model, is_stream=is_stream).is_broken


# --- a reason that stands in every chunk -----------------------------------------------------------------------------


def stopping(*texts: str) -> list[bytes]:
    return [up.event(up.chunk({"content": text}, finish_reason="stop")) for text in texts]


ROLE = up.event(up.ROLE)
CUTS: dict[str, list[bytes]] = {
    "in the first": stopping("Hello"),
    "behind the role": [ROLE, *stopping("Hello")],
    "with the role": [up.event(up.chunk({"role": "assistant", "content": "Hello"}, finish_reason="stop"))],
    "in each": stopping("Hello", " there", ", you"),
    "in each, usage too": [
        up.event(up.chunk({"content": text}, finish_reason="stop", usage=USAGE)) for text in ("Hello", " there")
    ],
}


LATE: dict[str, list[up.Step]] = {
    "nothing": [],
    "no JSON": [b"data: {broken\n\n"],
    "error": [up.event({"error": {"message": "x"}})],
}


@pytest.mark.parametrize("parts", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize(
    ("late", "client"),
    [
        pytest.param(late, client, id=f"{name}-{client.__name__}")
        for name, late in LATE.items()
        for client in (CLIENTS if name == "nothing" else [chat])
    ],
)
def test_cut_stream_that_says_stop_in_every_chunk_is_broken(
    caller: Caller, model: Offer, parts: list[bytes], late: list[up.Step], client: Client
) -> None:
    broken: list[up.Step] = [*parts, *late, up.Pause(0.05)]
    caller.upstream.on(model.upstream, up.stream(*broken, end=up.End.RESET, is_terminated=False))

    assert client(caller, model, is_stream=True).is_broken
    assert caller.only_record().outcome == "upstream_error"


WHOLE: dict[str, list[bytes]] = {
    "in the last, with text": [up.event(up.chunk({"content": "Hello"})), *stopping(" there")],
    "in each, and alone": [*stopping("Hello", " there"), up.event(up.FINISH)],
    "in each, usage behind": [*stopping("Hello", " there"), up.event(up.usage_chunk(USAGE))],
    "another at the end": [*stopping("Hello"), up.event(up.chunk({"content": " there"}, finish_reason="length"))],
}


@pytest.mark.parametrize("parts", WHOLE.values(), ids=WHOLE.keys())
def test_reason_that_can_be_believed_needs_no_clean_end(caller: Caller, model: Offer, parts: list[bytes]) -> None:
    caller.upstream.on(model.upstream, up.stream(*parts, up.Pause(0.05), end=up.End.RESET, is_terminated=False))

    assert chat(caller, model, is_stream=True) == Said("Hello there")
    assert caller.only_record().outcome == "success"


@each_client
@pytest.mark.parametrize("end", [[up.DONE], []], ids=["said", "clean"])
def test_stop_in_every_chunk_is_whole_where_the_end_is(
    caller: Caller, model: Offer, end: list[bytes], client: Client
) -> None:
    caller.upstream.on(model.upstream, up.stream(*stopping("Hello", " there"), *end))

    assert client(caller, model, is_stream=True) == Said("Hello there")


# --- calls -----------------------------------------------------------------------------------------------------------


@each_client
@pytest.mark.parametrize("name", [{}, {"name": None}, {"name": ""}], ids=["absent", "null", "empty"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_whole_answer_that_calls_nothing_by_name_is_none(
    caller: Caller, model: Offer, name: dict[str, Any], client: Client, is_stream: bool
) -> None:
    call = {"id": "a", "type": "function", "function": {**name, "arguments": "{}"}}
    answer = up.completion("Hello", usage=USAGE)
    answer["choices"][0]["message"]["tool_calls"] = [call]
    caller.upstream.on(model.upstream, up.plain(200, answer))

    assert client(caller, model, is_stream=is_stream).is_broken
    record = caller.only_record()
    assert (record.outcome, record.cost) == ("upstream_error", 0)


def calling(*fragments: dict[str, Any], finish: str = "tool_calls") -> Iterator[bytes]:
    for fragment in fragments:
        yield up.event(up.chunk({"tool_calls": [{"index": 0, **fragment}]}))
    yield up.event(up.chunk({}, finish_reason=finish))
    yield up.DONE


def begun(name: str, arguments: str = "") -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def more(**function: str) -> dict[str, Any]:
    return {"function": function}


QUOTED = json.dumps(json.dumps({"x": 'a"\\\N{SNOWMAN}'}))
CALLS: dict[str, list[dict[str, Any]]] = {
    "name in pieces": [begun("ge"), more(name="t_"), more(name="it"), more(arguments='{"x": "a'), more(arguments='"}')],
    "name in pieces that are names": [begun("get"), more(name="_it"), more(arguments='{"x": "a"}')],
    "name behind the arguments": [{"id": "call_1", **more(arguments='{"x": "a"}')}, more(name="get_it")],
    "name in pieces, arguments with the last": [begun("get"), more(name="_it", arguments='{"x": "a"}')],
}


@each_client
@pytest.mark.parametrize("fragments", CALLS.values(), ids=CALLS.keys())
def test_name_that_comes_in_pieces_is_one(
    caller: Caller, model: Offer, fragments: list[dict[str, Any]], client: Client
) -> None:
    caller.upstream.on(model.upstream, up.stream(*calling(*fragments)))

    assert client(caller, model, is_stream=True).calls == [("get_it", {"x": "a"})]


@each_client
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
@pytest.mark.parametrize("size", [1, 1000])
def test_arguments_quoted_twice_are_the_object(
    caller: Caller, model: Offer, size: int, finish: str, client: Client
) -> None:
    pieces = [QUOTED[at : at + size] for at in range(0, len(QUOTED), size)]
    fragments = [begun("get", pieces[0]), *(more(arguments=piece) for piece in pieces[1:])]
    caller.upstream.on(model.upstream, up.stream(*calling(*fragments, finish=finish)))

    assert client(caller, model, is_stream=True).calls == [("get", {"x": 'a"\\\N{SNOWMAN}'})]


@each_client
def test_whole_answers_arguments_quoted_twice_are_the_object(caller: Caller, model: Offer, client: Client) -> None:
    reply = up.answer(None, message={"tool_calls": [begun("get", QUOTED)]}, finish_reason="tool_calls")
    caller.upstream.on(model.upstream, reply)

    assert client(caller, model, is_stream=False).calls == [("get", {"x": 'a"\\\N{SNOWMAN}'})]


@each_client
def test_call_that_is_cut_within_its_quotes_is_broken(caller: Caller, model: Offer, client: Client) -> None:
    parts = list(calling(begun("get", QUOTED[:9])))[:1]
    caller.upstream.on(model.upstream, up.stream(*parts, up.DONE))

    assert client(caller, model, is_stream=True).is_broken


# --- cuts in other formats -------------------------------------------------------------------------------------------

CLAUDE = Shape(vias=(Via(provider="anthropic"),))
GEMINI = Shape(vias=(Via(provider="gemini"),))
WRITES = Shape(endpoints=("completions",))
BREAKS = pytest.mark.parametrize("is_clean", [False, True], ids=["broken off", "ended"])
MESSAGE = [
    streams.begins({"input_tokens": 100, "output_tokens": 1}), streams.opens(), streams.brings("text", text="Hello"),
    streams.brings("text", text=" there"), streams.closes(), streams.ends(usage={"output_tokens": 10}), streams.STOP,
]  # fmt: skip


def cut(parts: list[bytes], *, is_clean: bool) -> up.Reply:
    if is_clean:
        return up.stream(*parts)
    return up.stream(*parts, up.Pause(0.05), end=up.End.RESET, is_terminated=False)


@pytest.mark.parametrize("client", [chat, messages], ids=["chat", "messages"])
@pytest.mark.parametrize("length", range(1, len(MESSAGE) - 1))
@BREAKS
def test_anthropics_stream_that_is_cut_between_events_is_broken(
    world: World, caller: Caller, length: int, client: Client, is_clean: bool
) -> None:
    model = world.offer(CLAUDE)
    caller.upstream.on(model.upstream, cut(MESSAGE[:length], is_clean=is_clean))

    assert client(caller, model, is_stream=True).is_broken
    assert caller.only_record().outcome == "upstream_error"


def candidate(text: str, **members: Any) -> bytes:
    told = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **members}
    return up.event({"candidates": [told], "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10}})


@pytest.mark.parametrize("client", [chat, google], ids=["chat", "google"])
@pytest.mark.parametrize(
    ("parts", "is_whole"),
    [
        pytest.param([candidate("Hello")], False, id="before the end"),
        pytest.param([candidate("Hello", finishReason="STOP")], False, id="stop in the first"),
        pytest.param([candidate(text, finishReason="STOP") for text in ("Hello", " there")], False, id="stop in each"),
        pytest.param([candidate("Hello"), candidate(" there", finishReason="STOP")], True, id="stop in the last"),
    ],
)
def test_googles_stream_that_is_broken_off_is_whole_only_where_its_end_can_be_believed(
    world: World, caller: Caller, parts: list[bytes], client: Client, is_whole: bool
) -> None:
    model = world.offer(GEMINI)
    caller.upstream.on(model.upstream, cut(parts, is_clean=False))

    said = client(caller, model, is_stream=True)

    assert said == Said("Hello there") if is_whole else said.is_broken


def written(text: str, finish: str | None = None) -> bytes:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
    return up.event({"id": "own", "object": "text_completion", "model": "hidden-name", "choices": [choice]})


@pytest.mark.parametrize(
    ("parts", "is_clean"),
    [
        pytest.param([written("One")], True, id="one, ended"),
        pytest.param([written("One"), written(" two")], True, id="two, ended"),
        pytest.param([written("One")], False, id="one, broken off"),
        pytest.param([written("One"), written(" two")], False, id="two, broken off"),
        pytest.param([written("One", "stop"), written(" two", "stop")], False, id="stop in each"),
    ],
)
def test_text_completion_that_is_cut_is_broken(
    world: World, caller: Caller, parts: list[bytes], is_clean: bool
) -> None:
    model = world.offer(WRITES)
    caller.upstream.on(model.upstream, cut(parts, is_clean=is_clean))

    response = caller.client.post(
        "/v1/completions", json={"model": model.name, "prompt": "Say", "max_tokens": 9, "stream": True}
    )

    assert b'"error"' in response.content
    assert b"[DONE]" not in response.content
    assert caller.only_record().outcome == "upstream_error"
