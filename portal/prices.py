"""Models and prices: what the tenant can call, and what a request that begins now is charged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from billing import terms
from billing.kinds import KINDS
from routing.catalogue import price_list
from routing.catalogue.price_list import Listing

_COLUMNS: Final = ("input", "cached_input", "output")


@dataclass(frozen=True, slots=True)
class Rate:
    """Ledger units per million; `usual` is the list's, where it is another."""

    label: str
    amount: int
    usual: int | None


@dataclass(frozen=True, slots=True)
class Row:
    listing: Listing
    columns: list[Rate]
    others: list[Rate]
    """Of other kinds that have a rate of their own."""
    terms: list[str]


@require_safe
@tenant_page
def prices(request: TenantRequest) -> HttpResponse:
    rows = [_row(listing) for listing in price_list.listings(request.tenant, timezone.now())]
    has_other = any(row.listing.listed for row in rows)
    return render(request, "portal/prices.html", {"rows": rows, "has_other": has_other})


def _row(listing: Listing) -> Row:
    price = listing.price
    rates = {kind.name: _rate(listing, kind.name, kind.label) for kind in KINDS}
    own = [kind.name for kind in KINDS if getattr(price, kind.rate) is not None and kind.name not in _COLUMNS]
    written = terms.write(terms.loaded(price.terms), price.currency)
    return Row(listing, [rates[name] for name in _COLUMNS], [rates[name] for name in own], written.splitlines())


def _rate(listing: Listing, name: str, label: str) -> Rate:
    amount = listing.tariff.rate(name)
    usual = listing.listed.rate(name) if listing.listed is not None else amount
    return Rate(label, amount, usual if usual != amount else None)
