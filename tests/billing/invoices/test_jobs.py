"""The month's work for everybody: one run a slot, one bad tenant keeps nobody waiting, and a killed run goes on."""

from __future__ import annotations

import datetime as dt
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts.models import Tenant
from billing import jobs as slots
from billing.invoices import jobs
from billing.models import (
    Invoice,
    InvoiceMail,
    JobRun,
    NumberSeries,
    ParkedTenant,
)
from tests.billing.invoices.customers import APRIL, CENT, Customer, customer, utc
from tests.bookkeeping import race

EVERY = dt.timedelta(minutes=15)


def test_of_two_beats_one_runs_a_slot(database: str) -> None:
    ran: list[int] = []

    race(lambda _books: slots.run_once("race", EVERY, lambda: ran.append(1), APRIL), 6)

    assert ran == [1]
    assert JobRun.objects.get(name="race").finished_at is not None


def test_next_slot_runs_again_and_keeps_its_outcome(database: str) -> None:
    first = slots.run_once("again", EVERY, lambda: "one", APRIL)
    same = slots.run_once("again", EVERY, lambda: "two", APRIL + EVERY - dt.timedelta(seconds=1))
    later = slots.run_once("again", EVERY, lambda: "three", APRIL + EVERY)

    assert first is not None
    assert later is not None
    assert (first.outcome, same, later.outcome) == ("one", None, "three")


def test_failure_is_the_outcome_of_its_slot(database: str) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        slots.run_once("failing", EVERY, fail, APRIL)

    assert JobRun.objects.get(name="failing").outcome == "failed: no luck"


def test_runs_are_forgotten_after_a_month(database: str) -> None:
    slots.run_once("old", EVERY, str, APRIL)
    slots.run_once("old", EVERY, str, APRIL + dt.timedelta(days=31))

    assert JobRun.objects.filter(name="old").count() == 1


def test_tenant_that_fails_is_parked_the_others_go_on_and_the_next_good_run_unparks_it(postpaid: Customer) -> None:
    bad = customer(postpaid=True)
    for one in (bad, postpaid):
        one.spend(CENT)
    Tenant.objects.filter(pk=bad.tenant.pk).update(time_zone="Nowhere/City")

    jobs.everything(APRIL)

    parked = ParkedTenant.objects.get(tenant=bad.tenant)
    assert (parked.step, parked.attempts) == ("close", 1)
    assert "Nowhere" in parked.reason
    assert Invoice.objects.get(tenant=postpaid.tenant).state == "final"
    jobs.everything(APRIL)
    assert ParkedTenant.objects.get(tenant=bad.tenant).attempts == 2

    Tenant.objects.filter(pk=bad.tenant.pk).update(time_zone="UTC")
    jobs.everything(APRIL)

    assert not ParkedTenant.objects.filter(tenant=bad.tenant).exists()
    assert Invoice.objects.get(tenant=bad.tenant).state == "final"


def test_run_does_all_of_it_once(postpaid: Customer) -> None:
    postpaid.spend(CENT)

    first = jobs.run(APRIL + dt.timedelta(days=2))
    again = jobs.run(APRIL + dt.timedelta(days=2))

    assert first is not None
    assert again is None
    invoice = Invoice.objects.get(tenant=postpaid.tenant)
    assert (invoice.state, invoice.mail.sent_at is None) == ("final", False)


def test_two_runs_at_once_do_everything_once(postpaid: Customer) -> None:
    others = [postpaid, *(customer(postpaid=True) for _number in range(3))]
    for one in others:
        one.spend(7 * CENT)

    race(lambda _books: jobs.everything(APRIL), 4)

    tenants = [one.tenant for one in others]
    assert Invoice.objects.filter(tenant__in=tenants, state="final").count() == 4
    assert Invoice.objects.filter(tenant__in=tenants).count() == 4
    series = NumberSeries.objects.get(
        entity=Invoice.objects.filter(tenant=postpaid.tenant).get().entity_id, tenant=None
    )
    assert series.last == 4


# --- a task for each tenant ------------------------------------------------------------------------------------------


