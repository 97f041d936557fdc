"""POST /v1/completions as an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Endpoint, Head, Learned, ModelFacts, Needs, Relay, to_json
from routing.endpoints.chat.answer import public_usage
from routing.endpoints.completions.answer import (
    check_answer,
    complete_choice,
    estimate_output,
    top_of,
)
from routing.endpoints.completions.schema import CompletionsRequest, read
from routing.endpoints.completions.stream import CompletionsAssembler, CompletionsRelay
from routing.endpoints.invalid import IntegerAboveMaxValue
from routing.endpoints.plain import Plain
from routing.errors import ContextLengthExceeded

_BYTES_OF_A_TOKEN_AT_MOST: Final = 8
_USUAL_CAP: Final = 16
"""The public API's, where the client sets none."""
_BEGINNING: Final = 512
_PLAIN: Final[frozenset[str]] = frozenset()


class Completions(Plain):
    name = "completions"
    id_prefix = "cmpl-"
    path = "/completions"
    streams = True
    smallest_cap = 16
    smallest: Mapping[str, Any] = {"prompt": "Hi", "max_tokens": smallest_cap}

    read = staticmethod(read)

    def needs(
        self,
        request: CompletionsRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        """Raises ContextLengthExceeded or IntegerAboveMaxValue."""
        prompts = request.prompts
        tokens = None if type(prompts[0]) is str else sum(map(len, prompts))
        cap = _output_cap(request, model)
        _check_window(prompts, cap, model)
        return Needs(
            text_bytes=body_bytes,
            is_all_text=tokens is None,
            input_bound=int(body_bytes / learned.dense_bytes_per_token(model.name)) if tokens is None else tokens,
            expected_input=int(body_bytes / learned.bytes_per_token(model.name)) if tokens is None else tokens,
            least_input=max(map(_least_tokens, prompts)),
            cap=cap,
            is_cap_ours=request.max_tokens is None,
            answers=request.written,
            expected_output=learned.expected_output(tenant_id, model.name, cap) * request.written,
            capabilities=_PLAIN,
            prefix=hash((tenant_id, prompts[0][:_BEGINNING])) if tokens is None else 0,
        )

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.output)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def words(self, chunk: Mapping[str, Any]) -> str:
        choices = chunk.get("choices")
        first = choices[0] if type(choices) is list and choices else None
        text = first.get("text") if type(first) is dict else None
        return text if type(text) is str else ""

    def check(self, request: CompletionsRequest, answer: dict[str, Any]) -> None:
        check_answer(request, answer)

    def complete(
        self, request: CompletionsRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        choices = [complete_choice(choice, place) for place, choice in enumerate(answer["choices"])]
        whole = {**top_of(head), "choices": choices, "usage": public_usage(bill)}
        return to_json(whole if explanation is None else {**whole, "costrouter": explanation})

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"choices": [{"index": place, **choice}]} for place, choice in enumerate(answer["choices"])]

    def relay(self, request: CompletionsRequest, head: Head, most_output: int) -> Relay:
        return CompletionsRelay(request, head, most_output)

    def assembler(self, request: CompletionsRequest) -> Assembler:
        return CompletionsAssembler(request.choices)


def _output_cap(request: CompletionsRequest, model: ModelFacts) -> int:
    cap = request.max_tokens
    if cap is None:
        return min(_USUAL_CAP, model.output_limit)
    if cap > model.output_limit:
        raise IntegerAboveMaxValue(
            f"'max_tokens' is too large: {cap}. This model supports at most {model.output_limit} output tokens.",
            param="max_tokens",
        )
    return cap


def _check_window(prompts: list[Any], cap: int, model: ModelFacts) -> None:
    """The window is one prompt's: a list of many is as many texts of it."""
    least = max(map(_least_tokens, prompts)) + cap
    if least > model.context_window:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {model.context_window} tokens, but at least {least} were "
            "requested (prompt and output cap together).",
            param="prompt",
        )


def _least_tokens(prompt: str | list[int]) -> int:
    return len(prompt) // _BYTES_OF_A_TOKEN_AT_MOST if type(prompt) is str else len(prompt)


COMPLETIONS: Final[Endpoint] = Completions()
