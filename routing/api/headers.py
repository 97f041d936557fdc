"""A request's headers, as the plane gets them."""

from __future__ import annotations

from typing import overload

Headers = list[tuple[bytes, bytes]]


class RequestHeaders:
    """A request's headers by their names in lower case, read only when they are asked for."""

    __slots__ = ("_pairs", "by_name")

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs
        self.by_name = dict(pairs)
        """As they came, for what most requests do not have: one look, no call."""

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
