"""How long a request is, before anybody is asked: an estimate of ours, by what earlier requests taught."""

from __future__ import annotations

from routing.pipeline.call import Call
from routing.pipeline.gateway import Gateway
from routing.pipeline.plan import find_models


async def count(call: Call, gateway: Gateway) -> int:
    """The input tokens that a request is expected to have.

    Costs nothing and holds nothing; counts as a request against the rate limits. Raises ModelNotFound or RateLimited.
    """
    model, _price = find_models(call)[0]
    needs = call.endpoint.needs(
        call.request, call.body, call.body_bytes, model, gateway.health.learned, call.caller.tenant_id
    )
    await gateway.limiter.admit(call.id, call.caller.limits, 0)
    gateway.limiter.finish(call.id, call.caller.limits, asked=0, used=0)
    return needs.expected_input
