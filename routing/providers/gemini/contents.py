"""A chat's messages as Google's contents: ai.google.dev/api/caching#Content, #Part.

There are two sides, `user` and `model`, who take turns: messages of one side that follow each other are one content.
What functions returned comes from the user's side; what stands above the conversation, in whatever place, is the
system's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from routing.providers.gemini import media, signatures

Part = dict[str, Any]


def contents_of(
    messages: Iterable[Mapping[str, Any]], *, insists_on_signatures: bool
) -> tuple[list[Part], list[dict[str, Any]]]:
    """The system's parts, and the conversation.

    `insists_on_signatures`: the model refuses calls without one.
    """
    system: list[Part] = []
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    """Of functions, by the id of their call."""
    for message in messages:
        match message["role"]:
            case "system" | "developer":
                system += _said(message)
            case "assistant":
                names.update({call["id"]: call["function"]["name"] for call in message.get("tool_calls") or ()})
                _add(contents, "model", _model_parts(message, insists_on_signatures=insists_on_signatures))
            case "tool":
                _add(contents, "user", [_returned(message, names.get(message["tool_call_id"], ""))])
            case _:
                _add(contents, "user", _said(message))
    if not contents:  # without a word of the user's there is nothing to answer
        return [], [{"role": "user", "parts": system}]
    return system, contents


def _add(contents: list[dict[str, Any]], role: str, parts: list[Part]) -> None:
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    elif parts:
        contents.append({"role": role, "parts": parts})


def _said(message: Mapping[str, Any]) -> list[Part]:
    content = message.get("content")
    if type(content) is str:
        return [{"text": content}]
    return [_part(part) for part in content or ()]


def _part(part: Mapping[str, Any]) -> Part:
    if part["type"] in {"text", "refusal"}:
        return {"text": part[part["type"]]}
    found = media.part_of(part)
    assert found is not None  # noqa: S101 - lacks.py has looked
    return found


def _model_parts(message: Mapping[str, Any], *, insists_on_signatures: bool) -> list[Part]:
    signed = list(signatures.parts_of(message))
    said = [part for part in _said(message) if part.get("text")]
    if not said and message.get("refusal"):
        said = [{"text": message["refusal"]}]
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    if calls and insists_on_signatures:
        calls[0].setdefault("thoughtSignature", signatures.SKIP)
    thought = [part for part in signed if "thought" in part]
    return [*thought, *said, *(part for part in signed if "thought" not in part), *calls]


def _call(call: Mapping[str, Any]) -> Part:
    function, signature = call["function"], signatures.of_call(call)
    arguments = orjson.Fragment(function["arguments"].strip() or "{}")  # digit by digit
    part: Part = {"functionCall": {"id": call["id"], "name": function["name"], "args": arguments}}
    return {**part, "thoughtSignature": signature} if signature else part


def _returned(message: Mapping[str, Any], name: str) -> Part:
    """An object as it is, digit by digit, anything else as what Google calls the output."""
    content = message["content"]
    text = content if type(content) is str else "".join(part["text"] for part in content)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    response = orjson.Fragment(text) if type(value) is dict else {"output": text}
    return {"functionResponse": {"id": message["tool_call_id"], "name": name, "response": response}}
