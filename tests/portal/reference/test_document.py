"""The public API document against the code: what it promises is what the views, the request and the errors do."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from django.conf import settings
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from accounts.errors import GatewayError
from portal.reference import document
from routing.api import urls
from routing.endpoints.chat import schema
from routing.errors import ContentRefused
from routing.models import CatalogueModel, Channel, Route

DOCUMENT: Final = document.document("en")
CHAT: Final = DOCUMENT["paths"]["/chat/completions"]["post"]
EXAMPLES: Final = CHAT["requestBody"]["content"]["application/json"]["examples"]
PAGES_ONLY: Final = {
    "insufficient_funds", "invoice_conflict", "nul_in_request", "payment_declined", "payment_refused", "payments_away",
}  # fmt: skip
"""Codes of errors that only pages and the administration can meet."""

SIZES: Final = {
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems"),
}


def _source() -> dict[str, Any]:
    return document.parse(document.PATH.read_text())


# --- the document itself ---------------------------------------------------------------------------------------------


def test_document_is_openapi_3_1() -> None:
    validate(_source())


def _untranslated(node: Any, at: str = "#") -> Iterator[str]:
    """Where a text stands without its Vietnamese. Examples and samples are data, not texts."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _untranslated(item, f"{at}/{index}")
    elif isinstance(node, dict):
        for name, value in node.items():
            if name in document.TEXTS and isinstance(value, str) and not node.get(f"x-vi-{name}", "").strip():
                yield f"{at}/{name}"
            elif name not in {"value", "source", "example"}:
                yield from _untranslated(value, f"{at}/{name}")


def test_every_text_has_its_vietnamese() -> None:
    assert list(_untranslated(_source())) == []


def test_no_vietnamese_stands_without_its_text() -> None:
    assert list(_vietnamese_alone(_source())) == []


def _vietnamese_alone(node: Any, at: str = "#") -> Iterator[str]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _vietnamese_alone(item, f"{at}/{index}")
    elif isinstance(node, dict):
        for name, value in node.items():
            if name.startswith("x-vi-") and name.removeprefix("x-vi-") not in node:
                yield f"{at}/{name}"
            yield from _vietnamese_alone(value, f"{at}/{name}")


def _json_media() -> Iterator[Any]:
    """Every JSON body of the document that has a schema and examples."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for name, body in bodies.items():
                media = body.get("content", {}).get("application/json", {})
                for label, example in media.get("examples", {}).items():
                    yield pytest.param(media["schema"], example["value"], id=f"{method} {path} {name} {label}")


@pytest.mark.parametrize(("shape", "example"), list(_json_media()))
def test_example_fits_its_schema(shape: dict[str, Any], example: object) -> None:
    Draft202012Validator(shape).validate(example)


def test_streamed_example_is_valid_chunks_and_a_done() -> None:
    stream = CHAT["responses"]["200"]["content"]["text/event-stream"]
    lines = [line.removeprefix("data: ") for line in stream["examples"]["stream"]["value"].splitlines() if line]
    chunk = Draft202012Validator(DOCUMENT["components"]["schemas"]["ChatChunk"])
    assert [list(chunk.iter_errors(json.loads(line))) for line in lines[:-1]] == [[], [], [], []]
    assert lines[-1] == "[DONE]"


# --- paths -----------------------------------------------------------------------------------------------------------


def _served() -> set[tuple[str, str]]:
    """Every method and path of the API plane's URLconf, in the document's notation.

    What is served below /v1beta is below /v1, too; a view with actions has a path for each.
    """
    return {
        (
            method.lower(),
            "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"{pattern.pattern}{action}").replace("v1beta", "v1"),
        )
        for pattern in urls.urlpatterns
        for method in pattern.callback.__self__.allowed_methods
        for action in (_actions(pattern.callback.__self__) if method == "POST" else [""])
    }


def _actions(view: Any) -> list[str]:
    return [f":{action}" for action in view.ACTIONS] if hasattr(view, "ACTIONS") else [""]


def _documented() -> set[tuple[str, str]]:
    base = DOCUMENT["servers"][0]["url"]
    return {(method, base + path) for path, operations in DOCUMENT["paths"].items() for method in operations}


def test_document_has_every_endpoint_and_no_other() -> None:
    assert _documented() == _served()


# --- the request -----------------------------------------------------------------------------------------------------


def _branches(shape: dict[str, Any], defs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The alternatives of a schema, references followed."""
    if "$ref" in shape:
        yield from _branches(defs[shape["$ref"].rpartition("/")[2]], defs)
    elif "anyOf" in shape:
        for branch in shape["anyOf"]:
            yield from _branches(branch, defs)
    else:
        yield shape


