"""Reading a body into its endpoint's struct, and the public API's words for what is wrong with it."""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from accounts.errors import InvalidRequest

T = TypeVar("T")


class MissingRequiredParameter(InvalidRequest):
    code = "missing_required_parameter"


class InvalidType(InvalidRequest):
    code = "invalid_type"


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class IntegerBelowMinValue(InvalidRequest):
    code = "integer_below_min_value"


class IntegerAboveMaxValue(InvalidRequest):
    code = "integer_above_max_value"


class DecimalBelowMinValue(InvalidRequest):
    code = "decimal_below_min_value"


class DecimalAboveMaxValue(InvalidRequest):
    code = "decimal_above_max_value"


class ArrayAboveMaxLength(InvalidRequest):
    code = "array_above_max_length"


class StringAboveMaxLength(InvalidRequest):
    code = "string_above_max_length"


class EmptyArray(InvalidRequest):
    code = "empty_array"


_FORBIDDEN: Final = frozenset(("api_key", "api_base", "base_url", "extra_headers"))
_PLACE: Final = re.compile(r"(?:`key` in )?`\$\.?(?P<path>[^`]*)`")
_BOUND: Final = re.compile(r"Expected `(?P<kind>int|float|str|array|object)[^`]*` (?:of length )?(?P<relation>>=|<=)")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_BOUND_ERRORS: Final[dict[tuple[str, str], type[InvalidRequest]]] = {
    ("int", ">="): IntegerBelowMinValue,
    ("int", "<="): IntegerAboveMaxValue,
    ("float", ">="): DecimalBelowMinValue,
    ("float", "<="): DecimalAboveMaxValue,
    ("array", ">="): EmptyArray,
    ("array", "<="): ArrayAboveMaxLength,
    ("object", "<="): ArrayAboveMaxLength,
    ("str", "<="): StringAboveMaxLength,
}


def convert(body: dict[str, Any], kind: type[T], *, is_form: bool = False) -> T:
    """The body as the struct; raises an InvalidRequest that names the field in `param`.

    A form has numbers and truths as text.
    """
    if not _FORBIDDEN.isdisjoint(body):
        name = min(_FORBIDDEN.intersection(body))
        raise UnsupportedParameter(f"'{name}' would steer the gateway's own connection.", param=name)
    try:
        return msgspec.convert(body, kind, strict=not is_form)
    except msgspec.ValidationError as error:
        _translate(str(error))


def missing(name: str) -> NoReturn:
    raise MissingRequiredParameter(f"Missing required parameter: '{name}'.", param=name)


def _translate(text: str) -> NoReturn:
    """msgspec's message as the public API's error: the same facts, under its codes."""
    what, _at, place = text.rpartition(" - at ")
    match = _PLACE.fullmatch(place)
    what, path = (what, match["path"]) if match else (text, "")
    path = path.replace("[...]", "")
    plain = what.replace("`", "")
    absent = _MISSING.match(what)
    if absent:
        missing(f"{path}.{absent['name']}" if path else absent["name"])
    bound = _BOUND.match(what)
    if bound:
        error = _BOUND_ERRORS.get((bound["kind"], bound["relation"]), InvalidRequest)
        raise error(f"Invalid '{path}': {plain}.", param=path)
    if what.startswith("Expected") and ", got " in what:
        raise InvalidType(f"Invalid type for '{path}': {plain}.", param=path or None)
    # msgspec repeats the value here, where a name of a list was expected.
    raise InvalidRequest(
        f"Invalid value for '{path}': {plain}.", param=path or None, kept=f"Invalid value for '{path}'."
    )
