"""Mail of final documents, with the PDF, in the language of the document.

The row that asks for it was written with the number. Whoever claims it sends and then marks it: a process that dies in
between is followed by another one after a while, so that a mail may come twice, and never not at all. One that fails is
tried again later each time, after those that did not fail, and in the end left to an operator.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import Member
from billing import letters
from billing.invoices import pdf, sheets
from billing.models import BillingProfile, Invoice, InvoiceMail

log = logging.getLogger(__name__)

_CLAIM: Final = dt.timedelta(minutes=10)
"""Longer than a mail server is waited for."""
_AT_ONCE: Final = 100
MOST_TRIES: Final = 10
_FIRST_WAIT: Final = dt.timedelta(minutes=15)
_LONGEST_WAIT: Final = dt.timedelta(days=1)
"""Twice as long after each failure, up to this: ten tries take more than three days."""


def due(now: dt.datetime | None = None, tenant_id: int | None = None) -> list[tuple[int, int]]:
    """The ids, and their tenants', of the documents that wait to be mailed, new ones first; of one tenant or all."""
    rows = _unclaimed(now or timezone.now()).order_by("tries", "pk")
    rows = rows if tenant_id is None else rows.filter(invoice__tenant=tenant_id)
    return list(rows.values_list("invoice_id", "invoice__tenant_id")[:_AT_ONCE])


def send(invoice_id: int, now: dt.datetime | None = None) -> bool:
    """Whether it was mailed now; False if somebody else is about it. Raises what the mail server's refusal raises."""
    now = now or timezone.now()
    rows = InvoiceMail.objects.filter(invoice=invoice_id)
    if not _unclaimed(now).filter(invoice=invoice_id).update(claimed_at=now):
        return False
    invoice = Invoice.objects.select_related("tenant").get(pk=invoice_id)
    recipients = readers(invoice)
    try:
        if recipients and invoice.state != Invoice.State.VOID:
            message(invoice, recipients).send()
    except Exception as error:
        _put_off(rows, invoice, str(error) or type(error).__name__, now)
        raise
    rows.update(sent_at=timezone.now(), recipients=recipients, failure="")
    log.info("document %s was mailed to %d addresses", invoice.number, len(recipients))
    return True


def _put_off(rows: QuerySet[InvoiceMail], invoice: Invoice, failure: str, now: dt.datetime) -> None:
    """For a later run; after the last try for nobody."""
    tries = rows.get().tries + 1
    wait = min(_FIRST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT)
    rows.update(claimed_at=None, tries=tries, next_at=now + wait, failure=failure[:300])
    if tries >= MOST_TRIES:
        log.error("document %s could not be mailed in %d tries: %s", invoice.number, tries, failure)


def given_up() -> QuerySet[InvoiceMail]:
    """Those that nobody tries again unless an operator says so (`again`)."""
    return InvoiceMail.objects.filter(sent_at=None, tries__gte=MOST_TRIES)


def again(invoice_id: int) -> bool:
    """Lets a document be mailed at the next run, also one that was mailed or given up; False for one without mail."""
    rows = InvoiceMail.objects.filter(invoice=invoice_id)
    return bool(rows.update(claimed_at=None, sent_at=None, tries=0, next_at=None, failure=""))


def _unclaimed(now: dt.datetime) -> QuerySet[InvoiceMail]:
    """Neither sent nor being sent, and due for a try."""
    is_free = Q(claimed_at=None) | Q(claimed_at__lt=now - _CLAIM)
    is_due = Q(next_at=None) | Q(next_at__lte=now)
    return InvoiceMail.objects.filter(is_free, is_due, sent_at=None, tries__lt=MOST_TRIES)


def readers(invoice: Invoice) -> list[str]:
    """The address of the billing profile, else those of owners and billing members."""
    profile = BillingProfile.objects.filter(tenant=invoice.tenant).first()
    if profile is not None and profile.email:
        return [profile.email]
    roles = (Member.Role.OWNER, Member.Role.BILLING)
    return [user.email for user in letters.members(invoice.tenant, roles)]


def message(invoice: Invoice, recipients: list[str]) -> EmailMessage:
    """The mail about a document, which has its PDF with it."""
    document = invoice.document
    names = ("total", "from_wallet", "due")
    context: dict[str, Any] = {name: _amount(document, name) for name in names if name in document} | {
        "document": document,
        "is_due": sheets.due(document) > 0,
        "tenant": invoice.tenant,
        "site_url": settings.SITE_URL,
        "invoice": invoice,
    }
    with translation.override(document["language"]):
        context |= {name: sheets.day_text(document["period"][f"{name}_day"]) for name in ("first", "last")}
        if document["kind"] == Invoice.Kind.STATEMENT:
            context["standing"] = sheets.standing(document)
        subject = " ".join(render_to_string("mail/invoice_subject.txt", context).split())
        mail = EmailMessage(subject, render_to_string("mail/invoice.txt", context), None, recipients)
    mail.attach(f"{invoice.number}.pdf", pdf.render(document), "application/pdf")
    return mail


def _amount(document: Mapping[str, Any], name: str) -> str:
    return pdf.amount(document[name], document["currency"], document["language"])
