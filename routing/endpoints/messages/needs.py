"""What a messages request may use: its bounds, its cap, what it asks of a route, and which conversation it is."""

from __future__ import annotations

from typing import Any, Final

from routing.endpoints.base import LEAST_USEFUL_OUTPUT, Learned, ModelFacts, Needs
from routing.endpoints.chat.needs import BYTES_OF_A_TOKEN_AT_MOST, pages_of, shown_tokens
from routing.endpoints.messages.schema import CountRequest, MessagesRequest, Source
from routing.errors import ContextLengthExceeded

_BEGINNING: Final = 512
"""Characters of a message that name its conversation."""
_SUMMARY_TOKENS: Final = 8_192
"""Held for a summary of the conversation, which is written beside the answer and which no cap bounds."""
_PLAIN: Final[frozenset[str]] = frozenset()


class Weight:
    """A request's size: its text in bytes, and what else it shows in tokens."""

    __slots__ = ("documents", "images", "text_bytes")

    def __init__(self, request: CountRequest, body_bytes: int) -> None:
        self.images = self.documents = 0
        self.text_bytes = body_bytes
        for block in request.blocks():
            if type(block.source) is Source and block.type in {"image", "document"}:
                data = block.source.data or ""
                if block.type == "image":
                    self.images += 1
                elif block.source.type != "base64":  # a text is one, and another's length nobody knows
                    self.documents += block.source.type == "url"
                    continue
                else:
                    self.documents += pages_of(data)
                self.text_bytes -= len(data)

    def expected(self, bytes_per_token: float) -> int:
        return int(self.text_bytes / bytes_per_token) + shown_tokens(self.images, self.documents)[0]

    def bound(self, dense_bytes_per_token: float) -> int:
        return int(self.text_bytes / dense_bytes_per_token) + shown_tokens(self.images, self.documents)[1]


def needs_of(
    request: MessagesRequest, body: dict[str, Any], body_bytes: int, model: ModelFacts, learned: Learned, tenant_id: int
) -> Needs:
    """Raises ContextLengthExceeded."""
    weight = Weight(request, body_bytes)
    expected_input = weight.expected(learned.bytes_per_token(model.name))
    least_input = weight.text_bytes // BYTES_OF_A_TOKEN_AT_MOST
    cap = _output_cap(request, model, least_input, expected_input)
    input_bound = weight.bound(learned.dense_bytes_per_token(model.name)) + model.prompt_overhead
    return Needs(
        text_bytes=weight.text_bytes,
        is_all_text=not (weight.images or weight.documents or request.makes_summary),
        input_bound=input_bound * 2 if request.makes_summary else input_bound,
        expected_input=expected_input,
        least_input=least_input,
        cap=cap,
        is_cap_ours=False,
        answers=1,
        expected_output=learned.expected_output(tenant_id, model.name, cap),
        capabilities=_capabilities(request, has_images=bool(weight.images)),
        prefix=_prefix(tenant_id, body),
        uncapped=_SUMMARY_TOKENS if request.makes_summary else 0,
    )


def count_of(
    request: CountRequest, body: dict[str, Any], body_bytes: int, model: ModelFacts, learned: Learned, tenant_id: int
) -> Needs:
    """Of a request that is only counted: what it is expected to have as input, and nothing else."""
    expected_input = Weight(request, body_bytes).expected(learned.bytes_per_token(model.name))
    return Needs(
        text_bytes=0,
        is_all_text=False,
        input_bound=0,
        expected_input=max(1, expected_input),
        least_input=0,
        cap=0,
        is_cap_ours=False,
        answers=1,
        expected_output=0,
        capabilities=_PLAIN,
        prefix=0,
    )


def _output_cap(request: MessagesRequest, model: ModelFacts, least_input: int, expected_input: int) -> int:
    """The client's bound as far as the model and its window go.

    Every request must name one, so clients name the most that their own list of models has: it is lowered, where chat's
    is refused. The answer then says `max_tokens` where it was cut, as the API documents ("may stop before reaching").
    """
    if least_input + 1 > model.context_window:  # these words are what agents shorten their conversation by
        raise ContextLengthExceeded(
            f"prompt is too long: {least_input} tokens > {model.context_window} maximum", param="messages"
        )
    room = max(model.context_window - expected_input, LEAST_USEFUL_OUTPUT)
    return min(request.max_tokens, model.output_limit, room, model.context_window - least_input)


def _capabilities(request: MessagesRequest, *, has_images: bool) -> frozenset[str]:
    if not (request.tools or has_images or request.format):
        return _PLAIN
    asked = (("tools", request.tools), ("images", has_images), ("json_schema", request.format))
    return frozenset(name for name, is_asked in asked if is_asked)


def _prefix(tenant_id: int, body: dict[str, Any]) -> int:
    """Names a conversation by its beginning; equal for the requests of one conversation in this process."""
    return hash((tenant_id, _beginning(body.get("system")), _beginning(body["messages"][0].get("content"))))


def _beginning(content: Any) -> str:
    if type(content) is list:  # the last block: agents put what is the same for everybody in front
        content = content[-1].get("text") if content else None
    return content[:_BEGINNING] if type(content) is str else ""
