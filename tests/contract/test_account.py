"""What a key may ask about itself: /v1/key, /v1/credits, and one request afterwards at /v1/generation."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.utils import timezone

from accounts import keys
from billing import ledger
from billing.models import LedgerEntry, Price
from tests import upstream as up
from tests.callers import Caller, decoded, record_id
from tests.envelopes import assert_error, assert_refused
from tests.installation import DOLLAR, SINGLE, Holder, Offer
from tests.records import usage_record
from tests.worlds import World

UNKNOWN = "chatcmpl-0198c1d2a3b47cc09f6d3a5e8b1f2c4d"


def data(caller: Caller, path: str) -> dict[str, Any]:
    """What stands at this path, its numbers exact."""
    response = caller.client.get(path)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = decoded(response.content)["data"]
    return found


def colleague_of(caller: Caller, world: World) -> Caller:
    """Another key of the same tenant."""
    holder = caller.holder
    with world.installation.database():
        issued = keys.issue(tenant=holder.tenant, name="another")
    other = Caller(
        world.installation, world.upstream, Holder(holder.tenant, holder.wallet, issued.api_key, issued.secret)
    )  # fmt: skip
    world.callers.append(other)
    return other


def units(number: Any) -> int:
    return int(Decimal(str(number)) * DOLLAR)


# --- the key ---------------------------------------------------------------------------------------------------------


def test_key_tells_its_name_its_limits_and_its_end(world: World) -> None:
    end = timezone.now().replace(microsecond=0) + dt.timedelta(days=3)
    caller = world.caller(
        expires_at=end, requests_per_minute=60, concurrency=4, tenant={"tokens_per_minute": 1_000_000}
    )  # fmt: skip

    seen = data(caller, "/v1/key")

    assert (seen["name"], seen["label"]) == ("test", caller.holder.api_key.masked)
    assert caller.secret not in str(seen)
    assert seen["rate_limit"] == {"requests": 60, "tokens": None, "interval": "1m", "concurrency": 4}
    assert seen["tenant_rate_limit"]["tokens"] == 1_000_000
    assert dt.datetime.fromisoformat(seen["expires_at"]) == end


def test_key_tells_what_it_spent_and_can_spend(each_world: World) -> None:
    caller, other = each_world.caller(funds="3"), each_world.caller()
    model = each_world.offer(SINGLE)
    for payer in (caller, other):
        assert payer.ask(model).status_code == 200
        payer.wait_until_settled()
    cost = caller.only_record().cost

    seen = data(caller, "/v1/key")

    assert cost > 0
    assert [units(seen[name]) for name in ("usage", "usage_daily", "usage_weekly", "usage_monthly")] == [cost] * 4
    assert (units(seen["limit_remaining"]), seen["limited_by"]) == (3 * DOLLAR - cost, "wallet")
    assert (seen["limit"], seen["currency"]) == (None, "USD")


def test_key_without_money_can_spend_nothing(world: World) -> None:
    seen = data(world.caller(funds="0"), "/v1/key")

    assert (seen["limit_remaining"], seen["limited_by"], seen["usage"]) == (0, "wallet", 0)


def test_credits_are_what_was_put_in_and_what_was_used(each_world: World) -> None:
    caller = each_world.caller(funds="3")
    assert caller.ask(each_world.offer(SINGLE)).status_code == 200
    cost = caller.only_record().cost
    with each_world.installation.database():
        ledger.post(
            balance=caller.holder.wallet, kind=LedgerEntry.Kind.TOP_UP, amount=7, reference=f"t-{caller.secret}"
        )
        ledger.set_credit_line(balance=caller.holder.wallet, credit_line=DOLLAR)

    seen = data(caller, "/v1/credits")

    assert (units(seen["total_credits"]), units(seen["total_usage"])) == (3 * DOLLAR + 7, cost)
    assert (units(seen["available"]), seen["held"]) == (4 * DOLLAR + 7 - cost, 0)


def test_held_money_is_not_yet_used(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.told(pause=0.1))
    with caller.listening(model, max_tokens=50) as stream:
        parts = stream.iter_raw()
        next(parts)
        seen = data(caller, "/v1/credits")

    assert seen["total_usage"] == 0
    assert units(seen["held"]) + units(seen["available"]) == 10 * DOLLAR


def test_dongs_are_told_as_dongs(world: World) -> None:
    seen = data(world.caller(funds="100000.5", currency="VND"), "/v1/credits")

    assert (seen["total_credits"], seen["currency"]) == (Decimal("100000.5"), "VND")


# --- one request afterwards ------------------------------------------------------------------------------------------


def test_request_is_told_as_soon_as_it_is_answered(each_world: World) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)
    answer = caller.ask(model)

    seen = data(caller, f"/v1/generation?id={answer.json()['id']}")

    usage = decoded(answer.content)["usage"]
    assert seen["id"] == answer.json()["id"]
    assert (seen["model"], seen["requested_model"], seen["outcome"]) == (model.name, model.name, "success")
    assert (seen["total_cost"], seen["usage"]) == (usage["cost"], usage["cost"])
    assert units(seen["total_cost"]) == caller.only_record().cost
    assert (seen["tokens_prompt"], seen["tokens_completion"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert 0 <= seen["latency"] <= seen["duration"] == seen["latency"] + seen["generation_time"]
    assert (seen["provider_name"], seen["streamed"], seen["cancelled"]) == (model.channels[0], False, False)
    assert [attempt["outcome"] for attempt in seen["costrouter"]["attempts"]] == ["answered"]
    assert seen["costrouter"]["candidates"][0]["state"] == "chosen"
    assert seen["costrouter"]["candidates"][0]["expected_cost"] is None


def test_stream_is_told_as_soon_as_it_is_done(caller: Caller, model: Offer) -> None:
    stream = caller.listen(model)

    seen = data(caller, f"/v1/generation?id={stream.id}")

    assert (seen["streamed"], seen["status"], seen["error_code"]) == (True, 200, None)


def test_failed_request_is_told_by_its_request_id(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.plain(500, {"error": {"message": "no"}}))
    answer = caller.ask(model)

    seen = data(caller, f"/v1/generation?id={answer.headers['x-request-id']}")

    assert (seen["total_cost"], seen["status"], seen["error_code"]) == (0, 502, "upstream_error")


@pytest.mark.parametrize("spelling", ["{0.hex}", "{0}", "chatcmpl-{0.hex}", "req_{0.hex}", "CHATCMPL"])
def test_id_is_known_in_each_spelling(caller: Caller, model: Offer, spelling: str) -> None:
    request_id = record_id(caller.ask(model).json()["id"])
    given = f"{request_id.hex.upper()}" if spelling == "CHATCMPL" else spelling.format(request_id)

    assert data(caller, f"/v1/generation?id={given}")["id"] == f"chatcmpl-{request_id.hex}"


def test_other_key_of_the_tenant_reads_it_and_a_stranger_does_not(world: World, caller: Caller, model: Offer) -> None:
    colleague, stranger = colleague_of(caller, world), world.caller()
    given = caller.ask(model).json()["id"]
    caller.wait_until_settled()

    assert data(colleague, f"/v1/generation?id={given}")["id"] == given
    foreign = assert_refused(stranger.client.get(f"/v1/generation?id={given}"), 404, "generation_not_found")
    unknown = assert_refused(caller.client.get(f"/v1/generation?id={UNKNOWN}"), 404, "generation_not_found")
    assert foreign == unknown


@pytest.mark.parametrize("given", ["x", "chatcmpl-", "0", "{0198c1d2-a3b4-7cc0-9f6d-3a5e8b1f2c4d}", "%00", "%F0%9F"])
def test_what_is_no_id_is_not_found(caller: Caller, given: str) -> None:
    assert_refused(caller.client.get(f"/v1/generation?id={given}"), 404, "generation_not_found", param="id")


@pytest.mark.parametrize("query", ["", "?id=", "?ID=1", "?x=1"])
def test_without_an_id_it_is_missing(caller: Caller, query: str) -> None:
    assert_refused(caller.client.get(f"/v1/generation{query}"), 400, "missing_required_parameter", param="id")


def test_recovered_request_has_no_decision(world: World, caller: Caller, model: Offer) -> None:
    with world.installation.database():
        price = Price.objects.get(model=model.name)
        record = usage_record(caller.holder.tenant, price, caller.holder.api_key, outcome="recovered", cost=0)

    seen = data(caller, f"/v1/generation?id={record.pk}")

    assert (seen["costrouter"], seen["outcome"], seen["latency"]) == (None, "recovered", None)


@pytest.mark.parametrize("path", ["/v1/key", "/v1/credits", f"/v1/generation?id={UNKNOWN}"])
def test_nobody_is_told_without_a_key(caller: Caller, path: str) -> None:
    response = httpx.get(caller.installation.gateway_url + path)

    assert_error(response, 401, "invalid_request_error", "invalid_api_key")
