"""A document's PDF, made of its snapshot alone: the same snapshot gives the same bytes.

Typst draws it (the `typst` package, with the fonts that are inside of it; its Libertinus Serif has the Vietnamese
letters). Texts reach the template as JSON and are shown as text, never read as markup; nothing is fetched.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final, Literal

import typst
from django.utils import translation

from billing.invoices.sheets import Document, minor_amount, sheet

_TEMPLATE: Final = Path(__file__).parent / "document.typ"


def render(document: Document) -> bytes:
    """The PDF in the document's own language."""
    return bytes(_compile(document, "pdf"))


def pages(document: Document, resolution: int = 96) -> list[bytes]:
    """The same pages as PNG images, for people and tests that look at them."""
    found = _compile(document, "png", resolution)
    return found if isinstance(found, list) else [found]


def amount(minor: int, currency: str, language: str) -> str:
    """Minor units as the document writes them."""
    with translation.override(language):
        return minor_amount(minor, currency)


def _compile(document: Document, format_: Literal["pdf", "png"], resolution: int | None = None) -> Any:
    day = dt.datetime.combine(dt.date.fromisoformat(document["issued_on"]), dt.time(), dt.UTC)
    return typst.compile(
        str(_TEMPLATE),
        root=str(_TEMPLATE.parent),
        ignore_system_fonts=True,
        format=format_,
        ppi=resolution,
        sys_inputs={"sheet": json.dumps(sheet(document), ensure_ascii=False)},
        timestamp=int(day.timestamp()),
    )
