"""Google's format, both ways: its clients before any upstream, any client before a Gemini upstream."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.installation import CHEAP, DEAR, SINGLE, Offer, Shape, Via
from tests.worlds import World

ASK: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
GOOGLE = Shape(vias=(Via(provider="gemini"),))
EITHER = Shape(vias=tuple(replace(via, provider="gemini") for via in (CHEAP, DEAR)))
USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 17}
TOOL = {
    "functionDeclarations": [
        {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
    ]
}
ARGUMENTS = '{"city": "Huế", "days": [1, 2.50], "note": null}'


# --- what a Gemini upstream sends -----------------------------------------------------------------------------------


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", index: int = 0) -> dict[str, Any]:
    end = {} if finish is None else {"finishReason": finish}
    return {"content": {"parts": list(parts), "role": "model"}, **end, "index": index}


def response(*candidates: dict[str, Any], usage: Any = USAGE, **members: Any) -> dict[str, Any]:
    told = {} if usage is None else {"usageMetadata": usage}
    return {
        "candidates": list(candidates),
        **told,
        "modelVersion": "hidden-model",
        "responseId": "hidden-id",
        **members,
    }


def whole(*parts: dict[str, Any], **members: Any) -> up.Reply:
    return up.plain(200, response(candidate(*parts), **members))


def events(*chunks: dict[str, Any]) -> list[bytes]:
    return [b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks]


TOLD = events(
    response(candidate({"text": "Hello"}, finish=None), usage={"promptTokenCount": 12, "totalTokenCount": 12}),
    response(candidate({"text": " there!"}, finish=None), usage={"promptTokenCount": 12, "candidatesTokenCount": 2}),
    response(candidate({"text": ""}), usage=USAGE),
)


# --- how clients ask -------------------------------------------------------------------------------------------------


@pytest.fixture
def google(world: World) -> Offer:
    """A model on one Gemini upstream."""
    return world.offer(GOOGLE)


def generate(caller: Caller, model: Offer | str, action: str = "generateContent", **members: Any) -> httpx.Response:
    name = model if isinstance(model, str) else model.name
    with httpx.Client(base_url=caller.installation.gateway_url, timeout=10) as client:
        headers = {"x-goog-api-key": caller.secret}
        return client.post(f"/v1beta/models/{name}:{action}", json={**ASK, **members}, headers=headers)


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in response.text.split("\r\n\r\n") if block and not block.startswith(":")]
    return [decoded(block.removeprefix("data: ")) for block in blocks]


def validated(answer: dict[str, Any]) -> types.GenerateContentResponse:
    """As Google's own types have it, to the letter, but for the cost that is ours."""
    plain = json.loads(json.dumps(answer, default=float))
    for name in ("cost", "costDetails"):
        plain.get("usageMetadata", {}).pop(name, None)
    return types.GenerateContentResponse.model_validate(plain)


def text_of(answer: types.GenerateContentResponse) -> str:
    return answer.text or ""


def assert_refused(response: httpx.Response, code: int, status: str, reason: str, param: str | None = None) -> Any:
    """Google's error, whole."""
    error = response.json()["error"]
    info = error["details"][0]
    assert (response.status_code, error["code"], error["status"], info["reason"]) == (code, code, status, reason)
    assert info.get("metadata", {}).get("param") == param
    assert errors.APIError(code, response.json()).message == error["message"]
    return error


# --- its clients, before upstreams of chat's format ------------------------------------------------------------------


def test_answer_is_googles_and_costs_what_chats_would(caller: Caller, model: Offer) -> None:
    before = caller.available
    answer = decoded(generate(caller, model).content)
    record = caller.only_record()

    shown = validated(answer)
    assert (text_of(shown), shown.model_version) == ("Hello there!", model.name)
    assert shown.candidates is not None
    assert shown.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer["usageMetadata"]
    assert (usage["promptTokenCount"], usage["candidatesTokenCount"], usage["totalTokenCount"]) == (12, 5, 17)
    assert usage["cost"] == Decimal(12 * 2_000 + 5 * 8_000).scaleb(-9)
    assert record.id == record_id(answer["responseId"])
    assert (record.endpoint, record.input_tokens, record.output_tokens) == ("generate", 12, 5)
    assert caller.available == before - 64_000


