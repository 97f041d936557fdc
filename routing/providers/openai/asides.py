"""Words of a stream that are none of the answer's: why nothing came, or why what came has no end."""

from __future__ import annotations

from typing import NoReturn

from routing.providers.base import MalformedAnswer
from routing.providers.openai import loose
from routing.providers.openai.failures import raise_failure, says_failure
from routing.providers.openai.refusals import error_in, text_of


class Asides:
    """The first words before anything of the answer, and the first behind it."""

    __slots__ = ("_before", "behind")

    def __init__(self) -> None:
        self._before = b""
        self.behind = b""

    @property
    def are_none(self) -> bool:
        return not (self._before or self.behind)

    def note(self, words: bytes, *, is_behind: bool) -> None:
        """Keeps the first ones of each kind."""
        if is_behind:
            self.behind = self.behind or words
        else:
            self._before = self._before or words

    def refuse_silence(self) -> None:
        """Where no answer has come: raises MalformedAnswer with what came in its place, if anything did."""
        if self._before:
            _raise("no events came", self._before)

    def refuse_end(self) -> None:
        """Where the answer's own end has not come: raises MalformedAnswer with the words behind it, if any came."""
        if self.behind:
            _raise("the answer has no end", self.behind)


def refuse_line(line: bytes) -> None:
    """Raises MalformedAnswer if a line that is no event's says a failure: an object, or one behind `error:`."""
    text = line.strip()
    name, _, rest = text.partition(b":")
    is_named = name.lower() == b"error"
    value = loose.strictly(rest if is_named else text)
    if type(value) is dict and (is_named or says_failure(value)):
        raise_failure(value)


def _raise(what: str, words: bytes) -> NoReturn:
    """An upstream that answers in another form says why there."""
    said = text_of(error_in(loose.strictly(words)).get("message")) or words.decode("utf-8", "replace")
    raise MalformedAnswer(f"{what}, but: {said[:300]}")