def _facts(shape: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """What a schema says by type: sizes, allowed values, and the facts of members and items."""
    facts: dict[str, Any] = {}
    for branch in _branches(shape, defs):
        types = branch.get("type", "string")
        for name in [types] if isinstance(types, str) else types:
            facts[name] = {size: branch[size] for size in SIZES.get(name, ()) if size in branch}
            if name == "string" and "enum" in branch:
                facts[name]["enum"] = {value for value in branch["enum"] if value is not None}
            if name == "array" and _is_plain(branch["items"], defs):
                facts[name]["items"] = _facts(branch["items"], defs)
            if name == "object" and "properties" in branch:
                facts[name] = {key: _facts(value, defs) for key, value in branch["properties"].items()}
                facts[name]["required"] = set(branch.get("required", ()))
    return facts


def _is_plain(shape: dict[str, Any], defs: dict[str, Any]) -> bool:
    """Whether a list's items have one shape; messages come in six, which the document shows as one."""
    return len(list(_branches(shape, defs))) == 1


def _code_request() -> tuple[dict[str, Any], dict[str, Any]]:
    _refs, defs = msgspec.json.schema_components([schema.ChatRequest], ref_template="#/$defs/{name}")
    return defs["ChatRequest"]["properties"], defs


REQUEST, DEFS = _code_request()
DOCUMENTED: Final[dict[str, Any]] = DOCUMENT["components"]["schemas"]["ChatRequest"]["properties"]


def test_document_has_every_field_of_the_request_and_no_other() -> None:
    assert set(DOCUMENTED) == {field.encode_name for field in msgspec.structs.fields(schema.ChatRequest)}


def test_document_requires_what_the_request_requires() -> None:
    fields = msgspec.structs.fields(schema.ChatRequest)
    assert set(DOCUMENT["components"]["schemas"]["ChatRequest"]["required"]) == {
        field.encode_name for field in fields if field.required
    }


@pytest.mark.parametrize("name", sorted(set(REQUEST) - {"messages"}))
def test_field_has_the_types_and_bounds_that_are_checked(name: str) -> None:
    assert _facts(DOCUMENTED[name], {}) == _facts(REQUEST[name], DEFS)


def test_messages_have_the_bounds_and_roles_that_are_checked() -> None:
    messages = DOCUMENTED["messages"]
    checked = REQUEST["messages"]
    assert (messages["minItems"], messages["maxItems"]) == (checked["minItems"], checked["maxItems"])
    assert set(messages["items"]["properties"]["role"]["enum"]) == set(checked["items"]["discriminator"]["mapping"])


# --- errors ----------------------------------------------------------------------------------------------------------


def _subclasses(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield error
    for subclass in error.__subclasses__():
        yield from _subclasses(subclass)


def _raised() -> set[tuple[str, int, str, bool]]:
    return {
        (error.code, error.status, error.type, error.retriable)
        for error in _subclasses(GatewayError)
        # A refusal of the content has the upstream's own status and code, which no table can list.
        if error.code not in PAGES_ONLY and error is not ContentRefused
    }


def _statuses(row: dict[str, Any]) -> list[int]:
    """The status of an error, and the one that a tenant can choose instead."""
    return [row[member] for member in ("status", "chosen_status") if member in row]


def test_document_has_every_error_and_no_other() -> None:
    rows = {
        (row["code"], status, row["type"], row["retry"] == "later")
        for row in DOCUMENT["x-errors"]
        for status in _statuses(row)
    }
    assert rows == _raised()
    assert len({row["code"] for row in DOCUMENT["x-errors"]}) == len(DOCUMENT["x-errors"])


def _codes_of_responses() -> Iterator[Any]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for code in response.get("x-codes", ()):
                    yield pytest.param(code, int(status), id=f"{method} {path} {code}")


@pytest.mark.parametrize(("code", "status"), list(_codes_of_responses()))
def test_response_names_errors_of_its_own_status(code: str, status: int) -> None:
    (statuses,) = [_statuses(row) for row in DOCUMENT["x-errors"] if row["code"] == code]
    assert status in statuses


def _refusals_of_messages() -> Iterator[Any]:
    for path in ("/messages", "/messages/count_tokens"):
        for status, response in DOCUMENT["paths"][path]["post"]["responses"].items():
            if status != "200":
                yield pytest.param(response, id=f"{path} {status}")


@pytest.mark.parametrize("response", list(_refusals_of_messages()))
def test_refusal_of_messages_has_the_shape_of_its_clients(response: dict[str, Any]) -> None:
    assert response["content"]["application/json"]["schema"] == DOCUMENT["components"]["schemas"]["MessagesError"]


# --- the pages -------------------------------------------------------------------------------------------------------

SLUGS: Final = ("", "errors/", *(f"{endpoint.slug}/" for endpoint in document.endpoints("en")))


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "vi"])
@pytest.mark.parametrize("slug", SLUGS)
def test_page_is_public_and_may_be_kept(client: Client, language: str, slug: str) -> None:
    response = client.get(f"/{language}/docs/{slug}")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert response.headers["Content-Language"] == language
    assert not response.has_header("Vary")
    assert not response.cookies


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "other"), [("en", "vi"), ("vi", "en")])
@pytest.mark.parametrize("slug", SLUGS)
def test_page_links_to_itself_in_the_other_language(client: Client, language: str, other: str, slug: str) -> None:
    page = client.get(f"/{language}/docs/{slug}").text
    assert f'<html lang="{language}">' in page
    assert f'<a href="/{other}/docs/{slug}" lang="{other}"' in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "selects an available channel by this name"), ("vi", "chọn một kênh đang sẵn sàng theo tên này")],
)
def test_page_describes_fields_in_its_language(client: Client, language: str, text: str) -> None:
    assert text in client.get(f"/{language}/docs/chat-completions/").text


