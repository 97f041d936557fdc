"""Saving a channel: every rule that its form, the command line and other doors have in common."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from routing.catalogue.models import Channel

_QUOTES = "\"'`"


def check_secret(secret: str) -> None:
    """Raises ValidationError for what no header can carry, and for quotes around a secret, which no vendor's have."""
    if not all("!" <= character <= "~" for character in secret):
        raise ValidationError(_("The secret may contain only printable ASCII characters and no spaces."))
    if secret[:1] in _QUOTES and secret[:1]:
        raise ValidationError(_("The secret must not begin with a quote."))


def save(channel: Channel, *, secret: str = "", removes_secret: bool = False) -> bool:
    """Writes the channel, with a new secret if one is given; whether a secret was dropped because the channel moved.

    A secret stays with the base URL that it was given for: with another one it is dropped, unless the same save brings
    a new one. Raises ValidationError, by field where a field is at fault; nothing is written then.
    """
    secret = secret.strip()
    check_secret(secret)
    channel.full_clean()
    before = Channel.objects.filter(pk=channel.pk).values_list("base_url", flat=True).first()
    has_moved = before is not None and before != channel.base_url
    drops = has_moved and bool(channel.sealed_secret) and not secret and not removes_secret
    if secret or removes_secret or drops:
        channel.set_secret(secret)
    channel.save()
    return drops