def test_upstream_is_asked_in_chat(caller: Caller, model: Offer) -> None:
    picture = base64.urlsafe_b64encode(b"\xfb\xff\xfe picture").decode()
    generate(
        caller,
        model,
        system_instruction={"parts": {"text": "Be brief."}},
        contents=[
            {"role": "user", "parts": [{"text": "Look"}, {"inline_data": {"mime_type": "image/png", "data": picture}}]}
        ],
        generation_config={
            "temperature": 0.5, "topP": 0.9, "topK": 40, "max_output_tokens": 100, "stop_sequences": ["END"], "seed": 7,
            "candidateCount": 1, "responseMimeType": "application/json", "presencePenalty": 0.1,
            "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
            "thinkingConfig": {"thinkingBudget": 4000},
        },
        tools=[TOOL],
        tool_config={"function_calling_config": {"mode": "ANY"}},
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    )  # fmt: skip
    (asked,) = caller.upstream.received(model.upstream)
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    assert asked.path.endswith("/chat/completions")
    assert asked.json == {
        "model": model.upstream,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,+//+IHBpY3R1cmU="}},
                ],
            },
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
        "presence_penalty": 0.1,
        "n": 1,
        "max_tokens": 100,
        "stop": ["END"],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            }
        ],
        "tool_choice": "required",
        "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}},
        "reasoning_effort": "medium",
    }


def test_stream_is_events_and_its_last_chunk_has_the_end_and_the_usage(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.told("One two three"))
    *others, last = chunks_of(generate(caller, model, "streamGenerateContent?alt=sse"))
    record = caller.only_record()

    assert "".join(text_of(validated(chunk)) for chunk in [*others, last]) == "One two three"
    assert {chunk["responseId"] for chunk in [*others, last]} == {f"gen-{record.id.hex}"}
    assert [chunk for chunk in others if "usageMetadata" in chunk or "finishReason" in chunk["candidates"][0]] == []
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert (last["usageMetadata"]["totalTokenCount"], record.output_tokens) == (17, 5)
    assert record.usage_source == "upstream"


def test_stream_without_events_is_a_list(caller: Caller, model: Offer) -> None:
    answer = generate(caller, model, "streamGenerateContent")
    assert answer.headers["content-type"] == "application/json"
    assert [text_of(validated(chunk)) for chunk in decoded(answer.content)] == ["Hello there!"]


def test_calls_come_whole_with_their_arguments_as_they_were(caller: Caller, model: Offer) -> None:
    pieces = [
        up.chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "get_weather"}}]}),
        *(up.chunk({"tool_calls": [{"index": 0, "function": {"arguments": letter}}]}) for letter in ARGUMENTS),
        up.chunk({}, finish_reason="tool_calls"), up.usage_chunk(),
    ]  # fmt: skip
    caller.upstream.on(model.upstream, up.stream(*map(up.event, pieces), up.DONE))

    response = generate(caller, model, "streamGenerateContent?alt=sse", tools=[TOOL])

    (last,) = chunks_of(response)
    call = validated(last).function_calls
    assert call is not None
    assert (call[0].id, call[0].name, call[0].args) == ("a", "get_weather", json.loads(ARGUMENTS))
    assert ARGUMENTS in response.text


def test_calls_and_what_they_returned_go_up_as_chats(caller: Caller, model: Offer) -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}, {"functionCall": {"name": "f"}}],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "one"}}},
                {"functionResponse": {"name": "f", "response": {"two": 2}}},
            ],
        },
    ]
    generate(caller, model, contents=contents)
    _user, said, *returned = caller.upstream.received(model.upstream)[-1].json["messages"]
    ids = [call["id"] for call in said["tool_calls"]]
    assert [call["function"] for call in said["tool_calls"]] == [
        {"name": "f", "arguments": '{"a":1}'},
        {"name": "f", "arguments": "{}"},
    ]
    assert returned == [
        {"role": "tool", "tool_call_id": ids[0], "content": "one"},
        {"role": "tool", "tool_call_id": ids[1], "content": '{"two":2}'},
    ]


