"""Idempotency keys, by which clients make several requests one."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class IdempotencyKey(models.Model):
    """What an `Idempotency-Key` of one API key was first used for; `billing/books/keys.py` says how long it stands.

    Written with the reservation, in its transaction. Digests are SHA-256, in hex.
    """

    pk = models.CompositePrimaryKey("api_key_id", "value")
    api_key_id = models.BigIntegerField()
    value = models.CharField(max_length=64)
    """Digest of the header's value, which is the client's own and may tell something."""
    body = models.CharField(max_length=64)
    """Digest of the path and the body."""
    request_id = models.UUIDField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")

    def __str__(self) -> str:
        return f"{self.api_key_id}:{self.value}"
