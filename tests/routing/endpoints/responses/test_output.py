"""A chat answer as items, and the events that tell of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.responses import RESPONSES
from routing.endpoints.responses.schema import read
from routing.endpoints.responses.tools import text_of_arguments
from routing.providers.base import MalformedAnswer
from routing.providers.openai.thoughts import unpack
from tests.responding import Heard, assert_grammar

(IN_CHAT,) = RESPONSES.over
HEAD = Head("resp_" + "a" * 32, "lab/a", 1_700_000_000)
BILL = Bill(Usage(input=12, cached_input=4, cache_write=2, output=5, reasoning=1), {}, "0.5", {"currency": "USD"})
TOOLS = [
    {"type": "custom", "name": "c"},
    {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
    {
        "type": "namespace",
        "name": "n",
        "description": "d",
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
    },
]


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def heard(*chunks: dict[str, Any], **members: Any) -> Heard:
    request = read({"model": "m", "input": "a", "stream": True, **members})
    relay = IN_CHAT.relay(request, HEAD, 10_000)
    out = b"".join([relay.relay(each) for each in chunks])
    relay.is_done = True
    assert relay.is_complete
    found = Heard(200, out + relay.closing(BILL))
    assert_grammar(found)
    return found


def call(index: int, name: str | None, *arguments: str, **members: Any) -> list[dict[str, Any]]:
    function = {"name": name, "arguments": ""} if name else {"arguments": ""}
    begun = {"index": index, "id": f"call_{index}", "type": "function", "function": function, **members}
    return [
        chunk(tool_calls=[begun]),
        *(chunk(tool_calls=[{"index": index, "function": {"arguments": each}}]) for each in arguments),
    ]


def test_each_kind_of_call_is_an_item_of_its_kind() -> None:
    found = heard(
        *call(0, "g", '{"a"', ":1}"), *call(1, "c", '{"in', 'put":"x"}'), *call(2, "tool_search", '{"query":"q"}'),
        *call(3, "n__f", "{}"), *call(4, "n__c", "plain"), chunk("tool_calls"), tools=TOOLS,
    )  # fmt: skip
    plain = [{name: value for name, value in item.items() if name != "id"} for item in found.response["output"]]
    assert plain == [
        {"type": "function_call", "status": "completed", "call_id": "call_0", "name": "g", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "c", "input": "x"},
        {
            "type": "tool_search_call", "status": "completed", "call_id": "call_2", "execution": "client",
            "arguments": {"query": "q"},
        },
        {
            "type": "function_call", "status": "completed", "call_id": "call_3", "namespace": "n", "name": "f",
            "arguments": "{}",
        },
        {"type": "custom_tool_call", "call_id": "call_4", "namespace": "n", "name": "c", "input": "plain"},
    ]  # fmt: skip
    deltas = [event["delta"] for event in found.of("response.function_call_arguments.delta")]
    assert deltas == ['{"a"', ":1}", "{}"]


def test_calls_may_grow_side_by_side() -> None:
    first, second = call(0, "g", '{"a":', "1}"), call(1, "h", '{"b":', "2}")
    found = heard(*(each for pair in zip(first, second, strict=True) for each in pair), chunk("tool_calls"))
    assert [item["arguments"] for item in found.response["output"]] == ['{"a":1}', '{"b":2}']


def test_arguments_that_come_before_the_name_are_kept() -> None:
    (begun, late) = call(0, None, "{")
    named = chunk(tool_calls=[{"index": 0, "function": {"name": "g", "arguments": "}"}}])
    (item,) = heard(begun, late, named, chunk("tool_calls")).response["output"]
    assert (item["name"], item["arguments"], item["call_id"]) == ("g", "{}", "call_0")


def test_older_form_of_a_call_is_one() -> None:
    (item,) = heard(chunk(function_call={"name": "g", "arguments": "{}"}), chunk("function_call")).response["output"]
    assert (item["type"], item["name"], item["arguments"], item["call_id"]) == ("function_call", "g", "{}", "call_0")


def test_older_form_is_a_call_of_its_own_beside_the_newer_one() -> None:
    newer = chunk(tool_calls=[{"index": 1, "id": "mine", "function": {"name": "g", "arguments": "{}"}}])
    output = heard(newer, chunk(function_call={"name": "h", "arguments": "[]"}), chunk("tool_calls")).response["output"]
    assert [(item["name"], item["arguments"]) for item in output] == [("g", "{}"), ("h", "[]")]


def test_call_keeps_the_id_that_it_was_given_first() -> None:
    pieces = [
        chunk(tool_calls=[{"index": 0, "id": id_, "function": {"name": name, "arguments": text}}])
        for id_, name, text in (("mine", "g", ""), ("other", None, "{}"))
    ]
    (item,) = heard(*pieces, chunk("tool_calls")).response["output"]
    assert item["call_id"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"x"}', "x"), ('"x"', "x"), ("x", "x"), ('{"other":1}', '{"other":1}'), ('{"input":1}', '{"input":1}')],
)
def test_text_of_a_custom_tool_is_found_however_the_model_wrote_it(arguments: str, text: str) -> None:
    assert text_of_arguments(arguments) == text


def test_text_and_thoughts_take_turns() -> None:
    found = heard(
        chunk(role="assistant", reasoning_content="t"), chunk(content="a"), chunk(content="b"), chunk(reasoning="u"),
        chunk(content="c"), chunk("stop"),
    )  # fmt: skip
    assert [item["type"] for item in found.response["output"]] == ["reasoning", "message"] * 2
    assert [item["id"] for item in found.response["output"]] == [
        f"{kind}_{'a' * 32}000{place}" for place, kind in enumerate(("rs", "msg") * 2)
    ]
    assert [item["content"][0]["text"] for item in found.response["output"]] == ["t", "ab", "u", "c"]
    assert {item["status"] for item in found.response["output"] if "status" in item} == {"completed"}


def test_only_what_is_open_at_the_end_is_incomplete() -> None:
    output = heard(chunk(content="a"), chunk(reasoning_content="t"), chunk("length", content="b")).response["output"]
    assert [item.get("status") for item in output] == ["completed", None, "incomplete"]


DETAILS = [
    [{"type": "reasoning.text", "text": "a", "index": 0}],
    [{"type": "reasoning.text", "text": "b", "index": 1}],
    [{"type": "reasoning.text", "signature": "s", "text": None, "index": 2}],
    [{"type": "reasoning.text", "text": "c"}, {"type": "reasoning.encrypted", "data": "d"}],
]


@pytest.mark.parametrize("summary", ["auto", None])
def test_thoughts_in_details_are_told_and_kept_for_the_next_turn(summary: str | None) -> None:
    found = heard(
        *(chunk(reasoning_details=each) for each in DETAILS), chunk("stop", content="z"),
        reasoning={"summary": summary}, include=["reasoning.encrypted_content"],
    )  # fmt: skip
    item = found.response["output"][0]
    assert [part["text"] for part in item["summary" if summary else "content"]] == ["abc"]
    assert unpack(item["encrypted_content"]) == [
        {"type": "reasoning.text", "text": "ab", "signature": "s"},
        {"type": "reasoning.text", "text": "c"},
        {"type": "reasoning.encrypted", "data": "d"},
    ]


def test_thoughts_are_encrypted_only_where_that_is_asked_for_and_there_is_something() -> None:
    details = [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.encrypted", "data": "d"}]
    unasked = heard(chunk(reasoning_details=details), chunk("stop", content="z"))
    nothing = heard(chunk(reasoning="a"), chunk("stop", content="z"), include=["reasoning.encrypted_content"])
    assert "encrypted_content" not in unasked.response["output"][0]
    assert "encrypted_content" not in nothing.response["output"][0]


def test_thoughts_that_are_encrypted_alone_are_an_item_without_text() -> None:
    details = [{"type": "reasoning.encrypted", "data": "d"}]
    found = heard(chunk(reasoning_details=details), chunk("stop", content="z"), include=["reasoning.encrypted_content"])
    assert found.response["output"][0]["summary"] == []
    assert unpack(found.response["output"][0]["encrypted_content"]) == details


def test_log_probabilities_are_told_with_their_text() -> None:
    other = {"token": "b", "logprob": -1.5, "bytes": []}
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [other]}
    said = chunk(content="a")
    said["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    found = heard(said, chunk("stop"), top_logprobs=1)
    short = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.5}]}
    assert orjson.loads(orjson.dumps(found.of("response.output_text.delta")[0]["logprobs"], default=float)) == [short]
    assert found.of("response.output_text.done")[0]["logprobs"] == found.of("response.output_text.delta")[0]["logprobs"]
    assert found.response["output"][0]["content"][0]["logprobs"][0]["bytes"] == [97]


def test_other_choices_are_nobodys() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": None}]}
    assert heard(chunk(content="a"), other, chunk("stop")).text == "a"


def test_usage_has_every_count() -> None:
    usage = heard(chunk("stop", content="a")).response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (12, 5, 17)
    assert usage["input_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 2}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 1}


def test_request_is_repeated() -> None:
    asked = {
        "instructions": "i", "tools": [{"type": "function", "name": "f"}], "tool_choice": "none", "temperature": 0.5,
        "top_p": 0.25, "parallel_tool_calls": False, "metadata": {"a": "b"}, "max_output_tokens": 20, "user": "u",
        "truncation": "disabled", "text": {"verbosity": "low"}, "reasoning": {"effort": "low"}, "top_logprobs": 0,
    }  # fmt: skip
    response = heard(chunk("stop", content="a"), **asked).response
    assert {name: response[name] for name in asked} == {
        **asked, "tools": [{"type": "function", "name": "f", "parameters": None, "strict": None}],
        "text": {"verbosity": "low", "format": {"type": "text"}}, "reasoning": {"effort": "low", "summary": None},
    }  # fmt: skip
    plain = heard(chunk("stop", content="a")).response
    assert (plain["temperature"], plain["top_p"], plain["tool_choice"], plain["tools"]) == (1, 1, "auto", [])
    assert (plain["parallel_tool_calls"], plain["store"], "user" in plain) == (True, False, False)


def test_stream_is_ended_at_its_cap() -> None:
    relay = IN_CHAT.relay(read({"model": "m", "input": "a", "stream": True}), HEAD, 10)
    out = b"".join([relay.relay(chunk(content="word " * 5)) for _ in range(6)])
    assert relay.is_past_cap
    assert relay.cut() == b""
    found = Heard(200, out + relay.closing(BILL))
    assert_grammar(found)
    assert found.response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_items_do_not_fill_the_memory() -> None:
    relay = IN_CHAT.relay(read({"model": "m", "input": "a", "stream": True}), HEAD, 10**6)
    for _ in range(2048):
        relay.relay(chunk(content="a", reasoning_content="t"))
    with pytest.raises(MalformedAnswer, match="too many items"):
        relay.relay(chunk(reasoning_content="t"))


def test_explanation_stands_in_the_answer() -> None:
    relay = IN_CHAT.relay(read({"model": "m", "input": "a", "stream": True}), HEAD, 100)
    out = relay.relay(chunk("stop", content="a")) + relay.closing(BILL, {"why": 1})
    assert Heard(200, out).response["costrouter"] == {"why": 1}


def test_probabilities_have_the_bytes_that_chat_may_leave_out() -> None:
    told = {"token": "é", "logprob": -1, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -2, "bytes": [5]}]}
    said = {"index": 0, "delta": {"content": "é"}, "finish_reason": None, "logprobs": {"content": [told]}}
    found = heard({"choices": [said]}, chunk("stop"), include=["message.output_text.logprobs"])
    (token,) = found.of("response.output_text.delta")[0]["logprobs"]
    assert [token["token"], token["logprob"]] == ["é", -1]
    assert found.response["output"][0]["content"][0]["logprobs"][0] == {**told, "bytes": [*"é".encode()]}


CITED = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2}


def cited(**members: Any) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {**CITED, **members}}


def test_pages_that_are_cited_are_told_of_and_stand_beside_the_text() -> None:
    found = heard(
        chunk(content="a"), chunk(content="b", annotations=[cited(), {"type": "file"}, 5]),
        chunk(annotations=[cited(url="https://b.example", title=None, start_index="0", end_index=None)]), chunk("stop"),
    )  # fmt: skip
    second = {"url": "https://b.example", "title": "", "start_index": 0, "end_index": 0}
    annotations = [{"type": "url_citation", **CITED}, {"type": "url_citation", **second}]
    told = found.of("response.output_text.annotation.added")
    assert [(each["annotation_index"], each["annotation"]) for each in told] == [*enumerate(annotations)]
    (part,) = found.response["output"][0]["content"]
    assert (part["text"], part["annotations"]) == ("ab", annotations)
    assert found.of("response.content_part.added")[0]["part"]["annotations"] == []


def test_page_that_is_cited_before_its_text_begins_it() -> None:
    found = heard(chunk(annotations=[cited()]), chunk(content="a"), chunk(refusal="no"), chunk("stop"))
    text, refusal = found.response["output"][0]["content"]
    assert (text["text"], len(text["annotations"]), refusal["refusal"]) == ("a", 1, "no")


@pytest.mark.parametrize("annotations", [5, [5], [{"url_citation": 5}], [{"url_citation": {"url": 5}}]], ids=str)
def test_what_cites_nothing_is_left_out(annotations: Any) -> None:
    found = heard(chunk(annotations=annotations), chunk("stop", content="a"))
    assert found.response["output"][0]["content"][0]["annotations"] == []


def test_call_of_another_kind_than_was_offered_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        heard(chunk(tool_calls=[{"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]))
