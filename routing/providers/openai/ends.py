"""Which answers of a stream have ended, and whether that can be believed: some servers say an end in every chunk."""

from __future__ import annotations


class Ends:
    """`answers` were asked for."""

    has_said = False
    """Something came beside thoughts."""
    has_thought = False
    early: int | None = None
    """The one that said `stop` before it had said anything: some servers' first chunk does."""
    remark = ""
    """What was odd, in words."""
    _doubted: frozenset[int] = frozenset()
    """Those whose reason may be no end: it stood beside their first text, or more than one, or within a call."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.finished: set[int] = set()
        """Those that have their finish reason."""

    @property
    def has_begun(self) -> bool:
        return self.has_said or self.has_thought

    @property
    def are_all(self) -> bool:
        """Whether every answer has come to its end."""
        return len(self.finished) >= self.answers

    @property
    def are_doubtful(self) -> bool:
        return bool(self._doubted)

    def is_early(self, reason: str | None, *, speaks: bool) -> bool:
        """Whether a reason is held back, since nothing was said before it; `speaks`: something is, beside it."""
        return reason == "stop" and self.answers == 1 and not (speaks or self.has_said)

    def note(self, index: int, *, is_doubtful: bool, has_said: bool) -> None:
        """One has its finish reason; a doubtful one is no end if nothing came before it, or another one did."""
        if is_doubtful and (index in self.finished or not has_said):
            self.doubt(index)
        else:
            self._doubted -= {index}
        self.finished.add(index)

    def doubt(self, index: int) -> None:
        self._doubted |= {index}

    def believe(self) -> None:
        """What has come says that nothing follows."""
        self._doubted = frozenset()
