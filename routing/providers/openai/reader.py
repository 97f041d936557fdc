"""Reading an answer as OpenAI-compatible servers send it: liberal, so that a quirk never ends a good answer.

Whatever comes is brought into the canonical shape here (null and absent members, other vendors' finish reasons, tool
calls without place or id, usage in unexpected places), so that endpoints see one shape. Only what cannot be read as
JSON, carries an error, or says that the answer failed, ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer
from routing.providers.openai import loose
from routing.providers.openai.asides import Asides, refuse_line
from routing.providers.openai.choices import Choices
from routing.providers.openai.citations import CITED, Cited
from routing.providers.openai.costs import told_cost
from routing.providers.openai.ends import Ends
from routing.providers.openai.failures import (
    SIGNS,
    is_error,
    raise_failure,
    refuse_silence,
    says_failure,
    speaks,
)
from routing.providers.openai.finish import NATIVE, OURS, reason_elsewhere, refuse_native
from routing.providers.openai.messages import complete_whole, is_plain
from routing.providers.openai.natives import in_openais
from routing.providers.openai.refusals import error_in, text_of
from routing.providers.openai.repeats import Repeats
from routing.providers.openai.shapes import (
    AROUND,
    FAR_AWAY,
    MOST_END_BYTES,
    NO_NUMBERS,
    PLACES,
    REASONS,
    STOPS,
    Several,
    choices_in,
    chunk_of,
    is_end,
    object_in_body,
    objects_in,
    only_object,
    reason_beside,
    refuse_failed,
    says_end,
    set_reason,
    usage_elsewhere,
    without_name,
)
from routing.providers.openai.usage import object_of, usage_of
from routing.providers.openai.whole import answer_in, is_piece, is_plain_answer, is_plain_list
from routing.providers.openai.wrapped import ENVELOPES, unwrapped
from routing.wire.events import Comment, EventParser, EventTooLarge, Failure

_ELSEWHERE: Final = frozenset((*PLACES, *AROUND, *REASONS, *STOPS, *SIGNS, *CITED))
_CITED: Final = frozenset(CITED)
_BESIDE: Final = _ELSEWHERE | {"usage"}
"""What may stand in a chunk beside its choices and is ours to read."""
_ANSWERS: Final = ("choices", "data", "results", "text")
"""Members that hold the answer, of one endpoint or another."""


class Over(Exception):
    """An event that has the end in it has been read: nothing behind it counts."""


class OpenAIReader:
    """One answer. Usage is taken out wherever it appears; the last figures that can be believed win.

    Some servers tell a total for each of several choices. Each names the whole prompt, so only their output is added.
    """

    usage: Usage | None = None
    is_exact = True
    is_partial = False
    reported: Mapping[str, Any] = MappingProxyType({})
    abbreviates = False
    numbers: Mapping[str, Any] = FAR_AWAY
    """What stands for the numbers that JSON cannot say."""
    _totals = 0
    _has_begun = False
    _has_end = False
    """An object, and no event, has said that all has come."""

    def __init__(self, answers: int = 1, *, has_output: bool = True) -> None:
        self.ends = Ends(answers)
        self._has_output = has_output
        if not has_output:
            self.numbers = NO_NUMBERS

    @property
    def told_cost(self) -> int | None:
        return told_cost(self.reported)

    @property
    def is_finished(self) -> bool:
        """Whether every answer of a stream has come to its end."""
        return self.ends.are_all

    @property
    def is_doubtful(self) -> bool:
        return self.ends.are_doubtful

    @property
    def remark(self) -> str:
        return self.ends.remark

    # What only streams need.

    @cached_property
    def _parser(self) -> EventParser:
        return EventParser()

    @cached_property
    def _repeats(self) -> Repeats:
        return Repeats()

    @cached_property
    def _choices(self) -> Choices:
        return Choices(self.ends)

    @cached_property
    def _pages(self) -> Cited:
        return Cited()

    @cached_property
    def asides(self) -> Asides:
        return Asides()

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
                elif len(event) <= MOST_END_BYTES and is_end(event):
                    self._say_rest(events)
                    events.append(END)
                    break
                else:
                    self._take_chunk(event, events)
            if data is None:
                self._close(events)
        except Over:
            pass
        except MalformedAnswer as error:
            events.append(self._broken(str(error)))
        except EventTooLarge:
            events.append(self._broken("an event is too large"))
        return events

    def finish(self, events: list[Event]) -> None:
        """The bytes have ended; raises MalformedAnswer where no event was among them, but something was."""
        if not self._has_begun:
            self.asides.refuse_silence()

    def _close(self, events: list[Event]) -> None:
        """The bytes have ended; raises MalformedAnswer with the words behind an answer that has not, if any came."""
        self.finish(events)
        if self._has_end:
            self._say_rest(events)
            events.append(END)
        elif not self.is_finished:
            self.asides.refuse_end()

    def _say_rest(self, events: list[Event]) -> None:
        """What was held back, where nothing came behind it but the end; raises MalformedAnswer as `finish` does."""
        self.finish(events)
        ends = self.ends
        for index, delta, reason in self._choices.waiting():
            events.append(self.own_chunk(index, delta, reason))
            ends.finished.add(index)
        if not ends.are_all:
            self.asides.refuse_end()
        events += [self.own_chunk(index, {"tool_calls": calls}, None) for index, calls in self._choices.held()]
        if ends.early is not None and not ends.has_said:
            events.append(self.own_chunk(ends.early, {}, "stop"))
            ends.finished.add(ends.early)

    def own_chunk(self, index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        """A chunk that nobody sent, for what was held back."""
        return chunk_of(index, delta, reason)

    def _take_chunk(self, event: bytes, events: list[Event]) -> None:
        try:
            chunk = self.read_chunk(event)
        except Several as several:
            self._take_several(several, events)
            return
        if chunk is None:
            return
        events.append(chunk)
        if self.abbreviates and self._has_begun and self.ends.answers == 1:  # the first is no model for others
            self._repeats.learn(event, chunk)
        self._has_begun = True

    def _take_several(self, several: Several, events: list[Event]) -> None:
        """Raises Over where the end is among them."""
        for value in several.values:
            if value is None:
                self._say_rest(events)
                events.append(END)
                raise Over
            self._take_chunk(orjson.dumps(value), events)

    def _take_aside(self, event: bytes, events: list[Event]) -> None:
        """What is no chunk; raises MalformedAnswer for what says a failure."""
        if type(event) is Comment:
            events.append(event)
        elif type(event) is Failure:
            raise_failure(loose.strictly(event) or event.decode("utf-8", "replace"))
        else:
            self._note_line(event)
            refuse_line(event)

    def _note_line(self, line: bytes) -> None:
        if self.asides.are_none:
            self.note_words(line)
            said = f"a line that is no event's: {line[:60].decode('utf-8', 'replace')!r}"
            self.ends.remark = self.ends.remark or said

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
            chunk = in_openais(unwrapped(chunk, "choices"), "delta")
            choices = chunk["choices"] = self._choices_of(chunk)
        has_usage = not _BESIDE.isdisjoint(chunk) and self._take_beside(chunk, choices)
        if not choices and (has_usage or not self._is_chunk(chunk)):
            return None
        if len(choices) > 1 or (choices and choices[0] is None):
            choices[:] = [choice for choice in choices if choice is not None]
        for choice in choices:
            reported = self._choices.complete(choice)
            if reported is not None:
                self.note_usage(reported, is_total=False)
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
        if text_of(chunk.get("object")).startswith("chat.completion") or "prompt_filter_results" in chunk:
            return True
        self._has_end = self._has_end or says_end(chunk)
        self.note_usage(chunk, is_total=True)
        for name in ENVELOPES:
            if type(chunk.get(name)) is dict:
                self.note_usage(chunk[name].get("usage"), is_total=True)
        if text_of(error_in(chunk).get("message")):
            self.note_words(orjson.dumps(chunk))
        return False

    def note_words(self, words: bytes) -> None:
        """Keeps words that are none of the answer's."""
        self.asides.note(words, is_behind=self._has_begun)

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
            self.note_words(data)
        return found

    def _parse_loosely(self, data: bytes) -> Any:
        """What is no JSON by the letter, None where it is blank; raises MalformedAnswer for what cannot be read."""
        data = without_name(data)
        if loose.says_nothing(data) or data.startswith(b":"):
            return None
        value = loose.loosely(data, self.numbers.__getitem__)
        if value is None and (objects := objects_in(data)):
            raise Several(objects)
        if type(value) is dict and type(value.get("choices")) is list:
            for place, choice in enumerate(value["choices"]):
                delta = choice.get("delta") if type(choice) is dict else None
                if type(delta) is dict:
                    self._choices.join_halves(delta, place)
        if value is not None:
            value = loose.without_halves(value)
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {data[:120].decode('utf-8', 'replace')}")
        return value

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
        self._take_cited(chunk, choices)
        reason = reason_beside(chunk)
        if reason and not set_reason(choices, reason):
            self._end_alone(reason, choices)
        return found

    def _take_cited(self, chunk: dict[str, Any], choices: list[Any]) -> None:
        """What is cited beside the choices is cited by the first, or by the one answer where there is none.

        Unless a choice says itself what it cites.
        """
        if not choices and not (self._has_begun and self.ends.answers == 1):
            return
        found = self._pages.beside(chunk)
        if found and not choices:
            choices.append({"index": self._choices.first, "delta": {}})
        said = choices[0].get("delta", choices[0].get("message")) if found and type(choices[0]) is dict else None
        if type(said) is dict:
            said.setdefault("annotations", found)

    def _end_alone(self, said: Any, choices: list[Any]) -> None:
        """A reason beside no choice is that of the one answer; raises MalformedAnswer for a failure."""
        reason = self._choices.reason(said)
        if reason and not choices and self.ends.answers == 1 and self.ends.has_begun and not self.is_finished:
            choices.append({"index": self._choices.first, "delta": {}, "finish_reason": reason})

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
            self.ends.believe()
            self._totals += 1
            if before is not None and 1 < self._totals <= self.ends.answers:
                output, reasoning = before.output + usage.output, before.reasoning + usage.reasoning
                usage = msgspec.structs.replace(usage, output=output, reasoning=reasoning)
        self.usage, self.reported, self.is_partial = usage, reported, False

    def is_piece(self, data: bytes) -> bool:
        return is_piece(data)

    def whole(self, body: bytes) -> dict[str, Any]:
        value = object_in_body(body, self.numbers)
        if is_plain_answer(value) or (not self._has_output and is_plain_list(value)):
            self.note_usage(value.pop("usage", None), is_total=True)
            return value
        answer, choices = answer_in(value, *_ANSWERS)
        for place, choice in enumerate(choices):
            if type(choice) is dict:
                if type(choice.get("index")) is not int or place == len(choices) - 1 == 0:
                    choice["index"] = place
                self._complete_whole(choice)
                self._take_usage_within(choice)
        self._take_beside(answer, [])
        if choices and not _CITED.isdisjoint(answer):
            self._take_cited(answer, choices)
        return answer

    def _complete_whole(self, choice: dict[str, Any]) -> None:
        """Raises MalformedAnswer for a choice that failed, or that is the first piece of a stream and no more."""
        if "error" in choice:
            refuse_failed(choice)
        reason = choice["finish_reason"] = choice.get("finish_reason") or reason_elsewhere(choice)
        if NATIVE in choice:
            refuse_native(choice)
        if type(reason) is not str or reason not in OURS:
            if not reason and "delta" in choice and "message" not in choice:
                raise MalformedAnswer("a piece came where the whole answer should")
            choice["finish_reason"] = self._choices.reason(reason)
        if not is_plain(choice):
            complete_whole(choice)
        if not reason and not speaks(choice):
            raise MalformedAnswer("a choice that says nothing, not even why it ended")

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
