"""The API reference, read from docs/openapi.yaml: one document, each of its texts in every language."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from django.utils.safestring import SafeString

from portal.reference.markup import highlighted, inline

PATH: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
METHODS: Final = ("get", "post", "put", "patch", "delete")
TEXTS: Final = ("title", "summary", "description")
"""The members that people read; `x-vi-summary` beside `summary` is its Vietnamese."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a parameter or response table, with the rows below it."""

    name: str
    type: str
    is_required: bool
    schema: Mapping[str, Any]
    fields: tuple[Field, ...]

    @property
    def description(self) -> SafeString:
        return inline(self.schema.get("description", ""))

    @property
    def choices(self) -> list[str]:
        """The values that an enumerated field takes, as JSON."""
        return [json.dumps(value).strip('"') for value in self.schema.get("enum", ()) if value is not None]

    @property
    def lowest(self) -> float | None:
        return self._bound("minimum")

    @property
    def highest(self) -> float | None:
        return self._bound("maximum")

    def _bound(self, name: str) -> float | None:
        """A bound that a reader may meet; the ends of the integer types are none."""
        bound = self.schema.get(name)
        return bound if bound is not None and abs(bound) < 2**31 - 1 else None

    @property
    def default(self) -> str:
        """The default as JSON, empty where there is none."""
        return json.dumps(self.schema["default"]).strip('"') if "default" in self.schema else ""


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of a table that belong together."""

    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of code or JSON to read and copy."""

    label: str
    source: str

    @property
    def html(self) -> SafeString:
        return highlighted(self.source.rstrip())


@dataclass(frozen=True, slots=True)
class Error:
    """One row of the error table."""

    code: str
    status: int
    type: str
    is_retriable: bool
    description: SafeString


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the page of one endpoint shows."""

    slug: str
    method: str
    path: str
    section: str
    title: str
    lead: SafeString
    body_note: SafeString
    streaming_note: SafeString
    parameters: tuple[Group, ...]
    path_and_header_fields: tuple[Field, ...]
    response: tuple[Field, ...]
    response_headers: tuple[Field, ...]
    chunk: tuple[Field, ...]
    samples: tuple[Sample, ...]
    streaming_samples: tuple[Sample, ...]
    requests: tuple[Sample, ...]
    responses: tuple[Sample, ...]
    stream_responses: tuple[Sample, ...]
    errors: tuple[Error, ...]
    error_examples: tuple[Sample, ...]


@cache
def document(language: str = "en") -> Mapping[str, Any]:
    """The document in one language, every reference resolved."""
    root = parse(PATH.read_text())
    resolved: Mapping[str, Any] = _localised(root, root, language)
    return resolved


def parse(text: str) -> dict[str, Any]:
    """The document as it is written: references, and both languages side by side."""
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


@cache
def endpoints(language: str) -> tuple[Endpoint, ...]:
    """Every endpoint, in the document's order."""
    doc = document(language)
    return tuple(
        _endpoint(doc, path, method, errors(language))
        for path, operations in doc["paths"].items()
        for method in operations
        if method in METHODS
    )


@cache
def errors(language: str) -> tuple[Error, ...]:
    """Every error, in the order of the status."""
    return tuple(
        Error(row["code"], row["status"], row["type"], row["retry"] == "later", inline(row["description"]))
        for row in document(language)["x-errors"]
    )


