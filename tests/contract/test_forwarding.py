"""What the upstream sees of a request: what must change is changed, all else arrives as it was sent."""

from __future__ import annotations

from typing import Any

import pytest

from tests import upstream as up
from tests.callers import Caller
from tests.installation import Offer, Shape
from tests.worlds import World

OUR_HEADERS = {
    "host",
    "authorization",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "connection",
    "user-agent",
}
CLIENT_HEADERS = {
    "cookie": "session=1",
    "openai-organization": "org-1",
    "openai-project": "proj-1",
    "x-forwarded-for": "10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "forwarded": "for=10.0.0.1",
    "x-api-key": "sk-other",
    "referer": "https://app.example",
    "origin": "https://app.example",
    "user-agent": "client/1",
    "x-stainless-lang": "python",
    "idempotency-key": "k1",
    "accept-language": "vi",
    "te": "trailers",
    "x-title": "app",
    "http-referer": "https://app.example",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "authorization-extra": "x",
}


def forwarded(caller: Caller, model: Offer) -> Any:
    """The body that the upstream received."""
    (request,) = caller.upstream.received(model.upstream)
    return request.json


# Large enough to be written in pieces, and no longer than the model's window.
LARGE: dict[str, Any] = {
    "long": "\n\N{GRINNING FACE}\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}" * 15_000,
    "many": [{"a": [number, str(number) * 9, None, {"": 0.1}]} for number in range(3_000)],
    "deep": {"a": [[[["x" * 70_000]] * 2]]},
    "n" * 70_000: True,
}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("idempotency", [{}, {"idempotency-key": "k"}], ids=["plain", "key"])
def test_large_body_arrives_as_it_was_sent(
    caller: Caller, model: Offer, is_stream: bool, idempotency: dict[str, str]
) -> None:
    response = caller.ask(model, x=LARGE, stream=is_stream, headers=idempotency)

    assert response.status_code == 200
    assert forwarded(caller, model)["x"] == LARGE


@pytest.mark.parametrize("is_stream", [False, True])
def test_upstream_sees_our_headers_only(caller: Caller, model: Offer, is_stream: bool) -> None:
    caller.ask(model, headers=CLIENT_HEADERS, stream=is_stream)

    (request,) = caller.upstream.received(model.upstream)
    names = [name.lower() for name, _value in request.headers]
    assert sorted(set(names)) == sorted(names), "a header twice"
    assert set(names) <= OUR_HEADERS
    assert request.header("authorization") == f"Bearer {model.secrets[0]}"
    assert request.header("content-type") == "application/json"
    assert request.header("host") == f"127.0.0.1:{caller.upstream.port}"
    assert "client/1" not in str(request.headers)
    assert request.header("accept-encoding") in {None, "identity"}


def test_upstream_sees_the_path_once(caller: Caller, model: Offer) -> None:
    caller.client.post("/v1/chat/completions?api-version=1&x=../..", json=caller.body(model))

    (request,) = caller.upstream.received(model.upstream)
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")


def test_tenants_key_never_goes_upstream(caller: Caller, model: Offer) -> None:
    caller.ask(model)

    (request,) = caller.upstream.received(model.upstream)
    assert caller.secret not in str(request.headers)
    assert caller.secret.encode() not in request.body


def test_model_is_sent_under_its_upstream_name_and_messages_as_they_were(caller: Caller, model: Offer) -> None:
    messages = [
        {"role": "system", "content": "  Be brief.\n"},
        {"role": "user", "content": [{"type": "text", "text": "<&>\u00e9🌏\\"}], "name": "alice", "x": 1},
    ]

    caller.ask(model, messages=messages)

    body = forwarded(caller, model)
    assert body["model"] == model.upstream
    assert body["messages"] == messages


def test_unknown_fields_are_forwarded_unchanged(caller: Caller, model: Offer) -> None:
    extras: dict[str, Any] = {
        "top_k": 40,
        "min_p": 0.05,
        "thinking": {"type": "enabled", "budget_tokens": 1},
        "chat_template_kwargs": {"a": [None, True, 1e-9]},
        "continuous_usage_stats": True,
        "ignore_eos": False,
        "": 1,
        "ключ": "значение",
    }

    assert caller.ask(model, **extras).status_code == 200

    body = forwarded(caller, model)
    assert {name: body[name] for name in extras} == extras


def test_zero_values_stay(caller: Caller, model: Offer) -> None:
    zeros: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0,
        "seed": 0,
        "presence_penalty": 0.0,
        "top_k": 0,
        "store": False,
        "stop": "",
    }

    caller.ask(model, **zeros)

    body = forwarded(caller, model)
    assert {name: body[name] for name in zeros} == zeros


