"""What can be set of a channel whose upstream follows OpenAI's formats."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

import msgspec
from msgspec import Meta

from routing.providers.base import Options
from routing.providers.openai.vendors import VENDORS, name_of


def _(message: str) -> str:
    """Marks a text for the catalogue of translations; pages translate it where they show it."""
    return message


Spoken = Literal[
    "chat.completions", "responses", "embeddings", "completions", "rerank", "moderations", "images.generations",
    "audio.speech", "audio.transcriptions", "audio.translations",
]  # fmt: skip
"""Endpoints whose formats are OpenAI's, or said as its are."""


_ENDPOINTS: Final = _("The endpoints that the upstream has, all of them; null: those that its vendor is known for.")
_VENDOR: Final = _("Whose server it is, where the host in the base URL does not tell.")
VendorName = Annotated[
    str, Meta(pattern=rf"\A(?:{'|'.join(VENDORS)})?\Z", extra={"choices": sorted(VENDORS)}, description=_VENDOR)
]


class OpenAIOptions(Options, frozen=True):
    endpoints: Annotated[tuple[Spoken, ...] | None, Meta(description=_ENDPOINTS)] = None
    vendor: VendorName = ""

    def at(self, host: str) -> Self:
        return self if self.vendor else msgspec.structs.replace(self, vendor=name_of(host))
