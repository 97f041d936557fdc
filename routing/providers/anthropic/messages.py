"""A chat's messages as Anthropic's system prompt and turns (platform.claude.com/docs/en/api/messages).

System messages stand before the turns, wherever they stood, as Anthropic's own OpenAI-compatible layer has them
(platform.claude.com/docs/en/api/openai-sdk). Turns of one role are one. Results of tools are the first of their turn.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.providers.anthropic.parts import blocks_of, texts_of, with_marker

FORMAT: Final = "anthropic-claude-v1"
"""What a signed thought calls itself (openrouter.ai/docs/use-cases/reasoning-tokens): nobody else can check it."""
_INSTRUCTIONS: Final = frozenset(("system", "developer"))
_PLAIN_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_OF_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ID: Final = 200
"""As much of an id is kept that has to be said in other letters; its checksum tells it from others."""
_THOUGHTS: Final = frozenset(("thinking", "redacted_thinking"))

Block = dict[str, Any]


def system_and_turns(messages: list[dict[str, Any]]) -> tuple[list[Block], list[dict[str, Any]]]:
    """The blocks of the system prompt, and the turns. Instructions without anything else are the user's turn."""
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role in _INSTRUCTIONS:
            system += _marked(texts_of(message.get("content")), message)
        elif role == "assistant":
            _add(turns, "assistant", _assistant_blocks(message))
        elif role == "tool":
            _add(turns, "user", [_result_of(message)])
        else:
            _add(turns, "user", _marked(blocks_of(message.get("content")), message))
    if not turns and system:
        return [], [{"role": "user", "content": system}]
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=_is_no_result)
    if turns and turns[-1]["role"] == "assistant":
        _trim(turns[-1]["content"])
    return system, turns


def begins_with_thought(turn: Mapping[str, Any]) -> bool:
    return bool(turn["content"][0]["type"] in _THOUGHTS)


def _add(turns: list[dict[str, Any]], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": [*blocks]})


def _is_no_result(block: Block) -> bool:
    return bool(block["type"] != "tool_result")


def _trim(content: list[Block]) -> None:
    """The last turn, where the assistant is to go on with it, may not end in white space."""
    if content[-1]["type"] == "text":
        content[-1] = {**content[-1], "text": content[-1]["text"].rstrip()}


def _marked(blocks: list[Block], message: dict[str, Any]) -> list[Block]:
    """A mark for the cache that stands at the message, as some write it, is its last block's."""
    return [*blocks[:-1], with_marker(blocks[-1], message)] if blocks else blocks


def _assistant_blocks(message: dict[str, Any]) -> list[Block]:
    said = _marked(blocks_of(message.get("content")), message)
    if not said and message.get("refusal"):
        said = blocks_of(message["refusal"])
    calls = message.get("tool_calls") or ()
    return [*thoughts_of(message.get("reasoning_details")), *said, *map(_use_of, calls)]


def thoughts_of(details: Any) -> list[Block]:
    """Signed and sealed thoughts, to be handed back unchanged; those that nobody signed, or others did, are left out.

    A stream's pieces of one thought are one: its signature ends it, or another index.
    """
    blocks: list[Block] = []
    text, place = "", None
    for detail in details if type(details) is list else ():
        if type(detail) is not dict or detail.get("format") not in (None, FORMAT, "unknown"):
            continue
        if detail.get("index") != place:
            text, place = "", detail.get("index")
        if detail.get("type") == "reasoning.encrypted" and type(detail.get("data")) is str:
            blocks.append({"type": "redacted_thinking", "data": detail["data"]})
        elif detail.get("type") == "reasoning.text":
            text += detail["text"] if type(detail.get("text")) is str else ""
            if type(detail.get("signature")) is str and detail["signature"]:
                blocks.append({"type": "thinking", "thinking": text, "signature": detail["signature"]})
                text = ""
    return blocks


def without_unsigned(messages: list[Any]) -> list[Any]:
    """The same without what other upstreams thought or cited, unsigned: Anthropic refuses the whole request for it.

    A turn that said nothing else is left as it is.
    """
    return [_signed(message) if type(message) is dict else message for message in messages]


def _signed(message: Block) -> Block:
    content = message.get("content")
    if type(content) is not list or message.get("role") != "assistant" or not any(map(_is_foreign, content)):
        return message
    kept = [_without_foreign(block) for block in content if not _is_unsigned(block) and not _cites_alone(block)]
    return {**message, "content": kept} if kept else message


def _is_unsigned(block: Any) -> bool:
    return type(block) is dict and block.get("type") == "thinking" and not block.get("signature")


def _cites_alone(block: Any) -> bool:
    """Whether a block has no text beside what others cited, which is how pages behind a call are told of."""
    return _is_foreign(block) and not block.get("text")


def _is_foreign(block: Any) -> bool:
    return _is_unsigned(block) or (type(block) is dict and any(map(_is_unindexed, _citations_of(block))))


def _citations_of(block: Block) -> list[Any]:
    citations = block.get("citations")
    return citations if type(citations) is list else []


def _is_unindexed(citation: Any) -> bool:
    """Whether it is of a page that no search of Anthropic's has found."""
    kind = citation.get("type") if type(citation) is dict else None
    return kind == "web_search_result_location" and not citation.get("encrypted_index")


def _without_foreign(block: Any) -> Any:
    if not _is_foreign(block):
        return block
    kept = [each for each in _citations_of(block) if not _is_unindexed(each)]
    others = {name: value for name, value in block.items() if name != "citations"}
    return {**others, "citations": kept} if kept else others


def _use_of(call: dict[str, Any]) -> Block:
    function = call["function"]
    return {
        "type": "tool_use",
        "id": _id_of(call["id"]),
        "name": function["name"],
        "input": _input_of(function.get("arguments")),
    }


def _input_of(arguments: Any) -> Any:
    """The arguments byte by byte, if they are an object.

    What is none is wrapped as Anthropic says (platform.claude.com/docs/en/agents-and-tools/tool-use/
    fine-grained-tool-streaming#handling-invalid-json-in-tool-responses).
    """
    text = arguments if type(arguments) is str else ""
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return orjson.Fragment(text) if type(value) is dict else {"INVALID_JSON": text}


def _id_of(id_: str) -> str:
    """An id that Anthropic takes; other vendors' have other characters, and get a sum that tells them apart."""
    if _PLAIN_ID.fullmatch(id_):
        return id_
    return f"{_NOT_OF_AN_ID.sub('_', id_[:_LONGEST_ID])}_{zlib.crc32(id_.encode('utf-8', 'replace')):08x}"


def _result_of(message: dict[str, Any]) -> Block:
    blocks = blocks_of(message.get("content"))
    marker = next((block["cache_control"] for block in reversed(blocks) if "cache_control" in block), None)
    plain = [{name: value for name, value in block.items() if name != "cache_control"} for block in blocks]
    result: Block = {"type": "tool_result", "tool_use_id": _id_of(message["tool_call_id"])}
    if len(plain) == 1 and plain[0]["type"] == "text":
        result["content"] = plain[0]["text"]
    elif plain:
        result["content"] = plain
    if message.get("is_error") is True:
        result["is_error"] = True
    return with_marker(result, message if type(message.get("cache_control")) is dict else {"cache_control": marker})