UNSAYABLE: dict[str, tuple[dict[str, Any], str]] = {
    "five stops": ({"generationConfig": {"stopSequences": list("abcde")}}, "generationConfig.stopSequences"),
    "an enumeration": ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "generationConfig.responseMimeType"),
    "a filter": ({"safetySettings": [{"category": "x", "threshold": "BLOCK_LOW_AND_ABOVE"}]}, "safetySettings"),
    "validated calls": (
        {"tools": [TOOL], "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}},
        "toolConfig.functionCallingConfig.mode",
    ),
    "code": ({"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]}, "contents.parts.executableCode"),
    "an answer to nothing": (
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
        "contents",
    ),
    "something new": ({"somethingNew": True}, "somethingNew"),
    "a new setting": ({"generationConfig": {"enableX": True}}, "generationConfig.enableX"),
}


@pytest.mark.parametrize(("members", "param"), UNSAYABLE.values(), ids=UNSAYABLE.keys())
def test_what_chat_cannot_say_is_refused_by_name(
    caller: Caller, model: Offer, members: dict[str, Any], param: str
) -> None:
    with caller.nothing_changes():
        response = generate(caller, model, **members)
    assert_refused(response, 400, "INVALID_ARGUMENT", "UNSUPPORTED_PARAMETER", param)


UNPRICED: dict[str, tuple[dict[str, Any], str]] = {
    "search": ({"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
    "code": ({"tools": [{"code_execution": {}}]}, "tools[0].codeExecution"),
    "a cache": ({"cached_content": "cachedContents/1"}, "cachedContent"),
    "a tier": ({"service_tier": "priority"}, "serviceTier"),
    "pictures": (
        {"generationConfig": {"response_modalities": ["TEXT", "IMAGE"]}},
        "generationConfig.responseModalities",
    ),
    "speech": ({"generationConfig": {"speechConfig": {"languageCode": "vi"}}}, "generationConfig.speechConfig"),
    "sound": ({"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": ""}}]}]}, "contents"),
    "a film": (
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}}]}]},
        "contents",
    ),
    "an upload": (
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://g.example/files/1", "mimeType": "image/png"}}]}]},
        "contents",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("members", "param"), UNPRICED.values(), ids=UNPRICED.keys())
def test_what_has_no_price_is_refused_before_a_gemini_upstream_too(
    caller: Caller, google: Offer, members: dict[str, Any], param: str
) -> None:
    with caller.nothing_changes():
        response = generate(caller, google, **members)
    assert_refused(response, 400, "INVALID_ARGUMENT", "UNSUPPORTED_PARAMETER", param)


WRONG: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "no contents": ({"contents": None}, "MISSING_REQUIRED_PARAMETER", "contents"),
    "empty contents": ({"contents": []}, "EMPTY_ARRAY", "contents"),
    "a text": ({"contents": "Hi"}, "INVALID_TYPE", "contents"),
    "a role": ({"contents": [{"role": "assistant", "parts": []}]}, "INVALID_VALUE", "contents[0].role"),
    "heat": ({"generationConfig": {"temperature": 3}}, "DECIMAL_ABOVE_MAX_VALUE", "generationConfig.temperature"),
    "length": (
        {"generationConfig": {"maxOutputTokens": 20_000}},
        "INTEGER_ABOVE_MAX_VALUE",
        "generationConfig.maxOutputTokens",
    ),
    "a call without a name": (
        {"contents": [{"parts": [{"functionCall": {"args": {}}}]}]},
        "MISSING_REQUIRED_PARAMETER",
        "contents[0].parts[0].functionCall.name",
    ),
}


@pytest.mark.parametrize(("members", "reason", "param"), WRONG.values(), ids=WRONG.keys())
def test_bad_input_is_refused_and_changes_nothing(
    caller: Caller, model: Offer, members: dict[str, Any], reason: str, param: str | None
) -> None:
    with caller.nothing_changes():
        response = generate(caller, model, **members)
    assert_refused(response, 400, "INVALID_ARGUMENT", reason, param)


def test_key_may_stand_in_a_header_or_in_the_query(caller: Caller, model: Offer) -> None:
    url = f"{caller.installation.gateway_url}/v1beta/models/{model.name}:generateContent"
    asked = [
        httpx.post(url, json=ASK, headers={"x-goog-api-key": caller.secret}),
        httpx.post(url, json=ASK, params={"key": caller.secret}),
        httpx.post(url, json=ASK, headers={"authorization": f"Bearer {caller.secret}"}),
    ]
    assert [response.status_code for response in asked] == [200, 200, 200]


def test_key_in_the_query_opens_googles_paths_alone(caller: Caller, model: Offer) -> None:
    url = f"{caller.installation.gateway_url}/v1/chat/completions"
    with caller.nothing_changes():
        response = httpx.post(url, json=caller.body(model), params={"key": caller.secret})
    assert response.status_code == 401


