"""Anthropic's Messages API: requests in its own format go on as they came, those of chat are said in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from routing.providers.anthropic.caching import marked
from routing.providers.anthropic.chat import ChatReader
from routing.providers.anthropic.gaps import lacking
from routing.providers.anthropic.messages import without_unsigned
from routing.providers.anthropic.reader import AnthropicReader
from routing.providers.anthropic.request import said
from routing.providers.anthropic.thinking import Wanted, sampling_of, within_cap
from routing.providers.base import Options, Reader, Refusal, UpstreamCall, UpstreamRequest
from routing.providers.openai.refusals import refusal_of

_OWN: Final = "messages"
_PATH: Final = "/messages"
_SPOKEN: Final = frozenset((_OWN, "chat.completions"))
_EXTENSIONS: Final = frozenset(("models", "provider", "usage", "stream"))
"""The router's own fields, never sent upstream; whether it streams is said anew."""
_VERSION: Final = "anthropic-version"
_BETA: Final = "anthropic-beta"
_Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


def _(message: str) -> str:
    """Marks a text for the catalogue of translations; pages translate it where they show it."""
    return message


_CACHE_TEXT: Final = _("Whether marks for the prompt cache are added behind what stays the same, and for how long.")
_VERSION_TEXT: Final = _("Of the API, where the client names none.")
_BETA_TEXT: Final = _("Features that are asked for in every request.")
_THINKING_TEXT: Final = _("How models are asked to think: by their names, always in one way, or never.")


class AnthropicOptions(Options, frozen=True):
    """A channel's settings."""

    cache: Annotated[Literal["off", "5m", "1h"], Meta(description=_CACHE_TEXT)] = "off"
    version: Annotated[_Word, Meta(description=_VERSION_TEXT)] = "2023-06-01"
    """platform.claude.com/docs/en/api/versioning"""
    beta: Annotated[tuple[_Word, ...], Meta(description=_BETA_TEXT)] = ()
    """platform.claude.com/docs/en/api/beta-headers"""
    thinking: Annotated[Wanted, Meta(description=_THINKING_TEXT)] = "auto"


_DEFAULTS: Final = AnthropicOptions()


class Anthropic:
    label = "Anthropic"
    within = ""
    options: type[Options] = AnthropicOptions

    def speaks(self, endpoint: str, host: str, options: Any) -> bool:
        return endpoint in _SPOKEN

    def lacks(self, endpoint: str, body: Mapping[str, Any], options: Any) -> str:
        return "" if endpoint == _OWN else lacking(body)

    def recognises(self, headers: Mapping[bytes, bytes]) -> bool:
        return False

    def prefers_stream(self, answers: int, *, is_met: bool) -> bool:
        return False

    def request(self, call: UpstreamCall) -> UpstreamRequest:
        options = _options_of(call)
        if call.endpoint == _OWN:
            path = call.path
            body = {name: value for name, value in call.body.items() if name not in _EXTENSIONS and value is not None}
            if type(body.get("messages")) is list:
                body["messages"] = without_unsigned(body["messages"])
        else:
            path = _PATH
            body = said(call.body, call.upstream_model, call.cap, options.thinking)
        body["model"] = call.upstream_model
        if call.cap:
            body["max_tokens"] = call.cap
            if call.endpoint == _OWN and type(body.get("thinking")) is dict:
                body["thinking"] = within_cap(body["thinking"], call.cap)
        if call.is_stream:
            body["stream"] = True
        if options.cache != "off":
            body = marked(body, options.cache)
        return UpstreamRequest.of_json(call, path, _headers_of(call, options), body)

    def open(self, call: UpstreamCall) -> Reader:
        if call.endpoint == _OWN:
            return AnthropicReader()
        _said, left_out = sampling_of(call.body, call.upstream_model, call.cap, _options_of(call).thinking)
        return ChatReader(f"left out, as the model refuses it: {', '.join(left_out)}" if left_out else "")

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
        return refusal_of(status, headers, body, call)


def _options_of(call: UpstreamCall) -> AnthropicOptions:
    return call.options if isinstance(call.options, AnthropicOptions) else _DEFAULTS


def _headers_of(call: UpstreamCall, options: AnthropicOptions) -> tuple[tuple[str, str], ...]:
    """The client's version and features win over, or are added to, the channel's."""
    if not call.headers:
        return _headers(call.secret, options.version, options.beta, call.is_stream)
    own = {name.lower(): value for name, value in call.headers}
    asked = [each.strip() for each in own.pop(_BETA, "").split(",")]
    beta = tuple(dict.fromkeys([*options.beta, *filter(None, asked)]))
    headers = dict(_headers(call.secret, own.pop(_VERSION, options.version), beta, call.is_stream))
    return (*headers.items(), *((name, value) for name, value in own.items() if name not in headers))


@lru_cache(maxsize=256)
def _headers(secret: str, version: str, beta: tuple[str, ...], is_stream: bool) -> tuple[tuple[str, str], ...]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if is_stream else "application/json",
        "accept-encoding": "identity",
        "user-agent": "CostRouter",
        _VERSION: version,
    }
    if beta:
        headers[_BETA] = ",".join(beta)
    if secret:
        headers["x-api-key"] = secret
    return tuple(headers.items())


ANTHROPIC: Final = Anthropic()
