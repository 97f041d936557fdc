"""What of an upstream's Response is told on, and what the client is told in its place."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill
from routing.endpoints.responses.answer import complete_native, complete_part, public_usage
from routing.endpoints.responses.schema import read
from tests.responding import assert_response
from tests.routing.endpoints.responses.test_native import HEAD

BILL: Final = Bill(Usage(input=9, output=5), {}, "0.5", {"currency": "USD"})


def completed(hidden: tuple[bytes, ...] = (), asked: Any = None, **members: Any) -> dict[str, Any]:
    request = read({"model": "m", "input": "a", **(asked or {})})
    return complete_native(
        request, {"status": "completed", "output": [], **members}, msgspec.structs.replace(HEAD, hidden=hidden)
    )


TOLD: Final[dict[str, Any]] = {
    "created_at": 5, "completed_at": 6.5, "temperature": 0.5, "top_p": 1, "max_output_tokens": 7, "max_tool_calls": 8,
    "top_logprobs": 3, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "parallel_tool_calls": False,
    "background": True, "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}},
    "instructions": "Do", "tools": [{"type": "web_search"}], "tool_choice": "required", "truncation": "auto",
    "service_tier": "flex", "metadata": {"a": "b"}, "of_another_kind": [1],
}  # fmt: skip


def test_members_that_have_their_form_stay() -> None:
    found = completed(**TOLD)
    assert {name: found[name] for name in TOLD} == TOLD
    assert completed(instructions=[{"a": 1}], tool_choice={"type": "function"})["tool_choice"] == {"type": "function"}


@pytest.mark.parametrize("name", [name for name in TOLD if name != "of_another_kind"])
def test_member_of_another_form_is_what_was_asked(name: str) -> None:
    odd = {"a": 5} if name == "metadata" else 5 if type(TOLD[name]) not in (int, float) else "5"
    told: dict[str, Any] = {name: odd}
    assert completed(**told).get(name) == completed().get(name)


@pytest.mark.parametrize("name", ["reasoning", "text", "metadata"])
def test_empty_object_is_what_was_asked(name: str) -> None:
    empty: dict[str, Any] = {name: {}}
    assert completed(**empty)[name] == completed()[name]


def test_what_was_asked_is_repeated() -> None:
    assert completed()["truncation"] == "disabled"
    assert completed(asked={"truncation": "auto"})["truncation"] == "auto"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "x"}, "max_output_tokens"),
        (None, "max_output_tokens"),
    ],
)
def test_answer_that_is_incomplete_says_why(told: Any, reason: str) -> None:
    found = completed(status="incomplete", incomplete_details=told)
    assert found["incomplete_details"] == {"reason": reason}
    assert_response({**found, "usage": None})
    assert completed()["incomplete_details"] is None


def test_members_that_nobody_knows_go_where_they_hold_a_hidden_word() -> None:
    assert completed((b"host.example",), metadata={"a": "b"}, at="of host.example").keys() == completed().keys()
    assert completed((b"host.example",), at="elsewhere")["at"] == "elsewhere"


@pytest.mark.parametrize("names", [("input_tokens_details", "output_tokens_details"),
                                   ("prompt_tokens_details", "completion_tokens_details")])  # fmt: skip
def test_counts_of_either_name_are_told(names: tuple[str, str]) -> None:
    usage = public_usage(
        msgspec.structs.replace(BILL, reported={names[0]: {"audio_tokens": 2}, names[1]: {"audio_tokens": 3}})
    )
    assert (usage["input_tokens_details"]["audio_tokens"], usage["output_tokens_details"]["audio_tokens"]) == (2, 3)


def test_citations_that_lack_what_they_must_have_go() -> None:
    cited = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1}
    odd = [cited, {**cited, "title": None}, {"type": "x"}, "none", None]
    assert complete_part({"type": "output_text", "text": "a", "annotations": odd})["annotations"] == [cited]
