"""OpenAI's Responses API upstream: the request, and its answer, whole or as events.

Facts of the public API description (CreateResponse, ResponseStreamEvent): usage stands in the Response that the last
event carries, `response.completed` or `response.incomplete`; a failure is `response.failed` or `error`. Others that
have the API (llama.cpp, vLLM) follow it, with `[DONE]` behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer, UpstreamCall
from routing.providers.openai import loose
from routing.providers.openai.costs import told_cost
from routing.providers.openai.failures import raise_failure, refuse_noise, says_failure
from routing.providers.openai.thoughts import is_ours
from routing.providers.openai.usage import usage_of
from routing.providers.openai.vendors import name_of
from routing.providers.openai.wrapped import unwrapped
from routing.wire.events import Comment, EventParser, EventTooLarge, Failure

_DONE: Final = b"[DONE]"
_LAST: Final = frozenset(("response.completed", "response.incomplete"))
_FAILED: Final = frozenset(("response.failed", "response.cancelled", "error"))
_BAD: Final = frozenset(("failed", "cancelled", "queued", "in_progress"))
_KEEPERS: Final = frozenset(("openai", "azure"))
"""Vendors that look a thought without its encrypted text up among what they have kept. They are told to keep nothing,
and so refuse the whole request for it; clients hand every item back (platform.openai.com/docs/guides/reasoning)."""


def responses_body(call: UpstreamCall) -> dict[str, Any]:
    """The client's body with the model's upstream name and the cap. Upstream keeps nothing of what is not its own."""
    body = {name: value for name, value in call.body.items() if value is not None}
    body["model"] = call.upstream_model
    body["max_output_tokens"] = call.cap
    body["store"] = False
    if type(body.get("input")) is list:
        items = [_without_ours(item) for item in body["input"]]
        if (getattr(call.options, "vendor", "") or name_of(call.host)) in _KEEPERS:
            items = [item for item in items if not _is_bare_thought(item)] or items
        body["input"] = items
    if call.is_stream:
        body["stream"] = True
    return body


def _without_ours(item: Any) -> Any:
    """Thoughts that another route's upstream had, packed by the gateway: this one could not read them."""
    if type(item) is dict and is_ours(item.get("encrypted_content")):
        return {name: value for name, value in item.items() if name != "encrypted_content"}
    return item


def _is_bare_thought(item: Any) -> bool:
    """A thought that is named and not told: whoever has it would have to have kept it."""
    return type(item) is dict and item.get("type") == "reasoning" and not (
        item.get("encrypted_content") or item.get("content")
    )  # fmt: skip


class ResponsesReader:
    """One answer."""

    is_exact = True
    is_doubtful = False
    abbreviates = False
    remark = ""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.is_partial = False
        self.reported: Mapping[str, Any] = MappingProxyType({})
        self._parser = EventParser()
        self._is_whole = False

    @property
    def told_cost(self) -> int | None:
        return told_cost(self.reported)

    def feed(self, data: bytes | None) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if type(event) is Comment:
                    events.append(event)
                elif type(event) is Failure:
                    self._fail(loose.strictly(event) or event.decode("utf-8", "replace"))
                elif type(event) is not bytes:
                    refuse_noise(event)
                elif event.strip() == _DONE:
                    events.append(END)
                    break
                else:
                    self._read(event, events)
                    if self._is_whole:
                        events.append(END)
                        break
        except MalformedAnswer as error:
            events.append(End(error))
        except EventTooLarge:
            events.append(End(MalformedAnswer("an event is too large")))
        return events

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Raises MalformedAnswer for an event that cannot be read or says a failure."""
        event = unwrapped(_parse(data), "type")
        kind = event.get("type")
        response = event.get("response")
        if type(response) is dict and "usage" in response:
            self._note(response.pop("usage"))
        if kind in _FAILED or (type(kind) is not str and says_failure(event)):
            self._fail(event)
        if type(kind) is not str:
            return  # a ping, or whatever else comes under no name
        self.is_partial = self.usage is not None and type(event.get("delta")) is str
        self._is_whole = kind in _LAST
        events.append(event)

    def _fail(self, event: Any) -> None:
        """Raises MalformedAnswer with the upstream's words, wherever they stand."""
        response = event.get("response") if type(event) is dict else None
        inner = response.get("error") if type(response) is dict else None
        raise_failure({"error": inner} if inner else event)

    def _note(self, reported: Any) -> None:
        usage = usage_of(reported)
        if usage is not None:
            self.usage, self.reported = usage, reported

    def is_piece(self, data: bytes) -> bool:
        try:
            return str(orjson.loads(data).get("type")).startswith("response.")
        except orjson.JSONDecodeError:
            return False

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = unwrapped(_parse(body), "output")
        self._note(answer.pop("usage", None))
        if answer.get("error") or answer.get("status") in _BAD or ("output" not in answer and says_failure(answer)):
            raise_failure(answer)
        return answer


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value = loose.without_halves(loose.loosely(data, {"NaN": 0.0, "Infinity": 0.0, "-Infinity": 0.0}.__getitem__))
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {data[:120].decode('utf-8', 'replace')}") from error
    if type(value) is not dict:
        raise MalformedAnswer("the answer is not a JSON object")
    return value
