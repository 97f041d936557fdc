"""A chat stream that another endpoint's format carries on: counted and completed as chat's own are, written by that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from routing.endpoints.base import Head
from routing.endpoints.chat.schema import ChatRequest
from routing.endpoints.chat.stream import ChatRelay
from routing.providers.base import MalformedAnswer
from routing.wire.frames import Again


def refuse_older_form(said: Mapping[str, Any]) -> None:
    """Raises MalformedAnswer for a call in the older form: none was offered, and it would be lost in silence."""
    if said.get("function_call"):
        raise MalformedAnswer("a function was called in the older form, in which none was offered")


class CarriedRelay:
    """What chat's own relay knows of the stream: how much has come, and whether it is whole."""

    takes_again = False

    def __init__(self, model: str, choices: int, head: Head, most_output: int) -> None:
        self._chat = ChatRelay(ChatRequest(model=model, messages=[], n=choices), head, most_output)

    @property
    def is_done(self) -> bool:
        return self._chat.is_done

    @is_done.setter
    def is_done(self, value: bool) -> None:
        self._chat.is_done = value

    @property
    def is_past_cap(self) -> bool:
        return self._chat.is_past_cap

    @is_past_cap.setter
    def is_past_cap(self, value: bool) -> None:
        self._chat.is_past_cap = value

    @property
    def is_complete(self) -> bool:
        return self._chat.is_complete

    def again(self, text: Again) -> NoReturn:
        raise NotImplementedError("every chunk comes whole")

    def received_tokens(self) -> int:
        return self._chat.received_tokens()
