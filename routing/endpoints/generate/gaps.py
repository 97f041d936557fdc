"""What of a generateContent request is said in chat's words, left out as a hint, or refused: one table for each object.

A member that stands in no table is refused by its name too. tests/routing/endpoints/generate/test_gaps.py holds the
tables against Google's own types, and the page (routing/README.md) against the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from routing.endpoints.invalid import UnsupportedParameter


class Members(NamedTuple):
    """Of one kind of object, by their names in JSON."""

    said: frozenset[str]
    hints: Mapping[str, str]
    """Left out, each with why no answer is the worse without."""
    refused: frozenset[str]
    """What is known to ask for more than chat can say."""


def _members(said: tuple[str, ...], hints: Mapping[str, str] | None = None, refused: tuple[str, ...] = ()) -> Members:
    return Members(frozenset(said), hints or {}, frozenset(refused))


_LIVE: Final = "of functions that run while the model goes on, in live sessions alone"
_HOSTED: Final = "speaks of hosted tools alone, which are refused"

AS_IT_IS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "candidateCount": "n",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
"""Settings that chat has too, under its own names."""

TABLES: Final[Mapping[str, Members]] = {
    "request": _members(
        ("model", "models", "provider", "usage", "stream", "contents", "systemInstruction", "tools", "toolConfig",
         "safetySettings", "generationConfig"),
        {
            "labels": "who asks",
            "store": "whether Google logs it",
            "serviceTier": "only the usual one comes this far",
        },
        ("cachedContent",),
    ),
    "generationConfig": _members(
        (*AS_IT_IS, "maxOutputTokens", "stopSequences", "responseMimeType", "responseSchema", "responseJsonSchema",
         "thinkingConfig", "responseModalities", "mediaResolution"),
        refused=("audioTimestamp", "audioTranscriptionConfig", "enableAffectiveDialog", "enableEnhancedCivicAnswers",
                 "modelSelectionConfig", "responseFormat", "routingConfig", "speechConfig", "translationConfig"),
    ),
    "generationConfig.thinkingConfig": _members(("includeThoughts", "thinkingBudget", "thinkingLevel")),
    "toolConfig": _members(
        ("functionCallingConfig",),
        {"retrievalConfig": _HOSTED, "includeServerSideToolInvocations": _HOSTED},
    ),
    "toolConfig.functionCallingConfig": _members(
        ("mode", "allowedFunctionNames"), {"streamFunctionCallArguments": "how a stream is cut, which is the gateway's"}
    ),
    "tools.functionDeclarations": _members(
        ("name", "description", "parameters", "parametersJsonSchema"),
        {"response": "describes what comes back", "responseJsonSchema": "the same", "behavior": _LIVE},
    ),
    "contents.parts": _members(
        ("text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse",
         "mediaResolution"),
        {"partMetadata": "the client's own notes"},
        ("audioMetadata", "audioTranscription", "codeExecutionResult", "documentMetadata", "executableCode",
         "mediaProcessing", "speechMetadata", "spreadsheetMetadata", "toolCall", "toolResponse", "videoMetadata"),
    ),
    "contents.parts.functionCall": _members(("id", "name", "args"), refused=("partialArgs", "willContinue")),
    "contents.parts.functionResponse": _members(
        ("id", "name", "response", "parts"), {"scheduling": _LIVE, "willContinue": _LIVE}
    ),
    "contents.parts.inlineData": _members(("mimeType", "data"), {"displayName": "a name of a file, for people"}),
    "contents.parts.fileData": _members(("mimeType", "fileUri"), {"displayName": "the same"}),
}  # fmt: skip
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    place: table.said | frozenset(table.hints) for place, table in TABLES.items()
}
_NOTHING: Final[tuple[Any, ...]] = ("", [], {})
"""What no member asks for anything with."""
_INSIDE_PARTS: Final = ("functionCall", "functionResponse", "inlineData", "fileData")


def check(body: Mapping[str, Any]) -> None:
    """Raises UnsupportedParameter with the path of the first member that chat has no word for."""
    _check(body, "request", "")
    config: Mapping[str, Any] = body.get("generationConfig") or {}
    _check_at(config, "generationConfig")
    _check_at(config.get("thinkingConfig") or {}, "generationConfig.thinkingConfig")
    tool_config: Mapping[str, Any] = body.get("toolConfig") or {}
    _check_at(tool_config, "toolConfig")
    _check_at(tool_config.get("functionCallingConfig") or {}, "toolConfig.functionCallingConfig")
    for tool in body.get("tools") or ():
        for function in tool.get("functionDeclarations") or ():
            _check_at(function, "tools.functionDeclarations")
    for content in body["contents"]:
        for part in content.get("parts") or ():
            _check_part(part)


def _check_part(part: Mapping[str, Any]) -> None:
    _check_at(part, "contents.parts")
    for name in _INSIDE_PARTS:
        if part.get(name):
            _check_at(part[name], f"contents.parts.{name}")
    for shown in (part.get("functionResponse") or {}).get("parts") or ():
        _check_part(shown)


def refusal(name: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"'{name}' asks for what this model's upstreams cannot be asked for.", param=name)


def _check_at(members: Mapping[str, Any], place: str) -> None:
    _check(members, place, f"{place}.")


def _check(members: Mapping[str, Any], place: str, within: str) -> None:
    for name in members.keys() - _KNOWN[place]:
        if members[name] not in _NOTHING:
            raise refusal(f"{within}{name[:64]}")