def test_tools_and_schemas_pass_unchanged(caller: Caller, model: Offer) -> None:
    members: dict[str, Any] = {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "strict": True,
                    "parameters": {"type": "object", "properties": {"z": {}, "a": {"enum": [1.0, None]}}},
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "p", "strict": True, "schema": {"$schema": "x", "type": "object"}},
        },
    }

    caller.ask(model, **members)

    body = forwarded(caller, model)
    assert {name: body[name] for name in members} == members
    assert list(body["tools"][0]["function"]["parameters"]["properties"]) == ["z", "a"]


def test_arguments_of_earlier_tool_calls_pass_byte_identical(caller: Caller, model: Offer) -> None:
    arguments = '{ "a" :1.0,\n"b":"\\u0041"}'
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]

    caller.ask(model, messages=messages)

    assert forwarded(caller, model)["messages"] == messages


def test_router_extensions_are_never_sent_upstream(caller: Caller, model: Offer) -> None:
    response = caller.ask(
        model,
        models=[model.name],
        provider={"sort": "price", "allow_fallbacks": True, "max_price": {"prompt": 100, "completion": 100}},
        usage={"include": True},
    )

    assert response.status_code == 200
    assert {"models", "provider", "usage"}.isdisjoint(forwarded(caller, model))


@pytest.mark.parametrize("suffix", [":floor", ":nitro"])
def test_suffix_of_a_model_is_never_sent_upstream(caller: Caller, model: Offer, suffix: str) -> None:
    response = caller.ask(model.name + suffix)

    assert response.status_code == 200
    assert forwarded(caller, model)["model"] == model.upstream
    assert response.json()["model"] == model.name


def cap_of(body: Any) -> int:
    """The output cap the upstream was told, under whichever of its two names."""
    (cap,) = {body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None}
    return int(cap)


CAPS: dict[str, tuple[dict[str, Any], int]] = {
    "none": ({}, 4096),
    "nulls": ({"max_tokens": None, "max_completion_tokens": None}, 4096),
    "old name": ({"max_tokens": 7}, 7),
    "new name": ({"max_completion_tokens": 7}, 7),
    "both, old smaller": ({"max_tokens": 7, "max_completion_tokens": 9}, 7),
    "both, new smaller": ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
}


@pytest.mark.parametrize(("members", "cap"), CAPS.values(), ids=CAPS.keys())
@pytest.mark.parametrize("is_stream", [False, True])
def test_output_cap_is_always_sent_and_is_the_smaller_one(
    caller: Caller, model: Offer, members: dict[str, Any], cap: int, is_stream: bool
) -> None:
    caller.ask(model, stream=is_stream, **members)

    assert cap_of(forwarded(caller, model)) == cap


def test_hold_covers_what_the_cap_and_the_prompt_can_cost(world: World, caller: Caller) -> None:
    model = world.offer(Shape(prompt_overhead=0))

    caller.ask(model, max_tokens=1000, n=3, messages=[{"role": "user", "content": "a" * 400}])

    assert 3 * 1000 * 8_000 <= caller.only_record().held <= 3 * 1000 * 8_000 + 1000 * 2_000


def test_stream_asks_the_upstream_for_its_usage(caller: Caller, model: Offer) -> None:
    caller.listen(model)

    body = forwarded(caller, model)
    assert body["stream"] is True
    assert body["stream_options"]["include_usage"] is True


def test_stream_options_of_the_client_are_kept_beside_ours(caller: Caller, model: Offer) -> None:
    caller.listen(model, stream_options={"include_usage": False, "include_obfuscation": False})

    assert forwarded(caller, model)["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_json_request_sends_no_stream_options(caller: Caller, model: Offer) -> None:
    caller.ask(model)

    body = forwarded(caller, model)
    assert "stream_options" not in body
    assert not body.get("stream")


def test_images_by_url_are_not_fetched_by_the_gateway(caller: Caller, model: Offer) -> None:
    canary = up.Upstream().start()
    image = {"type": "image_url", "image_url": {"url": f"{canary.url}/image.png"}}

    caller.ask(model, messages=[{"role": "user", "content": [image]}])

    assert forwarded(caller, model)["messages"][0]["content"] == [image]
    assert canary.connections == 0
    canary.stop()


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "\r\n\r\nGET / HTTP/1.1"])
def test_line_breaks_in_text_fields_never_become_headers(caller: Caller, model: Offer, value: str) -> None:
    caller.ask(model, user=value, metadata={"a": value}, safety_identifier=value)

    (request,) = caller.upstream.received(model.upstream)
    assert "x-evil" not in [name.lower() for name, _value in request.headers]
    assert request.json["user"] == value
