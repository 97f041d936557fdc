"""Memo codes: what the payer of a bank transfer writes into it, so that we know whose money it is. Pure.

`CR`, seven characters at random and one that checks them. The alphabet has no two characters that look alike (no 0 and
O, 1 and I, 2 and Z, 5 and S, 8 and B, U and V, G and 6, Q and O), and its length is a prime: a weighted sum over it
notices every single wrong character and every two that changed places.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

ALPHABET: Final = "34679ACDEFHJKLMNPRTVWXY"
PREFIX: Final = "CR"
_RANDOM: Final = 7
_VALUE: Final = {character: value for value, character in enumerate(ALPHABET)}
_LONGEST: Final = 1_000
"""Characters of a memo that are looked at: banks carry far fewer."""
_CODE: Final = re.compile(f"(?={PREFIX}([{ALPHABET}]{{{_RANDOM + 1}}}))")


def new() -> str:
    """A code by chance; the order's unique column says whether it is taken."""
    characters = "".join(secrets.choice(ALPHABET) for _place in range(_RANDOM))
    return PREFIX + characters + _check(characters)


def is_sound(code: str) -> bool:
    """Whether its check character fits."""
    return re.fullmatch(f"{PREFIX}[{ALPHABET}]{{{_RANDOM + 1}}}", code) is not None and _check(code[2:-1]) == code[-1]


def found_in(text: str) -> list[str]:
    """The sound codes in a transfer's text, where banks add words of their own, spaces and dots, or fold the case."""
    letters = re.sub(r"[^0-9A-Z]", "", text[:_LONGEST].upper())
    codes = (PREFIX + match[1] for match in _CODE.finditer(letters))
    return list(dict.fromkeys(code for code in codes if is_sound(code)))


def _check(characters: str) -> str:
    total = sum(place * _VALUE[character] for place, character in enumerate(characters, start=2))
    return ALPHABET[-total % len(ALPHABET)]
