"""The models a key can call, in the shape of Google's Gemini API: ai.google.dev/api/models."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from accounts.callers import Caller
from accounts.errors import InvalidRequest
from routing.catalogue.snapshot import ModelView, Snapshot
from routing.endpoints.base import is_served
from routing.endpoints.generate import GENERATE
from routing.errors import ModelNotFound
from routing.pipeline.plan import find_model

_METHODS: Final = ("generateContent", "streamGenerateContent", "countTokens")
_MOST: Final = 1000
"""Models of one page."""


def listing(snapshot: Snapshot, caller: Caller, now: float, size: str, token: str) -> dict[str, Any]:
    """A page of what this key can ask for content.

    `size` is how many at most, `token` what the page before said; empty for all from the first on. Raises
    InvalidRequest for what neither can be.
    """
    most, start = _number(size, "pageSize") or _MOST, _number(token, "pageToken")
    names = sorted(snapshot.models)
    served = [model for name in names if (model := _served(snapshot, caller, name, now)) is not None]
    page = list(islice(served, start, start + min(most, _MOST)))
    shown: dict[str, Any] = {"models": [_entry(model) for model in page]}
    if start + len(page) < len(served):
        shown["nextPageToken"] = str(start + len(page))
    return shown


def one(snapshot: Snapshot, caller: Caller, name: str, now: float) -> dict[str, Any]:
    """One model; raises ModelNotFound."""
    return _entry(served(snapshot, caller, name, now))


def served(snapshot: Snapshot, caller: Caller, name: str, now: float) -> ModelView:
    """A model that this key can ask for content; raises ModelNotFound."""
    model = _served(snapshot, caller, name, now)
    if model is None:
        raise ModelNotFound(name)
    return model


def _served(snapshot: Snapshot, caller: Caller, name: str, now: float) -> ModelView | None:
    found = find_model(snapshot, caller, name, now)
    return found[0] if found is not None and is_served(GENERATE, found[0].endpoints) else None


def _number(text: str, name: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(2**31)):
        raise InvalidRequest(f"Invalid value for '{name}': a number is expected.", param=name)
    return int(text)


def _entry(model: ModelView) -> dict[str, Any]:
    return {
        "name": f"models/{model.name}",
        "baseModelId": model.name,
        "version": "1",
        "displayName": model.name,
        "description": model.description,
        "inputTokenLimit": model.context_window,
        "outputTokenLimit": model.output_limit,
        "supportedGenerationMethods": list(_METHODS),
    }
