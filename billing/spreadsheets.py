"""What files for spreadsheets need beside RFC 4180."""

from __future__ import annotations

from typing import Final

_FORMULAS: Final = frozenset("=+-@\t\r")


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if text[:1] in _FORMULAS else text
