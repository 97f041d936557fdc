"""A month of usage records, and what pages ask of it. Imported where Django is set up."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import keys
from accounts.models import Tenant, User
from billing import balances, ledger, reconciliation, reports, rollups, spending
from billing.books import Books, Hold, Settlement, open_books
from billing.invoices import jobs as invoices
from billing.kinds import Usage
from billing.models import Balance, LedgerEntry, LegalEntity, Price
from billing.reports import Filter
from billing.reservations import new_id, timestamp

_BATCH: Final = 16
_BATCHES: Final = 40
_OWNER: Final = "0" * 32
_KEYS: Final = 5
_MODELS: Final = 4

_ATTEMPTS: Final = [{"channel": "channel", "upstream_model": "upstream", "outcome": "answered", "status": 200}]
_DECISION: Final = {
    "strategy": "cheapest",
    "expected": {"input": 900, "cached_input": 0, "output": 200},
    "candidates": [],
}
_FILL = """
INSERT INTO billing_usagerecord (
    id, tenant_id, legs, api_key_id, endpoint, requested_model, model, price_id, currency, outcome, status, error_code,
    is_stream, usage_source, cost, held, claimed_cost, provider_cost, provider_currency, channel, upstream_model,
    attempts, decision, started_at, first_byte_ms, duration_ms, settled_at, input_tokens, cached_input_tokens,
    cache_write_tokens, cache_write_1h_tokens, input_audio_tokens, output_tokens, reasoning_tokens, output_audio_tokens,
    output_image_tokens, images, seconds, characters)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
        || '8' || substr(md5(random()::text), 1, 15))::uuid, t, ('[' || t + %s || ']')::jsonb, t * 10 + n %% {keys},
    'chat.completions',
    'm-' || n %% {models}, 'm-' || n %% {models}, 1, 'USD',
    'success', 200, '', n %% 2 = 0, 'upstream', c, c * 3, c, c / 2, 'USD', 'channel-' || n %% 3, 'upstream',
    %s, %s,
    at, 300, 900, at + interval '1 second', 900, 100, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0
