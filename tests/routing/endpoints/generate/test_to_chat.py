"""generateContent requests in chat's words, piece by piece; signatures and schemas there and back."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from accounts.errors import InvalidRequest
from routing.endpoints.generate import GENERATE
from routing.endpoints.generate.names import in_json
from routing.endpoints.generate.schema import read
from routing.endpoints.generate.schemas import json_schema
from routing.endpoints.generate.thoughts import details_of, parts_of
from routing.endpoints.invalid import UnsupportedParameter

HI = [{"role": "user", "parts": [{"text": "Hi"}]}]
TOOL = {"functionDeclarations": [{"name": "f"}, {"name": "g", "description": "d"}]}


def chat(**members: Any) -> dict[str, Any]:
    """The chat body, without the model."""
    body = {"model": "m", "contents": HI, **members}
    (form,) = GENERATE.over
    said = dict(form.body(read(body), body))
    assert said.pop("model") == "m"
    return said


def messages(*contents: dict[str, Any], **members: Any) -> Any:
    return chat(contents=list(contents), **members)["messages"]


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_are_googles_json_names_but_for_what_is_the_clients_own() -> None:
    given = {
        "system_instruction": {"parts": {"text": "a_b"}},
        "tools": {"function_declarations": [{"name": "f", "parameters_json_schema": {"any_of": []}}]},
        "contents": [{"parts": [{"function_call": {"name": "f", "args": {"my_name": None}}, "thought": None}]}],
    }
    assert in_json(given) == {
        "systemInstruction": {"parts": [{"text": "a_b"}]},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"any_of": []}}]}],
        "contents": [{"parts": [{"functionCall": {"name": "f", "args": {"my_name": None}}}]}],
    }


def test_list_wish_of_the_path_does_not_go_on() -> None:
    body = {"model": "m", "contents": HI, "isList": True}
    assert (read(body).is_list, body) == (True, {"model": "m", "contents": HI})


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        ({"thinkingBudget": 0}, {"reasoning_effort": "none"}),
        ({"thinkingBudget": 1}, {"reasoning_effort": "low"}),
        ({"thinkingBudget": 1024}, {"reasoning_effort": "low"}),
        ({"thinkingBudget": 1025}, {"reasoning_effort": "medium"}),
        ({"thinkingBudget": 8192}, {"reasoning_effort": "medium"}),
        ({"thinkingBudget": 8193}, {"reasoning_effort": "high"}),
        ({"thinkingBudget": -1}, {}),
        ({"includeThoughts": True}, {}),
        ({"thinkingLevel": "HIGH"}, {"reasoning_effort": "high"}),
        ({"thinkingLevel": "minimal"}, {"reasoning_effort": "minimal"}),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, {}),
    ],
)
def test_thinking_is_an_effort(thinking: dict[str, Any], said: dict[str, Any]) -> None:
    assert chat(generationConfig={"thinkingConfig": thinking}) == {
        "messages": [{"role": "user", "content": "Hi"}],
        **said,
    }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, {"type": "json_object"}),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "string"}},
            {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "string"}}},
        ),
    ],
)
def test_format_of_the_answer_is_chats(config: dict[str, Any], said: Any) -> None:
    assert chat(generationConfig=config).get("response_format") == said


@pytest.mark.parametrize(
    ("config", "choice", "names"),
    [
        (None, None, ["f", "g"]),
        ({}, None, ["f", "g"]),
        ({"mode": "AUTO"}, None, ["f", "g"]),
        ({"mode": "MODE_UNSPECIFIED"}, None, ["f", "g"]),
        ({"mode": "any"}, "required", ["f", "g"]),
        ({"mode": "NONE"}, "none", ["f", "g"]),
        ({"mode": "ANY", "allowedFunctionNames": ["g"]}, "required", ["g"]),
    ],
)
def test_choice_of_functions_is_chats(config: Any, choice: Any, names: list[str]) -> None:
    told = {} if config is None else {"toolConfig": {"functionCallingConfig": config}}
    said = chat(tools=[TOOL], **told)
    assert said.get("tool_choice") == choice
    assert [tool["function"]["name"] for tool in said["tools"]] == names


def test_function_is_declared_in_chats_words() -> None:
    declared = {"name": "f", "description": "d", "parameters": {"type": "OBJECT"}, "response": {"type": "STRING"}}
    assert chat(tools=[{"functionDeclarations": [declared]}])["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    ]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (None, None),
        (
            {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}},
            {"type": "object", "properties": {"type": {"type": "string"}}},
        ),
        (
            {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
            {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        ),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "OBJECT", "propertyOrdering": ["a"], "example": 5}, {"type": "object"}),
        ({"nullable": True}, {}),
    ],
)
def test_schema_is_json_schemas(schema: Any, said: Any) -> None:
    assert json_schema(schema) == said


# --- messages --------------------------------------------------------------------------------------------------------


def test_count_of_more_digits_than_there_are_stays_what_it_is() -> None:
    schema = {"type": "ARRAY", "minItems": "9" * 5_000, "maxItems": "12"}

    said = chat(generationConfig={"responseMimeType": "application/json", "responseSchema": schema})

    assert said["response_format"]["json_schema"]["schema"] == {**schema, "type": "array", "maxItems": 12}


@pytest.mark.parametrize("number", [2.0**31, 1e19, 1e300])
def test_top_k_beyond_googles_integers_is_refused(number: float) -> None:
    with pytest.raises(InvalidRequest) as refused:
        chat(generationConfig={"topK": number})

    assert refused.value.param == "generationConfig.topK"


def test_system_is_a_message() -> None:
    instruction = {"parts": [{"text": "one"}, {"text": "two"}]}
    assert messages(user({"text": "Hi"}), systemInstruction=instruction)[0] == {
        "role": "system",
        "content": "one\n\ntwo",
    }


def test_what_the_model_said_is_the_assistants() -> None:
    assert messages(*HI, model({"text": "a"}, {"text": "b"}), *HI)[1] == {"role": "assistant", "content": "ab"}
    assert messages(*HI, model(), *HI)[1] == {"role": "assistant", "content": ""}


def test_several_parts_of_the_users_stay_parts() -> None:
    pdf = {"inlineData": {"mimeType": "application/pdf", "data": "_-8="}}
    picture = {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a"}}
    (said,) = messages(user({"text": "a"}, pdf, picture), generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"})
    assert said["content"] == [
        {"type": "text", "text": "a"},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,/+8="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a", "detail": "low"}},
    ]


@pytest.mark.parametrize(
    ("level", "detail"),
    [
        ("MEDIA_RESOLUTION_LOW", {"detail": "low"}),
        ("MEDIA_RESOLUTION_MEDIUM", {}),
        ("MEDIA_RESOLUTION_ULTRA_HIGH", {"detail": "high"}),
    ],
)
def test_picture_may_have_a_resolution_of_its_own(level: str, detail: dict[str, str]) -> None:
    picture = {
        "fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a"},
        "mediaResolution": {"level": level},
    }
    (said,) = messages(user(picture), generationConfig={"mediaResolution": "MEDIA_RESOLUTION_HIGH"})
    assert said["content"] == [{"type": "image_url", "image_url": {"url": "https://x.example/a", **detail}}]


def test_answers_find_their_calls_by_id_else_by_name_in_order() -> None:
    called = model(
        {"functionCall": {"name": "f", "id": "x"}}, {"functionCall": {"name": "g"}}, {"functionCall": {"name": "g"}}
    )
    returned = user(
        {"functionResponse": {"name": "g", "response": {"n": 1}}},
        {"text": "and"},
        {"functionResponse": {"name": "g", "response": {"output": "2", "more": 1}}},
        {"functionResponse": {"name": "f", "id": "x", "response": {"output": "3"}}},
    )
    _user, said, *tools, last = messages(*HI, called, returned)
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids[0] == "x"
    assert said["content"] is None
    assert [(tool["tool_call_id"], tool["content"]) for tool in tools] == [
        (ids[1], '{"n":1}'), (ids[2], '{"output":"2","more":1}'), ("x", "3"),
    ]  # fmt: skip
    assert last == {"role": "user", "content": "and"}


@pytest.mark.parametrize(
    "contents",
    [
        [user({"functionResponse": {"name": "f", "response": {}}})],
        [
            model({"functionCall": {"name": "f", "id": "a"}}),
            user({"functionResponse": {"name": "f", "id": "b", "response": {}}}),
        ],
        [model({"functionCall": {"name": "f"}}), user(*[{"functionResponse": {"name": "f", "response": {}}}] * 2)],
        [model({"inlineData": {"mimeType": "image/png", "data": ""}})],
        [user({"functionCall": {"name": "f"}})],
        [user({})],
        [user({"inlineData": {"mimeType": "text/csv", "data": ""}})],
    ],
)
def test_contents_that_chat_cannot_say_are_refused(contents: Any) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        chat(contents=contents)
    assert refused.value.param == "contents"


def test_system_that_is_no_text_is_refused() -> None:
    with pytest.raises(UnsupportedParameter):
        chat(systemInstruction={"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]})


def test_system_that_plays_film_is_refused_for_its_price() -> None:
    with pytest.raises(InvalidRequest):
        read(
            {
                "model": "m",
                "contents": HI,
                "systemInstruction": {"parts": [{"inlineData": {"mimeType": "video/mp4", "data": ""}}]},
            }
        )


# --- signatures ------------------------------------------------------------------------------------------------------


def test_googles_signatures_travel_as_they_are() -> None:
    said = messages(
        *HI,
        model(
            {"text": "why", "thought": True, "thoughtSignature": "c2ln"},
            {"text": "so", "thoughtSignature": "ZGF0YQ=="},
            {"functionCall": {"name": "f", "id": "a"}, "thoughtSignature": "Y2FsbA=="},
        ),
    )[1]
    assert said["content"] == "so"
    assert said["reasoning_details"] == [
        {"type": "reasoning.text", "signature": "c2ln", "format": "google-gemini-v1", "text": "why"},
        {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "format": "google-gemini-v1"},
    ]
    assert said["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "Y2FsbA=="}}


OTHERS = [
    {"type": "reasoning.text", "text": "because", "signature": "not-base64!", "format": "anthropic-claude-v1"},
    {"type": "reasoning.encrypted", "data": "Eo8B", "format": "anthropic-claude-v1"},
    {"type": "reasoning.text", "text": "and", "signature": "x"},
]


@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("details", [OTHERS[:1], OTHERS[1:2], OTHERS[2:]], ids=["text", "encrypted", "bare"])
def test_other_vendors_signatures_come_back_as_they_were(details: Any, alphabet: Any) -> None:
    parts = list(parts_of({"reasoning_details": details}, are_shown=True))
    carried = [alphabet(base64.b64decode(part.get("thoughtSignature", ""), validate=True)).decode() for part in parts]
    assert details_of([(part["text"], signature) for part, signature in zip(parts, carried, strict=True)]) == details


def test_text_that_is_said_twice_is_shown_once() -> None:
    said = {
        "reasoning_content": "why",
        "reasoning_details": [{"type": "reasoning.text", "text": "why", "signature": "x"}],
    }
    assert [part["text"] for part in parts_of(said, are_shown=True)] == ["why", ""]


def test_thoughts_that_are_not_shown_are_carried_where_they_are_sealed() -> None:
    said = {"reasoning_content": "why", "reasoning_details": OTHERS}
    (part,) = parts_of(said, are_shown=False)
    assert details_of([(part["text"], part["thoughtSignature"])]) == OTHERS[1:2]


def test_thought_that_nobody_signed_is_not_sent_back() -> None:
    assert details_of([("a", ""), ("b", "")]) == []


def test_what_a_function_has_shown_stands_behind_its_result() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "aGk=", "displayName": "a.png"}}
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    returned = [
        {"functionResponse": {"name": "f", "id": "a", "response": {"output": "1"}, "parts": [picture]}},
        {"functionResponse": {"name": "f", "id": "b", "response": {}, "parts": [picture]}},
    ]
    called = model({"functionCall": {"name": "f", "id": "a"}}, {"functionCall": {"name": "f", "id": "b"}})
    assert messages(called, user(*returned, {"text": "Hi"}))[1:] == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "The result follows."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The result of a:"}, shown,
                {"type": "text", "text": "The result of b:"}, shown,
                {"type": "text", "text": "Hi"},
            ],
        },
    ]  # fmt: skip


def test_what_a_function_has_shown_and_chat_cannot_is_refused_by_name() -> None:
    film = {"videoMetadata": {"fps": 1}, "inlineData": {"mimeType": "image/png", "data": "aGk="}}
    returned = {"functionResponse": {"name": "f", "response": {}, "parts": [film]}}
    with pytest.raises(UnsupportedParameter) as refused:
        messages(model({"functionCall": {"name": "f"}}), user(returned))
    assert refused.value.param == "contents.parts.videoMetadata"
