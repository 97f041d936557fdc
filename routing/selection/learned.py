"""What reported usages teach: how many bytes of text make a token, and how much output to expect.

Each process learns for itself, from nothing, within some hundred requests.
"""

from __future__ import annotations

from collections import OrderedDict
from math import floor
from typing import Final

_SMOOTHING: Final = 0.1
_USUAL: Final = 4.0
"""Bytes a token until known: English text, by OpenAI's rule of thumb."""
_USUAL_OUTPUT: Final = 256
DENSE: Final = 2.0
"""Bytes a token that a hold counts with until more is known."""
_MARGIN: Final = 0.85
"""Of the densest text met lately: with it, 99.9 % of requests stay inside their bound (the test has the texts)."""
_FORGETTING: Final = 1.001
"""A request: the densest text met is forgotten within about a thousand of them."""
_LEAST_BYTES: Final = 512
"""Shorter requests say more about chat templates than about text."""
MOST_OUTPUTS: Final = 100_000
"""Tenants' models; 189 bytes each."""
MOST_MODELS: Final = 10_000


class Learned:
    """By model, and by tenant and model."""

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}
        self._densest: dict[str, float] = {}
        self._outputs: OrderedDict[tuple[int, str], float] = OrderedDict()

    def bytes_per_token(self, model: str) -> float:
        """Prompt bytes per input token, as is usual."""
        return self._usual.get(model, _USUAL)

    def dense_bytes_per_token(self, model: str) -> float:
        """Fewer bytes a token than nearly every request has."""
        densest = self._densest.get(model)
        return DENSE if densest is None else max(1.0, densest * _MARGIN)

    def expected_output(self, tenant_id: int, model: str, cap: int) -> int:
        """Output tokens that a tenant's requests to a model usually take, at most the cap."""
        known = self._outputs.get((tenant_id, model))
        return min(cap, _USUAL_OUTPUT if known is None else floor(known) + 1)

    def note_output(self, tenant_id: int, model: str, output_tokens: int) -> None:
        key = (tenant_id, model)
        before = self._outputs.pop(key, float(output_tokens))
        self._outputs[key] = before + (output_tokens - before) * _SMOOTHING
        if len(self._outputs) > MOST_OUTPUTS:
            self._outputs.popitem(last=False)

    def note_input(self, model: str, text_bytes: int, input_tokens: int) -> None:
        """Input tokens that an upstream counted of a request without anything but text."""
        if input_tokens <= 0:
            return
        ratio = max(1.0, text_bytes / input_tokens)  # less is what a chat template adds to a short prompt
        usual = self._usual.get(model, ratio)
        self._usual[model] = usual + (ratio - usual) * _SMOOTHING
        if len(self._usual) > MOST_MODELS:
            self._forget_model()
        if text_bytes >= _LEAST_BYTES:
            self._densest[model] = min(ratio, self._densest.get(model, DENSE / _MARGIN) * _FORGETTING)

    def _forget_model(self) -> None:
        """The one learned first: what it teaches is learned again within some hundred requests."""
        first = next(iter(self._usual))
        del self._usual[first]
        self._densest.pop(first, None)
