"""One tool call of a stream: what it has said so far, and whether its arguments are whole."""

from __future__ import annotations

from typing import Final
from zlib import crc32

import orjson

from routing.providers.base import MalformedAnswer
from routing.wire.wholeness import JsonScan

EMPTY: Final = "{}"
CUT: Final = "the answer ended in the middle of a tool call"
LONGEST_NAME: Final = 512
"""As much of an id or a name is kept to compare."""
_LONGEST_TEXT: Final = 1024 * 1024
"""Letters of arguments that wait for their end."""


class Call:
    """What one call has said so far, in a bounded form."""

    __slots__ = (
        "_held",
        "_held_letters",
        "_quotes",
        "_scan",
        "_seal",
        "has_arguments",
        "holds_empty",
        "id",
        "is_custom",
        "name",
        "place",
    )

    def __init__(self, place: int, id_: str, *, is_custom: bool) -> None:
        self.place = place
        self.id = id_
        """The vendor's, empty where it gave none."""
        self.name = ""
        self.is_custom = is_custom
        self.has_arguments = False
        self._scan = JsonScan()
        self._seal = (0, 0)
        self._held: list[str] = []
        """Pieces of arguments that are a text of their own, as long as it goes on."""
        self._held_letters = 0
        self._quotes: JsonScan | None = None
        """Whether it does."""
        self.holds_empty = False
        """An empty object has come and not gone out: some send one before the arguments themselves."""

    def add(self, name: str, arguments: str) -> None:
        self.name = (self.name + name)[:LONGEST_NAME]
        if arguments:
            self.has_arguments = True
            if not self.is_custom:  # whose input is no JSON
                self._scan.add(arguments)
                self._seal = _seal(arguments, self._seal)

    def plain(self, arguments: str) -> str:
        """What goes out of these arguments. Where the object was written as a text once more, that waits for its end.

        So does an empty object. Raises MalformedAnswer for one that would fill the memory.
        """
        if self.holds_empty:
            return self._behind_empty(arguments)
        if self._quotes is None:
            if self.has_arguments or self.is_custom:
                return arguments
            if arguments.strip() == EMPTY:
                self.holds_empty = True
                self.add("", arguments)
                return ""
            if not is_quoted(arguments):
                return arguments
            self._quotes = JsonScan()
        self._quotes.add(arguments)
        self._held.append(arguments)
        self._held_letters += len(arguments)
        if self._held_letters > _LONGEST_TEXT:
            raise MalformedAnswer("a tool call's arguments are too long")
        return "" if self._quotes.is_in_text else self.release()

    def _behind_empty(self, arguments: str) -> str:
        if not arguments.strip():
            return ""
        self.holds_empty = False
        self._scan, self._seal = JsonScan(), (0, 0)
        return arguments if arguments.lstrip().startswith("{") else EMPTY + arguments

    def rest(self) -> str:
        """What was held back of arguments that have ended, whole or not."""
        if self.holds_empty:
            self.holds_empty = False
            return EMPTY
        return self.release()

    def release(self) -> str:
        """What was held back as a text of its own; empty if nothing was."""
        text = "".join(self._held)
        self._held, self._quotes = [], None
        return unquoted(text)

    @property
    def is_whole(self) -> bool:
        return self._scan.is_whole

    @property
    def is_open(self) -> bool:
        return self._scan.is_open

    def is_repeated_by(self, arguments: str) -> bool:
        """Whether these are its whole arguments once more. Whole JSON, twice, is none: no fragment can look so."""
        return self.is_whole and _seal(arguments) == self._seal

    def is_other_than(self, name: str, arguments: str) -> bool:
        """Whether a fragment under this call's place or id is a call of its own; only one with a name can be.

        A name in pieces comes before the arguments. Behind whole ones, others cannot be of the same call.
        """
        if not name or not self.name:
            return False
        if name != self.name:
            return self.has_arguments
        return self.is_whole and bool(arguments.strip()) and not self.is_repeated_by(arguments)


def _seal(text: str, before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Checksum and length of what is written, white space aside: vendors put it elsewhere when they repeat a call."""
    data = "".join(text.split()).encode()
    return crc32(data, before[0]), before[1] + len(data)


def is_quoted(arguments: str) -> bool:
    """Whether they begin as a text, which arguments never are: an object is."""
    return arguments.startswith('"') or arguments.lstrip().startswith('"')


def unquoted(arguments: str) -> str:
    """The object that was written as a text once more; whatever else they are, the arguments as they came."""
    try:
        inner = orjson.loads(arguments)
        return inner if type(inner) is str and type(orjson.loads(inner)) is dict else arguments
    except orjson.JSONDecodeError:
        return arguments
