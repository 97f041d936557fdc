"""A frozen document as people read it: every text and amount in one language, in the order of the page.

The PDF and the portal's page are both made of it, so that they cannot say different things.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from django.utils import translation
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from billing import amounts
from billing.invoices import debts, taxes
from billing.invoices.counts import FEE, ROUNDING, WRITTEN_OFF
from billing.invoices.rounding import to_minor
from billing.invoices.snapshots import CARRIED, CORRECTED
from billing.kinds import KINDS
from billing.models import CreditNote, LedgerEntry
from billing.money import MINOR_PLACES

_KINDS: Final = {kind.name: kind for kind in KINDS}
Document = Mapping[str, Any]
Sheet = dict[str, Any]


def minor_text(minor: int, currency: str) -> str:
    """Minor units as a localised number; without the currency."""
    places = MINOR_PLACES[currency]
    return number_format(Decimal(minor).scaleb(-places), places, use_l10n=True, force_grouping=True)


def minor_amount(minor: int, currency: str) -> str:
    """The same with its currency, on one line."""
    return f"{minor_text(minor, currency)}\N{NO-BREAK SPACE}{currency}"


def sheet(document: Document, language: str | None = None) -> Sheet:
    """Everything that the document's page shows, as texts in this language (its own if none is given)."""
    with translation.override(language or document["language"]):
        return {
            "language": language or document["language"],
            "title": _title(document),
            "number": document["number"] or _("DRAFT"),
            "is_draft": not document["number"],
            "draft": _("DRAFT"),
            "date": document["issued_on"],
            "facts": _facts(document),
            "seller": _party(_("Seller"), document["seller"]),
            "buyer": _party(_("Customer"), document["buyer"]),
            "bank": document["seller"]["bank"] if document["kind"] == "invoice" and due(document) else "",
            "bank_title": _("Payment to"),
            "balance_title": _("Balance"),
            "balance": _balance(document),
            "lines_title": _lines_title(document),
            "heads": [_("Item"), _("Quantity"), _("Unit price"), _("Amount (%s)") % document["currency"]],
            "groups": _groups(document),
            "foot": _foot(document),
            "total": _total(document),
            "shares": _shares(document),
            "share_heads": [_("Requests"), _("Amount (%s)") % document["currency"]],
            "notes": _notes(document),
        }


def due(document: Document) -> int:
    """What an invoice leaves to be paid, in minor units."""
    return int(document.get("due", document["total"]))


def _lines_title(document: Document) -> str:
    return pgettext("lines of a credit note", "Credited") if document["kind"] == "credit_note" else _("Usage")


def _title(document: Document) -> str:
    titles = {"invoice": _("Invoice"), "statement": _("Statement of account"), "credit_note": _("Credit note")}
    return titles[document["kind"]]


def _facts(document: Document) -> list[list[str]]:
    period = document["period"]
    facts = [
        [_("Number"), document["number"] or _("DRAFT")],
        [_("Date"), day_text(document["issued_on"])],
        [_("Period"), f"{day_text(period['first_day'])} \N{EN DASH} {day_text(period['last_day'])}"],
        [capfirst(_("time zone")), period["time_zone"]],
    ]
    if of := document.get("credits"):
        facts.insert(2, [_("Corrects"), f"{of['number']}, {day_text(of['issued_on'])}"])
    return facts


def day_text(text: str) -> str:
    """A day, as documents keep it, for people who read the present language."""
    return date_format(dt.date.fromisoformat(text), pgettext("format of a document's date", "N j, Y"))


def _party(title: str, party: Mapping[str, str]) -> Sheet:
    lines = [line.strip() for line in party["address"].splitlines()]
    lines.append(party["country"])
    if party["tax_id"]:
        lines.append(_("Tax id: %s") % party["tax_id"])
    lines.append(party["email"])
    return {"title": title, "name": party["name"], "lines": [line for line in lines if line]}


