"""The demo's furniture: an operator, a tenant with credit and a key, fake channels, and two models on offer.

Everything is made once and kept: a second run finds its key and its passwords in the demo file.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db import transaction

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from accounts.tenants import open_tenant
from billing import trials
from routing.catalogue.models import CatalogueModel, Channel
from routing.catalogue.offers import Rate, add_route, offer_model

OPERATOR_EMAIL: Final = "operator@demo.example"
OWNER_EMAIL: Final = "owner@demo.example"
TENANT_NAME: Final = "Demo Ltd"
MODEL: Final = "demo-small"
REAL_MODEL: Final = "smollm2-135m"

CHANNELS: Final = {
    "Flaky": "fake://flaky?delay_ms=10&chunk_ms=20&fail=0.3",
    "Cheap": "fake://cheap?delay_ms=5&chunk_ms=20&fail=0.0",
    "Steady": "fake://steady?delay_ms=2&chunk_ms=10&fail=0.0",
}
"""Upstreams inside the process: seconds and faults are in the query. One of them fails now and then."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of the demo: its customer price, and what each channel asks for it."""

    description: str
    price: Rate
    costs: Mapping[str, Rate]


def _rate(input_price: str, output_price: str, cached: str) -> Rate:
    return Rate(Decimal(input_price), Decimal(output_price), Decimal(cached))


OFFERS: Final = {
    MODEL: Offer(
        "Small and quick. Answers come from a simulated upstream.",
        _rate("0.15", "0.60", "0.075"),
        {
            "Flaky": _rate("0.06", "0.24", "0.03"),
            "Cheap": _rate("0.08", "0.32", "0.04"),
            "Steady": _rate("0.10", "0.40", "0.05"),
        },
    ),
    "demo-large": Offer(
        "Larger and dearer. Answers come from a simulated upstream.",
        _rate("2.50", "10.00", "1.25"),
        {"Cheap": _rate("1.60", "6.40", "0.80"), "Steady": _rate("2.00", "8.00", "1.00")},
    ),
}
REAL_PRICE: Final = _rate("0.02", "0.04", "0.01")
REAL_COSTS: Final = (_rate("0.010", "0.020", "0.005"), _rate("0.012", "0.024", "0.006"))


def furnish(known: Mapping[str, str], *, real_base_urls: list[str]) -> dict[str, str]:
    """Makes what is missing and returns the demo file's values, those in `known` kept where they still hold."""
    with transaction.atomic():
        _offer_fakes()
        _offer_real(real_base_urls)
    owner, owner_password = _person(OWNER_EMAIL, known.get("COSTROUTER_PORTAL_PASSWORD", ""))
    operator, operator_password = _person(OPERATOR_EMAIL, known.get("COSTROUTER_ADMIN_PASSWORD", ""), is_operator=True)
    tenant = _tenant_of(owner)
    # So that the one login shows both sides.
    Member.objects.get_or_create(tenant=tenant, user=operator, defaults={"role": Member.Role.ADMIN})
    trials.start(tenant)
    return {
        "COSTROUTER_KEY": _key(tenant, owner, known.get("COSTROUTER_KEY", "")),
        "COSTROUTER_MODEL": MODEL,
        "COSTROUTER_ADMIN_EMAIL": OPERATOR_EMAIL,
        "COSTROUTER_ADMIN_PASSWORD": operator_password,
        "COSTROUTER_PORTAL_EMAIL": OWNER_EMAIL,
        "COSTROUTER_PORTAL_PASSWORD": owner_password,
    }


def _offer_fakes() -> None:
    """Only what was never there: what an operator has changed since stays as it is."""
    for name, offer in OFFERS.items():
        if not CatalogueModel.objects.filter(name=name).exists():
            model = offer_model(name, price=offer.price, description=offer.description)
            for channel_name, cost in offer.costs.items():
                add_route(_fake_channel(channel_name), model, upstream_name=name, cost=cost)


def _offer_real(base_urls: list[str]) -> None:
    """Two llama.cpp servers if they run this time; else what an earlier run left is switched off."""
    if not base_urls:
        Channel.objects.filter(name__in=("Llama A", "Llama B")).update(status=Channel.Status.DISABLED)
        CatalogueModel.objects.filter(name=REAL_MODEL).update(is_enabled=False)
        return
    model = offer_model(
        REAL_MODEL,
        price=REAL_PRICE,
        description="SmolLM2 135M Instruct, a real model on this machine.",
        context_window=4096,
        output_limit=2048,
        default_output=512,
        prompt_overhead=512,
    )
    CatalogueModel.objects.filter(pk=model.pk).update(is_enabled=True)
    for letter, base_url, cost in zip("AB", base_urls, REAL_COSTS, strict=True):
        channel, _created = Channel.objects.update_or_create(
            name=f"Llama {letter}",
            defaults={"base_url": base_url, "status": Channel.Status.ENABLED},
            create_defaults={"provider": "openai", "base_url": base_url},
        )
        add_route(channel, model, upstream_name=REAL_MODEL, cost=cost)


def _fake_channel(name: str) -> Channel:
    channel, _created = Channel.objects.get_or_create(
        name=name, defaults={"provider": "fake", "base_url": CHANNELS[name]}
    )
    return channel


def _person(email: str, password: str, *, is_operator: bool = False) -> tuple[User, str]:
    """The user and a password that signs in: the known one while it does, else a new one."""
    create = User.objects.create_superuser if is_operator else User.objects.create_user
    user = User.objects.filter(email=email).first() or create(email)
    if not (password and user.check_password(password)):
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save(update_fields=["password"])
    return user, password


def _tenant_of(owner: User) -> Tenant:
    membership = Member.objects.filter(user=owner, role=Member.Role.OWNER).select_related("tenant").first()
    return membership.tenant if membership else open_tenant(owner=owner, name=TENANT_NAME)


def _key(tenant: Tenant, owner: User, secret: str) -> str:
    """The known secret while it opens the door, else that of a new key."""
    is_known = secret and ApiKey.objects.filter(
        tenant=tenant, digest__in=keys.digests(secret), status=ApiKey.Status.ACTIVE
    )
    if is_known:
        return secret
    return keys.issue(tenant=tenant, name="Demo", created_by=owner).secret
