"""Reading an answer as OpenAI-compatible servers send it: liberal, so that a quirk never ends a good answer.

Whatever comes is brought into the canonical shape here (null and absent members, other vendors' finish reasons, tool
calls without place or id, usage in unexpected places), so that endpoints see one shape. Only what cannot be read as
JSON, carries an error, or says that the answer failed, ends it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer
from routing.providers.openai import loose
from routing.providers.openai.costs import told_cost
from routing.providers.openai.failures import (
    SIGNS,
    is_error,
    raise_failure,
    raise_noise,
    refuse_noise,
    refuse_silence,
    refuse_words,
    says_failure,
)
from routing.providers.openai.finish import GOOD_ENDS, OURS, finish_reason, reason_elsewhere
from routing.providers.openai.messages import complete_said, complete_whole, is_plain, message_of
from routing.providers.openai.refusals import error_in, text_of
from routing.providers.openai.repeats import Repeats
from routing.providers.openai.shapes import (
    AROUND,
    FAR_AWAY,
    PLACES,
    REASONS,
    Several,
    choices_in,
    chunk_of,
    is_end,
    object_in_body,
    objects_in,
    only_delta,
    only_object,
    reason_beside,
    refuse_failed,
    set_reason,
    usage_elsewhere,
    without_name,
)
from routing.providers.openai.tools import ToolCalls, place_of
from routing.providers.openai.usage import object_of, usage_of
from routing.providers.openai.wrapped import ENVELOPES, unwrapped
from routing.wire.events import Comment, EventParser, EventTooLarge, Failure

_MOST_END_BYTES: Final = 20
_ELSEWHERE: Final = frozenset((*PLACES, *AROUND, *REASONS, *SIGNS))
_BESIDE: Final = _ELSEWHERE | {"usage"}
"""What may stand in a chunk beside its choices and is ours to read."""
_BESIDE_DELTA: Final = frozenset(
    ("error", "finishReason", "finish_details", "stop_reason", "done_reason", "tool_calls", "usage")
)
"""What may stand in a choice beside its delta and belongs elsewhere."""
_USUAL: Final = len(("index", "delta", "finish_reason"))
_THOUGHTS: Final = frozenset(("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"))
_ANSWERS: Final = ("choices", "data", "results", "text")
"""Members that hold the answer, of one endpoint or another."""
_OF_CHOICES: Final = frozenset(("usage", "error", "finish_reason"))
"""What may stand in a delta and is its choice's."""
_MOST_CHOICES: Final = 128


