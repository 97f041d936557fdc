"""Mail to people of a tenant, each in the language that they read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import Member, Tenant, User

log = logging.getLogger(__name__)


def reachable(users: QuerySet[User]) -> QuerySet[User]:
    """Without those who have not confirmed their address where that is asked for: it may be a stranger's mailbox.

    Who signs up chooses the address, the organisation's name in the mail and how often one comes. People whom an
    operator has entered, and who have never signed in, have nothing to confirm.
    """
    if settings.ACCOUNT_EMAIL_VERIFICATION == "none":
        return users
    is_confirmed = Q(emailaddress__verified=True, emailaddress__email__iexact=F("email"))
    return users.filter(Q(emailaddress=None) | is_confirmed)


def reaches(user: User) -> bool:
    """Whether the user gets mails."""
    return reachable(User.objects.filter(pk=user.pk)).exists()


def members(tenant: Tenant, roles: Iterable[Member.Role]) -> list[User]:
    """The tenant's people with one of these roles whom mails may reach, each once."""
    found = User.objects.filter(memberships__tenant=tenant, memberships__role__in=roles, is_active=True)
    return list(reachable(found).distinct().order_by("pk"))


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
