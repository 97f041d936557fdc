"""What keeps a process from starting, in words: a setting, a server that is away. A fault of ours has a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import django
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, OperationalError

from accounts.schema import WrongSchema


def set_up() -> None:
    """Sets Django up; ends the process, with words, where the settings cannot be read."""
    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.exit(words(error))


def require(found: Iterable[CheckMessage]) -> None:
    """Ends the process, with words, if one of these is an error."""
    wrong = [f"{each.msg} {each.hint or ''}".rstrip() for each in found if each.is_serious()]
    if wrong:
        sys.exit("\n".join(wrong))


def words(error: BaseException) -> str:
    """What an operator is told of an error that lies outside of the program; nothing of one that is its own fault."""
    said = " ".join(str(error).split())
    if isinstance(error, ImproperlyConfigured | WrongSchema):
        return said
    if isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError:  # a file that is none
        return f"The database cannot be used: {said}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}"
    return ""
