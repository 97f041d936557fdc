"""Trial credits under everybody's hands at once, and those of a former version."""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
import threading
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from accounts.mailboxes import digest_of
from accounts.models import Tenant, User
from accounts.tenants import open_tenant
from billing import balances, trials
from billing.models import LedgerEntry, Trial, TrialPerson, TrialPlace
from billing.trials import State
from tests.bookkeeping import assert_books_add_up, default_database, race
from tests.databases import PostgresDatabases, SqliteDatabases

CREDIT = 5 * 10**9


@pytest.fixture
def network() -> str:
    """Another one for each test."""
    return f"test-{secrets.token_hex(6)}"


def signed_up(network: str, email: str = "") -> User:
    user = User.objects.create_user(email or f"{secrets.token_hex(6)}@example.com")
    trials.sign_up(open_tenant(owner=user, name="New Ltd"), user=user, network=network)
    return user


def confirm_together(users: list[User]) -> None:
    """Everybody confirms at the same moment, each in a thread."""
    turns, together = itertools.count(), threading.Barrier(len(users), timeout=20)

    def story(_books: object) -> None:
        user = users[next(turns)]
        together.wait()
        trials.confirm(user, user.email)

    race(story, len(users))


def pass_days(network: str, days: int) -> None:
    """The network's places were taken so much earlier."""
    TrialPlace.objects.filter(network=network).update(taken_at=timezone.now() - dt.timedelta(days=days))


def states(users: list[User]) -> list[str]:
    return sorted(Trial.objects.filter(user__in=users).values_list("state", flat=True))


def granted(users: list[User]) -> int:
    tenants = Tenant.objects.filter(members__user__in=users)
    return LedgerEntry.objects.filter(balance__tenant__in=tenants, amount=CREDIT).count()


def test_two_confirmations_of_one_person_at_once_bring_one_credit(database: str) -> None:
    name = secrets.token_hex(6)
    users = [signed_up(f"net-{name}-{number}", f"{name}+{number}@example.com") for number in range(8)]

    confirm_together(users)

    assert (states(users), granted(users)) == (["granted", *["repeated"] * 7], 1)
    assert_books_add_up()


def test_one_link_used_eight_times_at_once_brings_one_credit(database: str, network: str) -> None:
    user = signed_up(network)

    confirm_together([user] * 8)

    assert (states([user]), granted([user])) == (["granted"], 1)


def test_many_people_of_one_network_at_once_get_as_many_credits_as_it_has(database: str, network: str) -> None:
    users = [signed_up(network) for _each in range(8)]

    confirm_together(users)

    assert (states(users), granted(users)) == (["granted"] * 3 + ["queued"] * 5, 3)


def test_queue_served_by_many_at_once_gives_no_more_than_the_network_has(database: str, network: str) -> None:
    users = [signed_up(network) for _each in range(8)]
    for user in users:
        trials.confirm(user, user.email)
    pass_days(network, 1)

    race(lambda _books: trials.grant_queued(), 4)

    assert (states(users), granted(users)) == (["granted"] * 6 + ["queued"] * 2, 6)
    assert_books_add_up()


def test_crowd_of_one_network_does_not_stand_before_the_others(database: str, network: str) -> None:
    """Whose credits of today are given: its people wait for days."""
    crowd = Tenant.objects.bulk_create([Tenant(name=f"crowd {number}") for number in range(600)])
    Trial.objects.bulk_create([Trial(tenant=tenant, network=network, state=State.QUEUED) for tenant in crowd])
    places = [TrialPlace(network=network, number=number, taken_at=timezone.now()) for number in range(3)]
    TrialPlace.objects.bulk_create(places)
    user = signed_up(f"{network}-other")
    Trial.objects.filter(user=user).update(state=State.QUEUED)

    assert trials.grant_queued() == 1

    assert (states([user]), granted([user])) == (["granted"], 1)


def test_network_that_had_its_credits_a_day_ago_has_no_more_than_as_many_again(database: str, network: str) -> None:
    before = [signed_up(network) for _each in range(3)]
    confirm_together(before)
    pass_days(network, 1)
    users = [signed_up(network) for _each in range(8)]

    confirm_together(users)

    assert (states(before), states(users)) == (["granted"] * 3, ["granted"] * 3 + ["queued"] * 5)


def test_place_of_a_credit_that_was_not_granted_is_not_lost(database: str, network: str) -> None:
    users = [signed_up(network) for _each in range(4)]

    with transaction.atomic():
        assert trials.confirm(users[0], users[0].email) == State.GRANTED
        transaction.set_rollback(True)

    assert not TrialPlace.objects.filter(network=network).exists()
    assert [trials.confirm(user, user.email) for user in users] == [State.GRANTED] * 3 + [State.QUEUED]


def test_no_cache_is_asked_where_money_is_granted(database: str, network: str, settings: Settings) -> None:
    nobody = "redis://127.0.0.1:1/0"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": nobody}}
    user = signed_up(network)

    assert trials.confirm(user, user.email) == State.GRANTED


@pytest.fixture(params=["postgres_databases", "sqlite_databases"], ids=["postgresql", "sqlite"])
def former(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database of the version that knew no people, with a tenant that has had its credit."""
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(request.param)
    with default_database(databases.migrated(), django_db_blocker):
        trials.start(open_tenant(owner=User.objects.create_user("Dana@example.com"), name="Dana Ltd"))
        balances.open_wallet(open_tenant(owner=User.objects.create_user("erin@example.com"), name="Erin Ltd"))
        call_command("migrate", "billing", "0032_media_kinds", verbosity=0)
        yield


def test_people_of_the_former_version_have_had_their_credit(former: None) -> None:
    call_command("migrate", verbosity=0)

    assert list(TrialPerson.objects.values_list("digest", flat=True)) == [digest_of("dana@example.com")]
    assert [trial.state for trial in Trial.objects.all()] == [State.GRANTED]
    dana, again = User.objects.get(email="dana@example.com"), signed_up("elsewhere", "dana+2@example.com")
    assert trials.confirm(again, again.email) == State.REPEATED
    assert trials.confirm(dana, "dana@example.com") is None
