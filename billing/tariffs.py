"""Tariffs as the database keeps them."""

from __future__ import annotations

from billing.models import Rates, UsageRecord
from billing.prices import Tariff, Usage


def tariff_of(row: Rates) -> Tariff:
    """The immutable value behind a row of Price or CostPrice."""
    return Tariff(
        id=row.pk,
        currency=row.currency,
        input=row.input,
        output=row.output,
        cached_input=row.cached_input,
        cache_write=row.cache_write,
        reasoning=row.reasoning,
        input_audio=row.input_audio,
        output_audio=row.output_audio,
        image=row.image,
        request_fee=row.request_fee,
    )


def usage_of(record: UsageRecord) -> Usage:
    """The token counts that a usage record was priced by."""
    return Usage(
        input=record.input_tokens,
        cached_input=record.cached_input_tokens,
        cache_write=record.cache_write_tokens,
        output=record.output_tokens,
        reasoning=record.reasoning_tokens,
        input_audio=record.input_audio_tokens,
        output_audio=record.output_audio_tokens,
        images=record.images,
    )
