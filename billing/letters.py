"""Mail to people of a tenant, each in the language that they read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import Member, Tenant, User

log = logging.getLogger(__name__)


def members(tenant: Tenant, roles: Iterable[Member.Role]) -> list[User]:
    """The tenant's people with one of these roles, each once."""
    found = User.objects.filter(memberships__tenant=tenant, memberships__role__in=roles, is_active=True)
    return list(found.distinct().order_by("pk"))


def tell(readers: Sequence[User], letter: str, context: Mapping[str, Any], *, tenant: Tenant) -> bool:
    """Sends `mail/<letter>.txt` to each, with times in the tenant's zone.

    Whether anybody was told, or there is nobody; an address that is refused keeps the mail from nobody else.
    """
    told, known = 0, {"tenant": tenant, "site_url": settings.SITE_URL, **context}
    for user in readers:
        with translation.override(user.language), timezone.override(tenant.time_zone):
            # Copies: a template writes what it computes into what it is given.
            # On one line, whatever a name has in it: no mail goes out whose head could be another's.
            subject = " ".join(render_to_string(f"mail/{letter}_subject.txt", {**known}).split())
            text = render_to_string(f"mail/{letter}.txt", {**known})
            try:
                send_mail(subject, text, None, [user.email])
                told += 1
            except (OSError, SMTPException) as error:
                log.warning("tenant %d: %s could not be mailed to user %d: %s", tenant.pk, letter, user.pk, error)
    return told > 0 or not readers
