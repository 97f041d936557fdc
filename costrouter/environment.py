"""The environment as settings read it: a value that is none of its kind is refused in one sentence, with its name.

django-environ takes any word but its own for false, and what is left of a number without its letters for one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import environ
from django.core.exceptions import ImproperlyConfigured

_FALSE: Final = frozenset(("false", "off", "no", "n", "0"))
_KINDS: Final[dict[Any, str]] = {int: "a whole number", float: "a number", bool: "true or false"}


class Environment(environ.Env):  # type: ignore[misc]  # it carries no types
    """Raises ImproperlyConfigured for a value that is none."""

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **others: Any) -> Any:
        text = self.ENVIRON.get(var)
        try:
            if text is not None and cast is float:
                return _number(text)
            if text is not None and cast is bool:
                return _truth(text)
            return super().get_value(var, cast, default, **others)
        except ValueError as error:
            kind = _KINDS.get(cast, "written otherwise")
            raise ImproperlyConfigured(f"{var} is {text!r}, but it is {kind}; see docs/runbook.md.") from error

    def read_file(self, path: Path) -> None:
        """Adds what a file says and the environment does not; one that is not there says nothing."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise ImproperlyConfigured(f"{path} cannot be read: {reason}.") from error
        self.read_env(io.StringIO(text))

    def folder(self, var: str, default: Path) -> Path:
        """A path; the empty text names none, and is not the folder that the process happens to be in."""
        return Path(self.str(var, default="") or default)

    def choice(self, var: str, among: Collection[str], default: str) -> str:
        """One of these words, in any case."""
        given: str = self.str(var, default=default)
        for word in among:
            if word.lower() == given.lower():
                return word
        raise ImproperlyConfigured(f"{var} is {given!r}, but it is one of {', '.join(among)}.")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word in environ.Env.BOOLEAN_TRUE_STRINGS:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)
