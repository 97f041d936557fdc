"""POST /v1/images/generations as an endpoint.

A model is priced by the picture, by tokens, or by both: what its price names is what is paid. A picture's price is the
same whatever its size and quality.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from billing.kinds import NOTHING, Usage
from routing.endpoints.base import Bill, Head, Learned, ModelFacts, Needs, to_json
from routing.endpoints.events import EventRelay, with_cost
from routing.endpoints.images.schema import ImagesRequest, read
from routing.endpoints.plain import Unassembled
from routing.providers.base import MalformedAnswer

_PIXELS_OF_A_TOKEN: Final = 252
"""At high quality: 4,160 tokens for 1024x1024, 6,240 for 1024x1536 (https://platform.openai.com/docs/guides/image-generation)."""
_SHARES: Final = {"low": 0.1, "medium": 0.3}
"""Of the tokens of high quality, rounded up: 272 and 1,056 of 4,160."""
_UNKNOWN: Final = 1024 * 1536
"""Pixels of the largest size that upstreams choose by themselves."""
_TOKENS_OF_A_PARTIAL: Final = 100
"""The same page."""
_SIZE: Final = re.compile("[0-9]{1,5}x[0-9]{1,5}")
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "background": frozenset(("transparent", "opaque")),
    "output_format": frozenset(("png", "webp", "jpeg")),
    "quality": frozenset(("low", "medium", "high", "xhigh", "max")),
}
"""What the public schema has for words here; of sizes those of other vendors' models too."""
_OF_IMAGES: Final = ("b64_json", "url", "revised_prompt")
_ADDRESS: Final = "data:"
_OPENED: Final = ("https://", "http://", "data:image/")
_PARTIAL: Final = "image_generation.partial_image"
_COMPLETED: Final = "image_generation.completed"


