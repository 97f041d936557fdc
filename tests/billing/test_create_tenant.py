"""`manage.py create_tenant` and `manage.py issue_key`."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from billing.models import Balance, LedgerEntry


def _run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


def test_tenant_has_an_owner_and_its_credit(db: None) -> None:
    _run("create_tenant", "Example Ltd", "--owner", "owner@example.com", "--credit", "25")

    member = Member.objects.get()
    assert (member.tenant.name, member.user.email, member.role) == ("Example Ltd", "owner@example.com", "owner")
    assert not member.user.has_usable_password()
    assert Balance.objects.get().available == 25_000_000_000
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.note) == (LedgerEntry.Kind.GRANT, "")


def test_wallet_is_opened_also_without_credit(db: None) -> None:
    _run("create_tenant", "Example Ltd", "--owner", "owner@example.com", "--currency", "VND")

    assert list(Balance.objects.values_list("available", "currency")) == [(0, "VND")]
    assert not LedgerEntry.objects.exists()


def test_owner_who_is_known_already_is_not_made_again(charlie: User) -> None:
    _run("create_tenant", "Second Ltd", "--owner", "Charlie@Example.com")

    assert Member.objects.get(tenant__name="Second Ltd").user == charlie


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--owner", "nobody"), id="no address"),
        pytest.param(("--owner", "owner@example.com", "--credit", "-1"), id="negative"),
        pytest.param(("--owner", "owner@example.com", "--credit", "Infinity"), id="infinite"),
        pytest.param(("--owner", "owner@example.com", "--credit", "0.0000000001"), id="too fine"),
        pytest.param(("--owner", "owner@example.com", "--credit", "0.5", "--currency", "VND"), id="half a dong"),
    ],
)
def test_refused_tenant_leaves_nothing(db: None, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        _run("create_tenant", "Example Ltd", *words)

    assert (Tenant.objects.count(), User.objects.count()) == (0, 0)


def test_issued_key_is_printed_once_and_works(tenant: Tenant) -> None:
    secret = _run("issue_key", tenant.name, "--requests-per-minute", "60")

    key = ApiKey.objects.get()
    assert keys.is_well_formed(secret)
    assert (key.tenant, key.digest, key.requests_per_minute) == (tenant, keys.digest(secret), 60)


def test_key_of_an_unknown_tenant_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="no tenant"):
        _run("issue_key", "Nobody Ltd")


def test_tenants_of_one_name_are_told_apart_by_id(tenant: Tenant, stranger_tenant: Tenant) -> None:
    Tenant.objects.update(name="Same Ltd")

    with pytest.raises(CommandError, match="several tenants"):
        _run("issue_key", "Same Ltd")
    _run("issue_key", str(stranger_tenant.pk))

    assert ApiKey.objects.get().tenant == stranger_tenant
