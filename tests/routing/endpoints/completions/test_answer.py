"""What a text completion asks for, and what becomes of its answer's parts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.completions import COMPLETIONS
from routing.endpoints.completions.answer import check_answer, complete_choice, complete_logprobs, estimate_output
from routing.endpoints.completions.schema import CompletionsRequest, read
from routing.endpoints.completions.stream import CompletionsAssembler, CompletionsRelay
from routing.providers.base import MalformedAnswer

HEAD = Head("cmpl-1", "public", 1)


def asked(**members: Any) -> CompletionsRequest:
    return read({"model": "m", "prompt": "Say", **members})


@pytest.mark.parametrize(
    ("members", "choices", "written"),
    [
        ({}, 1, 1),
        ({"n": 3}, 3, 3),
        ({"n": 2, "best_of": 5}, 2, 5),
        ({"best_of": 0}, 1, 1),
        ({"prompt": ["a", "b"], "n": 2}, 4, 4),
        ({"prompt": ["a", "b"], "best_of": 3}, 2, 6),
        ({"prompt": [5, 6]}, 1, 1),
        ({"prompt": [[5], [6, 7]]}, 2, 2),
    ],
)
def test_answers_are_counted_by_prompt(members: dict[str, Any], choices: int, written: int) -> None:
    request = asked(**members)
    assert (request.choices, request.written) == (choices, written)


@pytest.mark.parametrize(
    ("members", "shows"),
    [({}, False), ({"stream_options": {"include_usage": True}}, True), ({"usage": {"include": True}}, True)],
)
def test_usage_of_a_stream_is_asked_for_in_two_ways(members: dict[str, Any], shows: bool) -> None:
    assert asked(stream=True, **members).wants_usage is shows


@pytest.mark.parametrize(
    ("prompt", "texts", "tokens"),
    [
        ("12345678", ["12345678abcd"], 1),
        (["1234", "12345678"], ["1234abcd", "12345678"], 1),
        ([5, 6], ["x" * 28], 1),
        ([5, 6], ["x" * 25], 1),
        ([5, 6], ["x" * 24], 0),
    ],
    ids=["text", "texts", "tokens", "a byte more", "tokens alone"],
)
def test_echo_is_no_output(prompt: Any, texts: list[str], tokens: int) -> None:
    answer = {"choices": [{"text": text} for text in texts]}
    check_answer(asked(prompt=prompt, echo=True), answer)
    assert estimate_output(answer) == tokens


@pytest.mark.parametrize(
    "choices", [None, [], {}, [5], [{}], [{"text": None}], [{"text": "a"}, {"text": "b"}]], ids=str
)
def test_answer_without_a_text_for_each_that_was_asked_for_is_malformed(choices: Any) -> None:
    with pytest.raises(MalformedAnswer):
        check_answer(asked(), {"choices": choices})


@pytest.mark.parametrize("found", [None, 5, [], {}, {"content": None}, {"tokens": 5}], ids=str)
def test_logprobs_of_another_form_are_none(found: Any) -> None:
    assert complete_logprobs(found) is None


def test_logprobs_in_chats_form_are_written_in_this_ones() -> None:
    tokens = [
        {"token": "ab", "logprob": -1, "top_logprobs": [{"token": "x", "logprob": None}, "odd"]},
        {"token": "c", "logprob": -0.5, "top_logprobs": None},
        "odd",
    ]
    assert complete_logprobs({"content": tokens}) == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-1, -0.5],
        "top_logprobs": [{"x": -9999.0}, {}],
        "text_offset": [0, 2],
    }


def chunk(text: str, index: int = 0, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "text": text, "finish_reason": reason}]}


def test_pieces_that_are_short_are_a_token_each_and_long_ones_four_bytes() -> None:
    short, long = (CompletionsRelay(asked(stream=True), HEAD, 100) for _ in range(2))
    for text in ("One", " two", " three"):
        short.relay(chunk(text))
    long.relay(chunk("x" * 41))
    assert (short.received_tokens(), long.received_tokens()) == (3, 11)


def test_stream_is_past_its_cap_only_where_more_has_come_for_certain() -> None:
    relay = CompletionsRelay(asked(stream=True), HEAD, 2)
    seen = []
    for text in ("abcd", "abcd", "abcd", "abcdabcdabcdabcd"):
        relay.relay(chunk(text))
        seen.append(relay.is_past_cap)
    assert seen == [False, False, True, True]
    assert not relayed(chunk("abcd"), chunk("abcd"), chunk("a"), most=2).is_past_cap


def test_stream_is_whole_when_each_choice_has_ended_or_the_upstream_says_so() -> None:
    relay = CompletionsRelay(asked(stream=True, n=2), HEAD, 100)
    relay.is_done = True
    assert not relay.is_complete
    relay.is_done = False
    relay.relay(chunk("a", 0, "stop"))
    assert not relay.is_complete
    relay.is_done = True
    assert not relay.is_complete
    relay.is_done = False
    relay.relay(chunk("b", 1, "tool_calls"))
    assert relay.is_complete


def test_cut_says_length_of_what_had_not_ended() -> None:
    relay = CompletionsRelay(asked(stream=True, n=2), HEAD, 100)
    relay.relay(chunk("a", 0, "stop"))
    relay.relay(chunk("b", 1))
    cut = relay.cut()
    assert (cut.count(b'"length"'), b'"index":1' in cut, relay.is_complete) == (1, True, True)
    assert relay.closing(Bill(None, {}, "0", {})) == b"data: [DONE]\n\n"  # type: ignore[arg-type]


def test_parts_are_put_together_by_choice() -> None:
    assembler = CompletionsAssembler(2)
    logprobs = {"tokens": ["a"], "token_logprobs": [-1.0]}
    assembler.add({"model": "m", "choices": [{"index": 1, "text": "a", "logprobs": logprobs}]})
    assembler.add({"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]})
    seen = [assembler.is_complete]
    assembler.add({"choices": [{"index": 1, "text": "b", "logprobs": logprobs, "finish_reason": "length"}]})
    assert [*seen, assembler.is_complete] == [False, True]
    assert assembler.answer() == {
        "model": "m",
        "choices": [
            {"index": 0, "text": "x", "finish_reason": "stop"},
            {
                "index": 1,
                "text": "ab",
                "finish_reason": "length",
                "logprobs": {"tokens": ["a", "a"], "token_logprobs": [-1.0, -1.0]},
            },
        ],
    }


@pytest.mark.parametrize(
    "odd", [{}, {"choices": None}, {"choices": []}, {"choices": [5]}, {"choices": [{"text": 5}]}], ids=str
)
def test_words_of_what_cannot_be_read_are_none(odd: dict[str, Any]) -> None:
    assert COMPLETIONS.words(odd) == ""
    assert COMPLETIONS.words(chunk("hi")) == "hi"


def told(raw: bytes) -> list[Any]:
    return [orjson.loads(line[6:]) for line in raw.split(b"\n\n") if line and line != b"data: [DONE]"]


@pytest.mark.parametrize(("index", "place"), [(0, 0), (3, 3), (-1, 1), (None, 1), ("2", 1)])
def test_choice_without_a_place_has_its_own(index: Any, place: int) -> None:
    assert complete_choice({"text": "a", "index": index}, 1)["index"] == place


@pytest.mark.parametrize("top", [[{"a": -1.5}], [None], [{}]])
def test_probabilities_of_the_format_stay(top: Any) -> None:
    found = {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": top, "text_offset": [0]}
    assert complete_logprobs(found) == found
    assert complete_logprobs({**found, "top_logprobs": ["x"], "text_offset": [None]}) == {
        "tokens": ["a"], "token_logprobs": [None],
    }  # fmt: skip


@pytest.mark.parametrize("shows_usage", [False, True])
@pytest.mark.parametrize("explanation", [None, {"route": 1}])
def test_last_chunk_has_the_usage_and_the_explanation_where_they_are_asked_for(
    shows_usage: bool, explanation: Any
) -> None:
    relay = CompletionsRelay(asked(stream=True, stream_options={"include_usage": shows_usage}), HEAD, 100)
    relay.relay(chunk("a", reason="odd"))
    raw = relay.closing(Bill(Usage(input=1, output=1), {}, "0.5", {}), explanation)
    assert raw.endswith(b"data: [DONE]\n\n")
    chunks = told(raw)
    assert len(chunks) == (1 if shows_usage or explanation else 0)
    for last in chunks:
        assert ("usage" in last, "costrouter" in last) == (shows_usage, explanation is not None)


def test_reason_that_is_none_of_the_format_is_stop() -> None:
    relay = CompletionsRelay(asked(stream=True), HEAD, 100)
    for reason, found in (("odd", "stop"), ("length", "length"), (None, None)):
        assert told(relay.relay(chunk("a", reason=reason)))[0]["choices"][0]["finish_reason"] == found


def relayed(*chunks: dict[str, Any], most: int = 100, **members: Any) -> CompletionsRelay:
    relay = CompletionsRelay(asked(stream=True, **members), HEAD, most)
    for each in chunks:
        relay.relay(each)
    return relay


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        (["12345678"], 0),
        (["1234", "5678"], 0),
        (["1234", "5678", "abcd"], 1),
        (["1234", "5678abcd", "efg"], 2),
        (["12345678" + "x" * 41], 11),
    ],
    ids=["the prompt", "in pieces", "and a word", "and two", "and more, at once"],
)
def test_prompt_that_comes_back_in_a_stream_is_no_output(texts: list[str], tokens: int) -> None:
    assert relayed(*map(chunk, texts), prompt="12345678", echo=True).received_tokens() == tokens
    unasked = relayed(*map(chunk, texts), prompt="12345678").received_tokens()
    assert unasked > tokens


def test_each_choice_has_its_own_prompt_to_give_back() -> None:
    pieces = [chunk("12", 0), chunk("1234", 1), chunk("ab", 0), chunk("cd", 1), chunk("ef", 2)]
    assert relayed(*pieces, prompt=["12", "1234"], echo=True).received_tokens() == 3
    assert relayed(chunk("12", 1), chunk("12", 1), prompt=["1", "1234"], echo=True).received_tokens() == 0


def test_place_of_a_choice_is_never_below_the_first() -> None:
    relay = CompletionsRelay(asked(stream=True), HEAD, 100)
    assert [told(relay.relay(chunk("a", index)))[0]["choices"][0]["index"] for index in (-1, 0, 1)] == [0, 0, 1]


def test_stream_of_nothing_is_never_whole_and_a_reason_alone_is() -> None:
    nothing, said = relayed(chunk("")), relayed(chunk("a"), chunk("", 1), n=2)
    ended = relayed(chunk("", reason="stop"), chunk("", 1), n=2)
    for relay in (nothing, said, ended):
        assert not relay.is_complete
        relay.is_done = True
    assert [relay.is_complete for relay in (nothing, said, ended)] == [False, True, True]


def test_reasons_that_are_still_to_come_are_stop_each_once_in_their_order() -> None:
    relay = relayed(chunk("a", 2), chunk("b", 0), chunk("c", 1, "length"), n=3)
    relay.is_done = True
    (ends,) = told(relay.closing(Bill(Usage(), {}, "0", {})))
    assert [(each["index"], each["finish_reason"], each["text"]) for each in ends["choices"]] == [
        (0, "stop", ""), (2, "stop", ""),
    ]  # fmt: skip
    assert "usage" not in ends


@pytest.mark.parametrize("shows_usage", [False, True])
def test_chunk_is_ours_and_says_no_usage_before_the_last(shows_usage: bool) -> None:
    relay = CompletionsRelay(asked(stream=True, stream_options={"include_usage": shows_usage}), HEAD, 100)
    (found,) = told(relay.relay({**chunk("a"), "id": "theirs", "model": "theirs", "usage": {"x": 1}}))
    ours = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "public"}
    said = {"text": "a", "index": 0, "logprobs": None, "finish_reason": None}
    assert found == {**ours, "choices": [said], **({"usage": None} if shows_usage else {})}


@pytest.mark.parametrize("reason", ["odd", None, "tool_calls"])
def test_whole_choice_that_ended_for_another_reason_has_stopped(reason: Any) -> None:
    assert complete_choice({"text": "a", "finish_reason": reason}, 0)["finish_reason"] == "stop"
    assert complete_choice({"text": "a", "finish_reason": "content_filter"}, 0)["finish_reason"] == "content_filter"


def test_probabilities_that_are_no_numbers_are_left_out() -> None:
    found = {"tokens": ["a", 5], "token_logprobs": [-1.0], "top_logprobs": [{"a": "x"}], "text_offset": [0]}
    assert complete_logprobs(found) is None
    assert complete_logprobs({**found, "tokens": ["a"], "token_logprobs": [True]}) == {
        "tokens": ["a"], "text_offset": [0],
    }  # fmt: skip


def test_output_is_estimated_by_four_bytes_rounded_up_and_never_below_nothing() -> None:
    answer = {"choices": [{"text": "12"}, {"text": "1234é"}]}
    check_answer(asked(prompt=["1234", "12"], echo=True), answer)
    assert estimate_output(answer) == 1
    check_answer(asked(prompt=["1234", "12"]), answer)
    assert estimate_output(answer) == 2
    twice: dict[str, Any] = {"choices": [{"text": text} for text in ("12ab", "12cd", "1ab", "1cd")]}
    check_answer(asked(prompt=["12", "1"], n=2, echo=True), twice)
    assert [choice["echoed"] for choice in twice["choices"]] == [2, 2, 1, 1]


def test_whole_answer_in_pieces_has_a_place_for_each_choice() -> None:
    choices = [{"text": "a"}, {"text": "b", "index": 5}]
    assert [piece["choices"][0]["index"] for piece in COMPLETIONS.pieces({"choices": choices})] == [0, 5]
