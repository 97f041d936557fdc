"""The models a key can call, in OpenAI's shape with OpenRouter's additions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import msgspec

from accounts.callers import Caller
from accounts.errors import InvalidRequest
from billing.kinds import KINDS
from billing.money import EXPONENT, decimal_text
from billing.prices import Tariff
from routing.catalogue.snapshot import ModelView, Snapshot
from routing.endpoints import paths
from routing.endpoints.base import is_served
from routing.endpoints.chat import CHAT
from routing.endpoints.messages import MESSAGES
from routing.errors import ModelNotFound
from routing.pipeline.plan import find_model

_PARAMETERS = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "n",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "stream",
    "stream_options",
    "response_format",
)


def _kind(takes: str, gives: str, *parameters: str) -> tuple[dict[str, Any], list[str]]:
    """What a model without chat takes and gives, and what can be said of a request to it."""
    shown = {"modality": f"{takes}->{gives}", "input_modalities": [takes], "output_modalities": [gives]}
    return shown, list(parameters)


_TEXT_PARAMETERS: Final = (
    "max_tokens", "temperature", "top_p", "stop", "n", "best_of", "echo", "suffix", "seed", "frequency_penalty",
    "presence_penalty", "logit_bias", "logprobs", "stream", "stream_options",
)  # fmt: skip
_WITHOUT_CHAT: Final = {
    "completions": _kind("text", "text", *_TEXT_PARAMETERS),
    "rerank": _kind("text", "rankings", "top_n", "return_documents"),
    "moderations": _kind("text", "judgements"),
    "embeddings": _kind("text", "embeddings", "dimensions", "encoding_format"),
    "images.generations": _kind(
        "text", "image", "n", "size", "quality", "response_format", "output_format", "background", "stream"
    ),
    "audio.speech": _kind("text", "audio", "voice", "response_format", "speed", "instructions", "stream_format"),
    "audio.transcriptions": _kind(
        "audio", "text", "language", "prompt", "response_format", "temperature", "timestamp_granularities", "stream"
    ),
    "audio.translations": _kind("audio", "text", "prompt", "response_format", "temperature"),
}
_NOTHING_KNOWN: Final = _kind("text", "text")
_OF_QUANTITIES: Final = {kind.rate: kind.name for kind in KINDS if kind.unit != "tokens"}
"""Rates of what is no token, shown where the model has them, and the kinds they are of."""


def listing(snapshot: Snapshot, caller: Caller, now: float) -> dict[str, Any]:
    """Exactly what this key can call."""
    found = (find_model(snapshot, caller, name, now) for name in sorted(snapshot.models))
    return {"object": "list", "data": [_entry(model, price) for model, price in filter(None, found)]}


def one(snapshot: Snapshot, caller: Caller, name: str, now: float) -> dict[str, Any]:
    """One model; raises ModelNotFound, also for a model that this key must not call."""
    found = find_model(snapshot, caller, name, now)
    if found is None:
        raise ModelNotFound(name)
    return _entry(*found)


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is wanted, in Anthropic's words (docs.claude.com, List Models)."""

    limit: int = 1000
    after_id: str = ""
    before_id: str = ""

    @classmethod
    def of(cls, query: Callable[[str], str]) -> Page:
        """By the request's query; raises InvalidRequest."""
        asked = query("limit") or "1000"
        if not (asked.isascii() and asked.isdecimal() and len(asked) <= len("1000") and 1 <= int(asked) <= 1000):
            raise InvalidRequest("limit: Input should be an integer from 1 to 1000", param="limit")
        return cls(int(asked), query("after_id"), query("before_id"))


def listing_of_anthropic(snapshot: Snapshot, caller: Caller, page: Page, now: float) -> dict[str, Any]:
    """What this key can call with messages, in Anthropic's shape."""
    names = [name for name in sorted(snapshot.models) if _speaks_messages(snapshot, caller, name, now)]
    after = [name for name in names if name > page.after_id and not (page.before_id and name >= page.before_id)]
    shown = after[-page.limit :] if page.before_id else after[: page.limit]
    return {
        "data": [_entry_of_anthropic(snapshot.models[name]) for name in shown],
        "has_more": len(shown) < len(after),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }


def one_of_anthropic(snapshot: Snapshot, caller: Caller, name: str, now: float) -> dict[str, Any]:
    """One model in Anthropic's shape; raises ModelNotFound, also for one that messages cannot be sent to."""
    if not _speaks_messages(snapshot, caller, name, now):
        raise ModelNotFound(name)
    return _entry_of_anthropic(snapshot.models[name])


def _speaks_messages(snapshot: Snapshot, caller: Caller, name: str, now: float) -> bool:
    found = find_model(snapshot, caller, name, now)
    return found is not None and is_served(MESSAGES, found[0].endpoints)


def _entry_of_anthropic(model: ModelView) -> dict[str, Any]:
    created = dt.datetime.fromtimestamp(int(model.created_at), dt.UTC)
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        "max_tokens": model.output_limit,
    }


def _entry(model: ModelView, price: Tariff) -> dict[str, Any]:
    has_images, is_chat = "images" in model.capabilities, CHAT.name in model.endpoints
    other = next((shown for name, shown in _WITHOUT_CHAT.items() if name in model.endpoints), _NOTHING_KNOWN)
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.created_at),
        "owned_by": "costrouter",
        "description": model.description,
        "context_length": model.context_window,
        "endpoints": paths(model.endpoints),
        "architecture": _architecture(has_images=has_images) if is_chat else other[0],
        "top_provider": {"context_length": model.context_window, "max_completion_tokens": model.output_limit},
        "supported_parameters": _parameters(model.capabilities) if is_chat else other[1],
        "pricing": _pricing(price),
    }


def _architecture(*, has_images: bool) -> dict[str, Any]:
    return {
        "modality": "text+image->text" if has_images else "text->text",
        "input_modalities": ["text", "image"] if has_images else ["text"],
        "output_modalities": ["text"],
    }


def _parameters(capabilities: frozenset[str]) -> list[str]:
    return [
        *_PARAMETERS,
        *(("tools", "tool_choice", "parallel_tool_calls") if "tools" in capabilities else ()),
        *(("structured_outputs",) if "json_schema" in capabilities else ()),
    ]


def _pricing(price: Tariff) -> dict[str, str]:
    """Decimal strings in currency units, per token, per request; per picture, second, character where priced."""
    rates = {
        "prompt": price.input,
        "completion": price.output,
        "input_cache_read": price.rate("cached_input"),
        "input_cache_write": price.rate("cache_write"),
        "input_cache_write_1h": price.rate("cache_write_1h"),
        "internal_reasoning": price.rate("reasoning"),
    }
    unpriced = {kind.name for kind in price.unpriced}
    rates |= {rate: price.rate(kind) for rate, kind in _OF_QUANTITIES.items() if kind not in unpriced}
    pricing = {name: decimal_text(rate, EXPONENT[price.currency] + 6) for name, rate in rates.items()}
    return {**pricing, "request": decimal_text(price.request_fee, EXPONENT[price.currency]), "currency": price.currency}