def test_wrong_key_is_said_in_googles_words(caller: Caller, model: Offer) -> None:
    url = f"{caller.installation.gateway_url}/v1beta/models/{model.name}:generateContent"
    with caller.nothing_changes():
        response = httpx.post(url, json=ASK, headers={"x-goog-api-key": "sk-cr-wrong"})
    assert_refused(response, 401, "UNAUTHENTICATED", "INVALID_API_KEY")


def test_unknown_model_and_unknown_action_are_said_in_googles_words(caller: Caller, model: Offer) -> None:
    with caller.nothing_changes():
        unknown = generate(caller, "nobody/knows:it")
        action = generate(caller, model, "predict")
    assert_refused(unknown, 404, "NOT_FOUND", "MODEL_NOT_FOUND", "model")
    assert_refused(action, 404, "NOT_FOUND", "UNKNOWN_URL")


def test_empty_wallet_is_said_in_googles_words(world: World, model: Offer) -> None:
    poor = world.caller(funds="0")
    with poor.nothing_changes():
        response = generate(poor, model)
    assert (response.status_code, response.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


def test_count_is_an_estimate_that_costs_nothing(caller: Caller, model: Offer) -> None:
    with caller.nothing_changes():
        short = generate(caller, model, "countTokens").json()
        inner = {"generateContentRequest": {"model": f"models/{model.name}", "contents": ASK["contents"] * 50}}
        long = generate(caller, model, "countTokens", contents=None, **inner).json()
    assert 1 <= short["totalTokens"] < long["totalTokens"]


def test_models_are_listed_in_googles_shape(world: World, caller: Caller, model: Offer) -> None:
    embedder = world.offer(Shape(endpoints=("embeddings",)))
    client = httpx.Client(base_url=caller.installation.gateway_url, headers={"x-goog-api-key": caller.secret})
    with client:
        listed = client.get("/v1beta/models").json()["models"]
        one = client.get(f"/v1beta/models/{model.name}").json()
        first = client.get("/v1beta/models", params={"pageSize": 1}).json()
        second = client.get("/v1beta/models", params={"pageSize": 1, "pageToken": first["nextPageToken"]}).json()
        other = client.get(f"/v1beta/models/{embedder.name}")
        wrong = client.get("/v1beta/models", params={"pageSize": "many"})
    names = [each["name"] for each in listed]
    assert one in listed
    assert (one["name"], one["inputTokenLimit"], one["outputTokenLimit"]) == (f"models/{model.name}", 128_000, 16_384)
    assert [each["models"][0]["name"] for each in (first, second)] == names[:2]
    assert f"models/{embedder.name}" not in names
    assert_refused(other, 404, "NOT_FOUND", "MODEL_NOT_FOUND", "model")
    assert_refused(wrong, 400, "INVALID_ARGUMENT", "INVALID_VALUE", "pageSize")


# --- a Gemini upstream -----------------------------------------------------------------------------------------------


def test_googles_format_goes_up_as_it_came_but_for_the_cap(caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, whole({"text": "Hello", "thoughtSignature": "c2ln"}))
    config: dict[str, Any] = {"temperature": 0.5, "thinkingConfig": {"includeThoughts": True}}
    answer = decoded(generate(caller, google, generationConfig=config, labels={"a_b": "c"}).content)
    (asked,) = caller.upstream.received(google.upstream)

    assert asked.path == f"/v1/models/{google.upstream}:generateContent"
    assert (asked.header("x-goog-api-key"), asked.header("authorization")) == (google.secrets[0], None)
    assert asked.json == {**ASK, "labels": {"a_b": "c"}, "generationConfig": {**config, "maxOutputTokens": 4096}}
    assert answer["candidates"] == [candidate({"text": "Hello", "thoughtSignature": "c2ln"})]
    assert (answer["modelVersion"], "hidden" in json.dumps(answer, default=str)) == (google.name, False)
    usage = validated(answer).usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (12, 3, 2)
    assert (caller.only_record().output_tokens, caller.only_record().cost) == (5, 12 * 2_000 + 5 * 8_000)


def test_stream_in_googles_format_goes_through(caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, up.stream(*TOLD))
    chunks = chunks_of(generate(caller, google, "streamGenerateContent?alt=sse"))
    (asked,) = caller.upstream.received(google.upstream)

    assert asked.path == f"/v1/models/{google.upstream}:streamGenerateContent?alt=sse"
    assert "".join(text_of(validated(chunk)) for chunk in chunks) == "Hello there!"
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, None, "STOP"]
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 17
    assert (caller.only_record().output_tokens, caller.only_record().usage_source) == (5, "upstream")


