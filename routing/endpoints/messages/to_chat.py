"""A messages request said as a chat completion's, for upstreams that do not speak Anthropic's format. Pure.

What chat cannot say is refused by name; what Anthropic's documentation calls a hint is left out. The tables below are
the whole of it: tests/routing/endpoints/messages/test_to_chat.py holds them against Anthropic's own types, and the page
in routing/README.md against them. Markers for caches, thoughts with signatures and budgets travel in OpenRouter's
conventions (`cache_control`, `reasoning_details`, `reasoning`): dialects take from them what their upstreams document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NoReturn

import orjson

from routing.endpoints.chat.schema import ChatRequest
from routing.endpoints.invalid import UnsupportedParameter

SAID: Final = frozenset(
    ("model", "messages", "system", "max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools",
     "tool_choice", "thinking", "output_config", "output_format", "metadata")
)  # fmt: skip
"""Members that chat has words for."""
HINTS: Final = frozenset(
    ("cache_control", "service_tier", "speed", "inference_geo", "diagnostics", "context_management")
)
"""Members that are left out: where a cache may begin, which capacity and which place is used (both only as what is
usual: others have no price), what is reported beside the answer, what may be cleared out of a long conversation."""
REFUSED: Final = frozenset(
    ("billing_policy", "container", "mcp_servers", "fallbacks", "fallback_credit_token", "compaction", "thread",
     "user_profile_id", "workspace_id")
)  # fmt: skip
"""Members that ask for what only Anthropic's servers do."""
SAID_BLOCKS: Final[dict[str, frozenset[str]]] = {
    "text": frozenset(("text",)),
    "image": frozenset(("source",)),
    "document": frozenset(("source", "title", "context", "citations")),
    "search_result": frozenset(("source", "title", "content", "citations")),
    "tool_use": frozenset(("id", "name", "input", "caller")),
    "tool_result": frozenset(("tool_use_id", "content", "is_error")),
    "thinking": frozenset(("thinking", "signature")),
    "redacted_thinking": frozenset(("data",)),
}
"""Blocks that chat has words for, with their members; any other block or member is refused."""
HINTS_OF_BLOCKS: Final[dict[str, frozenset[str]]] = {"text": frozenset(("citations",))}
"""Members that are left out: where a text that was said had come from."""
SAID_OF_TOOLS: Final = frozenset(
    ("name", "description", "input_schema", "strict", "type", "input_examples", "allowed_callers", "cache_control")
)
HINTS_OF_TOOLS: Final = frozenset(("eager_input_streaming", "defer_loading"))
"""Members that are left out: how finely arguments are streamed, and that a tool may be shown later."""
_ALWAYS: Final = frozenset(("type", "cache_control"))
_MEMBERS: Final = {
    kind: members | HINTS_OF_BLOCKS.get(kind, frozenset()) | _ALWAYS for kind, members in SAID_BLOCKS.items()
}
_OF_TOOLS: Final = SAID_OF_TOOLS | HINTS_OF_TOOLS
_OF_CHAT: Final = frozenset(ChatRequest.__struct_fields__) | {"search_parameters", "enable_search"}
"""Members by which a chat request asks for more than a messages request can, or for what has no price."""
_EXTENSIONS: Final = frozenset(("models", "provider", "usage"))
_KNOWN: Final = SAID | HINTS | REFUSED | _EXTENSIONS
_USUAL_EFFORT: Final = "high"
"""As if nothing had been said (platform.claude.com, effort)."""
_LONGEST_USER: Final = 64
"""OpenAI's bound."""
_CLEARS: Final = "clear_"
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
Dict = dict[str, Any]


def body_of(body: Mapping[str, Any]) -> Dict:
    """The chat request of a body that was read; raises UnsupportedParameter that names what cannot be said."""
    _refuse_others(body)
    said: Dict = {"model": body["model"], "messages": [*_system(body.get("system")), *_messages(body["messages"])]}
    for name in ("max_tokens", "stream", "temperature", "top_p", "top_k", *(body.keys() - _KNOWN)):
        if name in body:
            said[name] = body[name]
    if body.get("stop_sequences"):
        said["stop"] = body["stop_sequences"]
    if body.get("tools"):
        said["tools"] = [_tool(tool, f"tools.{index}") for index, tool in enumerate(body["tools"])]
        _choose(said, body.get("tool_choice"))
    _think(said, body)
    _form(said, body)
    user = (body.get("metadata") or {}).get("user_id")
    if user:
        said["user"] = user if len(user) <= _LONGEST_USER else sha256(user.encode()).hexdigest()
    return said


def _unsaid(place: str, fault: str = "cannot be asked of this model's upstreams.") -> NoReturn:
    raise UnsupportedParameter(f"{place}: {fault}", param=place)


