"""Reading a request body: bounded, strict JSON.

What two parsers could read differently is refused (duplicate names, numbers beyond 64 bits, lone surrogates, NUL), so
that the request we price is the request the upstream runs. The common case costs one orjson parse and a few counts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, ClassVar, Final, Never

import orjson

from accounts.errors import GatewayError, InvalidRequest

MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
_MAX_INTEGER: Final = 2**63
_DIGITS: Final = b"0123456789"
_DIGITS_OF_A_LARGE_INTEGER: Final = 19
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
_ESCAPED_COLONS: Final = (b"\\u003a", b"\\u003A")
# One without end matches as well: to look for its end again from each of its own quotes would take for ever.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET_OR_COMMA: Final = re.compile(r"[\[\]{},]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class InvalidJson(InvalidRequest):
    code: ClassVar[str] = "invalid_json"


class DuplicateKey(InvalidRequest):
    code: ClassVar[str] = "duplicate_key"


class JsonTooComplex(InvalidRequest):
    code: ClassVar[str] = "json_too_complex"

    def __init__(self) -> None:
        super().__init__(f"The body is nested deeper than {MAX_DEPTH} levels or has more than {MAX_NODES} values.")


class InvalidUnicode(InvalidRequest):
    code: ClassVar[str] = "invalid_unicode"

    def __init__(self) -> None:
        super().__init__("The body contains a NUL character or a lone surrogate, which is not valid Unicode text.")


class RequestTooLarge(GatewayError):
    status: ClassVar[int] = 413
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str] = "request_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body is larger than {limit} bytes.")


class UnsupportedMediaType(GatewayError):
    status: ClassVar[int] = 415
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str] = "unsupported_media_type"


def check_media_type(content_type: str, content_encoding: str) -> None:
    """Raises UnsupportedMediaType unless the body is plain JSON in UTF-8."""
    if content_type == "application/json" and not content_encoding:
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        raise UnsupportedMediaType("The request must have `Content-Type: application/json`.")
    for parameter in parameters:
        name, _equals, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("The request body must be encoded in UTF-8.")
    if content_encoding not in {"", "identity"}:
        raise UnsupportedMediaType("Compressed request bodies are not accepted.")


def parse(raw: bytes) -> dict[str, Any]:
    """The body as a dict; raises InvalidJson, DuplicateKey, JsonTooComplex or InvalidUnicode."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        _explain(raw, error)
    if type(body) is not dict:
        raise InvalidJson("The request body must be a JSON object.")
    if not _is_beyond_doubt(raw, body):
        _check_strictly(raw, body)
    return body


def _is_beyond_doubt(raw: bytes, body: dict[str, Any]) -> bool:
    """Whether a few looks at the text clear it, as they do for most requests: cheaper than a look at each value.

    Brackets and commas bound depth and size. Most clients write JSON without spaces: written out again it is the same
    text, so nothing was dropped or changed. Else it has at least as many colons, unless a duplicate name was dropped
    or a colon was escaped.
    """
    brackets = raw.count(b"{") + raw.count(b"[")
    if brackets > MAX_DEPTH or brackets + raw.count(b",") >= MAX_NODES or b"\\u0000" in raw:
        return False
    try:
        again = orjson.dumps(body, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:  # an integer of more than 53 bits
        return False
    if again == raw:
        return True
    if b"\\u003" in raw or raw.count(b":") != again.count(b":"):
        return False
    return len(raw) - len(raw.translate(None, _DIGITS)) < _DIGITS_OF_A_LARGE_INTEGER or not _LONG_NUMBER.search(raw)


def _check_strictly(raw: bytes, body: dict[str, Any]) -> None:
    """Looks at each value; raises DuplicateKey, InvalidJson, JsonTooComplex or InvalidUnicode."""
    pairs, colons, is_doubtful = _walk(body)
    # Without duplicates, every colon of the text is either a pair's or inside a string that survived.
    if is_doubtful or raw.count(b":") != pairs + colons or _ESCAPED_COLONS[0] in raw or _ESCAPED_COLONS[1] in raw:
        _parse_slowly(raw)


def _walk(root: dict[str, Any]) -> tuple[int, int, bool]:
    """Checks depth, size and strings: the number of pairs, of colons in strings, and whether a number is doubtful."""
    stack: list[tuple[Any, int]] = [(root, 1)]
    nodes, pairs, colons, is_doubtful = 1, 0, 0, False
    while stack:
        container, depth = stack.pop()
        nodes += len(container)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise JsonTooComplex
        if type(container) is dict:
            pairs += len(container)
            colons += sum(map(_colons, container))
            container = container.values()
        for value in container:
            kind = type(value)
            if kind is str:
                colons += _colons(value)
            elif kind is dict or kind is list:
                stack.append((value, depth + 1))
            elif kind is int or kind is float:
                is_doubtful = is_doubtful or not -_MAX_INTEGER < value < _MAX_INTEGER
    return pairs, colons, is_doubtful


def _colons(text: str) -> int:
    if "\0" in text:
        raise InvalidUnicode
    return text.count(":")


def _parse_slowly(raw: bytes) -> None:
    """The standard library's parser with every hook, for the rare body that the fast checks cannot clear."""
    json.loads(raw.decode(), object_pairs_hook=_unique, parse_int=_bounded, parse_constant=_refuse_constant)


def _explain(raw: bytes, error: orjson.JSONDecodeError) -> Never:
    """Finds out why orjson refused the text, and says that."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidJson("The request body is not valid UTF-8.") from None
    _check_size(text)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_bounded, parse_constant=_refuse_constant)
    except ValueError:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise InvalidUnicode
    raise InvalidJson(f"The request body is not valid JSON: {error}")


def _check_size(text: str) -> None:
    """Raises JsonTooComplex on the brackets and commas alone, as far as the text can be read."""
    depth, nodes = 0, 1
    for token in _BRACKET_OR_COMMA.finditer(_STRING.sub("", text)):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if depth < 0:  # the parser stops here too
                return
        nodes += token[0] not in "]}"
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise JsonTooComplex


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice, _times = Counter(name for name, _value in pairs).most_common(1)[0]
        raise DuplicateKey(
            f"The member name {twice[:64]!r} appears more than once in one object.",
            kept="A member name appears more than once in one object.",
        )
    return members


def _bounded(digits: str) -> int:
    if len(digits) > 20 or not -_MAX_INTEGER <= int(digits) < _MAX_INTEGER:
        raise InvalidJson("The body contains an integer that does not fit 64 bits.")
    return int(digits)


def _refuse_constant(name: str) -> Never:
    raise InvalidJson(f"{name} is not a JSON value.")
