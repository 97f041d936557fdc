"""The shape of a request for pictures: the public API's fields and ranges (CreateImageRequest), checked at the edge.

Unknown fields travel on (`seed`, `negative_prompt`, `steps` and the like are other vendors'). Null is absent.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from routing.endpoints.invalid import convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

MOST_IMAGES: Final = 10
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)


class ImagesRequest(Struct):
    model: ModelName
    prompt: Annotated[str, Meta(min_length=1, max_length=32_000)]
    n: Annotated[int, Meta(ge=1, le=MOST_IMAGES)] | None = None
    size: Annotated[str, Meta(max_length=20)] | None = None
    quality: Annotated[str, Meta(max_length=20)] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def images(self) -> int:
        return self.n or 1

    @property
    def pixels(self) -> int:
        """Of one picture; 0 where the upstream chooses its size."""
        match = _SIZE.fullmatch(self.size or "")
        return int(match[1]) * int(match[2]) if match else 0


def read(body: dict[str, Any]) -> ImagesRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    request = convert(body, ImagesRequest)
    refuse_wishes(body)
    return request
