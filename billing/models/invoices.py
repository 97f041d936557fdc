"""Billing periods, and the documents made of them: statements, invoices and credit notes."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any, Never
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from billing.models.balances import Balance
from billing.models.base import AppendOnly
from billing.models.ledger import LedgerEntry
from billing.models.sellers import LegalEntity


class BillingPeriod(AppendOnly):
    """A closed stretch of a wallet's time: [starts_at, ends_at). A wallet's follow each other without gap or overlap.

    Its usage is what settled in it. Its ledger entries are named (PeriodEntry): what was not there to be seen when it
    closed belongs to the next.
    """

    class Cut(models.TextChoices):
        OPENING = "opening", _("what was before")
        MONTH = "month", _("end of the month")
        THRESHOLD = "threshold", _("threshold reached")

    wallet = models.ForeignKey(Balance, models.PROTECT, related_name="periods", verbose_name=_("wallet"))
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="periods", verbose_name=_("tenant"))
    month = models.PositiveIntegerField(_("month"))
    """As yyyymm."""
    cut = models.CharField(_("closed because of"), max_length=10, choices=Cut)
    starts_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(_("ends"))
    time_zone = models.CharField(_("time zone"), max_length=64)
    is_postpaid = models.BooleanField(_("post-paid"), default=False)
    opening = models.BigIntegerField(null=True, editable=False)
    """Of the period that stands for what was before: the balance at its end, in ledger units without credit line."""
    closed_at = models.DateTimeField(_("closed at"), default=timezone.now)

    class Meta:
        verbose_name = _("billing period")
        verbose_name_plural = _("billing periods")
        ordering = ("wallet", "id")
        constraints = (
            models.UniqueConstraint(fields=("wallet", "ends_at"), name="billing_period_ends_once"),
            models.UniqueConstraint(
                fields=("wallet", "month"), condition=models.Q(cut="month"), name="billing_period_month_once"
            ),
            models.CheckConstraint(
                condition=models.Q(cut="opening", ends_at=models.F("starts_at"))
                | models.Q(ends_at__gt=models.F("starts_at")),
                name="billing_period_has_length",
            ),
        )

    def __str__(self) -> str:
        return f"{self.month // 100}-{self.month % 100:02}"

    @property
    def first_day(self) -> dt.date:
        return self.starts_at.astimezone(ZoneInfo(self.time_zone)).date()

    @property
    def last_day(self) -> dt.date:
        """The last one of which any moment belongs to it."""
        return (self.ends_at - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(self.time_zone)).date()


class PeriodEntry(AppendOnly):
    """A ledger entry's place among the periods."""

    period = models.ForeignKey(BillingPeriod, models.PROTECT, related_name="entries", verbose_name=_("period"))
    entry = models.OneToOneField(LedgerEntry, models.PROTECT, related_name="period", verbose_name=_("ledger entry"))

    class Meta:
        verbose_name = _("ledger entry of a period")
        verbose_name_plural = _("ledger entries of periods")

    def __str__(self) -> str:
        return f"{self.period_id}: {self.entry_id}"


class EmptyPeriod(AppendOnly):
    """A period in which nothing happened: it has no document."""

    period = models.OneToOneField(BillingPeriod, models.PROTECT, related_name="empty", verbose_name=_("period"))

    class Meta:
        verbose_name = _("empty period")
        verbose_name_plural = _("empty periods")

    def __str__(self) -> str:
        return f"{self.period_id}"