FROM (
    SELECT n, CASE WHEN random() < %s THEN %s ELSE %s + 1 + (random() * (%s - 2))::int END AS t,
        (random() * 1000000)::bigint AS c, %s::timestamptz + random() * interval '1 day' AS at
    FROM generate_series(1, %s) AS n
) AS drawn
"""


_PAY = """
UPDATE billing_balance b SET available = available - used.cost
FROM (SELECT tenant_id, sum(cost) AS cost FROM billing_usagerecord GROUP BY 1) AS used
WHERE b.tenant_id = used.tenant_id AND b.kind = 'wallet'
"""
_ENTRIES_EACH: Final = 500
_ENTRIES = """
INSERT INTO billing_ledgerentry (balance_id, kind, amount, contra, reference, note, created_at)
SELECT b.id, 'top_up', 1, 'cash', 'bench:' || b.id || ':' || n, '', %s + n * interval '80 minutes'
FROM billing_balance b, generate_series(1, %s) AS n WHERE b.kind = 'wallet'
"""


class Month:
    """Tenants with their keys, the first of them the large one; records come day by day, as they do."""

    def __init__(self, tenants: int, days: int) -> None:
        owner = User.objects.create_user("bench@example.com")
        self.tenants = [Tenant.objects.create(name=f"tenant {number}") for number in range(tenants)]
        self.large = self.tenants[0]
        self.wallets = [balances.open_wallet(tenant) for tenant in self.tenants]
        self.wallet = self.wallets[0]
        self.operator = User.objects.create_superuser("operator@example.com")
        for wallet in self.wallets:
            ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=10**15, reference=f"bench:{wallet.pk}")
        self.price = Price.objects.create(model="m-0", input=10**9, output=2 * 10**9)
        for number in range(_KEYS):
            keys.issue(tenant=self.large, created_by=owner, name=f"key {number}")
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        self.first = midnight - dt.timedelta(days=days)
        self.days = days
        Balance.objects.update(created_at=self.first)
        self._filled = 0

    def fill(self, count: int, large_share: float) -> int:
        """So many records, of one day after the other."""
        day = self.first + dt.timedelta(days=self._filled % self.days)
        self._filled += 1
        statement = _FILL.format(keys=_KEYS, models=_MODELS)
        with connection.cursor() as cursor:
            cursor.execute(
                statement,
                [self.wallet.pk - self.large.pk, json.dumps(_ATTEMPTS), json.dumps(_DECISION), large_share,
                 self.large.pk, self.large.pk, len(self.tenants), day, count],
            )  # fmt: skip
        return count

    def settle(self) -> None:
        """The wallets have paid for what there is, and each of them has a few hundred entries besides."""
        with connection.cursor() as cursor:
            cursor.execute(_PAY)
            cursor.execute(_ENTRIES, [self.first, _ENTRIES_EACH])
            cursor.execute(
                "UPDATE billing_balance SET available = available + %s WHERE kind = 'wallet'", [_ENTRIES_EACH]
            )

    def analyze(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE billing_ledgerentry")
            cursor.execute("VACUUM ANALYZE billing_usagerecord")
            cursor.execute("CHECKPOINT")

    def write_in_turn(self, turns: int) -> tuple[list[float], list[float]]:
        """Microseconds for a hold and its settlement, in turn here and in the database `empty`.

        As a process writes them: 16 in a transaction, of any tenants. The records are as wide as those there are:
        narrower ones would go into what the full table's pages have left over, each into a page of its own, which has
        nothing to do with how many there are.
        """
        connections.databases["empty"] = connections.databases["default"] | {"NAME": "empty"}
        Tenant.objects.using("empty").bulk_create(self.tenants)
        Balance.objects.using("empty").bulk_create(Balance.objects.filter(kind="wallet"))
        both = [open_books("default"), open_books("empty")]
        for books in both:
            self._write(books)  # its statements are planned, its pages read
        took = [(self._write(both[0]), self._write(both[1])) for _turn in range(turns)]
        return [full for full, _empty in took], [empty for _full, empty in took]

    def _write(self, books: Books) -> float:
        batches = [[self._pair(new_id()) for _row in range(_BATCH)] for _batch in range(_BATCHES)]
        began = time.perf_counter()
        for pairs in batches:
            books.post([hold for hold, _settlement in pairs], [], _OWNER)
            books.post([], [settlement for _hold, settlement in pairs], _OWNER)
        return (time.perf_counter() - began) / (_BATCH * _BATCHES) * 1e6

    def _pair(self, id_: str) -> tuple[Hold, Settlement]:
        wallet = random.choice(self.wallets)
        hold = Hold(
            id=id_, legs=(wallet.pk,), tenant_id=wallet.tenant_id, amount=1000, api_key_id=1,
            endpoint="chat.completions", model="m-0", price_id=self.price.pk, is_stream=False,
            created_at=timestamp(time.time()),
        )  # fmt: skip
        settlement = Settlement(
            id=id_, legs=(wallet.pk,), held=1000, tenant_id=wallet.tenant_id, requested_model="m-0", model="m-0",
            price_id=self.price.pk, currency="USD", usage=Usage(input=900, cached_input=100, output=200),
            claimed_cost=900, provider_cost=450, provider_currency="USD", channel="channel-0",
            upstream_model="upstream", attempts=_ATTEMPTS, decision=_DECISION, first_byte_ms=300, duration_ms=900,
        )  # fmt: skip
        return hold, settlement

    # --- what is measured ---

    def by_day(self) -> object:
        return spending.spent(self.large, self.first, spending.LATEST, "day")

    def catch_up(self) -> None:
        while rollups.advance():
            pass

    def rebuild_a_day(self) -> object:
        day = self.first + dt.timedelta(days=self.days // 2)
        return list(rollups.rebuild(day, day + dt.timedelta(days=1)))

    def lists(self) -> dict[str, Callable[[], object]]:
        """The administration's, of what grows."""
        browser = Client(SERVER_NAME="127.0.0.1")
        browser.force_login(self.operator)
        day = self.first + dt.timedelta(days=self.days // 3)
        of_large = f"tenant__id__exact={self.large.pk}"
        small = f"tenant__id__exact={self.tenants[-1].pk}"
        records = {
            "first": "", "last": "p=100", "day": f"day={day:%Y-%m-%d}", "tenant": of_large, "small_tenant": small,
            "outcome": "outcome__exact=timeout", "channel": "channel__icontains=nowhere", "model": "q=m-1",
            "id": f"q={UUID(int=0)}", "by_cost": "o=6", "by_duration": "o=-7",
            "tenant_outcome": f"{of_large}&outcome__exact=timeout", "tenant_by_cost": f"{of_large}&o=6",
            "small_tenant_model": f"{small}&q=m-1", "day_tenant": f"day={day:%Y-%m-%d}&{of_large}",
            "day_by_cost": f"day={day:%Y-%m-%d}&o=-6", "hour_channel": f"day={day:%Y-%m-%d+12}&channel__icontains=0",
        }  # fmt: skip
        entries = {
            "first": "", "last": "p=100", "tenant": f"balance__{of_large}", "kind": "kind__exact=refund",
            "name": "q=tenant+7", "by_amount": "o=3", "day": f"day={day:%Y-%m-%d}",
        }  # fmt: skip
        asked = {"usagerecord": records, "ledgerentry": entries}
        return {
            f"list_{name}_{case}_ms": partial(
                self._read, browser, f"{reverse(f'admin:billing_{name}_changelist')}?{query}"
            )
            for name, cases in asked.items()
            for case, query in cases.items()
        }

    def lists_of_documents(self) -> dict[str, Callable[[], object]]:
        browser = Client(SERVER_NAME="127.0.0.1")
        browser.force_login(self.operator)
        cases = {"first": "", "last": "p=4", "state": "state__exact=final", "name": "q=tenant+7"}
        return {
            f"list_invoice_{case}_ms": partial(
                self._read, browser, f"{reverse('admin:billing_invoice_changelist')}?{query}"
            )
            for case, query in cases.items()
        }

    def _read(self, browser: Client, address: str) -> None:
        answer = browser.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address}: {answer.status_code}")

    def close(self) -> None:
        """Everybody's months, and their drafts."""
        for wallet, is_well in invoices.close_all(self._later):
            if not is_well:
                raise RuntimeError(f"wallet {wallet.pk} is parked")

    def finalise(self) -> None:
        LegalEntity.objects.create(name="Bench Ltd", address="x", country="VN", prefix="B", is_default=True)
        if not all(is_well for _id, is_well in invoices.finalise_all(self._later)):
            raise RuntimeError("a tenant is parked")

    @property
    def _later(self) -> dt.datetime:
        """When all of the records' months are over, and the days of review."""
        return timezone.now() + dt.timedelta(days=40)

    def verify(self) -> None:
        found = [finding for result in reconciliation.compared() for finding in result.findings]
        if found:
            raise RuntimeError(f"{len(found)} figures differ: {found[:3]}")

    def pages(self) -> dict[str, Callable[[], object]]:
        now = timezone.now()
        return {
            "month_by_day_ms": self.by_day,
            "month_by_model_ms": lambda: spending.spent(self.large, self.first, spending.LATEST, "model"),
            "month_by_key_ms": lambda: spending.spent(self.large, self.first, spending.LATEST, "key"),
            "overview_ms": lambda: reports.figures(self.large, now),
            "poll_ms": lambda: reports.fingerprint(self.large, Filter(), limit=8),
            "requests_ms": lambda: reports.requests(self.large, Filter(), limit=50),
            "requests_rare_ms": lambda: reports.requests(self.large, Filter(outcome="timeout"), limit=50),
            "requests_model_ms": lambda: reports.requests(self.large, Filter(model="m-1"), limit=50),
            "poll_rare_ms": lambda: reports.fingerprint(self.large, Filter(outcome="timeout"), limit=50),
        }