def _balance(document: Document) -> list[list[str]]:
    """The statement's sum: opening, what was moved, what was used, closing."""
    balance, currency = document.get("balance"), document["currency"]
    if balance is None:
        return []
    kinds = dict(LedgerEntry.Kind.choices)
    rows = [[capfirst(str(kinds[row["kind"]])), row["amount"]] for row in balance["movements"]]
    rows = [[_("Opening balance"), balance["opening"]], *rows, [_("Usage"), -document["subtotal"]]]
    return [[str(label), minor_text(amount, currency)] for label, amount in rows] + [
        [_("Closing balance"), minor_amount(balance["closing"], currency)]
    ]


def _groups(document: Document) -> list[Sheet]:
    """The lines by model and price version, each with its sum; what belongs to no model comes last, by itself."""
    groups = []
    for (model, version), found in groupby(document["lines"], key=lambda line: (line["model"], line["version"])):
        lines = list(found)
        words, _space, number = (
            _("%(model)s · price version %(version)d") % {"model": model, "version": version}
        ).rpartition(" ")
        title = f"{words}\N{NO-BREAK SPACE}{number}"  # the number does not stand alone on a line
        groups.append(
            {
                "title": title if model else "",
                "sum": minor_text(sum(line["amount"] for line in lines), document["currency"]) if model else "",
                "rows": [_row(line, document) for line in lines],
            }
        )
    return groups


def _row(line: Mapping[str, Any], document: Document) -> list[str]:
    currency, label = document["currency"], kind_label(line["kind"])
    amount = minor_text(line["amount"], currency)
    if document["kind"] == "credit_note" and _is_part(line, currency):  # of which quantity and price say nothing
        return [_("%s, in part") % label, "", "", amount]
    if line["kind"] in {WRITTEN_OFF, CARRIED}:
        return [label, "", "", amount]
    quantity = number_format(line["quantity"], use_l10n=True, force_grouping=True)
    return [label, quantity, _price(line, currency), amount]


def _is_part(line: Mapping[str, Any], currency: str) -> bool:
    """Whether a credit note gives back less of the line than its whole, beyond what rounding makes."""
    return to_minor(line["exact"], currency) - int(line["amount"]) > 1


def kind_label(kind: str) -> str:
    """What a line's kind is called."""
    labels = {
        FEE: _("fee per request"),
        ROUNDING: _("rounding of single requests"),
        WRITTEN_OFF: _("not charged, the balance was used up"),
        CARRIED: _("carried over from the invoice before"),
        CORRECTED: _("requests that were corrected later"),
    }
    return capfirst(labels.get(kind) or _(_KINDS[kind].label))


def _price(line: Mapping[str, Any], currency: str) -> str:
    if line["kind"] in {ROUNDING, CORRECTED}:
        return ""
    if line["kind"] == FEE:
        return amounts.format_exact(line["rate"], currency, MINOR_PLACES[currency])
    if _KINDS[line["kind"]].unit != "tokens":
        return amounts.format_exact_millionths(line["rate"], currency, MINOR_PLACES[currency])
    price = amounts.format_exact(line["rate"], currency, MINOR_PLACES[currency])
    return pgettext("price per million tokens", "%s / 1M") % price


def _foot(document: Document) -> list[list[str]]:
    """The rows above what is in the end: none without tax, and where nothing was paid, owed or written off before."""
    return [*_beyond(document), *_taxes(document), *_before(document)]


def _beyond(document: Document) -> list[list[str]]:
    """Of a credit note's lines what is not given back, since the document came to less or others gave it back."""
    included = sum(tax["amount"] for tax in document["taxes"] if tax["is_inclusive"])
    beyond = document["subtotal"] - included - document["net"]
    if not beyond:
        return []
    return [[_("Beyond what is left of the document"), minor_text(-beyond, document["currency"])]]


