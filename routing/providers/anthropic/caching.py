"""Marks for Anthropic's prompt cache at the end of what stays the same, for clients that know none.

Tools, system prompt, turns: the prompt has this order, and a mark covers all before it. There may be four, and one for
an hour may not stand behind one for five minutes (platform.claude.com/docs/en/build-with-claude/prompt-caching).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

Ttl = Literal["5m", "1h"]
MOST_MARKS: Final = 4
_MARKABLE: Final = frozenset(("text", "image", "document", "tool_use", "tool_result", "search_result"))


class _Mark(NamedTuple):
    """A client's own mark: where it stands (tools, system, turns; then its place there), and for how long."""

    place: tuple[int, int]
    ttl: str


def marked(body: dict[str, Any], ttl: Ttl) -> dict[str, Any]:
    """The body with marks at the last tool, the end of the system prompt and the user's turn before the current one.

    Copied where it changes. The client's own marks stay, and count; where it leaves all marks to Anthropic, so do we.
    """
    if body.get("cache_control"):
        return body
    own = list(_marks(body))
    room = MOST_MARKS - len(own)
    out = {**body}
    for place, mark in reversed(_sites(body)):  # the later one covers more
        if room > 0 and _fits(place, ttl, own) and mark(out, ttl):
            room -= 1
    return out


def _sites(body: dict[str, Any]) -> list[tuple[tuple[int, int], Any]]:
    users = [at for at, turn in enumerate(_listed(body.get("messages"))) if _role_of(turn) == "user"]
    sites: list[tuple[tuple[int, int], Any]] = [((0, len(_listed(body.get("tools")))), _mark_tools)]
    sites.append(((1, len(_listed(body.get("system")))), _mark_system))
    if len(users) > 1:
        at = users[-2]
        sites.append(((2, at), lambda out, ttl: _mark_turn(out, at, ttl)))
    return sites


def _fits(place: tuple[int, int], ttl: Ttl, own: list[_Mark]) -> bool:
    if ttl == "1h":
        return not any(mark.ttl != "1h" and mark.place <= place for mark in own)
    return not any(mark.ttl == "1h" and mark.place > place for mark in own)


def _mark_tools(out: dict[str, Any], ttl: Ttl) -> bool:
    tools = out.get("tools")
    if type(tools) is not list or not tools or _is_marked(tools[-1]) or tools[-1].get("defer_loading"):
        return False
    out["tools"] = [*tools[:-1], _with(tools[-1], ttl)]
    return True


def _mark_system(out: dict[str, Any], ttl: Ttl) -> bool:
    system = _with_last(out.get("system"), ttl)
    if system is not None:
        out["system"] = system
    return system is not None


def _mark_turn(out: dict[str, Any], at: int, ttl: Ttl) -> bool:
    turn = out["messages"][at]
    content = _with_last(turn.get("content"), ttl)
    if content is not None:
        out["messages"] = [*out["messages"][:at], {**turn, "content": content}, *out["messages"][at + 1 :]]
    return content is not None


def _with_last(content: Any, ttl: Ttl) -> list[Any] | None:
    """A text or blocks with a mark at the end; None where none can be."""
    blocks = [{"type": "text", "text": content}] if type(content) is str and content.strip() else content
    last = blocks[-1] if type(blocks) is list and blocks else None
    if type(last) is not dict or _is_marked(last) or last.get("text") == "":
        return None
    if type(last.get("type")) is not str or last["type"] not in _MARKABLE:
        return None
    return [*blocks[:-1], _with(last, ttl)]


def _with(block: dict[str, Any], ttl: Ttl) -> dict[str, Any]:
    return {**block, "cache_control": {"type": "ephemeral", "ttl": ttl} if ttl == "1h" else {"type": "ephemeral"}}


def _is_marked(block: Any) -> bool:
    return type(block) is not dict or bool(block.get("cache_control"))


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _role_of(turn: Any) -> Any:
    return turn.get("role") if type(turn) is dict else None


def _marks(body: dict[str, Any]) -> Iterator[_Mark]:
    for place, block in _blocks(body):
        marker = block.get("cache_control") if type(block) is dict else None
        if type(marker) is dict:
            yield _Mark(place, str(marker.get("ttl") or "5m"))


def _blocks(body: dict[str, Any]) -> Iterator[tuple[tuple[int, int], Any]]:
    """Whatever can bear a mark, with its place: those of a turn share one, also what stands in results."""
    yield from (((0, at), tool) for at, tool in enumerate(_listed(body.get("tools"))))
    yield from (((1, at), block) for at, block in enumerate(_listed(body.get("system"))))
    for at, turn in enumerate(_listed(body.get("messages"))):
        for block in _content_of(turn):
            yield from (((2, at), each) for each in (block, *_content_of(block)))


def _content_of(value: Any) -> list[Any]:
    return _listed(value.get("content")) if type(value) is dict else []
