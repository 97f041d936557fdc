"""Closing and drafting one tenant's month of a million requests: seconds, and the memory of the process.

`make month-end` runs it on a database of its own; RECORDS says how many. The bounds are 30 s and 300 MiB.
"""

from __future__ import annotations

import datetime as dt
import os
import resource
import sys
import time
from typing import Any

import django

RECORDS = int(os.environ.get("RECORDS", "1000000"))
MONTH = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
MOST_SECONDS, MOST_MIB = 30.0, 300


def main() -> None:
    django.setup()
    from billing.invoices import jobs

    wallet = _a_month()
    began = time.perf_counter()
    (draft,) = jobs.close(wallet, now=MONTH + dt.timedelta(days=33))
    seconds = time.perf_counter() - began
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = len(draft.content["lines"])
    sys.stdout.write(f"{RECORDS} records, {lines} lines, {draft.used} ledger units: {seconds:.1f} s, {mib:.0f} MiB\n")
    if seconds > MOST_SECONDS or mib > MOST_MIB:
        sys.exit("too much")


def _a_month() -> Any:
    """A wallet with a month of requests at twenty prices by ten keys, each record as the writer leaves it."""
    from django.db import connection

    from accounts.models import ApiKey, Tenant
    from billing import balances
    from billing.models import Balance, Price

    tenant = Tenant.objects.create(name="a million")
    wallet = balances.open_wallet(tenant)
    Balance.objects.filter(pk=wallet.pk).update(created_at=MONTH)
    masked = {"prefix": "sk", "last_four": "abcd"}
    keys = [ApiKey.objects.create(tenant=tenant, name=f"key {n}", digest=f"digest {n}", **masked).pk for n in range(10)]
    prices = [Price.objects.create(model=f"model {n}", input=10**6, output=2 * 10**6).pk for n in range(20)]
    is_postgres = connection.vendor == "postgresql"
    numbers = (
        f"SELECT generate_series(1, {RECORDS}) AS n"
        if is_postgres
        else f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {RECORDS}) SELECT n FROM c"
    )
    id_ = "gen_random_uuid()" if is_postgres else "lower(hex(randomblob(16)))"
    step = 30 * 86400 / RECORDS
    at = (
        f"'2026-03-01Z'::timestamptz + n * interval '{step} seconds'"
        if is_postgres
        else f"strftime('%Y-%m-%d %H:%M:%f', '2026-03-01', '+' || (n * {step}) || ' seconds')"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_usagerecord (id, tenant_id, legs, api_key_id, endpoint, requested_model, "
            "model, price_id, currency, outcome, status, error_code, is_stream, usage_source, cost, held, "
            "claimed_cost, provider_currency, channel, upstream_model, attempts, decision, started_at, duration_ms, "
            "settled_at, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, input_audio_tokens, "
            "cache_write_1h_tokens, reasoning_tokens, output_audio_tokens, output_image_tokens, images, seconds, "
            "characters) "
            f"SELECT {id_}, {tenant.pk}, '[{wallet.pk}]', {keys[0]} + n % 10, 'chat.completions', 'm', "
            f"'model ' || (n % 20), {prices[0]} + n % 20, 'USD', 'success', 200, '', {(is_postgres and 'false') or 0}, "
            f"'upstream', (n % 1000) + 200, (n % 1000) + 200, (n % 1000) + 200, '', 'c', 'u', '[]', '{{}}', {at}, 9, "
            f"{at}, n % 1000, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM ({numbers}) AS numbers"
        )
        cursor.execute("ANALYZE billing_usagerecord")
    return Balance.objects.select_related("tenant").get(pk=wallet.pk)


if __name__ == "__main__":
    main()