def _refuse_others(body: Mapping[str, Any]) -> None:
    for name in sorted(REFUSED.intersection(body)):
        if body[name]:
            _unsaid(name)
    for name in sorted((body.keys() - _KNOWN) & _OF_CHAT):
        _unsaid(name, "Extra inputs are not permitted")
    management = body.get("context_management")
    for index, edit in enumerate((management or {}).get("edits") or ()):
        if not edit["type"].startswith(_CLEARS):  # a summary of it is an answer's own block
            _unsaid(f"context_management.edits.{index}")


# --- the conversation ------------------------------------------------------------------------------------------------


def _system(system: Any) -> list[Dict]:
    if not system:
        return []
    if type(system) is str:
        return [{"role": "system", "content": system}]
    return [{"role": "system", "content": _content([_part(block, f"system.{at}") for at, block in enumerate(system)])}]


def _messages(messages: list[Dict]) -> list[Dict]:
    said: list[Dict] = []
    for index, message in enumerate(messages):
        role, content, at = message["role"], message["content"], f"messages.{index}.content"
        if type(content) is str:
            said.append({"role": role, "content": content})
        elif role == "assistant":
            said.append(_assistant(content, at))
        elif role == "user":
            said += _user(content, at)
        else:
            parts = [_part(block, f"{at}.{place}") for place, block in enumerate(content)]
            said.append({"role": "system", "content": _content(parts)})
    if messages[-1]["role"] == "assistant":
        _unsaid(f"messages.{len(messages) - 1}", "An answer that is begun for the model cannot be asked for.")
    return said


def _user(blocks: list[Dict], at: str) -> list[Dict]:
    """Results of tools first, each a message of its own, as chat has them; what they show besides comes behind."""
    results: list[Dict] = []
    shown: list[Dict] = []
    parts: list[Dict] = []
    for index, block in enumerate(blocks):
        if block["type"] == "tool_result":
            _check_members(block, f"{at}.{index}")
            results.append(_result(block, f"{at}.{index}", shown))
        else:
            parts += _parts(block, f"{at}.{index}")
    parts = shown + parts
    return [*results, {"role": "user", "content": _content(parts)}] if parts else results


def _result(block: Dict, at: str, shown: list[Dict]) -> Dict:
    """The message of a tool's result; pictures and files, for which it has no place, go to `shown`."""
    content = block.get("content")
    if type(content) is dict:
        _unsaid(f"{at}.content")
    inner = [{"type": "text", "text": content}] if type(content) is str else content or ()
    parts = [part for place, each in enumerate(inner) for part in _parts(each, f"{at}.content.{place}")]
    texts = [part for part in parts if part["type"] == "text"]
    others = [part for part in parts if part["type"] != "text"]
    if others:
        shown += [{"type": "text", "text": f"The result of {block['tool_use_id']}:"}, *others]
        texts = texts or [{"type": "text", "text": "The result follows."}]
    if block.get("is_error"):
        texts = [{"type": "text", "text": "Error:"}, *texts]
    text = "\n".join(part["text"] for part in texts)
    if "cache_control" in block:
        return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": [_marked(block, text)]}
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text}


def _assistant(blocks: list[Dict], at: str) -> Dict:
    parts: list[Dict] = []
    calls: list[Dict] = []
    details: list[Dict] = []
    for index, block in enumerate(blocks):
        kind = block["type"]
        _check_members(block, f"{at}.{index}")
        if kind == "thinking":
            text, signature = block["thinking"], block["signature"]
            details.append({"type": "reasoning.text", "text": text, "signature": signature, "index": len(details)})
        elif kind == "redacted_thinking":
            details.append({"type": "reasoning.encrypted", "data": block["data"], "index": len(details)})
        elif kind == "tool_use":
            function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
            calls.append({"id": block["id"], "type": "function", "function": function})
        else:
            parts.append(_part(block, f"{at}.{index}"))
    if len(parts) > 1:
        parts = [part for part in parts if part["text"]] or parts[
            :1
        ]  # of pages behind a call, which came without words
    said: Dict = {"role": "assistant", "content": _content(parts) if parts else None}
    if details:
        said["reasoning_content"] = "".join(each.get("text", "") for each in details)
        said["reasoning_details"] = details
    if calls:
        said["tool_calls"] = calls
    return said


