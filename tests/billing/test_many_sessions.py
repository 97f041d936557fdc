"""The balances of sessions stay for ever, and nothing that is asked often reads those that have ended."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from billing import balances, notices, quotas, statements
from billing.legs import legs_of_key
from billing.models import Balance, Quota
from tests.bookkeeping import default_database
from tests.databases import PostgresDatabases
from tests.pages import Browser

SESSIONS = 100_000
FEW = 50
"""Rows of balances that one statement may look at."""
DOLLAR = 10**9

_FILL = """
INSERT INTO billing_balance (tenant_id, kind, quota_id, session, currency, available, credit_line, starts_at, ends_at,
    created_at)
SELECT %s, 'quota', %s, md5(n::text), 'USD', n, 1000000000, now() - interval '200 days', now() - interval '170 days',
    now() - interval '200 days'
FROM generate_series(1, %s) AS n
"""


@dataclass(frozen=True, slots=True)
class Old:
    """A tenant whose agents have run so often."""

    tenant: Tenant
    owner: User
    operator: User
    api_key: ApiKey
    per_session: Quota
    per_day: Quota


@pytest.fixture(scope="module")
def old(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[Old]:
    with default_database(postgres_databases.migrated(), django_db_blocker), override_settings(ALLOWED_HOSTS=["*"]):
        tenant = Tenant.objects.create(name="Agents Ltd")
        owner = User.objects.create_user("owner@example.com")
        Member.objects.create(tenant=tenant, user=owner, role=Member.Role.OWNER)
        api_key = keys.issue(tenant=tenant, name="agent", created_by=owner).api_key
        balances.open_wallet(tenant)
        per_session = quotas.grant(tenant, amount=DOLLAR, period="session", api_key=api_key)
        per_day = quotas.grant(tenant, amount=DOLLAR, period="day")
        with connection.cursor() as cursor:
            cursor.execute(_FILL, [tenant.pk, per_session.pk, SESSIONS])
            quotas.balance_of(per_day, timezone.now() - dt.timedelta(days=1))
            quotas.balance_of(per_day, timezone.now())
            cursor.execute("VACUUM ANALYZE billing_balance")
        operator = User.objects.create_superuser("operator@example.com")
        yield Old(tenant, owner, operator, api_key, per_session, per_day)


def portal(name: str, *of: str) -> Callable[[Old], Any]:
    """A page of the portal, opened by the owner."""
    return lambda old: Browser(old.owner).open(reverse(name, args=[getattr(old, each).pk for each in of]))


def admin(name: str, of: str) -> Callable[[Old], Any]:
    return lambda old: Browser(old.operator).open(reverse(name, args=[getattr(old, of).pk]))


ASKED: dict[str, Callable[[Old], Any]] = {
    "portal: overview": portal("portal:overview"),
    "portal: quotas": portal("portal:quotas"),
    "portal: quota of a day": portal("portal:quota", "per_day"),
    "portal: quota per session": portal("portal:quota", "per_session"),
    "portal: key": portal("portal:key", "api_key"),
    "administration: key": admin("admin:accounts_apikey_change", "api_key"),
    "administration: quota": admin("admin:billing_quota_change", "per_session"),
    "GET /v1/key": lambda old: statements.of_key(
        old.api_key.pk, legs_of_key(old.api_key).ids, legs_of_key(old.api_key).session_quotas
    ),
    "legs of a request": lambda old: legs_of_key(old.api_key),
    "session that goes on": lambda old: quotas.session_limit(old.per_session, "c4ca4238a0b923820dcc509a6f75849b"),
    "session that begins": lambda old: quotas.session_limit(old.per_session, "0" * 40),
    "poll for notices": lambda _old: notices.send(),
    "quota is changed": lambda old: quotas.change(old.per_session, amount=DOLLAR, is_hard=True),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_nothing_that_is_asked_often_reads_the_sessions_that_have_ended(old: Old, ask: Callable[[Old], Any]) -> None:
    with CaptureQueriesContext(connection) as captured:
        answer = ask(old)

    assert getattr(answer, "status", 200) == 200
    statements_ = [each["sql"] for each in captured.captured_queries if "billing_balance" in each["sql"]]
    reading = [sql for sql in statements_ if sql.startswith("SELECT")]
    assert {sql: read for sql in reading if (read := rows_read(sql)) > FEW} == {}


def rows_read(sql: str) -> int:
    """Of the table of balances, as PostgreSQL counts them when it does it once more."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("%", "%%"), [])
        (answer,) = cursor.fetchone()
    plan = answer if isinstance(answer, list) else json.loads(answer)
    return _read(plan[0]["Plan"])


def _read(node: dict[str, Any]) -> int:
    own = 0
    if node.get("Relation Name") == "billing_balance":
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        own = int((node["Actual Rows"] + removed) * node["Actual Loops"])
    return own + sum(_read(each) for each in node.get("Plans", ()))


def test_a_scan_is_seen(old: Old) -> None:
    """What the other tests rest on."""
    assert rows_read("SELECT count(*) FROM billing_balance WHERE available = -1") >= SESSIONS
    assert Balance.objects.filter(quota=old.per_session).count() >= SESSIONS
