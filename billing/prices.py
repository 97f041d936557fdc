"""What a usage costs at a tariff. Pure: values in, values out."""

from __future__ import annotations

from typing import Final

import msgspec

from billing.money import PER_MILLION, round_half_up


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts by kind.

    `input` counts every input token and contains `cached_input`, `cache_write` and `input_audio`; `output` contains
    `reasoning` and `output_audio` (OpenAI's identities: https://platform.openai.com/docs/api-reference/chat/object).
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    images: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.output or self.images)

    @property
    def is_text_only(self) -> bool:
        """Whether there are no kinds but fresh input and output."""
        return not (
            self.cached_input
            or self.cache_write
            or self.reasoning
            or self.input_audio
            or self.output_audio
            or self.images
        )


NOTHING: Final = Usage()


class Tariff(msgspec.Struct, frozen=True, gc=False):
    """One version of a price, customer's or operator's: ledger units per million tokens by kind.

    None means that a kind has no price of its own. Then cached input, cache writes and input audio cost what input
    costs, reasoning and output audio what output costs; requests for audio are refused before they get here.
    """

    id: int
    currency: str
    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    image: int | None = None
    request_fee: int = 0

    def highest_input_rate(self) -> int:
        return max(self.input, self.cached_input or 0, self.cache_write or 0, self.input_audio or 0)

    def highest_output_rate(self) -> int:
        return max(self.output, self.reasoning or 0, self.output_audio or 0)


class Line(msgspec.Struct, frozen=True, gc=False):
    """One term of a price sum: `quantity` tokens at `rate` per million, exact before rounding."""

    kind: str
    quantity: int
    rate: int

    @property
    def exact_millionths(self) -> int:
        return self.quantity * self.rate


def lines(usage: Usage, tariff: Tariff) -> list[Line]:
    """The terms of a request's price, the kinds that were not used left out; the flat fee is not among them."""
    fresh = usage.input - usage.cached_input - usage.cache_write - usage.input_audio
    text = usage.output - usage.reasoning - usage.output_audio
    terms = []
    if fresh:
        terms.append(Line("input", fresh, tariff.input))
    if usage.cached_input:
        terms.append(Line("cached_input", usage.cached_input, _rate(tariff.cached_input, tariff.input)))
    if usage.cache_write:
        terms.append(Line("cache_write", usage.cache_write, _rate(tariff.cache_write, tariff.input)))
    if usage.input_audio:
        terms.append(Line("input_audio", usage.input_audio, _rate(tariff.input_audio, tariff.input)))
    if text:
        terms.append(Line("output", text, tariff.output))
    if usage.reasoning:
        terms.append(Line("reasoning", usage.reasoning, _rate(tariff.reasoning, tariff.output)))
    if usage.output_audio:
        terms.append(Line("output_audio", usage.output_audio, _rate(tariff.output_audio, tariff.output)))
    if usage.images:
        terms.append(Line("image", usage.images, _rate(tariff.image, 0)))
    return terms


def _rate(own: int | None, fallback: int) -> int:
    return fallback if own is None else own


def cost(usage: Usage, tariff: Tariff) -> int:
    """Ledger units that this usage costs: the exact sum, rounded once, half up.

    A request that produced nothing costs nothing, not even the flat fee.
    """
    if usage.is_empty:
        return 0
    if usage.is_text_only:
        exact = usage.input * tariff.input + usage.output * tariff.output
    else:
        exact = sum([line.exact_millionths for line in lines(usage, tariff)])
    return round_half_up(exact, PER_MILLION) + tariff.request_fee


def ceiling(input_tokens: int, output_tokens: int, tariff: Tariff) -> int:
    """The most a request can cost that sends at most `input_tokens` and receives at most `output_tokens`."""
    exact = input_tokens * tariff.highest_input_rate() + output_tokens * tariff.highest_output_rate()
    return -(-exact // PER_MILLION) + tariff.request_fee
