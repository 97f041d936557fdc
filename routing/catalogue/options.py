"""What can be set of a channel, in words: computed from the options of its provider's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.utils.text import get_text_list
from django.utils.translation import gettext
from msgspec import inspect

from routing.providers import ADAPTERS, read_options


@dataclass(frozen=True, slots=True)
class Row:
    """One option: its name, what its value may be, the value where none is given (as JSON), and what it is for."""

    name: str
    kind: str
    default: str
    text: str


def rows(provider: str) -> list[Row]:
    """The options of a provider's channels, in the language that is active."""
    return [
        Row(field.encode_name, _kind(field.type), _json(field.default), _text(field.type))
        for field in _fields(provider)
    ]


def fault(provider: str, values: Any) -> str:
    """What is wrong with a channel's options, in the language that is active; empty if nothing is."""
    if not isinstance(values, Mapping):
        return gettext("The options are a JSON object.")
    known = {row.name: row for row in rows(provider)}
    for name, value in values.items():
        if name not in known:
            return _unknown(name, list(known))
        try:
            read_options(provider, {name: value})
        except ValueError:
            return gettext("“%(name)s” must be %(kind)s.") % {"name": name, "kind": known[name].kind}
    return ""


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return gettext("Channels of this provider have no options.")
    return gettext("“%(name)s” is no option of this provider; it has %(known)s.") % {
        "name": name,
        "known": get_text_list(known, gettext("and")),
    }


def _fields(provider: str) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(ADAPTERS[provider].options)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - which they are by their type
    return described.fields


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(type_: inspect.Type) -> str:
    said = _schema(type_).get("description")
    return gettext(said) if said else ""


def _schema(type_: inspect.Type) -> Mapping[str, Any]:
    return (type_.extra_json_schema or {}) if isinstance(type_, inspect.Metadata) else {}


def _kind(type_: inspect.Type) -> str:
    if isinstance(type_, inspect.Metadata):
        choices, examples = (type_.extra or {}).get("choices"), _schema(type_).get("examples")
        if choices:
            return _one_of(choices)
        if examples:
            return gettext("a text such as %(examples)s") % {"examples": _or(map(_json, examples))}
        return _kind(type_.type)
    if isinstance(type_, inspect.LiteralType):
        return _one_of(type_.values)
    if isinstance(type_, inspect.UnionType):
        return _or(map(_kind, type_.types))
    if isinstance(type_, inspect.CollectionType):
        return gettext("a list of values, each %(kind)s") % {"kind": _kind(type_.item_type)}
    return gettext(_PLAIN.get(type(type_), "a value"))


def _one_of(values: Any) -> str:
    return gettext("one of %(values)s") % {"values": _or(map(_json, values))}


def _or(texts: Any) -> str:
    return str(get_text_list(list(texts), gettext("or")))


def _(message: str) -> str:
    """Marks a text for translation; it is translated where it is shown."""
    return message


_PLAIN: dict[type[inspect.Type], str] = {
    inspect.StrType: _("a text"),
    inspect.BoolType: _("true or false"),
    inspect.IntType: _("a whole number"),
    inspect.FloatType: _("a number"),
    inspect.NoneType: _("null"),
    inspect.DictType: _("an object"),
}
