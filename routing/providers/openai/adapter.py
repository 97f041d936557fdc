"""OpenAI's formats: the canonical shapes, for every OpenAI-compatible vendor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from routing.providers.base import Options, Reader, Refusal, UpstreamCall, UpstreamRequest
from routing.providers.openai import media
from routing.providers.openai.completions import CompletionsReader
from routing.providers.openai.options import OpenAIOptions
from routing.providers.openai.reader import OpenAIReader
from routing.providers.openai.refusals import refusal_of
from routing.providers.openai.responses import ResponsesReader, responses_body
from routing.providers.openai.vendors import ANY, STRANGER, Vendor, vendor_of
from routing.providers.openai.wording import lacking, rename, reword

_EXTENSIONS: Final = frozenset(("models", "provider", "usage"))
"""The router's own fields, never sent upstream."""
_CHAT: Final = "chat.completions"
_OF_OTHERS: Final = frozenset(("messages", "generate"))
"""Endpoints whose formats are Anthropic's and Google's."""
_SELDOM: Final = frozenset(("responses",))
"""Endpoints of OpenAI's that few have: whose upstream has them, its vendor or a channel's options say."""
_HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", "CostRouter"),
)
_STREAM_HEADERS: Final = tuple((name, "text/event-stream" if name == "accept" else value) for name, value in _HEADERS)
_ONE_CAP: Final = ("max_tokens",)
"""Of text completions, which never had another name for it."""


@lru_cache(maxsize=256)
def _headers(secret: str, is_stream: bool) -> tuple[tuple[str, str], ...]:
    headers = _STREAM_HEADERS if is_stream else _HEADERS
    return (*headers, ("authorization", f"Bearer {secret}")) if secret else headers


def _media_headers(secret: str, media_type: str) -> tuple[tuple[str, str], ...]:
    headers = (("content-type", media_type), ("accept", "*/*"), *_HEADERS[2:])
    return (*headers, ("authorization", f"Bearer {secret}")) if secret else headers


class OpenAI:
    label = "OpenAI-compatible"
    within = ""
    options: type[Options] = OpenAIOptions

    def speaks(self, endpoint: str, host: str, options: Any) -> bool:
        """Most formats are OpenAI's; which of them an upstream has, its options say, or else its answers show.

        But few have the Responses API, and what others are asked there can be said in chat's format.
        """
        if isinstance(options, OpenAIOptions) and options.endpoints is not None:
            return endpoint in options.endpoints
        has = vendor_of(host, options).has
        return endpoint not in _OF_OTHERS | _SELDOM if has is None else endpoint in has

    def lacks(self, endpoint: str, body: Mapping[str, Any], options: Any) -> str:
        if endpoint != _CHAT or not getattr(options, "vendor", ""):
            return ""
        return lacking(vendor_of("", options), body)

    def recognises(self, headers: Mapping[bytes, bytes]) -> bool:
        return False

    def prefers_stream(self, answers: int, *, is_met: bool) -> bool:
        """Until the upstream is known: some servers count several answers in a stream only (ADR 0006)."""
        return answers > 1 and not is_met

    def request(self, call: UpstreamCall) -> UpstreamRequest:
        """The client's body with the model's upstream name, the output cap, and usage asked for in streams."""
        if call.endpoint in media.READERS:
            media_type, content = media.content(call)
            headers = _media_headers(call.secret, media_type)
            if isinstance(content, tuple):
                return UpstreamRequest(call.path, headers, b"", content)
            return UpstreamRequest.of_json(call, call.path, headers, content)
        if call.endpoint == "responses":
            body = {name: value for name, value in responses_body(call).items() if name not in _EXTENSIONS}
            return UpstreamRequest.of_json(call, call.path, _headers(call.secret, call.is_stream), body)
        body = {**call.body}
        if not _EXTENSIONS.isdisjoint(body) or None in body.values():  # null is absent
            body = {name: value for name, value in body.items() if name not in _EXTENSIONS and value is not None}
        body["model"] = call.upstream_model
        vendor = vendor_of(call.host, call.options, STRANGER if call.is_translated else ANY)
        if vendor is not ANY:
            rename(vendor, body)
            if call.endpoint == _CHAT:
                reword(vendor, body)
        if call.cap:
            caps = vendor.caps if call.endpoint == _CHAT else _ONE_CAP
            _set_cap(body, call.cap, caps, takes_one=bool(vendor.label))
        if call.is_stream:
            self._ask_for_stream(body, vendor)
        return UpstreamRequest.of_json(call, call.path, _headers(call.secret, call.is_stream), body)

    @staticmethod
    def _ask_for_stream(body: dict[str, Any], vendor: Vendor) -> None:
        if body.get("best_of"):  # the best of several cannot be streamed: it comes whole where we alone wanted a stream
            return
        body["stream"] = True
        if vendor.knows_stream_options:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        else:
            body.pop("stream_options", None)

    def open(self, call: UpstreamCall) -> Reader:
        if call.endpoint in media.READERS:
            return media.READERS[call.endpoint](call)
        if call.endpoint == "responses":
            return ResponsesReader()
        kind = CompletionsReader if call.endpoint == "completions" else OpenAIReader
        return kind(call.answers, has_output=bool(call.cap))

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
        return refusal_of(status, headers, body, call)


def _set_cap(body: dict[str, Any], cap: int, names: tuple[str, ...], *, takes_one: bool) -> None:
    """Under the name or names that the client chose, else under the best that the upstream knows.

    A vendor that is known takes one: OpenAI refuses both at once, where a stranger may know either.
    """
    is_chosen = False
    for name in names:
        if body.get(name) is not None:
            if is_chosen and takes_one:
                del body[name]
            else:
                body[name], is_chosen = cap, True
    if not is_chosen:
        body[names[0]] = cap


OPENAI: Final = OpenAI()