class Invoice(models.Model):
    """A period's document: the statement of a prepaid tenant, or the invoice of a post-paid one.

    A draft may be made anew at will. From final on only its state moves: the model refuses, and so does the database.
    """

    class Kind(models.TextChoices):
        STATEMENT = "statement", _("statement")
        INVOICE = "invoice", _("invoice")

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        FINAL = "final", _("final")
        PAID = "paid", _("paid")
        VOID = "void", _("void")

    period = models.ForeignKey(BillingPeriod, models.PROTECT, related_name="invoices", verbose_name=_("period"))
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="invoices", verbose_name=_("tenant"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    state = models.CharField(_("state"), max_length=6, choices=State, default=State.DRAFT)
    currency = models.CharField(_("currency"), max_length=3)
    content = models.JSONField(_("content"), default=dict)
    """What the period holds, in ledger units (billing/invoices/drafts.py)."""
    content_hash = models.CharField(max_length=64)
    opening = models.BigIntegerField(_("opening balance"))
    closing = models.BigIntegerField(_("closing balance"))
    used = models.BigIntegerField(_("used"))
    carried = models.BigIntegerField(default=0)
    """Of an invoice: what is finer than the minor unit and goes into the next one; ledger units, below zero too."""
    total = models.BigIntegerField(_("total"), null=True, blank=True)
    """With taxes, in minor units; of a statement what was used. Known once it is final."""
    drafted_at = models.DateTimeField(_("drafted at"), default=timezone.now)
    # From here on: what becoming final writes.
    entity = models.ForeignKey(
        LegalEntity, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("sold by")
    )
    number = models.CharField(_("number"), max_length=60, unique=True, null=True, blank=True)
    issued_on = models.DateField(_("issued on"), null=True, blank=True)
    snapshot = models.TextField(_("snapshot"), blank=True)
    """The frozen document: canonical JSON, from which every view of it is made."""
    snapshot_hash = models.CharField(_("SHA-256 of the snapshot"), max_length=64, blank=True)
    finalised_at = models.DateTimeField(_("finalised at"), null=True, blank=True)
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)
    voided_at = models.DateTimeField(_("voided at"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    """Why it was paid or voided, by an operator's word."""

    class Meta:
        verbose_name = _("invoice or statement")
        verbose_name_plural = _("invoices and statements")
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("tenant", "-id"), name="billing_invoice_tenant"),
            models.Index(fields=("state",), condition=models.Q(state="draft"), name="billing_invoice_drafts"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("period",), condition=~models.Q(state="void"), name="billing_invoice_one_per_period"
            ),
            models.CheckConstraint(
                condition=models.Q(state="draft", number=None, snapshot="")
                | (~models.Q(state="draft") & models.Q(number__isnull=False) & ~models.Q(snapshot="")),
                name="billing_invoice_number_once_final",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=("statement", "invoice")), name="billing_invoice_kind_known"
            ),
        )

    def __str__(self) -> str:
        return self.number or f"DRAFT {self.period}"

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise ValidationError(_("A document cannot be deleted; a draft is made anew, a final one is voided."))

    @property
    def is_draft(self) -> bool:
        return self.state == self.State.DRAFT

    @property
    def from_wallet(self) -> int:
        """Of an invoice: what the wallet had paid before it was made, in minor units (billing/invoices/prepaid.py)."""
        return int(self.content.get("from_wallet", 0))

    @property
    def owed(self) -> int:
        """Of an invoice: what it asks for beside its lines, in minor units (billing/invoices/debts.py)."""
        return sum(row["amount"] for row in self.content.get("owed", ()))

    @property
    def due(self) -> int:
        """Of what is final: what it asks for with taxes and before credit notes, in minor units; of a statement 0."""
        return 0 if self.kind == self.Kind.STATEMENT else (self.total or 0) - self.from_wallet + self.owed

    @property
    def is_settled(self) -> bool:
        """Whether it is paid for: a statement's usage, and an invoice's as far as there was credit, by the wallet."""
        return self.state == self.State.PAID or (not self.is_draft and not self.due)

    @property
    def document(self) -> dict[str, Any]:
        """The snapshot's values; KeyError-free only for what is final."""
        values: dict[str, Any] = json.loads(self.snapshot)
        return values


class InvoicePayment(AppendOnly):
    """What settled an invoice, once. Ledger units: `from_wallet` was in the wallet already, `posted` came in for it."""

    invoice = models.OneToOneField(Invoice, models.PROTECT, related_name="payment", verbose_name=_("document"))
    after = models.ForeignKey(BillingPeriod, models.PROTECT, related_name="+", verbose_name=_("billing period"))
    """The wallet's latest closed period at that moment: only documents of later ones know of it."""
    from_wallet = models.BigIntegerField(_("paid from the wallet"))
    posted = models.BigIntegerField(_("posted to the wallet"))
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("payment of an invoice")
        verbose_name_plural = _("payments of invoices")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(from_wallet__gte=0, posted__gte=0), name="billing_invoice_payment_amounts"
            ),
        )

    def __str__(self) -> str:
        return f"{self.invoice_id}"


class CreditNote(AppendOnly):
    """What is given back of a final document; final from the beginning."""

    class Effect(models.TextChoices):
        WALLET = "wallet", _("credited to the wallet")
        OFFSET = "offset", _("taken off what is due")
        PAID_OUT = "paid_out", _("paid out")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_notes", verbose_name=_("document"))
    number = models.CharField(_("number"), max_length=60, unique=True)
    effect = models.CharField(_("effect"), max_length=10, choices=Effect)
    reason = models.CharField(_("reason"), max_length=300)
    lines = models.JSONField(_("lines"))
    """Minor units by the number of the document's line."""
    taxes = models.JSONField(_("taxes"))
    """Minor units by the place of the document's tax row."""
    net = models.BigIntegerField(_("before taxes"))
    """Minor units, as is the total."""
    total = models.BigIntegerField(_("total"))
    snapshot = models.TextField(_("snapshot"))
    snapshot_hash = models.CharField(_("SHA-256 of the snapshot"), max_length=64)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credit note")
        verbose_name_plural = _("credit notes")
        ordering = ("-created_at",)
        constraints = (models.CheckConstraint(condition=models.Q(total__gt=0), name="billing_credit_note_is_positive"),)

    def __str__(self) -> str:
        return self.number

    @property
    def credited(self) -> int:
        """What the wallet had paid for the lines, in minor units: without taxes that were added to them."""
        added = sum(tax["amount"] for tax in self.document["taxes"] if not tax["is_inclusive"])
        return self.total - int(added)

    @property
    def document(self) -> dict[str, Any]:
        """The snapshot's values."""
        values: dict[str, Any] = json.loads(self.snapshot)
        return values


class InvoiceMail(models.Model):
    """That a final document has to be mailed, and was. Written with the number, so that no mail is forgotten."""

    invoice = models.OneToOneField(Invoice, models.CASCADE, related_name="mail", verbose_name=_("document"))
    claimed_at = models.DateTimeField(_("begun at"), null=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    recipients = models.JSONField(_("recipients"), default=list)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0, db_default=0)
    """That failed; after some of them (billing/invoices/mails.py) nobody tries again by himself."""
    next_at = models.DateTimeField(_("tried again at"), null=True)
    failure = models.CharField(_("failure"), max_length=300, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("mail of a document")
        verbose_name_plural = _("mails of documents")
        indexes = (models.Index(fields=("id",), condition=models.Q(sent_at=None), name="billing_mail_unsent"),)

    def __str__(self) -> str:
        return f"{self.invoice_id}"
