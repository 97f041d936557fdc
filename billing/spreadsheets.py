"""What files for spreadsheets need beside RFC 4180."""

from __future__ import annotations

from typing import Final

_FORMULAS: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""With those of full width, which some spreadsheets read as the others."""


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULAS or text[:1] in {"\t", "\r", "\n"} else text
