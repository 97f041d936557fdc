"""History: rows that are written once."""

from __future__ import annotations

from typing import Any, Never

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _


class AppendOnly(models.Model):
    """Rows that are written once. The database refuses changes too, by trigger."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ValidationError(_("This row is history and cannot be changed."))
        # Without it, a new row under an old id would be written over the old one.
        super().save(*args, **(kwargs | {"force_insert": True}))

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise ValidationError(_("This row is history and cannot be deleted."))
