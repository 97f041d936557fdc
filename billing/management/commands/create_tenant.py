"""`manage.py create_tenant`: a tenant with its owner, its wallet and some credit."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import Tenant, User
from accounts.tenants import open_tenant
from billing import balances, ledger
from billing.amounts import payable_units
from billing.models import LedgerEntry


class Command(BaseCommand):
    help = "Creates a tenant; the owner's user is made if there is none, and sets a password by the reset page."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="EMAIL")
        parser.add_argument("--credit", default="0", help="currency units granted to the wallet")
        parser.add_argument("--currency", default="USD", choices=Tenant.Currency.values)

    def handle(self, *args: Any, name: str, owner: str, credit: str, currency: str, **options: Any) -> None:
        amount = _amount(credit, currency)
        with transaction.atomic():
            tenant = open_tenant(owner=_user(owner), name=name, currency=Tenant.Currency(currency))
            wallet = balances.open_wallet(tenant)
            if amount:
                ledger.post(
                    balance=wallet,
                    kind=LedgerEntry.Kind.GRANT,
                    amount=amount,
                    reference=f"opening:{tenant.pk}",
                )
        self.stdout.write(f"{tenant.pk} {tenant.name}")


def _amount(credit: str, currency: str) -> int:
    try:
        amount = payable_units(Decimal(credit), currency)
    except ValidationError as error:
        raise CommandError(f"not an amount of {currency}: {credit} ({' '.join(error.messages)})") from error
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise CommandError(f"not an amount of {currency}: {credit}") from error
    if amount < 0:
        raise CommandError("credit is not negative")
    return amount


def _user(email: str) -> User:
    try:
        validate_email(email)
    except ValidationError as error:
        raise CommandError("; ".join(error.messages)) from error
    return User.objects.filter(email__iexact=email).first() or User.objects.create_user(email)
