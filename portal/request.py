"""The page of one request: what it used, what that cost, and why it went where it went."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import ApiKey
from billing import corrections, prices
from billing.models import UsageRecord
from billing.money import EXPONENT, PER_MILLION, round_half_up
from portal import decisions
from portal.decisions import ChannelNames
from routing.endpoints import public_id


@dataclass(frozen=True, slots=True)
class Term:
    """One line of a price sum. The rate is in ledger units per million tokens, the amount in millionths of a unit."""

    label: str
    quantity: int
    rate: int
    amount: int


@dataclass(frozen=True, slots=True)
class PriceSum:
    """From token counts to the cost, every step of it. Amounts in millionths of a ledger unit end in `_millionths`.

    exact + rounding + fee + not_charged = cost = held - given_back + taken_beyond; `corrected` was booked later, beside
    the record.
    """

    currency: str
    terms: list[Term]
    exact_millionths: int
    rounding_millionths: int
    request_fee: int
    not_charged: int
    cost: int
    given_back: int
    taken_beyond: int
    corrected: int

    @property
    def total(self) -> int:
        return self.cost + self.corrected

    @property
    def places(self) -> int:
        """The decimal places of the currency unit that write every amount of the sum in full, so that they line up."""
        units = (self.request_fee, self.not_charged, self.cost, self.given_back, self.taken_beyond, self.corrected)
        millionths = [term.amount for term in self.terms] + [unit * PER_MILLION for unit in units]
        finest = EXPONENT[self.currency] + 6
        return next(
            finest - zeros
            for zeros in range(finest - 2, -1, -1)
            if not any(amount % 10**zeros for amount in millionths)
        )


@require_safe
@tenant_page
def request_detail(request: TenantRequest, request_id: uuid.UUID) -> HttpResponse:
    rows = UsageRecord.objects.select_related("price")
    record = get_object_or_404(rows, tenant=request.tenant, pk=request_id)
    names = _channel_names(record)
    tried = decisions.attempts(record.attempts, names)
    context = {
        "record": record,
        "public_id": public_id(record.endpoint, record.id.hex),
        "api_key": ApiKey.objects.filter(tenant=request.tenant, pk=record.api_key_id).first(),
        "sum": price_sum(record),
        "decision": decisions.explain(record.decision, tried, names),
        "attempts": tried,
        "costs_shown": names.costs_shown,
    }
    return render(request, "portal/request.html", context)


def price_sum(record: UsageRecord) -> PriceSum:
    """How the record's cost came about, from its token counts and the price version it was admitted at."""
    tariff = record.price.tariff_at(record.started_at).for_input(record.usage.input)
    lines = prices.lines(record.usage, tariff)
    exact = sum(line.exact_millionths for line in lines)
    rounded = round_half_up(exact, PER_MILLION)
    return PriceSum(
        currency=record.currency,
        terms=[
            Term(capfirst(gettext(line.kind.label)), line.quantity, line.rate, line.exact_millionths) for line in lines
        ],
        exact_millionths=exact,
        rounding_millionths=rounded * PER_MILLION - exact,
        request_fee=tariff.request_fee,
        not_charged=record.cost - rounded - tariff.request_fee,
        cost=record.cost,
        given_back=max(0, record.held - record.cost),
        taken_beyond=record.taken_beyond,
        corrected=corrections.of(record),
    )


def _channel_names(record: UsageRecord) -> ChannelNames:
    considered = [candidate["channel"] for candidate in record.decision.get("candidates", ())]
    tried = [attempt["channel"] for attempt in record.attempts]
    return ChannelNames(
        shown=settings.SHOW_CHANNELS, costs_shown=settings.SHOW_COSTS, channels=[*considered, *tried]
    )  # fmt: skip