class OpenAIReader:
    """One answer. Usage is taken out wherever it appears; the last figures that can be believed win.

    Some servers tell a total for each of several choices. Each names the whole prompt, so only their output is added.
    """

    usage: Usage | None = None
    is_exact = True
    is_partial = False
    reported: Mapping[str, Any] = MappingProxyType({})
    remark = ""
    _totals = 0
    _noise = b""
    """The first words that were no part of an answer, before anything was."""
    _late_words = b""
    """The same behind what was."""
    _doubted: frozenset[int] = frozenset()
    """Choices whose reason may be no end: it stood beside their first text, or more than one, or within a call."""
    _has_begun = False
    _has_said = False
    """A delta brought something beside thoughts."""
    _has_thought = False
    _early: int | None = None
    """The choice that said `stop` before it had said anything: some servers' first chunk does."""
    _speaks_in_messages = False
    abbreviates = False

    def __init__(self, answers: int = 1, *, has_output: bool = True) -> None:
        self._answers = answers
        self._has_output = has_output
        self._first: int | None = None if answers == 1 else 0
        """The place that its server gave the first answer; where several were asked for, each has its own."""

    @property
    def told_cost(self) -> int | None:
        return told_cost(self.reported)

    @property
    def is_finished(self) -> bool:
        """Whether every answer of a stream has come to its end."""
        return len(self._finished) >= self._answers

    @property
    def is_doubtful(self) -> bool:
        return bool(self._doubted)

    # What only streams need.

    @cached_property
    def _parser(self) -> EventParser:
        return EventParser()

    @cached_property
    def _repeats(self) -> Repeats:
        return Repeats()

    @cached_property
    def _calls(self) -> dict[Any, ToolCalls]:
        return {}

    @cached_property
    def _finished(self) -> set[int]:
        """Choices that have their finish reason."""
        return set()

    @cached_property
    def _halves(self) -> dict[tuple[int, str], str]:
        """The first halves of letters that were cut in two, by choice and member."""
        return {}

    @cached_property
    def _lengths(self) -> Counter[tuple[int, str]]:
        """How many entries a list of a choice's has got, by choice and member."""
        return Counter()

    def feed(self, data: bytes | None) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if type(event) is not bytes:
                    self._take_aside(event, events)
                    continue
                again = self._repeats.again(event) if self.abbreviates else None
                if again is not None:
                    self.is_partial = self.usage is not None
                    events.append(again)
                elif len(event) <= _MOST_END_BYTES and is_end(event):
                    self._say_rest(events)
                    events.append(END)
                    break
                else:
                    self._take_chunk(event, events)
            if data is None:
                self.finish(events)
        except MalformedAnswer as error:
            events.append(self._broken(str(error)))
        except EventTooLarge:
            events.append(self._broken("an event is too large"))
        return events

    def finish(self, events: list[Event]) -> None:
        """The bytes have ended; raises MalformedAnswer where no event was among them, but something was."""
        if not self._has_begun and self._noise:
            raise_noise(self._noise)

    def _say_rest(self, events: list[Event]) -> None:
        """What was held back, where nothing came behind it but the end; raises MalformedAnswer as `finish` does."""
        self.finish(events)
        if self._late_words and not self.is_finished:
            raise_noise(self._late_words, "the answer has no end, but")
        for index, calls in self._calls.items():
            if index in self._finished:
                continue
            calls.refuse_nameless()
            if held := calls.held():
                events.append(self.own_chunk(index, {"tool_calls": held}, None))
        if self._early is not None and not self._has_said:
            events.append(self.own_chunk(self._early, {}, "stop"))
            self._finished.add(self._early)

    def own_chunk(self, index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        """A chunk that nobody sent, for what was held back."""
        return chunk_of(index, delta, reason)

    def _take_chunk(self, event: bytes, events: list[Event]) -> None:
        try:
            chunk = self.read_chunk(event)
        except Several as several:
            for value in several.values:
                self._take_chunk(orjson.dumps(value), events)
            return
        if chunk is None:
            return
        events.append(chunk)
        if self.abbreviates and self._has_begun and self._answers == 1:  # the first is no model for others
            self._repeats.learn(event, chunk)
        self._has_begun = True

    def _take_aside(self, event: bytes, events: list[Event]) -> None:
        """What is no chunk; raises MalformedAnswer for what says a failure."""
        if type(event) is Comment:
            events.append(event)
        elif type(event) is Failure:
            raise_failure(loose.strictly(event) or event.decode("utf-8", "replace"))
        else:
            self._note_noise(event)
            refuse_noise(event)

    def _note_noise(self, line: bytes) -> None:
        if not (self._noise or self._late_words):
            self._note_words(line)
            self.remark = self.remark or f"a line that is no event's: {line[:60].decode('utf-8', 'replace')!r}"

    def _broken(self, error: str) -> End:
        """After the last finish reason nothing makes a failure of a whole answer any more."""
        return END if self.is_finished and not self.is_doubtful else End(error)

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        """One chunk, None where there is nothing to show; raises MalformedAnswer."""
        chunk = self.object_in(data)
        if chunk is None:
            return None
        choices = chunk.get("choices")
        if not choices or type(choices) is not list:
            chunk = unwrapped(chunk, "choices")
            choices = chunk["choices"] = self._choices_of(chunk)
        has_usage = not _BESIDE.isdisjoint(chunk) and self._take_beside(chunk, choices)
        if not choices and (has_usage or not self._is_chunk(chunk)):
            return None
        if len(choices) > 1 or (choices and choices[0] is None):
            choices[:] = [choice for choice in choices if choice is not None]
        for choice in choices:
            if self._complete(choice):
                has_usage = True
        if has_usage:
            return chunk if any(map(_says_something, choices)) else None
        if self.usage is not None and any(map(_says_something, choices)):
            self.is_partial = True
        return chunk

    def _choices_of(self, chunk: dict[str, Any]) -> list[Any]:
        """None, or those of an envelope.

        Raises MalformedAnswer if an event without choices says a failure, or has something else in their place.
        """
        choices = chunk.get("choices")
        if type(choices) is list and choices:
            return choices
        if choices:
            return choices_in(choices)
        if says_failure(chunk):
            self._take_beside(chunk, [])
            raise_failure(chunk)
        return []

    def _is_chunk(self, chunk: dict[str, Any]) -> bool:
        """Whether an event without choices is a chunk at all: not a ping, nor whatever else comes under another name.

        Its words, or its counts, are kept: nothing else may come.
        """
        if str(chunk.get("object", "")).startswith("chat.completion") or "prompt_filter_results" in chunk:
            return True
        self.note_usage(chunk, is_total=True)
        for name in ENVELOPES:
            if type(chunk.get(name)) is dict:
                self.note_usage(chunk[name].get("usage"), is_total=True)
        if text_of(error_in(chunk).get("message")):
            self._note_words(orjson.dumps(chunk))
        return False

    def _note_words(self, words: bytes) -> None:
        """Keeps the first words that are none of the answer's: those behind a text may be why it has no end."""
        if self._has_begun:
            self._late_words = self._late_words or words
        else:
            self._noise = self._noise or words

    def object_in(self, data: bytes) -> dict[str, Any] | None:
        """An event's object, None where it says nothing; raises MalformedAnswer for what cannot be read."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            value = self._parse_loosely(data)
        if type(value) is dict:
            return value
        found = only_object(value)
        if found is None and type(value) is str and not loose.says_nothing(value.encode("utf-8", "replace")):
            self._note_words(data)
        return found

    def _parse_loosely(self, data: bytes) -> Any:
        """What is no JSON by the letter, None where it is blank; raises MalformedAnswer for what cannot be read."""
        data = without_name(data)
        if loose.says_nothing(data) or data.startswith(b":"):
            return None
        value = loose.loosely(data, FAR_AWAY.__getitem__)
        if value is None and data.startswith(b"{"):
            value = objects_in(data)
        if type(value) is dict and type(value.get("choices")) is list:
            for place, choice in enumerate(value["choices"]):
                delta = choice.get("delta") if type(choice) is dict else None
                if type(delta) is dict:
                    self._join_halves(delta, place)
        if value is not None:
            value = loose.without_halves(value)
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {data[:120].decode('utf-8', 'replace')}")
        return value

    def _join_halves(self, delta: dict[str, Any], place: int) -> None:
        """A letter beyond 16 bits that was cut in two between chunks is one again."""
        for name, text in delta.items():
            if type(text) is str and text:
                text = self._halves.pop((place, name), "") + text
                if "\ud800" <= text[-1] <= "\udbff":
                    self._halves[place, name], text = text[-1], text[:-1]
                delta[name] = text

    def _complete(self, choice: Any) -> bool:
        """Brings a choice into the canonical shape; whether usage stood in it. Raises MalformedAnswer."""
        if type(choice) is not dict:
            raise MalformedAnswer("a choice has no delta")
        has_said = self._has_said or self._has_thought
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
            self._has_said = True
        # (The usual members are seen at half of what others cost.)
        is_usual = "finish_reason" in choice and len(choice) == _USUAL + ("logprobs" in choice)
        has_usage = not (is_usual or _BESIDE_DELTA.isdisjoint(choice)) and self._take_beside_delta(choice, delta, index)
        if choice.get("finish_reason") is not None:
            self._end_choice(choice, delta, index, has_said=has_said)
        return has_usage

    def _take_beside_delta(self, choice: dict[str, Any], delta: dict[str, Any], index: int) -> bool:
        """Brings what stands beside a delta to its place; whether there was usage. Raises MalformedAnswer."""
        if "error" in choice:
            refuse_failed(choice)
        calls = choice.pop("tool_calls", None)
        if calls and not delta.get("tool_calls"):
            delta["tool_calls"] = self._calls_of(index).complete(calls)
            self._has_said = True
        if not choice.get("finish_reason"):
            choice["finish_reason"] = reason_elsewhere(choice)
        if choice.get("usage") is None:
            choice.pop("usage", None)
            return False
        self.note_usage(choice.pop("usage"), is_total=False)  # Moonshot's
        return True

    def _end_choice(self, choice: dict[str, Any], delta: dict[str, Any], index: int, *, has_said: bool) -> None:
        """`has_said`: something came before this."""
        reason = choice["finish_reason"] = self._finish_reason(choice["finish_reason"])
        if reason is None or not 0 <= index < _MOST_CHOICES:
            return
        if reason == "stop" and not self._has_said and self._answers == 1:
            choice["finish_reason"], self._early = None, index
            return
        if index in self._calls:
            calls = self._calls[index]
            rest = calls.rest() if reason in GOOD_ENDS else calls.held()
            if rest:
                delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *rest]
        self.note_end(index, is_doubtful=reason == "stop" and bool(delta.get("content")), has_said=has_said)
        if index in self._calls and reason in GOOD_ENDS and self._calls[index].is_cut:
            self._doubted |= {index}

    def note_end(self, index: int, *, is_doubtful: bool, has_said: bool) -> None:
        """A choice has its finish reason; one beside a text may be in every chunk of its server's, and no end."""
        if is_doubtful and (index in self._finished or not has_said):
            self._doubted |= {index}
        else:
            self._doubted -= {index}
        self._finished.add(index)

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
        if not (self._has_said or self._has_thought) or self._speaks_in_messages:
            self._speaks_in_messages = True
            return said
        return {"usage": said["usage"]} if "usage" in said else {}

    def _complete_delta(self, choice: dict[str, Any], delta: dict[str, Any], index: int) -> None:
        """What more than plain text needs; raises MalformedAnswer."""
        for name in _OF_CHOICES.intersection(delta):
            value = delta.pop(name)
            if value and not choice.get(name):
                choice[name] = value
        complete_said(delta)
        if delta.get("tool_calls") is not None:
            delta["tool_calls"] = self._calls_of(index).complete(delta["tool_calls"])
        if not delta.get("role", True):
            del delta["role"]
        if type(delta.get("annotations", [])) is not list:
            del delta["annotations"]
        for name, value in delta.items():
            if type(value) is list and name != "tool_calls":
                self._number(value, index, name)
            if value and name in _THOUGHTS:
                self._has_thought = True
            elif value and name != "role":
                self._has_said = True

    def _number(self, entries: list[Any], index: int, name: str) -> None:
        """Gives each entry of a list its place: clients add deltas up by that (the openai package raises without)."""
        for entry in entries:
            if type(entry) is dict and "index" not in entry:
                entry["index"] = self._lengths[index, name]
                self._lengths[index, name] += 1

    def _finish_reason(self, said: Any) -> str | None:
        reason = finish_reason(said)
        if reason is None and type(said) is str and said:
            self.remark = f"a finish reason that nobody knows: {said[:60]!r}"
        return reason

    def _calls_of(self, index: int) -> ToolCalls:
        if not 0 <= index < _MOST_CHOICES:
            raise MalformedAnswer("a choice without a place")
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = ToolCalls()
        return calls

    def _take_beside(self, chunk: dict[str, Any], choices: list[Any]) -> bool:
        """Reads usage wherever it stands and takes it out; whether there was any. Raises MalformedAnswer for an error.

        The usage beside an error counts. A finish reason there is that of a choice without one.
        """
        reported, before = chunk.pop("usage", None), self.usage
        found = reported is not None
        if found:
            self.note_usage(reported, is_total=not choices)
        if _ELSEWHERE.isdisjoint(chunk):
            return found
        for reported in usage_elsewhere(chunk):
            found = True
            if self.usage is before:
                self.note_usage(reported, is_total=not choices)
        inner = chunk.get("x_groq")
        if is_error(chunk.get("error")) or (type(inner) is dict and inner.get("error")):
            raise_failure(inner if type(inner) is dict and inner.get("error") else chunk)
        if choices and not SIGNS.isdisjoint(chunk):
            refuse_silence(chunk, choices)
        chunk.pop("error", None)  # clients look for the name alone
        reason = reason_beside(chunk)
        if reason and not set_reason(choices, reason):
            self._finish_reason(reason)  # which raises for a failure
        return found

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        """`is_total`: the figures came alone, behind the answer.

        No prompt is empty: where Anthropic's events are passed on as they come, the first one alone tells the input.
        """
        reported = object_of(reported)
        usage, before = usage_of(reported, has_output=self._has_output), self.usage
        if usage is None:
            return
        if usage.input == 0 and before is not None:
            output, reasoning, spoken = usage.output, usage.reasoning, usage.output_audio
            usage = msgspec.structs.replace(before, output=output, reasoning=reasoning, output_audio=spoken)
        if is_total:
            self._doubted = frozenset()  # nothing comes behind them
        if is_total:
            self._totals += 1
            if before is not None and 1 < self._totals <= self._answers:
                output, reasoning = before.output + usage.output, before.reasoning + usage.reasoning
                usage = msgspec.structs.replace(usage, output=output, reasoning=reasoning)
        self.usage, self.reported, self.is_partial = usage, reported, False

    def is_piece(self, data: bytes) -> bool:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        choices = value.get("choices")
        choice = choices[0] if type(choices) is list and choices else None
        if type(choice) is not dict or type(choice.get("delta")) is not dict:
            return False
        return "message" not in choice and not (choice.get("finish_reason") or choice.get("finishReason"))

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = unwrapped(object_in_body(body), *_ANSWERS)
        if is_error(answer.get("error")) or answer.get("object") == "error":
            raise_failure(answer)
        choices = answer.get("choices")
        if type(choices) is dict and choices:
            choices = answer["choices"] = choices_in(choices)
        if not choices:
            refuse_words(answer, *_ANSWERS)
        choices = choices if type(choices) is list else []
        if choices and not SIGNS.isdisjoint(answer):
            refuse_silence(answer, choices)
        if None in choices:
            choices[:] = [choice for choice in choices if choice is not None]
        if "finish_reason" in answer:
            set_reason(choices, answer.pop("finish_reason"))
        for place, choice in enumerate(choices):
            if type(choice) is dict:
                if type(choice.get("index")) is not int or place == len(choices) - 1 == 0:
                    choice["index"] = place
                self._complete_whole(choice)
                self._take_usage_within(choice)
        self._take_beside(answer, [])
        return answer

    def _complete_whole(self, choice: dict[str, Any]) -> None:
        """Raises MalformedAnswer for a choice that failed, or that is the first piece of a stream and no more."""
        if "error" in choice:
            refuse_failed(choice)
        reason = choice["finish_reason"] = choice.get("finish_reason") or reason_elsewhere(choice)
        if type(reason) is not str or reason not in OURS:
            if not reason and "delta" in choice and "message" not in choice:
                raise MalformedAnswer("a piece came where the whole answer should")
            choice["finish_reason"] = self._finish_reason(reason)
        if not is_plain(choice):
            complete_whole(choice)

    def _take_usage_within(self, choice: dict[str, Any]) -> None:
        """Usage in a choice of a whole answer, or in its message; what stands beside the choices says more."""
        message = choice.get("message")
        if type(message) is dict and "usage" in message:
            self.note_usage(message.pop("usage"), is_total=False)
        if "usage" in choice:
            self.note_usage(choice.pop("usage"), is_total=False)


def _says_something(choice: dict[str, Any]) -> bool:
    return choice.get("finish_reason") is not None or any(
        value for name, value in choice["delta"].items() if name != "role"
    )
