"""The shape of an embeddings request: the public API's fields and ranges (CreateEmbeddingRequest), checked at the edge.

Unknown fields travel on (`input_type`, `truncate` and the like are other vendors'). Null is absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

_MOST_INPUTS: Final = 2048
"""As OpenAI has it; the sum of their tokens is the upstream's to judge."""
Text = Annotated[str, Meta(min_length=1)]
Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class EmbeddingsRequest(Struct):
    model: ModelName
    input: str | Annotated[list[Any], Meta(min_length=1, max_length=_MOST_INPUTS)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    user: str | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return False

    @property
    def inputs(self) -> int:
        """How many vectors are asked for: a text, or a list of tokens, is one."""
        return 1 if type(self.input) is str or type(self.input[0]) is int else len(self.input)

    @property
    def tokens(self) -> int | None:
        """How many tokens there are, where the client has made them itself; None for texts."""
        if type(self.input) is str or type(self.input[0]) is str:
            return None
        return len(self.input) if type(self.input[0]) is int else sum(map(len, self.input))


class _Texts(Struct):
    input: list[Text]


class _Tokens(Struct):
    input: list[Token]


class _Lists(Struct):
    input: list[Annotated[list[Token], Meta(min_length=1)]]


def read(body: dict[str, Any]) -> EmbeddingsRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    request = convert(body, EmbeddingsRequest)
    refuse_wishes(body)
    if body.get("stream"):
        raise InvalidRequest("Embeddings are not streamed.", param="stream")
    if type(request.input) is str:
        if not request.input:
            raise InvalidRequest("'input' must not be empty.", param="input")
        return request
    convert({"input": request.input}, _kind_of(request.input[0]))
    return request


def _kind_of(first: Any) -> type[Struct]:
    """A list is all texts, all tokens, or all lists of tokens; the first of it says which."""
    if type(first) is int:
        return _Tokens
    return _Lists if type(first) is list else _Texts