def _taxes(document: Document) -> list[list[str]]:
    if not document["taxes"]:
        return []
    currency = document["currency"]
    is_less = any(tax["is_inclusive"] for tax in document["taxes"])  # than the lines above it come to
    rows = [[_("Subtotal without tax") if is_less else _("Subtotal"), minor_text(document["net"], currency)]]
    for tax in document["taxes"]:
        percent = number_format(Decimal(tax["percent"]))
        name = f"{tax['name']} {percent}\N{NO-BREAK SPACE}%"
        if tax["is_inclusive"]:
            name = _("%s, included in the prices") % name
        rows.append([name, minor_text(tax["amount"], currency)])
    return rows


def _before(document: Document) -> list[list[str]]:
    """What stands between the total and what is due: the wallet's money and its debts."""
    if "due" not in document:
        return []
    rows = [(_("Total"), document["total"])]
    rows += [(owed_label(row), row["amount"]) for row in document.get("owed", ())]
    if "from_wallet" in document:
        rows.append((_("Paid from the wallet"), -document["from_wallet"]))
    return [[label, minor_text(amount, document["currency"])] for label, amount in rows]


def owed_label(row: Mapping[str, Any]) -> str:
    """What left the wallet below zero, and when."""
    if row["kind"] == debts.BEFORE:
        return _("Owed from before")
    values = {"day": day_text(row["day"]), "paid_on": day_text(row.get("paid_on", row["day"]))}
    if row["kind"] == debts.DISPUTE:
        return _("Payment of %(paid_on)s, taken back by its bank on %(day)s") % values
    labels = {
        debts.REFUND: _("Refund of %(day)s") % values,
        debts.ENDED: _("Credit that ended on %(day)s") % values,
        debts.ADJUSTMENT: _("Adjustment of %(day)s") % values,
    }
    return ": ".join(filter(None, (labels[row["kind"]], row["note"])))


def _total(document: Document) -> list[str]:
    return [_total_label(document), minor_amount(due(document), document["currency"])]


def _total_label(document: Document) -> str:
    if "due" in document:
        return _("Amount due")
    labels = {"invoice": _("Total"), "statement": _("Used, paid from the wallet"), "credit_note": _("Total credited")}
    return labels[document["kind"]]


def _shares(document: Document) -> list[Sheet]:
    parts = ((_("By member"), "members", _("nobody who is known")), (_("By API key"), "keys", _("a deleted key")))
    return [
        {"title": title, "rows": list(_share_rows(document[name], document["currency"], unknown))}
        for title, name, unknown in parts
        if document.get(name)
    ]


def _share_rows(parts: Iterable[Mapping[str, Any]], currency: str, unknown: str) -> Iterable[list[str]]:
    for part in parts:
        requests = number_format(part["requests"], use_l10n=True, force_grouping=True)
        yield [part["name"] or capfirst(unknown), requests, minor_text(part["amount"], currency)]


def _notes(document: Document) -> list[str]:
    notes = [_note(note) for note in document["notes"]]
    if document["kind"] == "credit_note":
        notes.append(_("Reason: %s") % document["reason"])
        notes.append(capfirst(str(CreditNote.Effect(document["effect"]).label)) + ".")
    if document["kind"] == "statement":
        notes.append(standing(document))
    if document.get("due") and document.get("from_wallet") == document["subtotal"]:
        notes.append(_("The wallet has paid for the usage; it pays no taxes."))
    if document["kind"] == "invoice" and document.get("exact_carried"):
        carried = amounts.format_amount(document["exact_carried"], document["currency"])
        notes.append(_("Rounded once: %s are carried over to the next invoice.") % carried)
    return notes


def standing(document: Document) -> str:
    """Whether a statement leaves anything to be paid in."""
    closing, currency = document["balance"]["closing"], document["currency"]
    if closing < 0:
        return _("The wallet is below zero: %s are to be paid in.") % minor_amount(-closing, currency)
    if not document["lines"]:
        return _("Nothing was used, and nothing is to be paid.")
    return _("Nothing is to be paid. The usage was taken from the wallet when it arose.")


def _note(note: str) -> str:
    code, _colon, rest = note.partition(": ")
    if code == taxes.EXEMPT:
        return _("Exempt from tax, certificate %s.") % rest
    return _("Reverse charge: the recipient owes the tax.")
