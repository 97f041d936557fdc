"""The choices of a stream's chunks, brought into the canonical shape one after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import Any, Final

from routing.providers.base import MalformedAnswer
from routing.providers.openai.call import CUT
from routing.providers.openai.ends import Ends
from routing.providers.openai.finish import GOOD_ENDS, NATIVE, finish_reason, reason_elsewhere, refuse_native
from routing.providers.openai.messages import CALLS, complete_said, message_of
from routing.providers.openai.shapes import only_delta, refuse_failed
from routing.providers.openai.tools import ToolCalls, place_of
from routing.wire.wholeness import JsonScan

_BESIDE_DELTA: Final = frozenset(
    ("error", "finishReason", "finish_details", "stop_reason", "stopReason", "done_reason", "tool_calls", "usage",
     NATIVE)
)  # fmt: skip
"""What may stand in a choice beside its delta and belongs elsewhere."""
_USUAL: Final = len(("index", "delta", "finish_reason"))
_THOUGHTS: Final = frozenset(("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"))
_OF_CHOICES: Final = frozenset(("usage", "error", "finish_reason", "finishReason", "stop_reason", "done_reason"))
"""What may stand in a delta and is its choice's."""
_MOST_CHOICES: Final = 128


class Choices:
    """What the choices of one stream have said so far; `ends` is told of theirs."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._first: int | None = None if ends.answers == 1 else 0
        """The place that its server gave the first answer; where several were asked for, each has its own."""
        self._speaks_in_messages = False
        self._calls: dict[int, ToolCalls] = {}
        self._waiting: dict[int, str] = {}
        """Good reasons that came within a call: some servers say one behind each piece, so it is none until the end."""

    @property
    def first(self) -> int:
        """The first answer's place as its server gave it."""
        return self._first or 0

    @cached_property
    def _halves(self) -> dict[tuple[int, str], str]:
        """The first halves of letters that were cut in two, by choice and member."""
        return {}

    @cached_property
    def _lengths(self) -> Counter[tuple[int, str]]:
        """How many entries a list of a choice's has got, by choice and member."""
        return Counter()

    @cached_property
    def _functions(self) -> defaultdict[int, JsonScan]:
        """By choice, the arguments of its call in the older form."""
        return defaultdict(JsonScan)

    def _refuse_cut(self, index: int) -> None:
        """Raises MalformedAnswer for arguments of a call in the older form that have begun and not ended."""
        if index in self._functions and self._functions[index].is_open:
            raise MalformedAnswer(CUT)

    def complete(self, choice: Any) -> Any:
        """Brings a choice into the canonical shape; the usage that stood in it, or None. Raises MalformedAnswer."""
        if type(choice) is not dict:
            raise MalformedAnswer("a choice has no delta")
        ends = self._ends
        has_said = ends.has_said or ends.has_thought
        delta = choice.get("delta")
        if type(delta) is not dict:
            delta = choice["delta"] = self._said_elsewhere(delta, choice)
        index = choice.get("index")
        if type(index) is not int:
            index = choice["index"] = 0 if index is None else place_of(index, "a choice")
        if self._first != 0:
            index = choice["index"] = self._place(index)
        if len(delta) > 1 or type(delta.get("content")) is not str:
            self._complete_delta(choice, delta, index)
        elif delta["content"]:
            ends.has_said = True
        # (The usual members are seen at half of what others cost.)
        is_usual = "finish_reason" in choice and len(choice) == _USUAL + ("logprobs" in choice)
        usage = None
        if not (is_usual or _BESIDE_DELTA.isdisjoint(choice)):
            usage = self._take_beside_delta(choice, delta, index)
        if choice.get("finish_reason") is not None:
            self._end(choice, delta, index, has_said=has_said)
        return usage

    def held(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """By choice, the calls that were held back until there was a name; raises MalformedAnswer for nameless ones."""
        found = []
        for index in self._functions.keys() - self._ends.finished:
            self._refuse_cut(index)
        for index, calls in self._calls.items():
            if index not in self._ends.finished and index not in self._waiting:
                calls.refuse_nameless()
                if held := calls.held():
                    found.append((index, held))
        return found

    def waiting(self) -> list[tuple[int, dict[str, Any], str]]:
        """By choice, what is still to be said of its calls, and its reason; raises MalformedAnswer for cut ones."""
        found = []
        for index, reason in self._waiting.items():
            calls = self._calls[index]
            calls.refuse_open()
            rest = calls.rest()
            found.append((index, {"tool_calls": rest} if rest else {}, reason))
        return found

    def join_halves(self, delta: dict[str, Any], place: int) -> None:
        """A letter beyond 16 bits that was cut in two between chunks is one again."""
        for name, text in delta.items():
            if type(text) is str and text:
                text = self._halves.pop((place, name), "") + text
                if "\ud800" <= text[-1] <= "\udbff":
                    self._halves[place, name], text = text[-1], text[:-1]
                delta[name] = text

    def reason(self, said: Any) -> str | None:
        """A finish reason in our words; one that nobody knows is remarked. Raises MalformedAnswer for a failure."""
        reason = finish_reason(said)
        if reason is None and type(said) is str and said:
            self._ends.remark = f"a finish reason that nobody knows: {said[:60]!r}"
        return reason

    def _take_beside_delta(self, choice: dict[str, Any], delta: dict[str, Any], index: int) -> Any:
        """Brings what stands beside a delta to its place; the usage (Moonshot's). Raises MalformedAnswer."""
        if "error" in choice:
            refuse_failed(choice)
        calls = choice.pop("tool_calls", None)
        if calls and not delta.get("tool_calls"):
            delta["tool_calls"] = self._calls_of(index).complete(calls)
            self._ends.has_said = True
        if not choice.get("finish_reason"):
            choice["finish_reason"] = reason_elsewhere(choice)
        elif NATIVE in choice:
            refuse_native(choice)
        return choice.pop("usage", None)

    def _end(self, choice: dict[str, Any], delta: dict[str, Any], index: int, *, has_said: bool) -> None:
        """`has_said`: something came before this."""
        reason = choice["finish_reason"] = self.reason(choice["finish_reason"])
        if reason is None or not 0 <= index < _MOST_CHOICES:
            return
        if self._ends.is_early(reason, speaks=False):
            choice["finish_reason"], self._ends.early = None, index
            return
        if reason in GOOD_ENDS:
            self._refuse_cut(index)
        calls = self._calls.get(index)
        if calls is not None and not self._end_calls(calls, delta, reason):
            choice["finish_reason"], self._waiting[index] = None, reason
            return
        self._waiting.pop(index, None)
        self._ends.note(index, is_doubtful=reason == "stop" and bool(delta.get("content")), has_said=has_said)

    @staticmethod
    def _end_calls(calls: ToolCalls, delta: dict[str, Any], reason: str) -> bool:
        """Says what is still to be said of them; whether the reason can be their end.

        OpenWebUI says `stop` behind each piece: there, a call without arguments may still get some.
        """
        is_good = reason in GOOD_ENDS
        if reason == "stop" and calls.is_cut:
            return False
        rest = calls.rest() if is_good else calls.held()
        if rest:
            delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *rest]
        return not (is_good and calls.is_cut)

    def _place(self, index: int) -> int:
        """The one answer that was asked for is the first that comes, whatever place its server gives it."""
        if self._first is None:
            self._first = index
        return max(0, index - self._first)

    def _said_elsewhere(self, delta: Any, choice: dict[str, Any]) -> dict[str, Any]:
        """What stands in place of a delta. A message behind deltas is all of them once more (MiniMax's last event)."""
        if type(delta) is str:
            return {"content": delta}
        if delta:
            return only_delta(delta)
        said = message_of(choice)
        if not self._ends.has_begun or self._speaks_in_messages:
            self._speaks_in_messages = True
            return said
        return {name: said[name] for name in _OF_CHOICES if name in said}

    def _complete_delta(self, choice: dict[str, Any], delta: dict[str, Any], index: int) -> None:
        """What more than plain text needs; raises MalformedAnswer."""
        if not _OF_CHOICES.isdisjoint(delta):
            _take_of_choice(choice, delta)
        complete_said(delta)
        self._complete_calls(delta, index)
        if not delta.get("role", True):
            del delta["role"]
        if type(delta.get("annotations", [])) is not list:
            del delta["annotations"]
        for name, value in delta.items():
            if type(value) is list and name != "tool_calls":
                self._number(value, index, name)
            if value and name in _THOUGHTS:
                self._ends.has_thought = True
            elif value and name != "role":
                self._ends.has_said = True

    def _complete_calls(self, delta: dict[str, Any], index: int) -> None:
        """A delta's calls, in either form; raises MalformedAnswer."""
        if "function_call" in delta:
            self._functions[index].add(delta["function_call"].get("arguments", ""))
        calls = delta.get("tool_calls")
        if calls is None and not CALLS.isdisjoint(delta):
            calls = next(delta.pop(name) for name in CALLS if name in delta)
        if calls is not None:
            delta["tool_calls"] = self._calls_of(index).complete(calls)

    def _number(self, entries: list[Any], index: int, name: str) -> None:
        """Gives each entry of a list its place: clients add deltas up by that (the openai package raises without)."""
        for entry in entries:
            if type(entry) is dict and "index" not in entry:
                entry["index"] = self._lengths[index, name]
                self._lengths[index, name] += 1

    def _calls_of(self, index: int) -> ToolCalls:
        if not 0 <= index < _MOST_CHOICES:
            raise MalformedAnswer("a choice without a place")
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = ToolCalls()
        return calls


def _take_of_choice(choice: dict[str, Any], delta: dict[str, Any]) -> None:
    for name in _OF_CHOICES.intersection(delta):
        value = delta.pop(name)
        if value and not choice.get(name):
            choice[name] = value
