"""What a key may ask about itself: its limits, its tenant's credits, one request afterwards.

In the shapes of OpenRouter's API, with what is ours beside it. Money is an exact decimal number of the tenant's
currency.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

import msgspec
import orjson

from accounts import database
from accounts.callers import Caller, InvalidApiKey
from accounts.models import ApiKey, RateLimits
from billing import statements
from billing.models import UsageRecord
from billing.money import to_json_number
from billing.quotas import Standing
from billing.statements import RequestStatement
from routing.api.errors import GenerationNotFound
from routing.endpoints import ENDPOINTS, public_id
from routing.endpoints.invalid import missing
from routing.pipeline.attempt import AttemptRecord
from routing.pipeline.explanation import Shown, explain
from routing.selection.rank import Decision

_PREFIXES: Final = ("req_", *(endpoint.id_prefix for endpoint in ENDPOINTS.values()))
_UUID_LENGTHS: Final = (32, 36)


async def key(caller: Caller) -> dict[str, Any]:
    """This key: its limits, what it has spent, what it can spend now. Raises InvalidApiKey for one that is gone."""
    try:
        statement = await database.report(statements.of_key, caller.key_id, caller.legs, caller.session_quotas)
    except ApiKey.DoesNotExist:
        raise InvalidApiKey from None
    api_key, spending = statement.api_key, statement.spending

    def money(amount: int) -> orjson.Fragment:
        return _money(amount, caller.currency)

    return {
        "name": api_key.name,
        "label": api_key.masked,
        "currency": caller.currency,
        "usage": money(spending.total),
        "usage_daily": money(spending.today),
        "usage_weekly": money(spending.this_week),
        "usage_monthly": money(spending.this_month),
        "limit": next((money(each.quota.amount) for each in statement.quotas if each.quota.about == "key"), None),
        "limit_remaining": money(statement.spendable),
        "limited_by": statement.limited_by,
        "quotas": [_quota(standing, caller.currency) for standing in statement.quotas],
        "rate_limit": _rate_limit(api_key),
        "tenant_rate_limit": _rate_limit(api_key.tenant),
        "allowed_models": api_key.allowed_models,
        "is_free_tier": not statement.has_bought,
        "created_at": _time(api_key.created_at),
        "expires_at": api_key.expires_at and _time(api_key.expires_at),
    }


def _quota(standing: Standing, currency: str) -> dict[str, Any]:
    quota = standing.quota
    return {
        "name": quota.name,
        "limit": _money(quota.amount, currency),
        "used": _money(standing.used, currency),
        "remaining": _money(standing.left, currency),
        "is_hard": quota.is_hard,
        "resets_at": standing.ends_at and _time(standing.ends_at),
    }


async def credit(caller: Caller) -> dict[str, Any]:
    """The tenant's wallet."""
    credits_ = await database.report(statements.of_wallet, caller.tenant_id)
    return {
        "total_credits": _money(credits_.total, caller.currency),
        "total_usage": _money(credits_.used, caller.currency),
        "held": _money(credits_.held, caller.currency),
        "available": _money(credits_.available, caller.currency),
        "currency": caller.currency,
    }


async def generation(caller: Caller, given_id: str, shown: Shown) -> dict[str, Any]:
    """One settled request of the caller's tenant. Raises GenerationNotFound, MissingRequiredParameter without an id."""
    if not given_id:
        missing("id")
    statement = await database.report(statements.of_request, caller.tenant_id, _request_id(given_id))
    if statement is None:
        raise GenerationNotFound
    return _generation(statement, shown)


def _generation(statement: RequestStatement, shown: Shown) -> dict[str, Any]:
    record = statement.record
    first_byte, usage = record.first_byte_ms, record.usage
    cost = _money(statement.cost, record.currency)
    return {
        "id": public_id(record.endpoint, record.id.hex),
        "created_at": _time(record.started_at),
        "model": record.model,
        "requested_model": record.requested_model,
        "endpoint": record.endpoint,
        "streamed": record.is_stream,
        "cancelled": record.outcome == UsageRecord.Outcome.CLIENT_GONE,
        "outcome": record.outcome,
        "status": record.status,
        "error_code": record.error_code or None,
        "provider_name": record.channel if shown.channels and record.channel else None,
        "total_cost": cost,
        "usage": cost,
        "currency": record.currency,
        "usage_source": record.usage_source,
        "tokens_prompt": usage.input,
        "tokens_completion": usage.output,
        "native_tokens_prompt": usage.input,
        "native_tokens_completion": usage.output,
        "native_tokens_cached": usage.cached_input,
        "native_tokens_reasoning": usage.reasoning,
        "latency": first_byte,
        "generation_time": None if first_byte is None else record.duration_ms - first_byte,
        "duration": record.duration_ms,
        "costrouter": _explanation(record, shown),
    }


def _explanation(record: UsageRecord, shown: Shown) -> dict[str, Any] | None:
    """None where no decision was stored (recovery settled the request), or in the words of another version."""
    try:
        decision = msgspec.convert(record.decision, Decision)
        return explain(decision, msgspec.convert(record.attempts, list[AttemptRecord]), shown)
    except msgspec.ValidationError:
        return None


def _request_id(text: str) -> uuid.UUID:
    """The id inside an answer's id, a request's id or a UUID; raises GenerationNotFound."""
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    try:
        if len(text) not in _UUID_LENGTHS:
            raise ValueError
        return uuid.UUID(hex=text)
    except ValueError:
        raise GenerationNotFound from None


def _rate_limit(limits: RateLimits) -> dict[str, Any]:
    return {
        "requests": limits.requests_per_minute,
        "tokens": limits.tokens_per_minute,
        "interval": "1m",
        "concurrency": limits.concurrency,
    }


def _money(amount: int, currency: str) -> orjson.Fragment:
    return orjson.Fragment(to_json_number(amount, currency))


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
