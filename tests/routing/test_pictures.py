"""Pictures that a chat answer brings arrive in each client's own words, whole and as a stream, or clients are told."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from routing.endpoints.chat.pictures import Picture, address_of, pictures_in
from tests import schemas
from tests.dialects import ANTHROPIC, CHAT, GEMINI
from tests.generating import validated
from tests.grammar import assert_valid_message, assert_whole, events_in
from tests.responding import Heard, assert_response
from tests.routing.test_cited import DONE, ID, chunk, event
from tests.routing.test_pairs import TRANSLATED, Exchange

PNG: Final = "iVBORw0KGgo="
LINK: Final = "https://cdn.example/p.webp"
DRAWN: Final = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
LINKED: Final = {"type": "image_url", "image_url": {"url": LINK}}


def whole(content: str | None = None, *images: Any, **message: Any) -> bytes:
    said = {"role": "assistant", "content": content, "images": [*images], **message}
    return json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": said}]}).encode()


def stream(*deltas: dict[str, Any], is_told: bool = True) -> tuple[bytes, ...]:
    return (*(chunk(**delta) for delta in deltas), *([chunk("stop")] if is_told else ()), DONE)


def answered(name: str, body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Exchange(name, CHAT, is_stream=False).whole(body))
    return found


# --- what is a picture -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "pictures"),
    [
        (DRAWN, [Picture("image/png", PNG, "")]),
        ({"image_url": DRAWN["image_url"], "index": 0}, [Picture("image/png", PNG, "")]),
        ({"image_url": f"data:image/jpeg;base64,{PNG}"}, [Picture("image/jpeg", PNG, "")]),
        (LINKED, [Picture("", "", LINK)]),
        *[(odd, []) for odd in (None, 5, {}, {"image_url": None}, {"image_url": {"url": 5}}, {"image_url": ""},
                                {"image_url": "data:image/png;base64,"}, {"image_url": "data:image/svg+xml,<svg>"})],
    ],
    ids=str,
)  # fmt: skip
def test_picture_is_known_in_every_shape(image: Any, pictures: list[Picture]) -> None:
    assert list(pictures_in([image])) == pictures
    assert list(pictures_in(image)) == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "image/png"), ("/9j/4AAQ", "image/jpeg"), ("R0lGODlh", "image/gif"), ("UklGRh4A", "image/webp"),
     ("AAAA", "image/png")],
)  # fmt: skip
def test_kind_of_a_picture_is_told_by_its_beginning(data: str, kind: str) -> None:
    assert address_of(data) == f"data:{kind};base64,{data}"


def test_parts_that_are_pictures_stay_for_clients_of_chat() -> None:
    parts = [{"type": "text", "text": "Here"}, DRAWN]
    message = answered("chat.completions", whole(content=parts, images=None))["choices"][0]["message"]  # type: ignore[arg-type]
    assert (message["content"], message["images"]) == ("Here", [DRAWN])


# --- Responses -------------------------------------------------------------------------------------------------------


def items_of(response: dict[str, Any]) -> list[Any]:
    assert_response({**response, "usage": None})
    return [
        (item["type"], item["status"], item.get("result") or item["content"][0]["text"]) for item in response["output"]
    ]


CALL: Final = ("image_generation_call", "completed", PNG)


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (whole("Here", DRAWN, DRAWN), [("message", "completed", "Here"), CALL, CALL]),
        (whole(None, DRAWN), [CALL]),
        (whole("", DRAWN), [CALL]),
        (whole("Here: ", LINKED), [("message", "completed", f"Here: ![picture]({LINK})")]),
    ],
    ids=["behind a text", "alone", "behind an empty text", "its address"],
)
def test_response_has_its_pictures(body: bytes, items: list[Any]) -> None:
    assert items_of(answered("responses", body)) == items


@pytest.mark.parametrize("is_told", [True, False], ids=["with a reason", "without one"])
def test_streamed_response_that_is_nothing_but_a_picture_has_it(is_told: bool) -> None:
    heard = Heard(
        200, Exchange("responses", CHAT).relayed(*stream({"content": "", "images": [DRAWN]}, is_told=is_told))
    )
    assert items_of(heard.response) == [CALL]
    assert heard.kinds[2:-1] == [
        "response.output_item.added", "response.image_generation_call.in_progress",
        "response.image_generation_call.generating", "response.image_generation_call.completed",
        "response.output_item.done",
    ]  # fmt: skip
    (added,), (done,) = heard.of("response.output_item.added"), heard.of("response.output_item.done")
    assert (added["item"]["status"], added["item"]["result"], done["item"]["result"]) == ("in_progress", None, PNG)


def test_streamed_response_has_its_pictures_between_its_texts() -> None:
    deltas = {"content": "A"}, {"images": [DRAWN]}, {"content": "B"}
    response = Heard(200, Exchange("responses", CHAT).relayed(*stream(*deltas))).response
    assert items_of(response) == [("message", "completed", "A"), CALL, ("message", "completed", "B")]


# --- messages --------------------------------------------------------------------------------------------------------


def texts_of(message: dict[str, Any]) -> list[str]:
    assert_valid_message(message)
    return [block["text"] for block in message["content"]]


NOTE: Final = (
    "[The model answered with a picture (image/png), for which a message has no place. /v1/chat/completions and "
    "/v1/responses deliver it.]"
)


def test_message_says_what_it_has_no_place_for() -> None:
    assert texts_of(answered("messages", whole("Here", DRAWN, LINKED))) == ["Here", NOTE, f"![picture]({LINK})"]
    assert texts_of(answered("messages", whole(None, DRAWN))) == [NOTE]


@pytest.mark.parametrize("is_told", [True, False], ids=["with a reason", "without one"])
def test_streamed_message_says_it_too(is_told: bool) -> None:
    deltas = {"content": "A"}, {"images": [DRAWN, LINKED]}, {"content": "B"}
    raw = Exchange("messages", CHAT).relayed(*stream(*deltas, is_told=is_told))
    assert texts_of(assert_whole(events_in(raw))) == ["A", NOTE, f"![picture]({LINK})", "B"]
    raw = Exchange("messages", CHAT).relayed(*stream({"images": [DRAWN]}, is_told=is_told))
    assert texts_of(assert_whole(events_in(raw))) == [NOTE]


# --- Google's, and chat ----------------------------------------------------------------------------------------------


def test_candidate_has_its_pictures() -> None:
    (candidate,) = answered("generate", whole("Here", DRAWN, LINKED))["candidates"]
    validated({"candidates": [candidate]})
    assert candidate["content"]["parts"] == [
        {"text": "Here"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        {"fileData": {"mimeType": "image/webp", "fileUri": LINK}},
    ]


@pytest.mark.parametrize("is_told", [True, False], ids=["with a reason", "without one"])
def test_stream_of_chat_that_is_nothing_but_a_picture_is_whole(is_told: bool) -> None:
    raw = Exchange("chat.completions", CHAT).relayed(*stream({"images": [DRAWN]}, is_told=is_told))
    chunks = [json.loads(each.removeprefix(b"data: ")) for each in raw.split(b"\n\n") if each.startswith(b"data: {")]
    assert [fault for each in chunks for fault in schemas.faults(schemas.CHUNK, {**each, "id": ID})] == []
    assert chunks[0]["choices"][0]["delta"]["images"] == [{**DRAWN, "index": 0}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", TRANSLATED)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_every_format_tells_of_googles_pictures(name: str, is_stream: bool) -> None:
    parts = [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    exchange = Exchange(name, GEMINI, is_stream=is_stream)
    told = exchange.relayed(event(answer)) if is_stream else exchange.whole(json.dumps(answer).encode())
    assert (NOTE if name == "messages" else PNG).encode() in told


# --- sent back -------------------------------------------------------------------------------------------------------


def test_picture_that_was_drawn_is_said_in_chat_behind_its_turn() -> None:
    exchange = Exchange("responses", CHAT, input=[
        {"role": "user", "content": "Draw"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here"}]},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
        {"type": "image_generation_call", "id": "ig_2", "status": "failed", "result": None},
        {"role": "user", "content": "Bluer"},
    ])  # fmt: skip
    assert exchange.sent["messages"][1:] == [
        {"role": "assistant", "content": "Here"},
        {"role": "user", "content": [{"type": "text", "text": "The picture that was drawn:"}, DRAWN]},
        {"role": "user", "content": "Bluer"},
    ]
    assert [part.image_url for part in exchange.request.parts()][1:] == [address_of(PNG)]


def test_pages_without_words_are_left_out_of_what_is_sent_back() -> None:
    cited = {"type": "web_search_result_location", "url": LINK, "title": "T", "cited_text": "", "encrypted_index": ""}
    said = [{"type": "text", "text": "A"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            {"type": "text", "text": "", "citations": [cited]}]  # fmt: skip
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said},
               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "5"}]}]  # fmt: skip
    assert Exchange("messages", CHAT, messages=history).sent["messages"][1]["content"] == "A"
    assert Exchange("messages", ANTHROPIC, messages=history).sent["messages"][1]["content"] == said[:2]