def _content(parts: list[Dict]) -> str | list[Dict]:
    """One plain text as a text, which every server takes."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _part(block: Dict, at: str) -> Dict:
    """A block where only text may stand."""
    if block["type"] != "text":
        _unsaid(f"{at}.{block['type'][:64]}")
    _check_members(block, at)
    return _marked(block, block["text"])


def _marked(block: Dict, text: str) -> Dict:
    part: Dict = {"type": "text", "text": text}
    if block.get("cache_control"):
        part["cache_control"] = block["cache_control"]
    return part


def _parts(block: Dict, at: str) -> list[Dict]:
    kind = block["type"]
    say = _SAYINGS.get(kind)
    if say is None:
        _unsaid(f"{at}.{kind[:64]}")
    _check_members(block, at)
    parts = say(block, f"{at}.{kind}")
    if block.get("cache_control") and parts:
        parts[-1] = {**parts[-1], "cache_control": block["cache_control"]}
    return parts


def _check_members(block: Dict, at: str) -> None:
    """Refuses what a block says besides."""
    at = f"{at}.{block['type'][:64]}"
    others = block.keys() - _MEMBERS.get(block["type"], block.keys())
    _refuse_members(block, others, at)
    if "caller" in block and (block["caller"] or {}).get("type", "direct") != "direct":
        _unsaid(f"{at}.caller")


def _refuse_members(members: Dict, others: Iterable[str], at: str) -> None:
    for name in sorted(others):
        if members[name] is not None:
            _unsaid(f"{at}.{name[:64]}")


def _text(block: Dict, at: str) -> list[Dict]:
    return [{"type": "text", "text": block["text"]}]


def _image(block: Dict, at: str) -> list[Dict]:
    source = block["source"]
    if source["type"] == "base64":
        return [{"type": "image_url", "image_url": {"url": _data_url(source)}}]
    if source["type"] != "url":
        _unsaid(f"{at}.source")
    return [{"type": "image_url", "image_url": {"url": source["url"]}}]


def _data_url(source: Dict) -> str:
    return f"data:{source['media_type']};base64,{source['data']}"


def _document(block: Dict, at: str) -> list[Dict]:
    _refuse_citations(block, at)
    source, title = block["source"], block.get("title")
    about = [{"type": "text", "text": each} for each in (title, block.get("context")) if each]
    if source["type"] == "base64":
        file = {"filename": title or "document.pdf", "file_data": _data_url(source)}
        return [*about[bool(title) :], {"type": "file", "file": file}]
    if source["type"] == "text":
        return [*about, {"type": "text", "text": source["data"]}]
    if source["type"] != "content":
        _unsaid(f"{at}.source")
    content = source["content"]
    inner = [{"type": "text", "text": content}] if type(content) is str else content
    return [*about, *(part for index, each in enumerate(inner) for part in _parts(each, f"{at}.source.{index}"))]


def _search_result(block: Dict, at: str) -> list[Dict]:
    _refuse_citations(block, at)
    content = block["content"]
    if type(content) is not list:
        _unsaid(f"{at}.content")
    parts = [_part(each, f"{at}.content.{index}") for index, each in enumerate(content)]
    return [{"type": "text", "text": f"{block['title']}\n{block['source']}"}, *parts]


def _refuse_citations(block: Dict, at: str) -> None:
    citations = block.get("citations")
    if type(citations) is dict and citations.get("enabled"):
        _unsaid(f"{at}.citations")


_SAYINGS: Final[dict[str, Callable[[Dict, str], list[Dict]]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
"""How a block of a user's is said; results, thoughts and calls have places of their own."""


# --- tools, thoughts, the answer's form ------------------------------------------------------------------------------


def _tool(tool: Dict, at: str) -> Dict:
    if tool.get("type") not in (None, "custom"):
        _unsaid(f"{at}.type")
    _refuse_members(tool, tool.keys() - _OF_TOOLS, at)
    if any(caller != "direct" for caller in tool.get("allowed_callers") or ()):
        _unsaid(f"{at}.allowed_callers")
    parameters = tool["input_schema"]
    if tool.get("input_examples"):
        parameters = {**parameters, "examples": tool["input_examples"]}
    function: Dict = {"name": tool["name"], "parameters": parameters}
    for name in ("description", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    said: Dict = {"type": "function", "function": function}
    if tool.get("cache_control"):
        said["cache_control"] = tool["cache_control"]
    return said


def _choose(said: Dict, choice: Dict | None) -> None:
    if choice is None:
        return
    if choice["type"] == "tool":
        said["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        said["tool_choice"] = _CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        said["parallel_tool_calls"] = False


def _think(said: Dict, body: Mapping[str, Any]) -> None:
    """How much is thought at most, or how hard; `adaptive` leaves it to the model, as chat does."""
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        said["reasoning"] = {"max_tokens": thinking["budget_tokens"]}
    elif thinking.get("type") == "disabled":
        said["reasoning"] = {"enabled": False}
    elif thinking.get("type") not in (None, "adaptive"):
        _unsaid("thinking.type")
    effort = (body.get("output_config") or {}).get("effort")
    if effort and effort != _USUAL_EFFORT:
        said["reasoning_effort"] = effort


def _form(said: Dict, body: Mapping[str, Any]) -> None:
    asked = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if not asked:
        return
    if asked["type"] != "json_schema" or not asked.get("schema"):
        _unsaid("output_config.format")
    schema = {"name": "answer", "schema": asked["schema"], "strict": True}
    said["response_format"] = {"type": "json_schema", "json_schema": schema}
