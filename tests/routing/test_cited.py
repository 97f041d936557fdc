"""Pages that an answer cites arrive in each client's own words, whole and as a stream, valid by the vendors' types."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from routing.endpoints.chat.cited import Page
from routing.endpoints.generate.grounding import grounding_of
from routing.providers.gemini.grounding import cited_in
from routing.providers.kept import KeptTexts
from tests import schemas
from tests.dialects import ANTHROPIC, CHAT, GEMINI
from tests.generating import validated
from tests.grammar import assert_valid_message, assert_whole, events_in
from tests.routing.test_pairs import TRANSLATED, Exchange

ID: Final = f"chatcmpl-{0:032}"
TEXT: Final = "Größe ist 5"
A, B = "https://a.example", "https://b.example"
PLACES: Final = [(A, 0, 5), (B, 6, 9), (A, 6, 9)]
Cited = list[tuple[str, str | None, Any]]


def annotation(url: str, start: int, end: int, **members: Any) -> dict[str, Any]:
    cited = {"url": url, "title": "T", "start_index": start, "end_index": end, **members}
    return {"type": "url_citation", "url_citation": cited}


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(reason: str | None = None, **delta: Any) -> bytes:
    return event(
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    )


CITED: Final = [annotation(*each) for each in PLACES]
MESSAGE: Final = {"role": "assistant", "content": TEXT, "annotations": CITED}
WHOLE: Final = json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}]}).encode()
DONE: Final = b"data: [DONE]\n\n"
AT_THE_END: Final = (chunk(content=TEXT[:6]), chunk(content=TEXT[6:]), chunk(annotations=CITED), chunk("stop"), DONE)
AT_THE_BEGINNING: Final = (chunk(content="", annotations=CITED[:1]), chunk(content=TEXT), *AT_THE_END[2:])
"""The first page comes before there is a text."""
STREAMS: Final = {"at the end": AT_THE_END, "at the beginning": AT_THE_BEGINNING}


def pages_of_message(message: dict[str, Any]) -> list[tuple[str, str]]:
    (block,) = message["content"]
    assert block["text"] == TEXT
    assert {(each["type"], each["encrypted_index"]) for each in block["citations"]} == {
        ("web_search_result_location", "")
    }
    return [(each["url"], each["title"]) for each in block["citations"]]


def supports_of(answer: dict[str, Any]) -> list[tuple[list[str], int, int, str]]:
    (candidate,) = validated(answer).model_dump()["candidates"]
    grounding = candidate["grounding_metadata"]
    pages = [each["web"]["uri"] for each in grounding["grounding_chunks"]]
    return [
        ([pages[number] for number in each["grounding_chunk_indices"]], segment["start_index"], segment["end_index"],
         segment["text"])
        for each in grounding["grounding_supports"]
        for segment in [each["segment"]]
    ]  # fmt: skip


IN_BYTES: Final = [([A], 0, 7, "Größe"), ([B, A], 8, 11, "ist")]


def test_message_cites_pages() -> None:
    message = json.loads(Exchange("messages", CHAT, is_stream=False).whole(WHOLE))
    assert_valid_message(message)
    assert pages_of_message(message) == [(url, "T") for url, _start, _end in PLACES]


@pytest.mark.parametrize("name", STREAMS)
def test_streamed_message_cites_pages(name: str) -> None:
    found = pages_of_message(assert_whole(events_in(Exchange("messages", CHAT).relayed(*STREAMS[name]))))
    before = 1 if name == "at the beginning" else 0
    assert found == [(A, "T")] * before + [(url, "T") for url, _start, _end in PLACES]


def test_words_of_a_page_are_told_and_a_title_that_is_missing_is_null() -> None:
    cited = [annotation(A, 0, 5, content="Words of the page", title=None)]
    message = {"choices": [{"index": 0, "finish_reason": "stop", "message": {**MESSAGE, "annotations": cited}}]}
    told = json.loads(Exchange("messages", CHAT, is_stream=False).whole(json.dumps(message).encode()))
    (citation,) = told["content"][0]["citations"]
    assert (citation["cited_text"], citation["title"]) == ("Words of the page", None)


CALL: Final[dict[str, Any]] = {
    "index": 0,
    "id": "c",
    "type": "function",
    "function": {"name": "get_weather", "arguments": "{}"},
}
HALF: Final = {**CALL, "function": {"name": "get_weather", "arguments": "{"}}
REST: Final = {"index": 0, "function": {"arguments": "}"}}
BEHIND: Final[dict[str, list[dict[str, Any]]]] = {
    "a call": [{"content": TEXT}, {"tool_calls": [CALL]}, {"annotations": CITED}],
    "a call alone": [{"tool_calls": [CALL]}, {"annotations": CITED}],
    "half a call": [{"content": TEXT}, {"tool_calls": [HALF]}, {"annotations": CITED}, {"tool_calls": [REST]}],
    "a call, bit by bit": [{"tool_calls": [CALL]}, *({"annotations": [each]} for each in CITED)],
}


@pytest.mark.parametrize("case", BEHIND)
def test_pages_that_are_cited_behind_a_call_stand_in_a_text_of_their_own(case: str) -> None:
    stream = (*(chunk(**delta) for delta in BEHIND[case]), chunk("tool_calls"), DONE)
    message = assert_whole(events_in(Exchange("messages", CHAT).relayed(*stream)))
    *_, call, last = message["content"]
    assert (call["type"], call["input"], last["text"]) == ("tool_use", {}, "")
    assert [each["url"] for each in last["citations"]] == [url for url, _start, _end in PLACES]


def test_text_that_follows_the_call_takes_the_pages() -> None:
    deltas: list[dict[str, Any]] = [{"tool_calls": [CALL]}, {"annotations": CITED}, {"content": TEXT}]
    stream = (*(chunk(**delta) for delta in deltas), chunk("tool_calls"), DONE)
    _call, text = assert_whole(events_in(Exchange("messages", CHAT).relayed(*stream)))["content"]
    assert (text["text"], len(text["citations"])) == (TEXT, len(CITED))


def test_pages_that_are_cited_beside_no_text_stand_in_one_of_their_own() -> None:
    said = {"role": "assistant", "content": None, "annotations": CITED, "tool_calls": [CALL]}
    body = json.dumps({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": said}]}).encode()
    text, call = json.loads(Exchange("messages", CHAT, is_stream=False).whole(body))["content"]
    assert (text["text"], len(text["citations"]), call["type"]) == ("", len(CITED), "tool_use")


def test_candidate_rests_on_pages() -> None:
    assert supports_of(json.loads(Exchange("generate", CHAT, is_stream=False).whole(WHOLE))) == IN_BYTES


def test_streamed_candidate_rests_on_pages_at_its_end() -> None:
    events = Exchange("generate", CHAT).relayed(*AT_THE_END).split(b"\r\n\r\n")
    told = [json.loads(each.removeprefix(b"data: ")) for each in events if each]
    assert [("groundingMetadata" in each["candidates"][0]) for each in told] == [False, False, True]
    assert supports_of(told[-1]) == IN_BYTES


def test_part_that_rests_on_pages_is_the_one_behind_the_thoughts() -> None:
    assert grounding_of([Page(A, "", 0, 5, "")], TEXT, 1) == {
        "groundingChunks": [{"web": {"uri": A}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 7, "partIndex": 1, "text": "Größe"}, "groundingChunkIndices": [0]}
        ],
    }


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 5), (6, 2), (-1, 4), (0, 12)])
def test_places_that_are_none_are_not_told(start: int, end: int) -> None:
    assert grounding_of([Page(A, "T", start, end, "")], TEXT) == {
        "groundingChunks": [{"web": {"uri": A, "title": "T"}}]
    }


def test_no_pages_are_no_grounding_and_very_many_are_bounded() -> None:
    assert grounding_of([], TEXT) == {}
    many = grounding_of((Page(f"https://{number}.example", "", 0, 9_000, "") for number in range(5_000)), "x" * 9_000)
    (support,) = many["groundingSupports"]
    assert (len(many["groundingChunks"]), "text" in support["segment"]) == (1_024, False)


# --- pages that Google's answers rest on -----------------------------------------------------------------------------

GROUNDING: Final = {
    "groundingChunks": [{"web": {"uri": A, "title": "A"}}, {"web": {"uri": B}}, {"web": {"title": "none"}}, 5],
    "groundingSupports": [
        {"segment": {"startIndex": 0, "endIndex": 7, "text": "Größe"}, "groundingChunkIndices": [0]},
        {"segment": {"startIndex": 8, "endIndex": 11, "text": "ist"}, "groundingChunkIndices": [0, 2, 3, 9, -1, "0"]},
    ],
}
FOUND: Final = [(A, "A", 0, 5), (A, "A", 6, 9), (B, "", 0, 0)]


def candidate(text: str, **members: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, **members}]}


def test_pages_have_their_places_in_characters() -> None:
    assert cited_in(GROUNDING, TEXT) == FOUND


@pytest.mark.parametrize(
    "metadata",
    [5, [], {"groundingChunks": 5, "groundingSupports": {}}, {"groundingChunks": [{"web": {"uri": 5}}]},
     {"groundingSupports": [{"segment": 5, "groundingChunkIndices": [0]}]}],
    ids=str,
)  # fmt: skip
def test_grounding_of_another_form_cites_nothing(metadata: Any) -> None:
    assert cited_in(metadata, TEXT) == []


@pytest.mark.parametrize("segment", [{}, {"text": 5}, {"text": ""}, {"text": "elsewhere"}, None], ids=str)
def test_page_whose_place_nobody_knows_is_cited_still(segment: Any) -> None:
    metadata = {**GROUNDING, "groundingSupports": [{"segment": segment, "groundingChunkIndices": [1]}]}
    assert cited_in(metadata, TEXT) == [(B, "", 0, 0), (A, "A", 0, 0)]


def test_of_very_many_pages_of_googles_some_are_cited() -> None:
    chunks = [{"web": {"uri": f"https://{number}.example"}} for number in range(1_025)]
    assert len(cited_in({"groundingChunks": chunks}, TEXT)) == 1_024


def test_pages_of_googles_are_annotations_once_each() -> None:
    whole = candidate(TEXT, finishReason="STOP", groundingMetadata=GROUNDING)
    answer = json.loads(Exchange("chat.completions", GEMINI, is_stream=False).whole(json.dumps(whole).encode()))
    assert schemas.faults(schemas.COMPLETION, {**answer, "id": ID}) == []
    assert [tuple(each["url_citation"].values()) for each in answer["choices"][0]["message"]["annotations"]] == [
        ("A", 0, 5, A), ("A", 6, 9, A), ("", 0, 0, B)
    ]  # fmt: skip

    stream = (candidate(TEXT[:6]), candidate(TEXT[6:], groundingMetadata=GROUNDING), whole)
    raw = Exchange("chat.completions", GEMINI).relayed(*map(event, stream))
    chunks = [json.loads(each.removeprefix(b"data: ")) for each in raw.split(b"\n\n") if each.startswith(b"data: {")]
    assert [fault for each in chunks for fault in schemas.faults(schemas.CHUNK, {**each, "id": ID})] == []
    told = [each for one in chunks for each in one["choices"][0]["delta"].get("annotations", ())]
    assert [(each["index"], *each["url_citation"].values()) for each in told] == [
        (place, *each) for place, each in enumerate(FOUND)
    ]


@pytest.mark.parametrize("name", TRANSLATED)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_every_format_tells_of_googles_pages(name: str, is_stream: bool) -> None:
    body = json.dumps(candidate(TEXT, finishReason="STOP", groundingMetadata=GROUNDING)).encode()
    exchange = Exchange(name, GEMINI, is_stream=is_stream)
    told = exchange.relayed(b"data: " + body + b"\n\n") if is_stream else exchange.whole(body)
    assert [url for url in (A, B) if url.encode() not in told] == []


def test_of_a_very_long_text_the_beginning_is_kept_and_pages_behind_it_have_no_place() -> None:
    kept = KeptTexts()
    for _time in range(70_000):
        kept.add(0, "Größe ")
    kept.add(1, "none")
    assert (len(kept.text(0).encode()) in range(262_140, 262_145), kept.text(1), kept.text(2)) == (True, "", "")
    assert grounding_of([Page(A, "T", 270_000, 270_005, "")], kept.text(0)) == {
        "groundingChunks": [{"web": {"uri": A, "title": "T"}}]
    }


# --- pages that stand beside the choices -----------------------------------------------------------------------------

RESULTS: Final = [{"title": "T", "url": A, "date": None, "snippet": "Words"}, {"url": B}, {"title": "none"}, 5, None]
BESIDE: Final[dict[str, tuple[dict[str, Any], list[Any]]]] = {
    "search results": ({"citations": [A, B], "search_results": RESULTS}, [(A, "T", "Words"), (B, "", None)]),
    "addresses alone": ({"citations": [A, A, B, 5, "", None]}, [(A, "", None), (B, "", None)]),
    "none": ({"citations": [], "search_results": None}, []),
    "of another form": ({"citations": {"a": 1}, "search_results": "x"}, []),
}


def found_in(annotations: Any) -> list[Any]:
    return [(each["url_citation"]["url"], each["url_citation"]["title"], each["url_citation"].get("content"))
            for each in annotations or ()]  # fmt: skip


def beside(told: dict[str, Any], *, is_each: bool) -> tuple[bytes, ...]:
    """A stream that tells it in each of its chunks, or in the last one alone."""
    chunks = [json.loads(each.removeprefix(b"data: ")) for each in (chunk(content=TEXT[:6]), chunk(content=TEXT[6:]))]
    last = json.loads(chunk("stop", content="").removeprefix(b"data: "))
    return (*(event({**each, **(told if is_each else {})}) for each in chunks), event({**last, **told}), DONE)


@pytest.mark.parametrize("case", BESIDE)
def test_pages_beside_the_choices_are_annotations_once_each(case: str) -> None:
    told, found = BESIDE[case]
    message = {"role": "assistant", "content": TEXT}
    whole = json.dumps({**told, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()
    answer = json.loads(Exchange("chat.completions", CHAT, is_stream=False).whole(whole))
    assert schemas.faults(schemas.COMPLETION, {**answer, "id": ID}) == []
    assert found_in(answer["choices"][0]["message"].get("annotations")) == found
    assert {name: answer[name] for name in told} == told
    for is_each in (True, False):
        raw = Exchange("chat.completions", CHAT).relayed(*beside(told, is_each=is_each))
        chunks = [
            json.loads(each.removeprefix(b"data: ")) for each in raw.split(b"\n\n") if each.startswith(b"data: {")
        ]
        deltas = [each["choices"][0]["delta"] for each in chunks]
        assert "".join(each.get("content") or "" for each in deltas) == TEXT
        annotations = [each for delta in deltas for each in delta.get("annotations", ())]
        assert (found_in(annotations), [each["index"] for each in annotations]) == (found, [*range(len(found))])


@pytest.mark.parametrize("name", TRANSLATED)
@pytest.mark.parametrize("is_each", [True, False], ids=["in each chunk", "in the last"])
def test_every_format_tells_of_pages_beside_the_choices(name: str, is_each: bool) -> None:
    told = BESIDE["search results"][0]
    raw = Exchange(name, CHAT).relayed(*beside(told, is_each=is_each))
    assert [url for url in (A, B) if url.encode() not in raw] == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_pages_behind_the_last_choice_are_told(name: str) -> None:
    last = event({"object": "chat.completion.chunk", "choices": [], "citations": [A], "usage": {"prompt_tokens": 5}})
    assert A.encode() in Exchange(name, CHAT).relayed(chunk(content=TEXT), chunk("stop"), last, DONE)


def test_choice_that_cites_itself_is_not_told_what_stands_beside() -> None:
    body = json.dumps({"citations": [A, B], "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}]})
    answer = json.loads(Exchange("chat.completions", CHAT, is_stream=False).whole(body.encode()))
    assert len(answer["choices"][0]["message"]["annotations"]) == len(CITED)


# --- pages that Anthropic's answers cite -----------------------------------------------------------------------------

LOCATION: Final = {"type": "web_search_result_location", "title": "T", "cited_text": "x", "encrypted_index": "e"}
BLOCK: Final = {"type": "text", "text": TEXT, "citations": [{**LOCATION, "url": A}, {**LOCATION, "url": B}]}


def test_pages_that_stand_in_a_blocks_beginning_are_annotations_with_their_places() -> None:
    later = {"type": "citations_delta", "citation": {**LOCATION, "url": "https://c.example"}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 12, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": BLOCK},
        {"type": "content_block_delta", "index": 0, "delta": later},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    raw = Exchange("chat.completions", ANTHROPIC).relayed(*map(event, events))
    chunks = [json.loads(each.removeprefix(b"data: ")) for each in raw.split(b"\n\n") if each.startswith(b"data: {")]
    told = [each for one in chunks for each in one["choices"][0]["delta"].get("annotations", ())]
    assert [(each["index"], each["url_citation"]["url"]) for each in told] == [
        (0, A), (1, B), (2, "https://c.example")
    ]  # fmt: skip
