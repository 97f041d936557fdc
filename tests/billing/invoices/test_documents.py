"""What is made of a snapshot: the PDF, its texts, the table for machines, and the mail."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import struct
import time
import zlib
from typing import Any

import pytest
from django.core import mail
from django.utils import translation

from accounts.models import Member, Tenant, User
from billing import reconciliation
from billing.invoices import crediting, finalising, jobs, mails, pdf, sheets, tables
from billing.kinds import Usage
from billing.models import BillingProfile, CreditNote, Invoice, InvoiceMail, LedgerEntry, ParkedTenant
from tests.billing.invoices.customers import APRIL, CENT, Customer, customer, utc


def document_of(one: Customer, models: int = 3) -> dict[str, Any]:
    price = one.price
    for number in range(models):
        one.use(price(input=1_000_000_000 + number), Usage(input=4_321 + number, output=77))
    return one.final().document


def test_same_snapshot_gives_the_same_bytes_at_any_time(postpaid: Customer) -> None:
    document = document_of(postpaid)
    first = pdf.render(document)
    time.sleep(1.1)

    with translation.override("vi"):
        again = pdf.render(document)

    assert first.startswith(b"%PDF-")
    assert first == again


@pytest.mark.parametrize("language", ["en", "vi"])
def test_invoice_of_500_lines_takes_less_than_three_seconds(entity: object, language: str) -> None:
    document = document_of(customer(postpaid=True, language=language), models=5)
    line = document["lines"][0]
    document["lines"] = [line | {"model": f"model {number // 2}", "version": number} for number in range(500)]

    began = time.process_time()  # of this process: others may keep the machine busy
    drawn = pdf.render(document)

    assert time.process_time() - began < 3
    assert len(drawn) > 100_000


def test_texts_of_tenants_are_shown_and_never_read(entity: object) -> None:
    name = '#panic("read") $x$ *b* \\ <a> @b // #image("/etc/passwd") "quoted" #include "x.typ"'
    one = customer(postpaid=True, address=f"{name}\n= {name}", name=name)
    document = document_of(one)
    document["lines"][0] |= {"model": name}

    assert pdf.render(document).startswith(b"%PDF-")
    assert sheets.sheet(document)["buyer"]["lines"][0] == name


def test_page_says_everything_in_the_language_of_the_tenant(entity: object) -> None:
    one = customer(postpaid=True, language="vi")
    document = document_of(one, models=1)

    sheet = sheets.sheet(document)

    assert sheet["title"] == "Hóa đơn"
    assert sheet["total"][1] == "0,00\xa0USD"
    assert sheets.sheet(document, "en")["title"] == "Invoice"


def test_sheet_shows_lines_by_model_and_sums_that_add_up(postpaid: Customer) -> None:
    price = postpaid.price(model=f"m{postpaid.tenant.pk}", request_fee=3 * CENT)
    postpaid.use(price, Usage(input=2 * CENT, output=CENT // 2))

    sheet = sheets.sheet(postpaid.final().document, "en")

    assert sheet["groups"] == [
        {
            "title": f"m{postpaid.tenant.pk} · price version\N{NO-BREAK SPACE}1",
            "sum": "0.06",
            "rows": [
                ["Input", "20,000,000", "0.001 / 1M", "0.02"],
                ["Output", "5,000,000", "0.002 / 1M", "0.01"],
                ["Fee per request", "1", "0.03", "0.03"],
            ],
        }
    ]
    assert sheet["total"] == ["Total", "0.06\xa0USD"]


def test_statement_shows_its_balance(prepaid: Customer) -> None:
    prepaid.post(LedgerEntry.Kind.TOP_UP, 500 * CENT, utc(2026, 3, 2))
    prepaid.spend(123 * CENT)

    sheet = sheets.sheet(prepaid.final().document, "en")

    assert sheet["balance"] == [
        ["Opening balance", "0.00"], ["Top-up", "5.00"], ["Usage", "-1.23"], ["Closing balance", "3.77\xa0USD"]
    ]  # fmt: skip


def test_credit_note_is_drawn_and_names_what_it_corrects(prepaid: Customer) -> None:
    prepaid.spend(123 * CENT)
    statement = prepaid.final()
    note = crediting.credit(statement.pk, lines={0: 23}, effect=CreditNote.Effect.WALLET, reason="an outage")

    sheet = sheets.sheet(note.document, "en")

    assert (sheet["title"], sheet["total"]) == ("Credit note", ["Total credited", "0.23\xa0USD"])
    assert any(str(statement.number) in fact[1] for fact in sheet["facts"])
    assert "Reason: an outage" in sheet["notes"]
    assert pdf.render(note.document).startswith(b"%PDF-")


def test_note_shows_what_it_gives_back_of_lines_and_why_it_is_less_than_they_are(prepaid: Customer) -> None:
    prepaid.use(prepaid.price(model="m"), Usage(input=100 * CENT), cost=60 * CENT, claimed_cost=100 * CENT)
    prepaid.spend(20 * CENT)
    statement = prepaid.final()
    part = crediting.credit(statement.pk, lines={0: 30}, effect=CreditNote.Effect.WALLET, reason="an outage")
    rest = crediting.credit(statement.pk, lines={0: 70, 1: 20}, effect=CreditNote.Effect.WALLET, reason="all of it")

    first, last = (sheets.sheet(note.document, "en") for note in (part, rest))

    assert (first["groups"][0]["rows"], first["foot"]) == ([["Input, in part", "", "", "0.30"]], [])
    assert [group["rows"] for group in last["groups"]] == [
        [["Input, in part", "", "", "0.70"]], [["Input", "200,000,000", "0.001 / 1M", "0.20"]]
    ]  # fmt: skip
    assert last["foot"] == [["Beyond what is left of the document", "-0.40"]]
    assert last["total"] == ["Total credited", "0.50\xa0USD"]


def test_document_with_nothing_to_pay_names_no_account(postpaid: Customer) -> None:
    document = document_of(postpaid, models=1)
    document["seller"] |= {"bank": "First Bank\n1023456789"}

    assert sheets.sheet(document | {"total": 1})["bank"]
    assert not sheets.sheet(document | {"total": 0})["bank"]
    assert not sheets.sheet(document | {"total": 1, "from_wallet": 1, "due": 0})["bank"]


def test_statement_of_a_month_without_usage_says_so(prepaid: Customer) -> None:
    prepaid.post(LedgerEntry.Kind.TOP_UP, 500 * CENT, utc(2026, 3, 2))

    assert sheets.sheet(prepaid.final().document, "en")["notes"] == ["Nothing was used, and nothing is to be paid."]


def test_long_words_stay_inside_of_the_page(postpaid: Customer) -> None:
    document = document_of(postpaid, models=1)
    word = "n" * 200
    document["buyer"] |= {"name": word, "email": f"{word}@example.com"}
    document["lines"][0] |= {"model": word}
    document["keys"] = [{"name": word, "requests": 1, "amount": 1}]

    (page,) = pdf.pages(document, resolution=24)

    assert is_white(page, right_of=0.92)


def is_white(png: bytes, *, right_of: float) -> bool:
    """Whether nothing is drawn in the part of the page's width that begins there."""
    width, height = struct.unpack(">2I", png[16:24])
    data, at = b"", 8
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    raw = zlib.decompress(data)
    step = (len(raw) // height - 1) // width
    rows, above = [], bytearray(width * step)
    for start in range(0, len(raw), width * step + 1):
        above = _unfiltered(raw[start], raw[start + 1 : start + 1 + width * step], above, step)
        rows.append(above)
    return all(set(row[int(width * right_of) * step :]) == {255} for row in rows)


def _unfiltered(kind: int, line: bytes, above: bytearray, step: int) -> bytearray:
    """A line of pixels from what the PNG says of it (PNG specification, 9.2)."""
    found = bytearray(line)
    for place, byte in enumerate(line):
        left = found[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        nearest = min((left, above[place], corner), key=lambda one: abs(left + above[place] - corner - one))
        found[place] = byte + (0, left, above[place], (left + above[place]) // 2, nearest)[kind] & 255
    return found


def test_table_for_machines_has_integers_and_no_formulas(postpaid: Customer) -> None:
    postpaid.use(postpaid.price(model=f"=cmd|' /C calc'!A0,{postpaid.tenant.pk}"), Usage(input=CENT + 1))
    document = postpaid.final().document

    rows = list(csv.DictReader(io.StringIO(tables.lines_csv(document))))

    assert [(row["exact"], row["amount"], row["currency"]) for row in rows] == [(str(CENT + 1), "1", "USD")]
    assert rows[0]["model"].startswith("'=cmd")
    assert sum(int(row["amount"]) for row in rows) == document["subtotal"]


# --- mail ------------------------------------------------------------------------------------------------------------


def test_document_is_mailed_once_with_its_pdf(entity: object) -> None:
    one = customer(postpaid=True, email="books@example.com", language="vi")
    one.spend(CENT)
    invoice = one.final()

    assert mails.send(invoice.pk, APRIL)
    assert not mails.send(invoice.pk, APRIL)

    (sent,) = mail.outbox
    assert sent.to == ["books@example.com"]
    assert str(invoice.number) in sent.subject
    ((name, content, kind),) = sent.attachments
    assert (name, kind) == (f"{invoice.number}.pdf", "application/pdf")
    assert content == pdf.render(invoice.document)
    assert InvoiceMail.objects.get(invoice=invoice).recipients == ["books@example.com"]


def written(one: Customer, **changed: Any) -> str:
    """The mail about the customer's document, on one line; without its link."""
    invoice = one.final()
    invoice.snapshot = json.dumps(invoice.document | changed)
    return " ".join(str(mails.message(invoice, ["a@example.com"]).body).split()[:-1])


def test_mail_of_an_invoice_says_what_is_due(postpaid: Customer) -> None:
    postpaid.spend(123 * CENT)

    assert written(postpaid).endswith("of what was used from March 1, 2026 to March 31, 2026: 1.23 USD. It is due.")


def test_mail_of_an_invoice_that_the_wallet_paid_says_so(postpaid: Customer) -> None:
    postpaid.spend(123 * CENT)

    text = written(postpaid, from_wallet=123, due=0)

    assert text.endswith("1.23 USD. It was paid from the wallet; nothing is due.")


def test_mail_of_a_statement_says_whether_anything_is_to_be_paid(prepaid: Customer) -> None:
    prepaid.spend(123 * CENT)

    assert written(prepaid).endswith("1.23 USD was used. The wallet is below zero: 1.23 USD are to be paid in.")


def test_without_an_address_owners_and_billing_members_get_it(postpaid: Customer) -> None:
    people = {
        role: User.objects.create_user(f"{role}{postpaid.tenant.pk}@example.com")
        for role in ("owner", "billing", "developer")
    }
    for role, user in people.items():
        Member.objects.create(tenant=postpaid.tenant, user=user, role=role)
    postpaid.spend(CENT)
    invoice = postpaid.final()

    mails.send(invoice.pk, APRIL)

    assert mail.outbox[0].to == [people["owner"].email, people["billing"].email]


def test_mail_that_a_dead_process_claimed_is_sent_after_a_while(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice = postpaid.final()
    InvoiceMail.objects.filter(invoice=invoice).update(claimed_at=APRIL)

    assert not mails.send(invoice.pk, APRIL.replace(minute=9))
    assert (invoice.pk, postpaid.tenant.pk) not in mails.due(APRIL.replace(minute=9))
    assert (invoice.pk, postpaid.tenant.pk) in mails.due(APRIL.replace(minute=11))


def test_mail_that_the_server_refuses_stays_due(postpaid: Customer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    User.objects.create_user(f"o{postpaid.tenant.pk}@example.com")
    Member.objects.create(
        tenant=postpaid.tenant, user=User.objects.get(email=f"o{postpaid.tenant.pk}@example.com"), role="owner"
    )
    postpaid.spend(CENT)
    invoice = postpaid.final()

    with pytest.raises(OSError, match="refused"):
        mails.send(invoice.pk, APRIL)

    row = InvoiceMail.objects.get(invoice=invoice)
    assert (row.claimed_at, row.sent_at) == (None, None)


@pytest.fixture
def refused(postpaid: Customer, settings: Any) -> Invoice:
    """A document to an address whose server takes nothing."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    BillingProfile.objects.filter(tenant=postpaid.tenant).update(email="gone@example.com")
    postpaid.spend(CENT)
    return postpaid.final()


def waits(invoice: Invoice, tenant: Tenant, at: dt.datetime) -> bool:
    return mails.due(at, tenant.pk) == [(invoice.pk, tenant.pk)]


def test_mail_that_fails_is_tried_later_each_time_and_in_the_end_by_nobody(
    refused: Invoice, postpaid: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    tenant, moment, pauses = postpaid.tenant, APRIL, []
    for _try in range(mails.MOST_TRIES):
        assert waits(refused, tenant, moment)
        assert not jobs.of_wallet(postpaid.wallet.pk, moment)
        row = InvoiceMail.objects.get(invoice=refused)
        assert row.next_at is not None
        assert not waits(refused, tenant, row.next_at - dt.timedelta(seconds=1))
        pauses.append((row.next_at - moment) / dt.timedelta(minutes=15))
        moment = row.next_at

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 96, 96, 96]
    assert not waits(refused, tenant, moment + dt.timedelta(days=99))
    assert (row.sent_at, row.tries, "refused" in row.failure) == (None, 10, True)
    assert list(mails.given_up().filter(invoice__tenant=tenant)) == [row]
    assert sum("could not be mailed" in each.message for each in caplog.records) == 1
    assert ParkedTenant.objects.get(tenant=tenant).step == "mail"
    assert not mails.send(refused.pk, moment)


def test_mail_that_was_given_up_is_sent_again_if_somebody_says_so(refused: Invoice, settings: Any) -> None:
    InvoiceMail.objects.filter(invoice=refused).update(tries=10, next_at=APRIL, failure="no such mailbox")
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

    assert mails.again(refused.pk)

    assert mails.send(refused.pk, APRIL)
    row = InvoiceMail.objects.get(invoice=refused)
    assert (row.sent_at is None, row.tries, row.failure, row.recipients) == (False, 0, "", ["gone@example.com"])
    assert [message.to for message in mail.outbox] == [["gone@example.com"]]


def test_mail_that_failed_waits_behind_new_ones(refused: Invoice, entity: object) -> None:
    InvoiceMail.objects.filter(invoice=refused).update(tries=1)
    other = customer(postpaid=True)
    other.spend(CENT)
    new = other.final()

    waiting = [invoice_id for invoice_id, _tenant in mails.due(APRIL)]

    assert waiting.index(new.pk) < waiting.index(refused.pk)


def test_voided_document_is_not_mailed(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice = postpaid.final()
    finalising.void(invoice.pk, reason="wrong", now=APRIL)

    mails.send(invoice.pk, APRIL)

    assert mail.outbox == []
    assert InvoiceMail.objects.get(invoice=invoice).sent_at is not None


# --- one after another -----------------------------------------------------------------------------------------------


def _breaks(of: Customer) -> list[tuple[str, int, int]]:
    found = (each for result in reconciliation.compared() for each in result.findings)
    return [(each.subject, each.expected, each.found) for each in found if each.tenant_id == of.tenant.pk]


def _two_months(one: Customer) -> tuple[Invoice, Invoice]:
    """Final: one of March, one of June; in April something is paid in, in May nothing happens."""
    one.spend(CENT)
    first = one.final()
    one.post(LedgerEntry.Kind.TOP_UP, 5 * CENT, utc(2026, 4, 9))
    one.spend(2 * CENT, at=utc(2026, 6, 5))
    one.close(utc(2026, 7, 5))
    return first, Invoice.objects.filter(tenant=one.tenant).latest("pk")


def test_document_begins_where_the_one_before_it_ends(postpaid: Customer) -> None:
    first, draft = _two_months(postpaid)
    last = finalising.finalise(draft.pk, utc(2026, 7, 5))

    assert last.opening == first.closing + 5 * CENT
    assert _breaks(postpaid) == []


def test_document_that_begins_elsewhere_is_found(postpaid: Customer) -> None:
    first, draft = _two_months(postpaid)
    Invoice.objects.filter(pk=draft.pk).update(opening=draft.opening + 3, closing=draft.closing + 3)
    assert _breaks(postpaid) == []  # a draft may be made anew

    last = finalising.finalise(draft.pk, utc(2026, 7, 5))

    expected = first.closing + 5 * CENT
    assert _breaks(postpaid) == [(f"document {last.number}: opening balance", expected, expected + 3)]


def test_usage_that_comes_up_in_a_closed_month_is_found(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    invoice = postpaid.final()
    assert _breaks(postpaid) == []

    postpaid.spend(7, at=utc(2026, 3, 31, 23, 59))

    assert _breaks(postpaid) == [
        (f"document {invoice.number}: used", CENT + 7, CENT),
        (f"document {invoice.number}: closing balance", invoice.closing - 7, invoice.closing),
    ]
