"""The shape of a text completion request: the public API's fields and ranges (CreateCompletionRequest).

Unknown fields travel on. Null is absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import ArrayAboveMaxLength, UnsupportedParameter, convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

MOST_ANSWERS: Final = 128
"""As OpenAI has it of `n`; prompts count as well."""
_PRICED_TIERS: Final = frozenset((None, "auto", "default"))
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Cap = Annotated[int, Meta(ge=0, le=2**31 - 1)]
StopText = Annotated[str, Meta(min_length=1, max_length=4096)]
Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class StreamOptions(Struct):
    include_usage: bool | None = None


class CompletionsRequest(Struct):
    model: ModelName
    prompt: str | Annotated[list[Any], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Cap | None = None
    n: Annotated[int, Meta(ge=1, le=MOST_ANSWERS)] | None = None
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: str | Annotated[list[StopText], Meta(min_length=1, max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    logit_bias: dict[str, Bias] | None = None
    user: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        asked = self.stream_options is not None and self.stream_options.include_usage
        return bool(asked or (self.usage is not None and self.usage.include))

    @property
    def prompts(self) -> list[Any]:
        """Each a text, or a list of tokens."""
        return [self.prompt] if type(self.prompt) is str or type(self.prompt[0]) is int else list(self.prompt)

    @property
    def choices(self) -> int:
        """How many answers come back: `n` for each prompt."""
        return len(self.prompts) * (self.n or 1)

    @property
    def written(self) -> int:
        """How many are written, and paid: the best of them come back."""
        return len(self.prompts) * max(self.n or 1, self.best_of or 1)


class _Texts(Struct):
    prompt: list[str]


class _Tokens(Struct):
    prompt: list[Token]


class _Lists(Struct):
    prompt: list[Annotated[list[Token], Meta(min_length=1)]]


def read(body: dict[str, Any]) -> CompletionsRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    request = convert(body, CompletionsRequest)
    refuse_wishes(body)
    if type(request.prompt) is not str:
        convert({"prompt": request.prompt}, _kind_of(request.prompt[0]))
    _check_together(request)
    if request.service_tier not in _PRICED_TIERS:
        raise UnsupportedParameter(f"Service tier '{request.service_tier}' has no price.", param="service_tier")
    return request


def _kind_of(first: Any) -> type[Struct]:
    """A list is all texts, all tokens, or all lists of tokens; the first of it says which."""
    if type(first) is int:
        return _Tokens
    return _Lists if type(first) is list else _Texts


def _check_together(request: CompletionsRequest) -> None:
    """Fields that are each valid but not with each other, or that ask for nothing that has a price."""
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if request.best_of and request.best_of < (request.n or 1):
        raise InvalidRequest("'best_of' must not be less than 'n'.", param="best_of")
    if request.stream and (request.best_of or 1) > 1:
        raise InvalidRequest("The best of several answers cannot be streamed.", param="best_of")
    if request.max_tokens == 0:
        raise UnsupportedParameter("An answer without output has no price: 'max_tokens' is at least 1.",
                                   param="max_tokens")  # fmt: skip
    if request.written > MOST_ANSWERS:
        raise ArrayAboveMaxLength(
            f"At most {MOST_ANSWERS} answers can be asked for at once, of all prompts together.", param="prompt"
        )