@pytest.mark.django_db
def test_unknown_page_is_not_found(client: Client) -> None:
    assert client.get("/en/docs/no-such-page/").status_code == 404


@pytest.mark.django_db
def test_document_is_served_with_this_installations_address(client: Client) -> None:
    response = client.get("/en/docs/openapi.yaml")
    assert response.headers["Content-Type"] == "application/yaml; charset=utf-8"
    served = document.parse(response.text)
    curl = served["paths"]["/models"]["get"]["x-codeSamples"][0]["source"]
    assert shlex.split(curl)[1] == f"{settings.SITE_URL}/v1/models"


@pytest.mark.django_db
def test_samples_name_a_model_that_is_served_here(client: Client) -> None:
    channel = Channel.objects.create(name="Channel", provider="fake", base_url="fake://channel")
    CatalogueModel.objects.create(name="a-model-without-a-route")
    served = CatalogueModel.objects.create(name="lab/served")
    Route.objects.create(channel=channel, model=served, upstream_name="upstream")
    page = client.get("/en/docs/chat-completions/").text
    assert "lab/served" in page
    assert "gpt-4o" not in page


def _curls() -> Iterator[Any]:
    for operation in (operation for item in DOCUMENT["paths"].values() for operation in item.values()):
        for node in (operation, operation.get("x-streaming", {})):
            for sample in node.get("x-codeSamples", ()):
                if sample["label"] == "curl":
                    yield pytest.param(sample["source"], id=operation["operationId"])


@pytest.mark.parametrize("source", list(_curls()))
def test_curl_is_one_command_with_the_key_from_the_environment(source: str) -> None:
    words = shlex.split(source.replace("\\\n", " "))
    assert words[0] == "curl"
    assert "\n\n" not in source
    assert all(line.endswith("\\") for line in source.partition(" -d ")[0].splitlines()[:-1])
    assert "Authorization: Bearer $COSTROUTER_KEY" in words


@pytest.mark.parametrize("node", [CHAT, CHAT["x-streaming"]], ids=["plain", "stream"])
def test_curl_sends_a_request_that_is_accepted(node: dict[str, Any]) -> None:
    words = shlex.split(node["x-codeSamples"][0]["source"].replace("\\\n", " "))
    assert schema.read(json.loads(words[words.index("-d") + 1])).model == "gpt-4o"


@pytest.mark.parametrize("label", EXAMPLES)
def test_request_example_is_accepted(label: str) -> None:
    assert schema.read(EXAMPLES[label]["value"]).model == "gpt-4o"
