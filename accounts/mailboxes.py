"""Which mailbox an e-mail address leads to: a person has many addresses at hand, and few mailboxes."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

_SAME: Final = {
    "googlemail.com": "gmail.com",
    "pm.me": "proton.me",
    "protonmail.ch": "proton.me",
    "protonmail.com": "proton.me",
    "mac.com": "icloud.com",
    "me.com": "icloud.com",
    "ya.ru": "yandex.ru",
    "yandex.by": "yandex.ru",
    "yandex.com": "yandex.ru",
    "yandex.kz": "yandex.ru",
}
"""Domains that lead to the mailboxes of another one."""
_UNREAD: Final = {"gmail.com": ".", "proton.me": ".-_"}
"""Characters of the local part that a domain's mail servers do not read."""
_TAG: Final = {"yahoo.com": "-", "ymail.com": "-", "rocketmail.com": "-"}
"""What begins a tag beside the plus, which does everywhere."""
_ESCAPED: Final = re.compile(r"\\(.)")
"""In quotes any character may have a backslash before it, and means itself (RFC 5321, 4.1.2)."""


def mailbox_of(address: str) -> str:
    """The mailbox behind an address as one way of writing it; what only looks like another address is the same.

    Of a domain that reads a plus in another way, two people might look like one; that is taken into account.

    >>> mailbox_of("Dana.Scully+trial@GoogleMail.com")
    'danascully@gmail.com'
    """
    local, _at, domain = unicodedata.normalize("NFKC", address).strip().casefold().rpartition("@")
    domain = _in_ascii(domain.rstrip("."))
    domain = _SAME.get(domain, domain)
    name = _ESCAPED.sub(r"\1", local[1:-1]) if local[:1] == local[-1:] == '"' else local
    for mark in ("+", _TAG.get(domain, "+")):
        name = name.partition(mark)[0] or name
    for character in _UNREAD.get(domain, ""):
        name = name.replace(character, "")
    return f"{name}@{domain}"


def digest_of(address: str) -> str:
    """SHA-256 of the mailbox, in hex: what is remembered of a person who has left."""
    return hashlib.sha256(mailbox_of(address).encode()).hexdigest()


def _in_ascii(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain
