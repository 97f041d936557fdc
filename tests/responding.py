"""The Responses API as a client sees it: asking, listening, and OpenAI's own types for what comes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.callers import Caller, decoded
from tests.installation import Offer

PATH: Final = "/v1/responses"
_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)


@dataclass(slots=True)
class Heard:
    """A stream of events."""

    status: int
    raw: bytes
    is_cut: bool = False

    @property
    def events(self) -> list[Any]:
        """The data of each, whose type is its name."""
        found = []
        for block in self.raw.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if fields:
                data = decoded(fields["data"])
                assert data["type"] == fields["event"]
                found.append(data)
        return found

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def response(self) -> Any:
        """The whole answer, as the last event has it."""
        last = self.events[-1]
        assert last["type"] in {"response.completed", "response.incomplete"}
        return last["response"]

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.of("response.output_text.delta"))


def respond(
    caller: Caller, model: Offer | str, /, headers: Mapping[str, str] | None = None, **members: Any
) -> httpx.Response:
    """Asks for a whole answer."""
    return caller.client.post(PATH, json=_body(model, members), headers=headers)


def listen(caller: Caller, model: Offer | str, /, **members: Any) -> Heard:
    """Asks for a stream and reads it to its end."""
    with caller.client.stream("POST", PATH, json=_body(model, {**members, "stream": True}), timeout=60) as response:
        heard = Heard(response.status_code, b"")
        try:
            for data in response.iter_raw():
                heard.raw += data
        except httpx.RemoteProtocolError:
            heard.is_cut = True
    return heard


def _body(model: Offer | str, members: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model.name if isinstance(model, Offer) else model, "input": "What is the sea?", **members}


def assert_response(response: Any) -> None:
    """It is what OpenAI's own client takes a Response for, member by member."""
    Response.model_validate(json.loads(json.dumps(response, default=float)))


def assert_grammar(heard: Heard) -> None:
    """Every event is one of OpenAI's; they are numbered; items and parts are added before they grow and are done."""
    events = heard.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        _EVENT.validate_python(json.loads(json.dumps(event, default=float)))
    assert heard.kinds[:2] == ["response.created", "response.in_progress"]
    items: dict[int, Any] = {}
    grown: dict[tuple[int, str], str] = {}
    parts: set[tuple[int, str, int]] = set()
    for event in events[2:-1]:
        place = event["output_index"]
        if event["type"] == "response.output_item.added":
            assert place == len(items)
            items[place] = event["item"]
        elif event["type"] == "response.output_item.done":
            assert event["item"]["id"] == items[place]["id"]
            items[place] = event["item"]
        else:
            assert event["item_id"] == items[place]["id"]
        for index in event.keys() & {"content_index", "summary_index"}:
            part = (place, index, event[index])
            assert (part in parts) is not event["type"].endswith("_part.added")
            (parts.discard if event["type"].endswith("_part.done") else parts.add)(part)
        stem = event["type"].rpartition(".")[0]
        if event["type"].endswith(".delta"):
            grown[place, stem] = grown.get((place, stem), "") + event["delta"]
        for name in ("text", "refusal", "arguments", "input"):
            if event["type"].endswith(".done") and name in event:
                assert event[name] == grown.pop((place, stem), "")
    assert grown == {}
    assert parts == set()
    assert heard.response["output"] == [items[place] for place in sorted(items)]