def test_workers_are_handed_one_wallet_each_once_a_slot(postpaid: Customer) -> None:
    other = customer()
    handed: list[int] = []
    slot = APRIL + dt.timedelta(days=3)

    first = jobs.spread(handed.append, slot)
    again = jobs.spread(handed.append, slot)

    assert first is not None
    assert again is None
    assert {postpaid.wallet.pk, other.wallet.pk} <= set(handed)
    assert len(handed) == len(set(handed)) == int(first.outcome.split()[0])


def test_wallets_are_handed_out_once_the_slot_is_committed(postpaid: Customer) -> None:
    handed: list[int] = []

    with transaction.atomic():
        jobs.spread(handed.append, APRIL + dt.timedelta(days=4))
        assert handed == []

    assert postpaid.wallet.pk in handed


def test_wallets_work_is_its_own_and_the_second_time_without_effect(postpaid: Customer) -> None:
    other = customer(postpaid=True)
    for one in (postpaid, other):
        one.spend(CENT)

    assert jobs.of_wallet(postpaid.wallet.pk, APRIL)
    (invoice,) = Invoice.objects.filter(tenant=postpaid.tenant)
    assert (invoice.state, invoice.mail.sent_at is None) == ("final", False)
    before = InvoiceMail.objects.values().get(invoice=invoice)

    assert jobs.of_wallet(postpaid.wallet.pk, APRIL)

    assert list(Invoice.objects.filter(tenant=postpaid.tenant)) == [invoice]
    assert InvoiceMail.objects.values().get(invoice=invoice) == before
    assert not Invoice.objects.filter(tenant=other.tenant).exists()


def test_wallet_that_fails_is_parked_and_its_next_good_run_unparks_it(postpaid: Customer) -> None:
    postpaid.spend(CENT)
    Tenant.objects.filter(pk=postpaid.tenant.pk).update(time_zone="Nowhere/City")

    assert not jobs.of_wallet(postpaid.wallet.pk, APRIL)
    assert ParkedTenant.objects.get(tenant=postpaid.tenant).step == "close"
    assert not Invoice.objects.filter(tenant=postpaid.tenant).exists()

    Tenant.objects.filter(pk=postpaid.tenant.pk).update(time_zone="UTC")
    assert jobs.of_wallet(postpaid.wallet.pk, APRIL)
    assert not ParkedTenant.objects.filter(tenant=postpaid.tenant).exists()
    assert Invoice.objects.get(tenant=postpaid.tenant).state == "final"


def test_wallets_threshold_is_its_own_tenants(postpaid: Customer) -> None:
    other = customer(postpaid=True, threshold=CENT)
    now = utc(2026, 3, 20)
    for one in (postpaid, other):
        one.spend(5 * CENT)
        jobs.of_wallet(one.wallet.pk, now)

    assert not Invoice.objects.filter(tenant=postpaid.tenant).exists()
    assert Invoice.objects.get(tenant=other.tenant).period.cut == "threshold"


# --- commands --------------------------------------------------------------------------------------------------------


def command(*words: str) -> str:
    out = StringIO()
    call_command("invoices", *words, stdout=out)
    return out.getvalue()


def test_commands_close_finalise_show_and_render(postpaid: Customer, tmp_path: Path) -> None:
    postpaid.spend(CENT)
    assert "documents drafted" in command("close")
    assert "documents are final" in command("finalise")
    invoice = Invoice.objects.get(tenant=postpaid.tenant)
    assert f"{invoice.number}\tinvoice\tfinal\t2026-03" in command("show")

    said = command("render", str(invoice.number), str(tmp_path / "one.pdf"))

    assert invoice.snapshot_hash in said
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF-")


def test_commands_fail_where_a_tenant_is_parked_or_nothing_is_meant(postpaid: Customer, tmp_path: Path) -> None:
    Tenant.objects.filter(pk=postpaid.tenant.pk).update(time_zone="Nowhere/City")

    with pytest.raises(CommandError, match="1 are parked"):
        command("close")
    assert f"parked: {postpaid.tenant}, close" in command("show")
    with pytest.raises(CommandError, match="which document"):
        command("render")
    with pytest.raises(CommandError, match="no document"):
        command("render", "X-1", str(tmp_path / "one.pdf"))
    ParkedTenant.objects.all().delete()
    Tenant.objects.filter(pk=postpaid.tenant.pk).update(time_zone="UTC")
