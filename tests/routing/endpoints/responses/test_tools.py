"""Tools of the Responses API as functions, and whose call it is."""

from __future__ import annotations

from typing import Any

import pytest

from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.responses.schema import read
from routing.endpoints.responses.tools import Callee, ChatTools, text_arguments, text_of_arguments

F = {"type": "function", "name": "f"}
SPACE = {"type": "namespace", "name": "n", "tools": [F, {"type": "custom", "name": "c"}]}


def tools(*given: Any, **members: Any) -> ChatTools:
    return ChatTools(read({"model": "m", "input": "a", "tools": list(given), **members}))


def functions(*given: Any, choice: Any = None) -> Any:
    return tools(*given).functions(choice)


@pytest.mark.parametrize(("letters", "length"), [(60, 63), (61, 64), (62, 64), (200, 64)])
def test_name_within_a_namespace_fits_and_stays_its_own(letters: int, length: int) -> None:
    flat = Callee("function", "x" * letters, "n").flat
    assert len(flat) == length
    assert (flat == "n__" + "x" * letters) is (letters <= 61)
    assert flat == Callee("custom", "x" * letters, "n").flat
    assert flat != Callee("function", "x" * (letters + 1), "n").flat


def test_name_that_is_too_long_ends_with_what_tells_it_apart() -> None:
    assert Callee("function", "x" * 62, "n").flat == "n__" + "x" * 52 + "_" + "6e4b074e"
    assert Callee("function", "x" * 70).flat == "x" * 70


def test_call_of_a_function_that_nobody_declared_is_one_by_its_own_name() -> None:
    known = tools(F, SPACE, {"type": "tool_search", "execution": "client"})
    assert known.callee("n__c") == Callee("custom", "c", "n")
    assert known.callee("tool_search") == Callee("tool_search", "tool_search")
    assert known.callee("g") == Callee("function", "g")


def test_name_is_whole_where_none_begins_with_it() -> None:
    known = tools(F, {**F, "name": "fo"}, {**F, "name": "foo"}, {**F, "name": "g"})
    assert [known.is_whole(name) for name in ("f", "fo", "foo", "g", "h", "")] == [
        False, False, True, True, False, False,
    ]  # fmt: skip


def test_what_a_namespace_is_about_is_said_once_with_its_first_tool() -> None:
    about = {**SPACE, "description": "About.", "tools": [{**F, "description": "d"}, {**F, "name": "g"}]}
    found, _choice = functions(about, {**F, "description": "e"})
    assert [each["function"].get("description") for each in found] == ["About.\n\nd", None, "e"]


@pytest.mark.parametrize("strict", [True, False, None])
def test_strictness_is_a_functions_alone(strict: Any) -> None:
    found, _choice = functions({**F, "strict": strict}, {"type": "custom", "name": "c", "strict": strict})
    assert [each["function"].get("strict") for each in found] == [strict, None]
    assert ("strict" in found[0]["function"]) is (strict is not None)


@pytest.mark.parametrize(
    ("format_", "how"),
    [
        (None, ""),
        ({"type": "text"}, ""),
        ({"type": "grammar", "syntax": "lark", "definition": "start: x"},
         " It follows this lark grammar:\nstart: x"),
    ],
    ids=["none", "text", "grammar"],
)  # fmt: skip
def test_custom_tool_takes_a_text_as_its_format_says(format_: Any, how: str) -> None:
    ((found,), _choice) = functions({"type": "custom", "name": "c", "format": format_})
    assert found["function"]["parameters"] == {
        "type": "object",
        "properties": {"input": {"type": "string", "description": f"The whole input, as plain text.{how}"}},
        "required": ["input"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("choice", "names", "chosen"),
    [
        (None, ["f", "n__f", "n__c"], None),
        ("none", ["f", "n__f", "n__c"], "none"),
        ({"type": "allowed_tools", "tools": [F, {"type": "custom", "name": "c", "namespace": "n"}]}, ["f", "n__c"],
         "auto"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, [], "required"),
        ({"type": "function", "name": "f", "namespace": "n"}, ["f", "n__f", "n__c"],
         {"type": "function", "function": {"name": "n__f"}}),
    ],
    ids=["nothing", "a word", "some", "none of them", "one"],
)  # fmt: skip
def test_choice_is_chats(choice: Any, names: list[str], chosen: Any) -> None:
    found, told = functions(F, SPACE, choice=choice)
    assert [each["function"]["name"] for each in found] == names
    assert told == chosen


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "name": "g"}, {"type": "custom", "name": "c"}, {"type": "function"},
        {"type": "function", "name": 5}, {"type": "other", "name": "f"}, {"name": "f"},
        {"type": "allowed_tools", "tools": "f"}, {"type": "allowed_tools", "tools": ["f"]},
        {"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}]},
    ],
    ids=str,
)  # fmt: skip
def test_choice_of_what_is_none_of_them_is_refused(choice: Any) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        functions(F, SPACE, choice=choice)
    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "local_shell"}, "tools[1].type"),
        ({"type": "tool_search"}, "tools[1].type"),
        ({"type": "tool_search", "execution": "server"}, "tools[1].type"),
        ({**SPACE, "tools": [F, SPACE]}, "tools[1].tools[1].type"),
    ],
    ids=["a shell", "a search", "a server's search", "a namespace within one"],
)
def test_tool_that_no_function_can_stand_for_is_refused(tool: Any, param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        tools(F, tool)
    assert refused.value.param == param


def test_tool_among_the_items_is_named_by_its_place() -> None:
    items = [{"role": "user", "content": "a"}, {"type": "additional_tools", "tools": [F, {"type": "local_shell"}]}]
    with pytest.raises(UnsupportedParameter) as refused:
        tools(input=items)
    assert refused.value.param == "input[1].tools[1].type"


@pytest.mark.parametrize("text", ["", "a", '"', '{"input": 5}', "é\n"])
def test_text_comes_back_from_its_arguments(text: str) -> None:
    assert text_of_arguments(text_arguments(text)) == text


@pytest.mark.parametrize("plain", ["5", "[1]", '{"a": 1}', '{"input": 5}', "null", "{", ""])
def test_arguments_that_hold_no_text_are_it(plain: str) -> None:
    assert text_of_arguments(plain) == plain
