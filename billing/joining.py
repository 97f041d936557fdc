"""What a new member and a new key get: the tenant's default quotas."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save

from accounts.models import ApiKey, Member
from billing import quotas


def listen() -> None:
    post_save.connect(_greet_key, sender=ApiKey, dispatch_uid="billing.joining.key")
    post_save.connect(_greet_member, sender=Member, dispatch_uid="billing.joining.member")


def _greet_key(instance: ApiKey, created: bool, raw: bool = False, **_kwargs: Any) -> None:
    if created and not raw:
        quotas.give_defaults(instance.tenant, api_key=instance)


def _greet_member(instance: Member, created: bool, raw: bool = False, **_kwargs: Any) -> None:
    if created and not raw:
        quotas.give_defaults(instance.tenant, user=instance.user)