class Images(Unassembled):
    name = "images.generations"
    id_prefix = "img-"
    path = "/images/generations"
    smallest_cap = 0
    smallest: Mapping[str, Any] = {"prompt": "A dot", "n": 1}

    read = staticmethod(read)

    def needs(
        self,
        request: ImagesRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        """Raises nothing: how long a prompt may be is the upstream's to judge."""
        most = _tokens_at_most(request) * request.images
        return Needs(
            text_bytes=body_bytes,
            is_all_text=False,
            input_bound=int(body_bytes / learned.dense_bytes_per_token(model.name)) + model.prompt_overhead,
            expected_input=int(body_bytes / learned.bytes_per_token(model.name)),
            expected_output=most // 2,
            beside=Usage(images=request.images),
            uncapped=most,
            is_paid_in_tokens=True,
        )

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.images or usage.output)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(images=len(answer["data"]))

    def received(self, relay: Any, needs: Needs) -> Usage:
        """Pictures that were whole; of partial ones the upstream has told no tokens."""
        return Usage(images=relay.images) if relay.images else NOTHING

    def check(self, request: ImagesRequest, answer: dict[str, Any]) -> None:
        """As many pictures as were asked for: fewer would pass for the whole."""
        data = answer.get("data")
        if type(data) is not list or not all(map(_is_image, data)):
            raise MalformedAnswer("the answer has no pictures")
        if len(data) != request.images:
            raise MalformedAnswer(f"the answer has {len(data)} pictures for {request.images} that were asked for")

    def complete(
        self, request: ImagesRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        """Raises MalformedAnswer for a picture at an address that only the operator may know."""
        data = [{name: each[name] for name in _OF_IMAGES if type(each.get(name)) is str} for each in answer["data"]]
        for each in data:
            if each.get("b64_json", "").startswith(_ADDRESS):  # some write an address that holds the picture
                each["b64_json"] = each["b64_json"].partition(",")[2]
        if any(word in each.get("url", "").encode() for each in data for word in head.hidden):
            raise MalformedAnswer("a picture is at the upstream's own address")
        created = answer.get("created")
        whole: dict[str, Any] = {
            "created": created if type(created) is int else head.created,
            "id": head.public_id,
            "model": head.model,
            "data": data,
            **_described(answer),
            "usage": with_cost(_counts(bill), bill),
        }
        return to_json(whole if explanation is None else {**whole, "costrouter": explanation})

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Raises MalformedAnswer for pictures that are somewhere else: an event has them in itself."""
        if not all(type(each.get("b64_json")) is str for each in answer["data"]):
            raise MalformedAnswer("the answer has addresses where pictures were asked for")
        event: dict[str, Any] = {"type": _COMPLETED, "created_at": answer.get("created"), **_described(answer)}
        return [{**event, "b64_json": each["b64_json"]} for each in answer["data"]]

    def relay(self, request: ImagesRequest, head: Head, most_output: int) -> ImagesRelay:
        return ImagesRelay(request, head)


class ImagesRelay(EventRelay):
    """Pictures as events, what is partial before what is complete."""

    def __init__(self, request: ImagesRequest, head: Head) -> None:
        super().__init__()
        self._awaited = request.images
        self._ours: dict[str, Any] = {
            "created_at": head.created,
            "size": request.size or "auto",
            "quality": request.quality or "auto",
            "background": "auto",
            "output_format": "png",
        }
        self.images = 0
        """How many have come whole."""
        self._partials = 0
        """Of the next one."""

    def relay(self, chunk: dict[str, Any]) -> bytes:
        """Raises MalformedAnswer for an event without a picture. Others than those of pictures are left out."""
        kind = chunk["type"]
        if kind not in (_PARTIAL, _COMPLETED):
            return b""
        if type(chunk.get("b64_json")) is not str:
            raise MalformedAnswer("an event has no picture")
        event = {"type": kind, "b64_json": chunk["b64_json"], **self._ours, **_described(chunk)}
        if type(chunk.get("created_at")) is int:
            event["created_at"] = chunk["created_at"]
        if kind == _PARTIAL:
            place = chunk.get("partial_image_index")
            event["partial_image_index"] = place if type(place) is int and place >= 0 else self._partials
            self._partials += 1
            return self.write(event)
        self.images, self._partials = self.images + 1, 0
        if self.images < self._awaited:
            return self.write({**event, "usage": _no_counts()})
        self.last = event
        return b""

    def write(self, event: dict[str, Any]) -> bytes:
        kind: str = event["type"]
        return b"event: " + kind.encode() + b"\n" + super().write(event)

    def usage(self, bill: Bill) -> dict[str, Any]:
        return with_cost(_counts(bill), bill)

    def received_tokens(self) -> int:
        return 0


def _described(told: Mapping[str, Any]) -> dict[str, str]:
    """What is said of a picture, as far as it has the form that it must have."""
    described = {name: told[name] for name, words in _WORDS.items() if _text_in(told, name) in words}
    if _SIZE.fullmatch(_text_in(told, "size")):
        described["size"] = told["size"]
    return described


def _text_in(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if type(value) is str else ""


def _is_image(value: Any) -> bool:
    """In base64, or at an address that a client can open."""
    if type(value) is not dict:
        return False
    data, url = value.get("b64_json"), value.get("url")
    return (type(data) is str and data != "") or (type(url) is str and url.startswith(_OPENED))


def _tokens_at_most(request: ImagesRequest) -> int:
    """Of one picture with its partial ones."""
    tokens = math.ceil((request.pixels or _UNKNOWN) / _PIXELS_OF_A_TOKEN * _SHARES.get(request.quality or "", 1.0))
    return tokens + _TOKENS_OF_A_PARTIAL * (request.partial_images or 0)


def _counts(bill: Bill) -> dict[str, Any]:
    """In the public schema's words (ImageGenUsage); zeros for a model that is paid by the picture."""
    usage, details = bill.usage, bill.reported.get("input_tokens_details")
    seen = details.get("image_tokens") if type(details) is dict else 0
    seen = max(0, min(seen, usage.input)) if type(seen) is int else 0
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "input_tokens_details": {"text_tokens": usage.input - seen, "image_tokens": seen},
        "output_tokens_details": {
            "text_tokens": usage.output - usage.output_image, "image_tokens": usage.output_image
        },
    }  # fmt: skip


def _no_counts() -> dict[str, Any]:
    """Of a picture that more follow: the last one has the usage of all."""
    return _counts(Bill(NOTHING, {}, "0", {}))


IMAGES: Final = Images()
