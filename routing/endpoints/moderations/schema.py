"""The shape of a moderation request: the public API's fields (CreateModerationRequest). Unknown fields travel on."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import convert, missing
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

_MOST_INPUTS: Final = 2048
DEFAULT_MODEL: Final = "omni-moderation-latest"
"""The public API's, where a request names none."""


class ImageUrl(Struct):
    url: str


class Part(Struct):
    type: str
    text: str | None = None
    image_url: ImageUrl | None = None


class ModerationsRequest(Struct):
    input: str | Annotated[list[Any], Meta(min_length=1, max_length=_MOST_INPUTS)]
    model: ModelName = DEFAULT_MODEL
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return False

    @property
    def has_parts(self) -> bool:
        """Whether the input is parts of one thing, rather than one text or many."""
        return type(self.input) is list and type(self.input[0]) is dict

    @property
    def results(self) -> int:
        """One for each text; parts are judged together."""
        return 1 if type(self.input) is str or self.has_parts else len(self.input)

    @property
    def images(self) -> list[str]:
        """Their addresses, or they themselves."""
        parts: list[Any] = list(self.input) if self.has_parts else []
        return [part["image_url"]["url"] for part in parts if part.get("image_url")]


class _Texts(Struct):
    input: list[str]


class _Parts(Struct):
    input: list[Part]


def read(body: dict[str, Any]) -> ModerationsRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    if body.get("model", "") is None:  # null is absent
        del body["model"]
    request = convert(body, ModerationsRequest)
    refuse_wishes(body)
    if body.get("stream"):
        raise InvalidRequest("Moderations are not streamed.", param="stream")
    if request.has_parts:
        _check_parts(convert({"input": request.input}, _Parts).input)
    elif type(request.input) is list:
        convert({"input": request.input}, _Texts)
    return request


def _check_parts(parts: list[Part]) -> None:
    for place, part in enumerate(parts):
        if part.type not in {"text", "image_url"}:
            raise InvalidRequest(
                f"Invalid value for 'input[{place}].type': a part is text or image_url.", param=f"input[{place}].type"
            )
        if getattr(part, part.type) is None:
            missing(f"input[{place}].{part.type}")
