"""What of an upstream's Response is told on, and what the client is told in its place."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill
from routing.endpoints.responses.answer import (
    check_response,
    complete_item,
    complete_native,
    complete_part,
    logprobs_of,
    public_usage,
)
from routing.endpoints.responses.schema import read
from routing.providers.base import MalformedAnswer
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


HEX: Final = "ab"
SAID: Final = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}


@pytest.mark.parametrize(
    ("told", "item"),
    [
        ({"content": "Hi"}, {"type": "message", "role": "assistant", "status": "completed", "content": [SAID]}),
        ({"type": "message", "role": "user", "status": "odd", "content": {"text": "Hi"}},
         {"type": "message", "role": "assistant", "status": "completed", "content": [SAID]}),
        ({"type": "message", "status": "incomplete", "content": ["Hi", None, {"type": "text", "text": "Hi"}]},
         {"type": "message", "role": "assistant", "status": "incomplete", "content": [SAID, SAID]}),
        ({"type": "message", "content": None},
         {"type": "message", "role": "assistant", "status": "completed", "content": []}),
        ({"type": "message", "content": [{"type": "refusal", "refusal": "No"}]},
         {"type": "message", "role": "assistant", "status": "completed",
          "content": [{"type": "refusal", "refusal": "No"}]}),
        ({"type": "function_call", "name": "f", "call_id": "c", "arguments": '{"a" : 1}', "status": "in_progress"},
         {"type": "function_call", "name": "f", "call_id": "c", "arguments": '{"a" : 1}', "status": "in_progress"}),
        ({"type": "function_call", "name": "f", "call_id": "c", "arguments": {"a": 1}},
         {"type": "function_call", "name": "f", "call_id": "c", "arguments": '{"a":1}', "status": "completed"}),
        ({"type": "function_call", "name": "f", "call_id": "c", "arguments": " "},
         {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}", "status": "completed"}),
        ({"type": "function_call", "name": "f", "call_id": "c", "arguments": "", "status": "in_progress"},
         {"type": "function_call", "name": "f", "call_id": "c", "arguments": "", "status": "in_progress"}),
        ({"type": "function_call", "name": "f", "call_id": "c", "arguments": None},
         {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}", "status": "completed"}),
        ({"type": "reasoning", "summary": None, "content": None, "status": None, "encrypted_content": None},
         {"type": "reasoning", "summary": []}),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "content": "t", "status": "odd",
          "encrypted_content": "e"},
         {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}],
          "content": [{"type": "reasoning_text", "text": "t"}], "encrypted_content": "e"}),
        ({"type": "reasoning", "summary": [], "content": ["t"], "status": "incomplete"},
         {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}],
          "status": "incomplete"}),
        ({"type": "web_search_call", "status": "odd"}, {"type": "web_search_call", "status": "odd"}),
    ],
    ids=lambda value: str(value.get("type")),
)  # fmt: skip
def test_item_has_what_its_kind_requires(told: dict[str, Any], item: dict[str, Any]) -> None:
    assert complete_item({"id": "i", **told}, 5, HEX) == {"id": "i", **item}


@pytest.mark.parametrize("told", [None, 5, ""], ids=str)
@pytest.mark.parametrize(
    ("kind", "name"),
    [("message", "msg"), ("function_call", "fc"), ("reasoning", "rs"), ("custom_tool_call", "ctc"), ("other", "item")],
)
def test_item_without_a_name_is_named_by_its_kind_and_place(kind: str, name: str, told: Any) -> None:
    item = complete_item({"type": kind, "id": told, "name": "f", "call_id": told}, 18, HEX)
    assert item["id"] == f"{name}_ab0012"
    if kind == "function_call":
        assert item["call_id"] == "call_ab0012"


@pytest.mark.parametrize(
    "told",
    [
        None, "message", {}, {"type": 5}, {"type": None, "content": "Hi"}, {"role": "assistant"},
        {"type": "function_call", "arguments": "{}"}, {"type": "function_call", "name": ""},
        {"type": "function_call", "name": 5}, {"type": "message", "content": [5]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_item_is_malformed(told: Any) -> None:
    with pytest.raises(MalformedAnswer):
        complete_item(told, 0, HEX)


def test_probabilities_have_their_bytes_and_their_others() -> None:
    told = [
        {"token": "é", "logprob": -1, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -2}]},
        {"token": "a", "logprob": -1, "bytes": [5], "top_logprobs": None},
    ]
    assert logprobs_of(told) == [
        {"token": "é", "logprob": -1, "bytes": [195, 169],
         "top_logprobs": [{"token": "e", "logprob": -2, "bytes": [101]}]},
        {"token": "a", "logprob": -1, "bytes": [5], "top_logprobs": []},
    ]  # fmt: skip
    assert (logprobs_of(None), logprobs_of("x")) == ([], [])


@pytest.mark.parametrize("text", [None, 5, ["Hi"]], ids=str)
def test_text_that_is_none_is_empty(text: Any) -> None:
    assert complete_part({"type": "output_text", "text": text}) == {**SAID, "text": ""}


def test_kinds_of_citations_have_their_places() -> None:
    cited = [
        {"type": "file_citation", "file_id": "f", "index": 0, "filename": "a"},
        {"type": "container_file_citation", "container_id": "c", "file_id": "f", "start_index": 0, "end_index": 1,
         "filename": "a"},
        {"type": "file_path", "file_id": "f", "index": 0},
    ]  # fmt: skip
    told = [*cited, *({**each, "file_id": 5} for each in cited)]
    assert complete_part({"type": "output_text", "text": "a", "annotations": told})["annotations"] == cited


@pytest.mark.parametrize("output", [None, {}, "Hi"], ids=str)
def test_answer_without_an_output_is_malformed(output: Any) -> None:
    with pytest.raises(MalformedAnswer):
        check_response({"output": output})
    check_response({"output": []})


def test_items_and_names_are_ours() -> None:
    found = completed(
        id="theirs", object="x", model="theirs", store=True, previous_response_id="p", error={"code": "x"},
        output=[{"content": "Hi"}, {"type": "reasoning"}], request_id="r",
    )  # fmt: skip
    assert [item["id"] for item in found["output"]] == [f"msg_{'a' * 32}0000", f"rs_{'a' * 32}0001"]
    assert (found["id"], found["object"], found["model"]) == (HEAD.public_id, "response", HEAD.model)
    assert (found["store"], found["previous_response_id"], found["error"]) == (False, None, None)
    assert "request_id" not in found
    assert completed(output="Hi")["output"] == []
