"""The list of models: exactly what a key can call, at the price it pays."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.callers import Caller
from billing.prices import Tariff
from routing.api import models
from routing.catalogue.snapshot import ChannelView, ModelView, RouteView, Snapshot
from routing.errors import ModelNotFound
from routing.selection.reasons import LACKS, Reason
from routing.wire.addresses import Origin
from routing.wire.answer import Timeouts


def caller(*, currency: str = "USD", allowed: frozenset[str] = frozenset()) -> Caller:
    return Caller(
        key_id=1,
        tenant_id=1,
        currency=currency,
        is_tenant_active=True,
        is_key_usable=True,
        expires_at=None,
        allowed_models=allowed,
        allowed_networks=(),
        limits=(),
    )


def tariff(currency: str = "USD", **rates: int | None) -> Tariff:
    given: dict[str, Any] = {"input": 2_500_000_000, "output": 10_000_000_000, **rates}
    return Tariff(id=1, currency=currency, **given)


CHANNEL = ChannelView(
    id=1,
    name="c",
    provider="openai",
    origin=Origin("http", "127.0.0.1", 80, ""),
    secret="",
    priority=0,
    weight=1,
    timeouts=Timeouts(1, 1, 1, 1),
    drains=False,
    concurrency=None,
    fault=None,
    header=b"c",
    hidden=(),
)
ROUTE = RouteView(1, CHANNEL, "up", tariff(), None)
BROKEN_ROUTE = RouteView(2, CHANNEL, "up", None, Reason.NO_COST_PRICE)


def model(name: str, *prices: tuple[float, Tariff], **members: Any) -> ModelView:
    by_currency: dict[str, tuple[tuple[float, Tariff], ...]] = {}
    for since, price in prices:
        by_currency[price.currency] = (*by_currency.get(price.currency, ()), (since, price))
    defaults = {
        "description": "A model.",
        "created_at": 1_700_000_000.9,
        "context_window": 128_000,
        "output_limit": 16_384,
        "default_output": 4_096,
        "prompt_overhead": 256,
        "capabilities": frozenset(LACKS),
        "endpoints": frozenset(("chat.completions",)),
        "routes": (BROKEN_ROUTE, ROUTE),
    }
    listed = {(currency, 0): versions for currency, versions in by_currency.items()}
    return ModelView(name=name, prices=listed, **{**defaults, **members})


def snapshot(*views: ModelView) -> Snapshot:
    return Snapshot(1, {view.name: view for view in views}, 0.0)


def names(shown: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in shown["data"]]


CATALOGUE = snapshot(
    model("lab/b", (0.0, tariff())),
    model("lab/a", (0.0, tariff())),
    model("lab/dong", (0.0, tariff("VND"))),
    model("lab/soon", (200.0, tariff())),
    model("lab/unpriced"),
    model("lab/unserved", (0.0, tariff()), routes=(BROKEN_ROUTE,)),
    model("lab/nowhere", (0.0, tariff()), routes=()),
)


@pytest.mark.parametrize(
    ("who", "now", "shown"),
    [
        pytest.param(caller(), 100.0, ["lab/a", "lab/b"], id="priced"),
        pytest.param(caller(), 200.0, ["lab/a", "lab/b", "lab/soon"], id="later"),
        pytest.param(caller(currency="VND"), 100.0, ["lab/dong"], id="another currency"),
        pytest.param(caller(allowed=frozenset(["lab/b", "x"])), 100.0, ["lab/b"], id="allowed models"),
        pytest.param(caller(allowed=frozenset(["x"])), 100.0, [], id="none"),
    ],
)
def test_list_is_exactly_what_the_key_can_call(who: Caller, now: float, shown: list[str]) -> None:
    listing = models.listing(CATALOGUE, who, now)
    assert (listing["object"], names(listing)) == ("list", shown)


@pytest.mark.parametrize(
    "name", ["lab/x", "lab/dong", "lab/soon", "lab/unpriced", "lab/unserved", "lab/nowhere", "LAB/A", ""]
)
def test_model_that_cannot_be_called_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound):
        models.one(CATALOGUE, caller(), name, 100.0)


def test_one_model_is_the_entry_of_the_list() -> None:
    assert models.one(CATALOGUE, caller(), "lab/a", 100.0) == models.listing(CATALOGUE, caller(), 100.0)["data"][0]


def test_entry_of_a_model_of_vectors_says_so() -> None:
    view = model("lab/e", (0.0, tariff()), endpoints=frozenset(("embeddings",)))
    entry = models.one(snapshot(view), caller(), "lab/e", 100.0)
    assert entry["endpoints"] == ["/v1/embeddings"]
    assert entry["architecture"]["modality"] == "text->embeddings"
    assert entry["supported_parameters"] == ["dimensions", "encoding_format"]


def test_entry_has_the_shape_of_the_public_apis() -> None:
    entry = models.one(CATALOGUE, caller(), "lab/a", 100.0)
    parameters = entry.pop("supported_parameters")
    assert entry == {
        "id": "lab/a",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "costrouter",
        "description": "A model.",
        "context_length": 128_000,
        "endpoints": [
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/models/{model_id}:generateContent",
            "/v1/responses",
        ],
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
        },
        "top_provider": {"context_length": 128_000, "max_completion_tokens": 16_384},
        "pricing": {
            "prompt": "0.0000025",
            "completion": "0.00001",
            "input_cache_read": "0.0000025",
            "input_cache_write": "0.0000025",
            "input_cache_write_1h": "0.0000025",
            "internal_reasoning": "0.00001",
            "request": "0",
            "currency": "USD",
        },
    }
    assert {"tools", "structured_outputs", "max_tokens", "stream"} <= set(parameters)


def test_model_that_can_less_says_so() -> None:
    view = model("m", (0.0, tariff()), capabilities=frozenset())
    entry = models.one(snapshot(view), caller(), "m", 100.0)
    assert entry["architecture"]["input_modalities"] == ["text"]
    assert {"tools", "tool_choice", "structured_outputs"} & set(entry["supported_parameters"]) == set()


@pytest.mark.parametrize(
    ("price", "kind", "shown"),
    [
        (tariff(input=0), "prompt", "0"),
        (tariff(input=1), "prompt", "0.000000000000001"),
        (tariff(input=10**15), "prompt", "1"),
        (tariff(input=1_234_567_890_123_456), "prompt", "1.234567890123456"),
        (tariff(cached_input=0), "input_cache_read", "0"),
        (tariff(cached_input=250_000_000), "input_cache_read", "0.00000025"),
        (tariff(cache_write=3_125_000_000), "input_cache_write", "0.000003125"),
        (tariff(cache_write=3_125_000_000), "input_cache_write_1h", "0.000003125"),
        (tariff(cache_write_1h=5_000_000_000), "input_cache_write_1h", "0.000005"),
        (tariff(reasoning=1_000_000), "internal_reasoning", "0.000000001"),
        (tariff(request_fee=5_000_000), "request", "0.005"),
    ],
)
def test_price_is_an_exact_decimal_per_token(price: Tariff, kind: str, shown: str) -> None:
    entry = models.one(snapshot(model("m", (0.0, price))), caller(), "m", 100.0)
    assert entry["pricing"][kind] == shown


def test_price_in_dong_is_in_dong() -> None:
    view = model("m", (0.0, tariff("VND", input=63_000 * 1_000_000, output=0, request_fee=500_000)))
    pricing = models.one(snapshot(view), caller(currency="VND"), "m", 100.0)["pricing"]
    assert (pricing["prompt"], pricing["completion"], pricing["request"], pricing["currency"]) == (
        "0.063",
        "0",
        "0.5",
        "VND",
    )
