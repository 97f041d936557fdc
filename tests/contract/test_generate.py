"""Clients of Google's format before any upstream, the google-genai package among them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.generating import (
    ARGUMENTS,
    ASK,
    TOLD,
    TOOL,
    assert_refused,
    chunks_of,
    generate,
    text_of,
    validated,
    whole,
)
from tests.installation import SINGLE, Offer, Shape, Via
from tests.worlds import World

GOOGLE = Shape(vias=(Via(provider="gemini"),))


@pytest.fixture
def google(world: World) -> Offer:
    """A model on one Gemini upstream."""
    return world.offer(GOOGLE)


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
        page = client.get("/v1beta/models").json()
        listed = page["models"]
        while "nextPageToken" in page:  # a world may have more models than a page has
            page = client.get("/v1beta/models", params={"pageToken": page["nextPageToken"]}).json()
            listed += page["models"]
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
def test_the_sdk_streams_however_long_an_upstream_is_silent(
    sdk: genai.Client, world: World, caller: Caller, shape: Shape
) -> None:
    """The package reads whatever is no event as JSON, a comment too: neither ours nor an upstream's goes out."""
    offer = world.offer(shape)
    told = TOLD if shape is GOOGLE else [*map(up.event, up.words("Hello there!")), up.event(up.FINISH), up.DONE]
    busy = b": PROCESSING\n\n"
    caller.upstream.on(offer.upstream, up.stream(busy, up.Pause(0.6), told[0], busy, up.Pause(1.2), *told[1:]))

    chunks = list(sdk.models.generate_content_stream(model=offer.name, contents="Hi"))

    assert "".join(chunk.text or "" for chunk in chunks) == "Hello there!"
    assert caller.only_record().outcome == "success"


CALL: dict[str, Any] = {
    "id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS},
}  # fmt: skip
GOOGLES_CALL = {"functionCall": {"id": "c1", "name": "get_weather", "args": json.loads(ARGUMENTS)}}
CALLING = {
    "chat upstream": (SINGLE, (up.answer(None, message={"tool_calls": [CALL]}), up.answer("It is 21 C."))),
    "gemini upstream": (GOOGLE, (whole(GOOGLES_CALL), whole({"text": "It is 21 C."}))),
}


@pytest.mark.parametrize(("shape", "replies"), CALLING.values(), ids=CALLING.keys())
def test_the_sdk_calls_functions(
    sdk: genai.Client, world: World, caller: Caller, shape: Shape, replies: tuple[up.Reply, ...]
) -> None:
    offer = world.offer(shape)
    caller.upstream.on(offer.upstream, *replies)
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


def test_the_sdk_is_told_where_vectors_are(sdk: genai.Client, caller: Caller, model: Offer) -> None:
    with caller.nothing_changes(), pytest.raises(errors.ClientError) as refused:
        sdk.models.embed_content(model=model.name, contents="Hi")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    assert "Did you mean /v1/embeddings?" in str(refused.value.message)


def test_the_sdk_is_told_of_errors(sdk: genai.Client, caller: Caller, google: Offer) -> None:
    caller.upstream.on(google.upstream, up.stream(*TOLD[:2]))
    with pytest.raises(errors.ClientError) as unknown:
        sdk.models.generate_content(model="nobody/knows", contents="Hi")
    with pytest.raises(errors.APIError) as cut:
        list(sdk.models.generate_content_stream(model=google.name, contents="Hi"))
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    assert cut.value.status == "UNAVAILABLE"