def _localised(node: Any, root: Mapping[str, Any], language: str) -> Any:
    if isinstance(node, list):
        return [_localised(item, root, language) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return _localised(_target(root, node["$ref"]) | siblings, root, language)
    own = {key: _localised(value, root, language) for key, value in node.items() if not key.startswith("x-vi-")}
    translated = {text: node[f"x-{language}-{text}"] for text in TEXTS if f"x-{language}-{text}" in node}
    return own | translated


def _target(root: Mapping[str, Any], reference: str) -> Any:
    """What a reference such as `#/components/schemas/Error` points at."""
    node: Any = root
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    return node


def _section(doc: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    for tag in doc["tags"]:
        if tag["name"] in operation["tags"]:
            return str(tag["description"])
    raise ValueError(f"the document has no tag {operation['tags']}, which {operation['operationId']} stands under")


def _endpoint(doc: Mapping[str, Any], path: str, method: str, table: tuple[Error, ...]) -> Endpoint:
    operation = doc["paths"][path][method]
    success = operation["responses"]["200"]
    json_answer = success["content"].get("application/json", {})
    stream = success["content"].get("text/event-stream", {})
    streaming = operation.get("x-streaming", {})
    body: Mapping[str, Any] = next(iter(operation.get("requestBody", {}).get("content", {}).values()), {})
    return Endpoint(
        slug=operation["operationId"],
        method=method.upper(),
        path=doc["servers"][0]["url"] + path,
        section=_section(doc, operation),
        title=operation["summary"],
        lead=inline(operation["description"]),
        body_note=inline(body["schema"]["description"] if body else ""),
        streaming_note=inline(streaming.get("description", "")),
        parameters=_groups(doc, body.get("schema", {})),
        path_and_header_fields=tuple(_parameter(item) for item in operation.get("parameters", ())),
        response=_fields(json_answer.get("schema", {})),
        response_headers=tuple(_header(name, header) for name, header in success.get("headers", {}).items()),
        chunk=_fields(doc["components"]["schemas"][stream.get("x-chunk", "ChatChunk")]) if stream else (),
        samples=_code_samples(operation),
        streaming_samples=_code_samples(streaming),
        requests=_examples(body),
        responses=_examples(json_answer),
        stream_responses=_examples(stream),
        errors=_errors(operation, table),
        error_examples=tuple(_error_examples(operation)),
    )


def _groups(doc: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Group, ...]:
    fields = _fields(schema)
    groups = (
        Group(
            group["description"],
            tuple(field for field in fields if field.schema.get("x-group", "main") == group["name"]),
        )
        for group in doc["x-groups"]
    )
    return tuple(group for group in groups if group.fields)


def _fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    required = schema.get("required", ())
    return tuple(
        Field(name, _type(member), name in required, member, _fields(_inner(member)))
        for name, member in schema.get("properties", {}).items()
    )


def _inner(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object whose members are listed below a field: itself, its items, or its one alternative with members."""
    if "items" in schema:
        return _inner(schema["items"])
    return next((inner for inner in map(_inner, schema.get("anyOf", ())) if "properties" in inner), schema)


def _type(schema: Mapping[str, Any]) -> str:
    """The field's JSON type as the tables show it: `string`, `array<object>`, `integer | null`."""
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(choice) for choice in schema["anyOf"]))
    if "const" in schema:
        return "string"
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " | ".join(f"array<{_type(schema['items'])}>" if name == "array" else name for name in types)


def _parameter(item: Mapping[str, Any]) -> Field:
    schema = {"description": item["description"], **item["schema"]}
    return Field(item["name"], _type(schema), item["required"], schema, ())


def _header(name: str, header: Mapping[str, Any]) -> Field:
    schema = {"description": header["description"], **header["schema"]}
    return Field(name, _type(schema), False, schema, ())


def _code_samples(node: Mapping[str, Any]) -> tuple[Sample, ...]:
    return tuple(Sample(item["label"], item["source"]) for item in node.get("x-codeSamples", ()))


def _examples(media: Mapping[str, Any]) -> tuple[Sample, ...]:
    return tuple(
        Sample(example["summary"], _as_text(example["value"])) for example in media.get("examples", {}).values()
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _errors(operation: Mapping[str, Any], table: tuple[Error, ...]) -> tuple[Error, ...]:
    codes = {code for response in operation["responses"].values() for code in response.get("x-codes", ())}
    return tuple(error for error in table if error.code in codes)


def _error_examples(operation: Mapping[str, Any]) -> Iterator[Sample]:
    for status, response in operation["responses"].items():
        if status != "200":
            yield from _examples(response["content"]["application/json"])
