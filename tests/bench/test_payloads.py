import json

import pytest

from bench import payloads
from bench.payloads import StreamShape


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("model", payloads.MODELS)
def test_every_request_has_the_same_size(model: str, stream: bool) -> None:
    body = payloads.request_body(model, stream=stream)

    assert len(body) == 877
    assert json.loads(body)["model"] == model


def test_request_in_anthropics_format_has_the_same_size() -> None:
    body = payloads.messages_body(payloads.PACED.model)

    assert len(body) == 877
    assert payloads.shape_of(body) == payloads.PACED


def test_answer_has_its_size_and_is_a_completion() -> None:
    answer = payloads.answer()

    assert len(answer) == 775
    assert json.loads(answer)["object"] == "chat.completion"


def test_embeddings_have_their_sizes() -> None:
    asked, answer = json.loads(payloads.embeddings_request()), json.loads(payloads.embeddings_answer())

    assert len(payloads.embeddings_request()) == 877
    assert asked["model"] == payloads.EMBEDDINGS_MODEL
    assert [len(each["embedding"]) for each in answer["data"]] == [64]


def test_stream_has_chunks_of_one_size_and_ends_with_done() -> None:
    events = payloads.stream_events(StreamShape(3, 20), with_usage=False)

    ended = json.loads(events[3].removeprefix(b"data: "))["choices"][0]
    assert [len(event) for event in events[:3]] == [273, 273, 273]
    assert (ended["delta"], ended["finish_reason"]) == ({}, "stop")
    assert events[-1] == b"data: [DONE]\n\n"


def test_usage_comes_in_an_event_of_its_own_before_done() -> None:
    events = payloads.stream_events(StreamShape(3, 20), with_usage=True)

    usage = json.loads(events[4].removeprefix(b"data: "))
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 180, "completion_tokens": 3, "total_tokens": 183}


@pytest.mark.parametrize("shape", payloads.STREAM_SHAPES, ids=lambda shape: shape.model)
def test_stream_shape_travels_in_the_models_name(shape: StreamShape) -> None:
    assert payloads.shape_of(payloads.request_body(shape.model, stream=True)) == shape


def test_other_model_names_no_stream() -> None:
    assert payloads.shape_of(payloads.request_body("gpt-4o", stream=True)) is None
