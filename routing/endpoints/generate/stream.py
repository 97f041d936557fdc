"""A stream of GenerateContentResponse on its way to the client. Pure: values in, bytes out.

Google's streams have no mark at their end: clients stop reading at the finish reason, and take the usage that stands
beside it. So the chunk that ends a candidate waits until the bill is known.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from routing.endpoints.base import Bill, Head
from routing.endpoints.generate.answer import is_blocked, make_ours, public_usage, texts_of, written
from routing.endpoints.received import Received
from routing.wire.frames import Again

_BLOCKED: Final = "SAFETY"
_END: Final = b"\r\n\r\n"
"""As Google's own server ends its events."""


def event(data: bytes) -> bytes:
    return b"data: " + data + _END


class Ends:
    """How the candidates of one stream end: what is held back of each, and the last chunk with all of them."""

    def __init__(self, head: Head, candidates: int) -> None:
        self._head = head
        self._wanted = candidates
        self._begun: set[int] = set()
        self._last: dict[int, dict[str, Any]] = {}
        """By place, the candidate that brought the finish reason."""
        self._feedback: dict[str, Any] | None = None

    @property
    def are_all_there(self) -> bool:
        return self._feedback is not None or len(self._last) >= self._wanted

    @property
    def have_all_begun(self) -> bool:
        return len(self._begun | self._last.keys()) >= self._wanted

    def take(self, chunk: dict[str, Any]) -> bytes:
        """The client's bytes of a chunk, without what is held back."""
        going = [candidate for candidate in chunk["candidates"] if not self._holds(candidate)]
        if is_blocked(chunk) and not chunk["candidates"]:
            self._feedback = chunk["promptFeedback"]
        if not going:
            return b""
        chunk["candidates"] = going
        make_ours(chunk, self._head)
        return event(written(chunk, self._head))

    def _holds(self, candidate: dict[str, Any]) -> bool:
        index = candidate["index"]
        self._begun.add(index)
        before = self._last.get(index)
        if before is not None:  # something behind the end: it is said before the end is
            before["content"]["parts"] += candidate["content"]["parts"]
            return True
        if candidate.get("finishReason"):
            self._last[index] = candidate
            return True
        return False

    def end(self, reason: str) -> None:
        """Ends what has begun and has no end of its own; what was blocked meanwhile is not whole."""
        reason = reason if self._feedback is None else _BLOCKED
        for index in self._begun - self._last.keys():
            self.hold({"index": index, "content": {"role": "model", "parts": []}, "finishReason": reason})

    def hold(self, candidate: dict[str, Any]) -> None:
        """Ends a candidate with this, or adds what it says to its end."""
        before = self._last.setdefault(candidate["index"], candidate)
        if before is not candidate:
            before["content"]["parts"] += candidate["content"]["parts"]

    def ground(self, index: int, grounding: dict[str, Any]) -> None:
        """Says beside a candidate's end what it rests on."""
        if grounding and index in self._last:
            self._last[index]["groundingMetadata"] = grounding

    def closing(self, bill: Bill, explanation: Any) -> bytes:
        """The last chunk: the ends, and the usage."""
        chunk: dict[str, Any] = {"candidates": [self._last[index] for index in sorted(self._last)]}
        if self._feedback is not None:
            chunk["promptFeedback"] = self._feedback
        make_ours(chunk, self._head)
        chunk["usageMetadata"] = public_usage(bill)
        if explanation is not None:
            chunk["costrouter"] = explanation
        return event(written(chunk, self._head))


class GenerateRelay:
    """A stream of an upstream that speaks the format: its chunks go on as they came."""

    takes_again = False

    def __init__(self, candidates: int, head: Head, most_output: int) -> None:
        self._ends = Ends(head, candidates)
        self._received = Received(most_output)
        self.is_done = False
        self.is_past_cap = False

    @property
    def is_complete(self) -> bool:
        return self._ends.are_all_there or (self.is_done and self._ends.have_all_begun)

    def relay(self, chunk: dict[str, Any]) -> bytes:
        for candidate in chunk["candidates"]:
            for text in texts_of(candidate):
                self._received.add(text)
        self.is_past_cap = self._received.is_past_cap
        return self._ends.take(chunk)

    def again(self, text: Again) -> NoReturn:
        raise NotImplementedError("every chunk comes whole")

    def received_tokens(self) -> int:
        return self._received.tokens()

    def cut(self) -> bytes:
        self._ends.end("MAX_TOKENS")
        self.is_done = True
        return b""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        self._ends.end("STOP")
        return self._ends.closing(bill, explanation)
