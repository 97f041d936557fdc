"""Whatever events an upstream of the Responses API sends: they go on, or are no answer, and nothing else is raised."""

from __future__ import annotations

import contextlib
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.providers.base import MalformedAnswer
from tests.routing.endpoints.responses.test_native import BILL, CALL, MESSAGE, TEXT, THOUGHT, relay

ODD = st.none() | st.booleans() | st.integers(-1, 2) | st.floats(-2, 2) | st.sampled_from(["", "1", "x", [], {}, [1]])
PLACE = st.integers(0, 2) | ODD
NAME = st.sampled_from(["m", "f", "r", "z"]) | ODD
PART = st.sampled_from([TEXT, *({"type": kind, "text": "n"} for kind in ("refusal", "reasoning_text", "summary_text"))])
ITEM = st.sampled_from([MESSAGE, CALL, THOUGHT, {**MESSAGE, "content": [TEXT]}, {"type": "of another kind"}])
KINDS = st.sampled_from(
    [
        *(f"output_item.{what}" for what in ("added", "done")),
        *(f"content_part.{what}" for what in ("added", "done")),
        *(f"{text}.{what}" for text in ("output_text", "refusal", "reasoning_text") for what in ("delta", "done")),
        *(f"function_call_arguments.{what}" for what in ("delta", "done")),
        *("reasoning_summary_part.added", "custom_tool_call_input.delta", "output_text.annotation.added"),
        *("created", "in_progress", "completed", "incomplete", "of another kind"),
    ]
)


def odd(inner: st.SearchStrategy[Any], *names: str) -> st.SearchStrategy[Any]:
    """Of these, some with a member of another kind than it has."""
    changes = st.dictionaries(st.sampled_from(names), ODD, max_size=1)
    return ODD | st.builds(lambda value, change: {**value, **change}, inner, changes)


ITEMS = odd(ITEM, "type", "id", "status", "content", "name", "call_id", "arguments", "summary")
EVENT = st.fixed_dictionaries(
    {"type": KINDS.map("response.{}".format)},
    optional={
        **dict.fromkeys(("output_index", "content_index", "summary_index"), PLACE),
        **dict.fromkeys(("delta", "text", "refusal", "arguments", "logprobs"), st.just("Hi") | ODD),
        "item_id": NAME,
        "item": ITEMS,
        "part": odd(PART, "type", "text", "refusal", "annotations", "logprobs"),
        "response": odd(
            st.fixed_dictionaries({}, optional={"output": st.lists(ITEMS, max_size=2)}),
            "status",
            "output",
            "id",
            "tools",
        ),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENT, max_size=6))
def test_no_events_raise_anything(events: list[Any]) -> None:
    stream = relay()
    with contextlib.suppress(MalformedAnswer):
        for event in deepcopy(events):
            stream.relay(event)
            if stream.is_complete:
                stream.closing(BILL)
                break
