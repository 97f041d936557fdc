"""The one table of usage kinds: what is counted, at what rate, in which column. Pure.

A kind is one field of `Usage` with its row beside it. The columns of prices and usage records, the forms, labels and
SQL derive from `KINDS`, so that a new kind is one field here and `manage.py makemigrations`.
"""

from __future__ import annotations

from typing import Annotated, Final, get_type_hints

import msgspec


def _(message: str) -> str:
    """Marks a text for the catalogue of translations; pages translate it where they show it."""
    return message


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. What stands below `is_required` is filled in from the row's field."""

    label: str
    """For people; English, marked for translation."""
    unit: str = "tokens"
    within: str = ""
    """The kind that contains this one: it counts these as well, and its rate holds where this kind has none."""
    rate: str = ""
    """The field of prices and tariffs; the kind's own name if empty."""
    is_required: bool = False
    """Whether a tariff must name a rate."""
    name: str = ""
    column: str = ""
    """The column of usage records."""


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """How much of each kind a request used.

    `input` counts every input token and contains `cached_input`, `cache_write` and `input_audio`; `output` contains
    `reasoning`, `output_audio` and `output_image` (OpenAI's identities:
    https://platform.openai.com/docs/api-reference/chat/object, and of images `output_tokens_details`).
    `seconds` of audio are whole ones, a part of one counts as one; `characters` are of a text that is spoken.
    `cache_write` contains what is kept for an hour instead of five minutes (Anthropic's identity:
    https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#1-hour-cache-duration).
    A kind stands below the one that contains it; price sums have the order of this table.
    """

    input: Annotated[int, Kind(label=_("input"), is_required=True)] = 0
    cached_input: Annotated[int, Kind(label=_("cached input"), within="input")] = 0
    cache_write: Annotated[int, Kind(label=_("cache write"), within="input")] = 0
    cache_write_1h: Annotated[int, Kind(label=_("cache write for 1 hour"), within="cache_write")] = 0
    input_audio: Annotated[int, Kind(label=_("input audio"), within="input")] = 0
    output: Annotated[int, Kind(label=_("output"), is_required=True)] = 0
    reasoning: Annotated[int, Kind(label=_("reasoning"), within="output")] = 0
    output_audio: Annotated[int, Kind(label=_("output audio"), within="output")] = 0
    output_image: Annotated[int, Kind(label=_("output image"), within="output")] = 0
    images: Annotated[int, Kind(label=_("image"), unit="images", rate="image")] = 0
    seconds: Annotated[int, Kind(label=_("second of audio"), unit="seconds", rate="second")] = 0
    characters: Annotated[int, Kind(label=_("character"), unit="characters", rate="character")] = 0


NOTHING: Final = Usage()


def _rows() -> tuple[Kind, ...]:
    hints = get_type_hints(Usage, include_extras=True)
    rows = {name: hint.__metadata__[0] for name, hint in hints.items()}
    return tuple(
        msgspec.structs.replace(
            row,
            name=name,
            rate=row.rate or name,
            column=f"{name}_tokens" if row.unit == "tokens" else name,
        )
        for name, row in rows.items()
    )


KINDS: Final = _rows()
"""In the order of the lines of a price sum; a kind comes after the one that contains it."""
