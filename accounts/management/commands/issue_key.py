"""`manage.py issue_key`: a new API key for a tenant; its secret is printed once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import keys
from accounts.models import Tenant


class Command(BaseCommand):
    help = "Issues an API key and prints its secret, which cannot be had again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's name or id")
        parser.add_argument("--name", default="From the shell")
        parser.add_argument("--requests-per-minute", type=int)
        parser.add_argument("--tokens-per-minute", type=int)
        parser.add_argument("--concurrency", type=int)

    def handle(self, *args: Any, tenant: str, name: str, **options: Any) -> None:
        limits = {key: options[key] for key in ("requests_per_minute", "tokens_per_minute", "concurrency")}
        self.stdout.write(keys.issue(tenant=_tenant(tenant), name=name, **limits).secret)


def _tenant(text: str) -> Tenant:
    found = Tenant.objects.filter(pk=text) if text.isdecimal() else Tenant.objects.filter(name=text)
    match list(found[:2]):
        case [tenant]:
            return tenant
        case []:
            raise CommandError(f"there is no tenant {text!r}")
        case _:
            raise CommandError(f"several tenants are called {text!r}; name one by its id")
