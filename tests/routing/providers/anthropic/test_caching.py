"""Marks for the prompt cache that a channel adds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from routing.providers.anthropic.caching import marked
from tests.routing.providers.anthropic.calls import HI, call, native, said, sent, text

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"type": "function", "function": {"name": "f"}}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "Three?"},
]


def places(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Where the marks stand."""
    found = [
        (f"tool {at}", tool["cache_control"])
        for at, tool in enumerate(body.get("tools", ()))
        if "cache_control" in tool
    ]
    system = body.get("system") or ()
    found += [(f"system {at}", block["cache_control"]) for at, block in enumerate(system) if "cache_control" in block]
    for at, turn in enumerate(body["messages"]):
        blocks = turn["content"] if type(turn["content"]) is list else []
        found += [(f"turn {at}", block["cache_control"]) for block in blocks if "cache_control" in block]
    return found


@pytest.mark.parametrize(
    ("options", "mark"),
    [({}, None), ({"cache": "off"}, None), ({"cache": "5m"}, MARK), ({"cache": "1h"}, HOUR)],
    ids=str,
)
def test_channel_marks_what_stays_the_same(options: dict[str, Any], mark: Any) -> None:
    asked = said(messages=TALK, tools=[TOOL, TOOL], options=options)
    assert places(asked) == ([("tool 1", mark), ("system 0", mark), ("turn 2", mark)] if mark else [])


def test_first_turn_has_nothing_before_it() -> None:
    assert places(said(options={"cache": "5m"})) == []


def test_marks_change_nothing_that_was_given() -> None:
    body = {"system": "Be.", "tools": [{"name": "f"}], "messages": [*HI, {"role": "assistant", "content": "a"}, *HI]}
    before = copy.deepcopy(body)
    assert marked(body, "5m") == {
        "system": [text("Be.", cache_control=MARK)],
        "tools": [{"name": "f", "cache_control": MARK}],
        "messages": [
            {"role": "user", "content": [text("Hi", cache_control=MARK)]},
            {"role": "assistant", "content": "a"},
            *HI,
        ],
    }
    assert body == before


def test_results_of_tools_are_turns_too() -> None:
    call_ = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call_]}
    answered = {"role": "tool", "tool_call_id": "a", "content": "1"}
    body = said(messages=[*HI, asked, answered, asked, answered], options={"cache": "5m"})
    assert places(body) == [("turn 2", MARK)]


def own_marks(*places_: tuple[str, int, Any]) -> dict[str, Any]:
    """A talk of five turns with two tools and two texts of the system, marked by the client at these places."""
    body: dict[str, Any] = {
        "tools": [{"name": "f"}, {"name": "g"}],
        "system": [text("a"), text("b")],
        "messages": [
            {"role": "user" if at % 2 == 0 else "assistant", "content": [text("x"), text("y")]} for at in range(5)
        ],
    }
    for section, at, mark in places_:
        target = body[section][at]
        (target["content"][0] if section == "messages" else target)["cache_control"] = mark
    return body


@pytest.mark.parametrize(
    ("own", "ttl", "ours"),
    [
        pytest.param([], "5m", {"tool 1", "system 1", "turn 2"}, id="none"),
        pytest.param([("messages", 4, MARK)], "5m", {"tool 1", "system 1", "turn 2"}, id="one"),
        pytest.param([("messages", 4, MARK), ("messages", 3, MARK)], "5m", {"system 1", "turn 2"}, id="two"),
        pytest.param([("messages", at, MARK) for at in (0, 3, 4)], "5m", {"turn 2"}, id="three"),
        pytest.param([("messages", at, MARK) for at in (0, 1, 3, 4)], "5m", set(), id="four"),
        pytest.param([("messages", at, MARK) for at in (0, 1, 2, 3, 4)], "5m", set(), id="too many"),
        pytest.param([("tools", 1, MARK), ("system", 1, MARK)], "5m", {"turn 2"}, id="taken"),
        pytest.param([("system", 0, MARK)], "1h", {"tool 1"}, id="no hour behind five minutes"),
        pytest.param([("messages", 0, MARK)], "1h", {"tool 1", "system 1"}, id="hours before five minutes"),
        pytest.param([("messages", 0, HOUR)], "5m", {"turn 2"}, id="no five minutes before an hour"),
        pytest.param([("messages", 4, MARK)], "1h", {"tool 1", "system 1", "turn 2"}, id="hours before another turn's"),
        pytest.param(
            [("messages", 3, MARK)], "1h", {"tool 1", "system 1", "turn 2"}, id="hours before the next turn's"
        ),
        pytest.param([("messages", 4, HOUR)], "1h", {"tool 1", "system 1", "turn 2"}, id="hours alone"),
        pytest.param([("tools", 0, HOUR)], "5m", {"tool 1", "system 1", "turn 2"}, id="five minutes behind an hour"),
        pytest.param([("messages", 2, MARK)], "1h", {"tool 1", "system 1"}, id="no hour behind five minutes of a turn"),
        pytest.param([("messages", 2, HOUR)], "5m", {"turn 2"}, id="five minutes behind an hour of a turn"),
        pytest.param([("tools", 1, HOUR), ("system", 1, HOUR)], "5m", {"turn 2"}, id="hours stay hours"),
    ],
)
def test_clients_own_marks_count_and_keep_their_order(own: Any, ttl: Any, ours: set[str]) -> None:
    before = own_marks(*own)
    after = places(marked(copy.deepcopy(before), ttl))
    added = [each for each in after if each not in places(before)]
    assert [each for each in places(before) if each not in after] == []
    assert {place for place, _mark in added} == ours
    assert {str(mark) for _place, mark in added} <= {str(HOUR if ttl == "1h" else MARK)}
    assert len(after) <= max(4, len(places(before)))


def test_marks_within_results_count() -> None:
    body = own_marks()
    inner = [text("z", cache_control=MARK)] * 4
    body["messages"][4]["content"] = [{"type": "tool_result", "tool_use_id": "a", "content": inner}]
    assert places(marked(body, "5m")) == []


def test_client_that_leaves_the_marks_to_anthropic_gets_none_of_ours() -> None:
    body = {**own_marks(), "cache_control": MARK}
    assert marked(body, "5m") is body


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"name": "f", "defer_loading": True}], "messages": HI},
        {"tools": [], "system": "", "messages": HI},
        {"system": [{"type": "text", "text": ""}], "messages": HI},
        {"system": [{"type": "thinking", "thinking": "x"}], "messages": HI},
        {"system": 5, "tools": 5, "messages": 5},
        {"messages": [5, {"role": "user", "content": None}, {"role": "user", "content": []}]},
        {},
    ],
    ids=str,
)
def test_what_cannot_bear_a_mark_gets_none(body: dict[str, Any]) -> None:
    assert marked(body, "5m") == body


def test_its_own_format_is_marked_too() -> None:
    body = {"system": "Be.", "messages": [*HI, {"role": "assistant", "content": "a"}, *HI]}
    assert [place for place, _mark in places(sent(native(body, options={"cache": "5m"})))] == ["system 0", "turn 0"]
    assert places(sent(call())) == []