def test_chat_goes_up_in_googles_format(caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, whole({"text": "Think", "thought": True}, {"text": "Hello there!"}))
    body = decoded(caller.ask(google, max_tokens=50).content)
    (asked,) = caller.upstream.received(google.upstream)

    assert asked.json["generationConfig"] == {"maxOutputTokens": 50}
    assert [content["role"] for content in asked.json["contents"]] == ["user"]
    message = body["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hello there!", "Think")
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 5, 17)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


@pytest.mark.parametrize("cut", range(len(TOLD)))
def test_stream_that_is_cut_is_an_error_for_either_client(caller: Caller, google: Offer, cut: int) -> None:
    caller.upstream.on(google.upstream, up.stream(*TOLD[:cut]))
    chat = caller.listen(google)
    native = generate(caller, google, "streamGenerateContent?alt=sse")

    if cut == 0:
        assert (chat.status, native.status_code) == (502, 502)
    else:
        assert chat.error["code"] == "upstream_error"
        assert not chat.is_done
        *_others, last = chunks_of(native)
        assert (last["error"]["code"], last["error"]["status"]) == (502, "UNAVAILABLE")
    caller.wait_until_settled()
    assert {record.outcome for record in caller.records} == {"upstream_error"}


def test_prompt_that_is_blocked_is_an_answer(caller: Caller, google: Offer) -> None:
    blocked: dict[str, Any] = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9},
    }
    caller.upstream.on(google.upstream, up.plain(200, blocked))
    chat = decoded(caller.ask(google).content)
    native = validated(decoded(generate(caller, google).content))
    assert (chat["choices"][0]["finish_reason"], chat["choices"][0]["message"]["content"]) == ("content_filter", None)
    assert native.prompt_feedback is not None
    assert native.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT


BROKEN: dict[str, up.Reply] = {
    "an error": up.plain(500, {"error": {"code": 500, "message": "no", "status": "INTERNAL"}}),
    "an error in a list": up.plain(503, [{"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}]),
    "an error as an answer": up.plain(200, {"error": {"code": 500, "message": "no", "status": "INTERNAL"}}),
    "a malformed call": up.plain(200, response(candidate(finish="MALFORMED_FUNCTION_CALL"))),
    "no candidates": up.plain(200, response()),
    "no JSON": up.plain(200, b"<html>"),
    "a wrong key": up.plain(
        400,
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
                ],
            }
        },
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("action", ["generateContent", "streamGenerateContent?alt=sse"])
def test_first_channel_that_fails_is_invisible(world: World, caller: Caller, broken: up.Reply, action: str) -> None:
    offer = world.offer(EITHER)
    caller.upstream.on(offer.upstreams[0], broken)
    good = up.stream(*TOLD) if "stream" in action else whole({"text": "Hello there!"})
    caller.upstream.on(offer.upstreams[1], good)

    assert generate(caller, offer, action).status_code == 200
    record = caller.only_record()
    assert (record.channel, len(record.attempts), record.cost) == (offer.channels[1], 2, 64_000)


def test_words_of_a_refusal_reach_the_client(caller: Caller, google: Offer) -> None:
    refused = [{"error": {"code": 400, "message": "Invalid value at 'contents[0]'", "status": "INVALID_ARGUMENT"}}]
    caller.upstream.on(google.upstream, up.plain(400, refused))
    before = caller.available
    response = generate(caller, google)
    error = assert_refused(response, 400, "INVALID_ARGUMENT", "UPSTREAM_ERROR")
    assert error["message"] == "Invalid value at 'contents[0]'"
    assert (caller.only_record().cost, caller.available) == (0, before)


LACKING: dict[str, tuple[dict[str, Any], str]] = {
    "a bias": ({"logit_bias": {"5": 1}}, "logit_bias"),
    "one call at a time": ({"parallel_tool_calls": False, "tools": [{"type": "function", "function": {"name": "f"}}]},
                           "parallel_tool_calls"),
    "a member of others": ({"min_p": 0.1}, "min_p"),
}  # fmt: skip


@pytest.mark.parametrize(("members", "param"), LACKING.values(), ids=LACKING.keys())
def test_what_google_has_no_word_for_is_refused_by_name(
    caller: Caller, google: Offer, members: dict[str, Any], param: str
) -> None:
    with caller.nothing_changes():
        response = caller.ask(google, **members)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert response.json()["error"]["param"] == param


def test_embeddings_of_a_gemini_upstream(world: World, caller: Caller) -> None:
    offer = world.offer(Shape(vias=(Via(provider="gemini"),), endpoints=("embeddings",)))
    vectors = {"embeddings": [{"values": [0.5, 1.0]}, {"values": [2.0, 3.0]}], "usageMetadata": {"promptTokenCount": 7}}
    caller.upstream.on(offer.upstream, up.plain(200, vectors))
    body = {"model": offer.name, "input": ["a", "b"], "dimensions": 2}
    answer = decoded(caller.client.post("/v1/embeddings", json=body).content)
    (asked,) = caller.upstream.received(offer.upstream)
    assert asked.path == f"/v1/models/{offer.upstream}:batchEmbedContents"
    assert asked.json["requests"][1] == {
        "model": f"models/{offer.upstream}", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2,
    }  # fmt: skip
    assert [each["embedding"] for each in answer["data"]] == [[0.5, 1.0], [2.0, 3.0]]
    assert answer["usage"]["prompt_tokens"] == 7


# --- every pair ------------------------------------------------------------------------------------------------------

CHAT_CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
CHAT_USAGE = {**up.USAGE, "completion_tokens_details": {"reasoning_tokens": 2}}
GOOGLES_CALL = {"functionCall": {"id": "c1", "name": "get_weather", "args": json.loads(ARGUMENTS)}}
SAME_WHOLE = {
    "openai": up.answer(
        "Let me see.", finish_reason="tool_calls", message={"tool_calls": [CHAT_CALL]}, usage=CHAT_USAGE
    ),
    "gemini": whole({"text": "Let me see."}, GOOGLES_CALL),
}
SAME_STREAM = {
    "openai": up.stream(
        *map(
            up.event,
            [
                up.chunk({"role": "assistant", "content": "Let me"}),
                up.chunk({"content": " see."}),
                up.chunk({"tool_calls": [{"index": 0, **CHAT_CALL}]}),
                up.chunk({}, finish_reason="tool_calls"),
                up.usage_chunk(CHAT_USAGE),
            ],
        ),
        up.DONE,
    ),
    "gemini": up.stream(
        *events(
            response(candidate({"text": "Let me"}, finish=None), usage=None),
            response(candidate({"text": " see."}, finish=None), usage=None),
            response(candidate(GOOGLES_CALL)),
        )
    ),
}
SAME = ("Let me see.", "get_weather", json.loads(ARGUMENTS), (12, 3, 2))
CHATS_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def said_in_chat(caller: Caller, offer: Offer, *, is_stream: bool) -> Any:
    if is_stream:
        seen = caller.listen(offer, tools=[CHATS_TOOL], stream_options={"include_usage": True})
        assert seen.is_done
        calls = [
            call for chunk in seen.chunks for each in chunk["choices"] for call in each["delta"].get("tool_calls", ())
        ]
        text, usage = seen.text(), seen.usages[-1]
        name = "".join(call["function"].get("name", "") for call in calls)
        arguments = "".join(call["function"].get("arguments", "") for call in calls)
    else:
        body = decoded(caller.ask(offer, tools=[CHATS_TOOL]).content)
        message, usage = body["choices"][0]["message"], body["usage"]
        text, function = message["content"], message["tool_calls"][0]["function"]
        name, arguments = function["name"], function["arguments"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    return text, name, json.loads(arguments), (usage["prompt_tokens"], usage["completion_tokens"] - thought, thought)


def said_in_googles(caller: Caller, offer: Offer, *, is_stream: bool) -> Any:
    if is_stream:
        answers = chunks_of(generate(caller, offer, "streamGenerateContent?alt=sse", tools=[TOOL]))
    else:
        answers = [decoded(generate(caller, offer, tools=[TOOL]).content)]
    parts = [part for each in answers for part in validated(each).parts or ()]
    usage = validated(answers[-1]).usage_metadata
    assert usage is not None
    (call,) = [part.function_call for part in parts if part.function_call]
    counts = usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count
    return "".join(part.text or "" for part in parts), call.name, call.args, counts


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", [SINGLE, GOOGLE], ids=["chat upstream", "gemini upstream"])
@pytest.mark.parametrize("said_by", [said_in_chat, said_in_googles], ids=["chat client", "gemini client"])
def test_every_pair_says_the_same(world: World, caller: Caller, said_by: Any, shape: Shape, *, is_stream: bool) -> None:
    offer = world.offer(shape)
    answers = SAME_STREAM if is_stream else SAME_WHOLE
    caller.upstream.on(offer.upstream, answers[shape.vias[0].provider])

    assert said_by(caller, offer, is_stream=is_stream) == SAME
    record = caller.only_record()
    assert (record.usage.input, record.usage.output, record.usage.reasoning) == (12, 5, 2)


# --- the google-genai package, unchanged -----------------------------------------------------------------------------


@pytest.fixture
def sdk(caller: Caller) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=caller.installation.gateway_url, timeout=10_000)
    with genai.Client(api_key=caller.secret, http_options=options) as client:
        yield client


@pytest.fixture(params=[SINGLE, GOOGLE], ids=["chat upstream", "gemini upstream"])
def behind(request: pytest.FixtureRequest, world: World, caller: Caller) -> Offer:
    """A model whose upstream says hello, in the one format or in the other."""
    offer = world.offer(request.param)
    if request.param is GOOGLE:
        caller.upstream.on(offer.upstream, googles_hello)
    return offer


def googles_hello(request: up.Received) -> up.Reply:
    return up.stream(*TOLD) if "alt=sse" in request.path else whole({"text": "Hello there!"})


def test_the_sdk_generates(sdk: genai.Client, behind: Offer) -> None:
    config = types.GenerateContentConfig(temperature=0, max_output_tokens=50, system_instruction="Be kind.")
    answer = sdk.models.generate_content(model=behind.name, contents="Hi", config=config)
    assert (answer.text, answer.model_version) == ("Hello there!", behind.name)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count == 17


def test_the_sdk_streams(sdk: genai.Client, caller: Caller, behind: Offer) -> None:
    chunks = list(sdk.models.generate_content_stream(model=behind.name, contents="Hi"))
    said = "".join(chunk.text or "" for chunk in chunks)
    assert said in {"Hello there!", "One two three four five"}
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.total_token_count == 17
    assert caller.only_record().outcome == "success"


@pytest.mark.parametrize("shape", [SINGLE, GOOGLE], ids=["chat upstream", "gemini upstream"])
def test_the_sdk_calls_functions(sdk: genai.Client, world: World, caller: Caller, shape: Shape) -> None:
    offer = world.offer(shape)
    last = {"openai": up.answer("It is 21 C."), "gemini": whole({"text": "It is 21 C."})}
    provider = shape.vias[0].provider
    caller.upstream.on(offer.upstream, SAME_WHOLE[provider], last[provider])
    seen: list[Any] = []

    def get_weather(city: str, days: list[float], note: str | None) -> str:
        """The weather of a city."""
        seen.append((city, days, note))
        return "21"

    config = types.GenerateContentConfig(tools=[get_weather])
    answer = sdk.models.generate_content(model=offer.name, contents="Weather?", config=config)

    assert (answer.text, seen) == ("It is 21 C.", [("Huế", [1, 2.5], None)])


def test_the_sdk_gets_json(sdk: genai.Client, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.answer('{"name": "Ada"}'))
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    answer = sdk.models.generate_content(model=model.name, contents="Who?", config=config)
    assert answer.parsed == {"name": "Ada"}
    asked = caller.upstream.received(model.upstream)[-1].json["response_format"]
    assert asked["json_schema"]["schema"] == schema


def test_the_sdk_counts_and_lists(sdk: genai.Client, model: Offer) -> None:
    assert (sdk.models.count_tokens(model=model.name, contents="Hello, world").total_tokens or 0) > 0
    assert sdk.models.get(model=model.name).output_token_limit == 16_384
    assert f"models/{model.name}" in {each.name for each in sdk.models.list(config={"page_size": 20})}


def test_the_sdk_is_told_of_errors(sdk: genai.Client, caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, up.stream(*TOLD[:2]))
    with pytest.raises(errors.ClientError) as unknown:
        sdk.models.generate_content(model="nobody/knows", contents="Hi")
    with pytest.raises(errors.APIError) as cut:
        list(sdk.models.generate_content_stream(model=google.name, contents="Hi"))
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    assert cut.value.status == "UNAVAILABLE"
