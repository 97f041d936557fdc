"""One answer in the words of every dialect: some text, a call of a tool, and the same counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tests import generating
from tests import upstream as up
from tests.installation import SINGLE, Shape, Via
from tests.routing.providers.anthropic import streams

TEXT: Final = "Let me see: 🌏."
TOOL: Final = "get_weather"
ARGUMENTS: Final = '{ "city":"Hà Nội \\ud83c\\udf0f",\n"days": [1, 2.50, 1e2],  "note": null }'
"""As a model writes them: formats that carry arguments as a text hand on these very characters."""
INPUT, CACHED, OUTPUT = 12, 4, 5
"""Tokens: of the input some were read from a cache."""
_WORDS: Final = ("Let me", " see: 🌏.")
_PIECES: Final = (ARGUMENTS[:7], ARGUMENTS[7:19], ARGUMENTS[19:])


@dataclass(frozen=True, slots=True)
class Dialect:
    """An upstream that says it."""

    name: str
    shape: Shape
    whole: up.Reply
    events: tuple[bytes, ...]
    """Of its stream, one by one."""
    needed: int
    """So many of them make the answer whole; what follows tells counts or says goodbye."""
    calls: bool = True
    """Whether it can call tools."""
    has_text: bool = True
    """Whether a whole answer carries arguments as a text, and not as an object."""
    has_pieces: bool = True
    """The same of a stream."""

    @property
    def stream(self) -> up.Reply:
        return up.stream(*self.events)


# --- chat ------------------------------------------------------------------------------------------------------------

_CHATS_USAGE: Final = {
    "prompt_tokens": INPUT,
    "completion_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "prompt_tokens_details": {"cached_tokens": CACHED},
}
_CHATS_CALL: Final = {"id": "c1", "type": "function", "function": {"name": TOOL, "arguments": ARGUMENTS}}


def _calling(index: int, **function: str) -> dict[str, Any]:
    begun = {"id": "c1", "type": "function"} if "name" in function else {}
    return up.chunk({"tool_calls": [{"index": index, **begun, "function": function}]})


CHAT: Final = Dialect(
    "chat",
    SINGLE,
    up.answer(TEXT, finish_reason="tool_calls", message={"tool_calls": [_CHATS_CALL]}, usage=_CHATS_USAGE),
    (
        *map(
            up.event,
            (
                up.chunk({"role": "assistant", "content": _WORDS[0]}),
                up.chunk({"content": _WORDS[1]}),
                _calling(0, name=TOOL, arguments=""),
                *(_calling(0, arguments=piece) for piece in _PIECES),
                up.chunk({}, finish_reason="tool_calls"),
                up.usage_chunk(_CHATS_USAGE),
            ),
        ),
        up.DONE,
    ),
    needed=7,
)

# --- Anthropic's -----------------------------------------------------------------------------------------------------

_ANTHROPICS_USAGE: Final = {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "output_tokens": OUTPUT}
_MESSAGE: Final = (
    streams.begins({**_ANTHROPICS_USAGE, "output_tokens": 1}),
    streams.opens(),
    *(streams.brings("text", text=word) for word in _WORDS),
    streams.closes(),
    streams.opens(1, type="tool_use", id="toolu_1", name=TOOL, input={}),
    *(streams.brings("input_json", 1, partial_json=piece) for piece in _PIECES),
    streams.closes(1),
    streams.ends("tool_use", usage={"output_tokens": OUTPUT}),
    streams.STOP,
)


_CONTENT: Final = [
    {"type": "text", "text": TEXT},
    {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": json.loads(ARGUMENTS)},
]
ANTHROPIC: Final = Dialect(
    "anthropic",
    Shape(vias=(Via(provider="anthropic"),)),
    up.plain(
        200,
        {
            "id": "msg_hidden", "type": "message", "role": "assistant", "model": "hidden-name", "content": _CONTENT,
            "stop_reason": "tool_use", "stop_sequence": None, "usage": _ANTHROPICS_USAGE,
        },
    ),
    _MESSAGE,
    needed=len(_MESSAGE) - 1,
    has_text=False,
)  # fmt: skip

# --- Google's --------------------------------------------------------------------------------------------------------

_GOOGLES_USAGE: Final = {
    "promptTokenCount": INPUT,
    "cachedContentTokenCount": CACHED,
    "candidatesTokenCount": OUTPUT,
    "totalTokenCount": INPUT + OUTPUT,
}
_GOOGLES_CALL: Final = {"functionCall": {"id": "c1", "name": TOOL, "args": json.loads(ARGUMENTS)}}
_CANDIDATES: Final = tuple(
    generating.events(
        *(generating.response(generating.candidate({"text": word}, finish=None), usage=None) for word in _WORDS),
        generating.response(generating.candidate(_GOOGLES_CALL), usage=_GOOGLES_USAGE),
    )
)
GEMINI: Final = Dialect(
    "gemini",
    Shape(vias=(Via(provider="gemini"),)),
    generating.whole({"text": TEXT}, _GOOGLES_CALL, usage=_GOOGLES_USAGE),
    _CANDIDATES,
    needed=len(_CANDIDATES),
    has_text=False,
    has_pieces=False,
)

# --- the Responses API -----------------------------------------------------------------------------------------------


def _numbered(events: Iterable[tuple[str, dict[str, Any]]]) -> tuple[bytes, ...]:
    said = ({"type": kind, **members, "sequence_number": number} for number, (kind, members) in enumerate(events))
    return tuple(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in said)


def _response(**members: Any) -> dict[str, Any]:
    return {
        "id": "resp_hidden", "object": "response", "created_at": up.CREATED, "status": "completed",
        "model": "hidden-name", "output": [], **members,
    }  # fmt: skip


_PART: Final[dict[str, Any]] = {"type": "output_text", "text": TEXT, "annotations": []}
_SAID: Final[dict[str, Any]] = {
    "id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [_PART],
}  # fmt: skip
_CALLED: Final[dict[str, Any]] = {
    "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": TOOL, "arguments": ARGUMENTS,
}  # fmt: skip
_RESPONSE: Final = _response(
    output=[_SAID, _CALLED],
    usage={
        "input_tokens": INPUT, "input_tokens_details": {"cached_tokens": CACHED}, "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": INPUT + OUTPUT,
    },
)  # fmt: skip
_OF_TEXT: Final = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
_OF_CALL: Final = {"output_index": 1, "item_id": "fc_1"}
_RESPONDED: Final = _numbered(
    [
        ("response.created", {"response": _response(status="in_progress")}),
        ("response.in_progress", {"response": _response(status="in_progress")}),
        ("response.output_item.added", {"output_index": 0, "item": {**_SAID, "status": "in_progress", "content": []}}),
        ("response.content_part.added", {**_OF_TEXT, "part": {**_PART, "text": ""}}),
        *(("response.output_text.delta", {**_OF_TEXT, "delta": word}) for word in _WORDS),
        ("response.output_text.done", {**_OF_TEXT, "text": TEXT}),
        ("response.content_part.done", {**_OF_TEXT, "part": _PART}),
        ("response.output_item.done", {"output_index": 0, "item": _SAID}),
        ("response.output_item.added",
         {"output_index": 1, "item": {**_CALLED, "status": "in_progress", "arguments": ""}}),
        *(("response.function_call_arguments.delta", {**_OF_CALL, "delta": piece}) for piece in _PIECES),
        ("response.function_call_arguments.done", {**_OF_CALL, "arguments": ARGUMENTS, "name": TOOL}),
        ("response.output_item.done", {"output_index": 1, "item": _CALLED}),
        ("response.completed", {"response": _RESPONSE}),
    ]
)  # fmt: skip
RESPONSES: Final = Dialect(
    "responses beside chat",
    Shape(vias=(Via(options=(("endpoints", ("responses", "chat.completions")),)),)),
    up.plain(200, _RESPONSE),
    _RESPONDED,
    needed=len(_RESPONDED),
)

# --- completions -----------------------------------------------------------------------------------------------------


def _written(text: str, finish: str | None = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {"id": "hidden", "object": "text_completion", "created": up.CREATED, "model": "hidden-name",
            "choices": [choice], **members}  # fmt: skip


COMPLETIONS: Final = Dialect(
    "completions",
    Shape(endpoints=("completions",)),
    up.plain(200, _written(TEXT, "stop", usage=_CHATS_USAGE)),
    (
        *map(up.event, (*map(_written, _WORDS), _written("", "stop"), _written("", choices=[], usage=_CHATS_USAGE))),
        up.DONE,
    ),
    needed=3,
    calls=False,
)
