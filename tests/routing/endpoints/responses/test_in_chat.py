"""A Response over chat: whole, put together from a stream, and how it begins, ends and breaks off."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head, Needs
from routing.endpoints.responses import RESPONSES
from routing.endpoints.responses.in_chat import error_event
from routing.endpoints.responses.schema import read
from routing.providers.base import MalformedAnswer
from tests.responding import Heard, assert_grammar, assert_response

(IN_CHAT,) = RESPONSES.over
HEAD = Head("resp_" + "a" * 32, "lab/a", 1_700_000_000)
BILL = Bill(Usage(input=12, output=5), {}, "0.5", {"currency": "USD"})
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a" : 1}'}}
NEEDS = Needs(text_bytes=9, is_all_text=True, input_bound=9, expected_input=7)


def choice(content: str, index: int = 0, finish: str = "stop", **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **message}
    return {"index": index, "message": message, "finish_reason": finish}


def whole(*choices: dict[str, Any], explanation: Any = None) -> Any:
    request, answer = read({"model": "m", "input": "a"}), {"choices": [*choices]}
    IN_CHAT.check(request, answer)
    response = orjson.loads(IN_CHAT.complete(request, answer, HEAD, BILL, explanation))
    assert_response(response)
    return response


def test_whole_answer_is_its_first_choices() -> None:
    found = whole(choice("no", 1), choice("Hi", finish="tool_calls", tool_calls=[CALL]))
    assert [item["type"] for item in found["output"]] == ["message", "function_call"]
    assert found["output"][0]["content"][0]["text"] == "Hi"
    assert (found["output"][1]["call_id"], found["output"][1]["arguments"]) == ("c", '{"a" : 1}')
    assert [item["id"] for item in found["output"]] == [f"msg_{'a' * 32}0000", f"fc_{'a' * 32}0001"]
    assert (found["id"], found["status"], found["incomplete_details"]) == (HEAD.public_id, "completed", None)
    assert (found["usage"]["total_tokens"], found["usage"]["cost"], "costrouter" in found) == (17, 0.5, False)


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_answer_that_was_cut_says_why(finish: str, reason: str) -> None:
    found = whole(choice("Hi", finish=finish))
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert found["output"][0]["status"] == "incomplete"


def test_explanation_stands_in_a_whole_answer() -> None:
    assert whole(choice("Hi"), explanation={"why": 1})["costrouter"] == {"why": 1}


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": None}]}], ids=str)
def test_what_is_no_answer_is_malformed(answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        IN_CHAT.check(read({"model": "m", "input": "a"}), answer)


def test_usage_that_nobody_counted_is_estimated() -> None:
    answer = {"choices": [choice("x" * 40)]}
    assert IN_CHAT.estimate(answer, NEEDS) == Usage(input=7, output=10)


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_answer_put_together_from_a_stream_is_one_choice() -> None:
    assembler: Any = IN_CHAT.assembler(read({"model": "m", "input": "a"}))
    assembler.add(chunk(content="Hi"))
    assert not assembler.is_complete
    assembler.add(chunk("stop"))
    assert assembler.is_complete
    assert whole(*assembler.answer()["choices"])["output"][0]["content"][0]["text"] == "Hi"


def relay() -> Any:
    return IN_CHAT.relay(read({"model": "m", "input": "a", "stream": True}), HEAD, 100)


def test_stream_begins_once_and_counts_its_events() -> None:
    relayed = relay()
    out = relayed.relay(chunk(role="assistant"))
    assert (Heard(200, out).kinds, relayed.written) == (["response.created", "response.in_progress"], 2)
    begun = Heard(200, out).events[1]["response"]
    assert (begun["status"], begun["output"], begun.get("usage")) == ("in_progress", [], None)
    out += relayed.relay(chunk(content="Hi"))
    assert (relayed.received_tokens(), relayed.is_complete) == (1, False)
    out += relayed.relay(chunk("stop"))
    assert relayed.is_complete
    found = Heard(200, out + relayed.closing(BILL))
    assert_grammar(found)
    assert (found.kinds[-1], relayed.written) == ("response.completed", len(found.events))


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_stream_that_was_cut_ends_as_incomplete(finish: str, reason: str) -> None:
    relayed = relay()
    found = Heard(200, relayed.relay(chunk(finish, content="Hi")) + relayed.closing(BILL))
    assert_grammar(found)
    assert (found.kinds[-1], found.response["incomplete_details"]) == ("response.incomplete", {"reason": reason})


def test_failure_is_told_in_both_forms() -> None:
    error = {"message": "Down.", "type": "server_error", "param": "p", "code": "upstream_error"}
    (event,) = Heard(200, error_event({"error": error}, 7)).events
    assert event == {
        "type": "error", "code": "upstream_error", "message": "Down.", "param": "p", "sequence_number": 7,
        "error": error,
    }  # fmt: skip
