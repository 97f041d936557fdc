"""Failures that come with status 200, in the forms of many servers; what only looks like one is none.

Forms of MiniMax (`base_resp`), Baidu (`error_code`), iFlytek's Spark (`code`, `sid`), Cloudflare (`errors`, `success`),
AWS (`__type`), FastAPI (`detail`), DashScope (`code`, `request_id`) and OpenRouter (`error` inside a choice).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import orjson
import pytest

from routing.providers.base import END, End, MalformedAnswer
from routing.providers.openai import OpenAIReader
from routing.providers.openai.asides import Asides, refuse_line
from tests.routing.providers.openai.test_reader import DONE, GOOD, U, chunk, deltas, event, read

FAILURES: list[dict[str, Any]] = [
    {"code": "InternalError.Algo", "message": "boom", "request_id": "r"},
    {"base_resp": {"status_code": 1002, "status_msg": "boom"}, "choices": None},
    {"base_resp": {"status_code": 1002, "status_msg": "boom"}, "choices": []},
    {"error_code": 336100, "error_msg": "boom"},
    {"code": 10013, "message": "boom", "sid": "s"},
    {"errors": [{"code": 5, "message": "boom"}], "success": False, "result": None},
    {"success": False, "message": "boom"},
    {"__type": "ThrottlingException", "message": "boom"},
    {"Message": "boom"},
    {"Message": "boom", "Code": "Throttled", "RequestId": "r"},
    {"internalServerException": {"message": "boom"}},
    {"detail": "boom"},
    {"text": "boom", "error_code": 50001},
    {"status": 500, "message": "boom"},
    {"statusCode": 429, "message": "boom"},
    {"code": 500, "msg": "boom", "data": None},
    {"errorMessage": "boom"},
    {"error": True, "message": "boom"},
    {"error": 500, "message": "boom"},
    {"type": "error", "message": "boom"},
]
WELL: list[dict[str, Any]] = [
    {"code": 0, "message": "ok", "sid": "s"},
    {"code": "0", "msg": ""},
    {"base_resp": {"status_code": 0, "status_msg": ""}, "choices": []},
    {"success": True, "errors": [], "result": {}},
    {"status": "completed", "message": "done"},
    {"code": 200, "message": "success"},
    {"code": 20000, "message": "x"},
    {"Message": "x", "a": 1, "b": 2, "c": 3},
    {"aException": "x"},
    {"type": "ping"},
    {"error": None, "detail": None},
    {"code": 7},
]


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_failure_without_choices_is_one_wherever_it_comes(failure: dict[str, Any]) -> None:
    for before, behind in ((GOOD[:2], ()), ((), ()), (GOOD[:2], GOOD[2:])):
        events, _reader = read(*before, event(failure), *behind, DONE)
        last = events[-1]
        assert type(last) is End
        assert last.error
        assert "boom" in str(last.error)
    with pytest.raises(MalformedAnswer, match="boom"):
        OpenAIReader().whole(orjson.dumps(failure))


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_failure_behind_a_whole_answer_takes_nothing_from_it(failure: dict[str, Any]) -> None:
    events, _reader = read(*GOOD, event(failure), DONE)
    assert (deltas(events)[0], events[-1]) == ({"content": "Hello"}, END)


@pytest.mark.parametrize(("envelopes", "is_seen"), [(6, True), (7, False)])
def test_failure_is_looked_for_as_deep_as_envelopes_go(envelopes: int, is_seen: bool) -> None:
    failure: dict[str, Any] = {"errorMessage": "boom"}
    for _envelope in range(envelopes):
        failure = {"data": failure}
    assert (read(*GOOD[:2], event(failure), *GOOD[2:], DONE)[0][-1] != END) is is_seen


@pytest.mark.parametrize("words", [{"error": "x" * 310}, {"message": "x" * 310}], ids=["a failure", "words"])
def test_words_of_a_failure_are_cut(words: dict[str, str]) -> None:
    with pytest.raises(MalformedAnswer, match=f": {'x' * 300}$"):
        OpenAIReader().whole(orjson.dumps(words))


@pytest.mark.parametrize("well", WELL, ids=str)
def test_who_says_that_all_is_well_has_not_failed(well: dict[str, Any]) -> None:
    events, reader = read(GOOD[0], event(well), *GOOD[1:], event({"choices": [], "usage": U}), DONE)
    assert "".join(delta.get("content", "") for delta in deltas(events)) == "Hello there"
    assert events[-1] is END
    assert reader.usage is not None


@pytest.mark.parametrize("data", [b'{"message":"boom","code":500}', b"boom", b"", b'"boom"'])
@pytest.mark.parametrize("name", [b"error", b" error", b" Error ", b"exception"])
def test_event_that_is_named_an_error_is_one(name: bytes, data: bytes) -> None:
    events, _reader = read(GOOD[0], b"event:" + name + b"\ndata: " + data + b"\n\n", *GOOD[1:], DONE)
    last = events[-1]
    assert type(last) is End
    assert last.error
    assert b"boom" not in data or "boom" in str(last.error)


@pytest.mark.parametrize(
    "line",
    [
        b'error: {"code":500,"message":"boom"}',
        b'error: {"text":"boom"}',
        b'ERROR:{"a":"boom"}',
        b'{"error":{"message":"boom"}}',
        b'{"detail":"boom"}',
    ],
)
def test_line_beside_the_events_that_says_a_failure_is_one(line: bytes) -> None:
    events, _reader = read(GOOD[0], line + b"\n\n", *GOOD[1:], DONE)
    last = events[-1]
    assert type(last) is End
    assert "boom" in str(last.error)


@pytest.mark.parametrize("line", [b'{"detail":"boom"}', b' {"error":"boom"} ', b'error:{"a":"boom"}'])
def test_line_of_a_failure_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="boom"):
        refuse_line(line)


@pytest.mark.parametrize("line", [b'{"a":"boom"}', b"error: boom", b"error:", b"warn: {}", b'data: {"detail":"boom"}'])
def test_line_of_anything_else_is_not(line: bytes) -> None:
    refuse_line(line)


@pytest.mark.parametrize(("is_behind", "refuses"), [(False, (True, False)), (True, (False, True))])
def test_first_words_of_each_kind_are_kept_and_cut(is_behind: bool, refuses: tuple[bool, bool]) -> None:
    assert Asides().are_none
    asides = Asides()
    for words in (b"x" * 310, b"later"):
        asides.note(words, is_behind=is_behind)
    assert not asides.are_none
    for refuse, raises in zip((asides.refuse_silence, asides.refuse_end), refuses, strict=True):
        with pytest.raises(MalformedAnswer, match=f", but: {'x' * 300}$") if raises else nullcontext():
            refuse()


@pytest.mark.parametrize("line", [b"hello", b"{}", b'{"a": 1', b"warning: slow", b"[1]"])
def test_line_that_says_nothing_ends_nothing(line: bytes) -> None:
    events, _reader = read(GOOD[0], line + b"\n\n", *GOOD[1:], DONE)
    assert events[-1] is END


@pytest.mark.parametrize("error", [{"code": 502, "message": "boom"}, "boom"])
def test_failure_inside_a_choice_is_one(error: Any) -> None:
    broken = chunk({}, None)
    broken["choices"][0]["error"] = error
    for before in (GOOD[:1], ()):
        events, _reader = read(*before, event(broken), DONE)
        last = events[-1]
        assert type(last) is End
        assert "boom" in str(last.error)
    choice = {"index": 0, "message": {"content": "half"}, "finish_reason": None, "error": error}
    with pytest.raises(MalformedAnswer, match="boom"):
        OpenAIReader().whole(orjson.dumps({"choices": [choice]}))


@pytest.mark.parametrize("nothing", [None, {}, "", False])
def test_error_that_is_none_inside_a_choice_goes(nothing: Any) -> None:
    harmless = chunk({"content": "Hello"})
    harmless["choices"][0]["error"] = nothing
    events, _reader = read(event(harmless), GOOD[2], DONE)
    assert events[-1] is END
    assert type(events[0]) is dict
    assert "error" not in events[0]["choices"][0]


@pytest.mark.parametrize("nothing", [None, {}, "", False, []])
def test_error_that_is_none_goes_because_clients_look_for_its_name(nothing: Any) -> None:
    events, _reader = read(event(chunk({"content": "Hello"}, error=nothing)), GOOD[2], DONE)
    assert events[-1] is END
    assert type(events[0]) is dict
    assert "error" not in events[0]
    answer = OpenAIReader().whole(orjson.dumps({"choices": [{"message": {"content": "a"}}], "error": nothing}))
    assert "error" not in answer
