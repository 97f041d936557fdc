"""What a Responses request says that chat cannot, in one set of tables, beside what is said and what is only a hint.

Whatever asks for one of `REFUSED` is refused by its name; so is any kind of item, part or tool that stands in no table,
and any member that only chat has. A member that nobody here knows travels on.
tests/routing/endpoints/responses/test_gaps.py holds the tables against OpenAI's own types, and the pages
(routing/README.md, docs/openapi.yaml) against the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from routing.endpoints.chat.schema import ChatRequest


class Gap(NamedTuple):
    """`asks`: whether a value asks for what cannot be said; others ask for nothing."""

    asks: Callable[[Any], bool]
    why: str


SAME: Final = ("temperature", "top_p", "service_tier", "user", "safety_identifier", "prompt_cache_key")
"""Members that chat has under the same name."""
SAID: Final = frozenset(
    (
        *SAME, "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning",
        "max_output_tokens", "top_logprobs", "include", "stream", "models", "provider", "usage",
    )
)  # fmt: skip
"""Members that are said in chat's words, or are the router's own."""
HINTS: Final[Mapping[str, str]] = {
    "store": "nothing is kept here, whatever it says",
    "metadata": "kept with a stored response, and changes no answer: the answer repeats it",
    "client_metadata": "the same, of Codex",
    "max_tool_calls": "speaks of hosted tools alone",
    "stream_options": "how a stream is padded, which is the gateway's to write",
    "prompt_cache_retention": "helps the vendor's cache, and changes no answer",
    "prompt_cache_options": "the same",
    "background_options": "speaks of answers that are fetched later, which are refused",
    "truncation": "what fits loses nothing by it, and what does not is refused as too long, never answered in part",
}
"""Members that are left out, each with why."""
EMPTY: Final = frozenset(
    ("previous_response_id", "conversation", "background", "prompt", "moderation", "search_parameters", "enable_search")
)
"""Members that are refused wherever they ask for anything, before any format is chosen: they are empty by now."""
REFUSED: Final[Mapping[str, Gap]] = {
    "context_management": Gap(bool, "chat makes no summary of a long conversation"),
    "access_programs": Gap(bool, "programs of an account at OpenAI"),
    "image": Gap(bool, "options of how pictures are read, which chat has beside each picture alone"),
}
OF_CHAT: Final = frozenset(ChatRequest.__struct_fields__) - SAID - HINTS.keys() - EMPTY - REFUSED.keys()
"""Members that only chat has: nobody has looked at them, and some ask for several answers, or for what has no price."""

SAID_ITEMS: Final = frozenset(
    (
        "message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
        "additional_tools", "tool_search_call", "tool_search_output", "image_generation_call",
    )
)  # fmt: skip
"""Kinds of items that are messages, or parts of one."""
HINTS_OF_ITEMS: Final[Mapping[str, str]] = {
    "id": "names an item that was kept",
    "status": "whether an item was whole when it was said",
    "phase": "whether a text was said on the way or in the end",
    "encrypted_content": "of another upstream: nobody else can read it",
}
"""Members of items that are left out."""
SAID_PARTS: Final = frozenset(("input_text", "output_text", "text", "input_image", "input_file", "refusal"))
"""Parts of messages and of tools' outputs; of files, those that are in the request."""
SAID_TOOLS: Final = frozenset(("function", "custom", "namespace", "tool_search"))
"""Tools that a function can stand for; a search among tools where the client runs it."""


def lacking(body: Mapping[str, Any]) -> str:
    """The member that asks for what chat cannot say; empty if there is none."""
    for name, gap in REFUSED.items():
        if gap.asks(body.get(name)):
            return name
    return next((name for name in sorted(OF_CHAT.intersection(body)) if body[name] is not None), "")
