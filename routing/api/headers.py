"""A request's headers, as the plane gets them."""

from __future__ import annotations

from collections import Counter
from typing import Final, overload

from routing.api.errors import HeaderSaidTwice

Headers = list[tuple[bytes, bytes]]

ONCE: Final = frozenset(
    (b"authorization", b"x-api-key", b"x-goog-api-key", b"content-type", b"content-encoding", b"content-length",
     b"host", b"expect")
)  # fmt: skip
"""What one reader takes the first of, and another the last: said twice, it is refused."""


class RequestHeaders:
    """A request's headers by their names in lower case, read only when they are asked for."""

    __slots__ = ("_pairs", "by_name", "is_body_read")

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs
        self.by_name = dict(pairs)
        """As they came, for what most requests do not have: one look, no call."""
        self.is_body_read = False
        """Whether the body that they announce has come whole."""

    @property
    def announce_a_body(self) -> bool:
        return b"transfer-encoding" in self.by_name or self.by_name.get(b"content-length", b"0") != b"0"

    def check_repetitions(self) -> None:
        """Raises HeaderSaidTwice for a header that may come once and did not."""
        if len(self.by_name) == len(self._pairs):
            return
        counts = Counter(name for name, _value in self._pairs)
        for name in ONCE:
            if counts[name] > 1:
                raise HeaderSaidTwice(name.decode())

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    def get(self, name: str, default: str | None = None, /) -> str | None:
        value = self.by_name.get(name.encode())
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Every value of a header that may come more than once."""
        wanted = name.encode()
        return [value.decode("latin-1") for each, value in self._pairs if each == wanted]
