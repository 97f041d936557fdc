"""GET /v1/models: exactly what this key can call, in OpenAI's shape with OpenRouter's prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from routing.models import CatalogueModel, Channel
from tests import schemas
from tests.callers import Caller
from tests.envelopes import assert_refused
from tests.installation import CHEAP, SINGLE, Offer, Shape, Tariff, Via
from tests.worlds import World


def listed(caller: Caller) -> dict[str, Any]:
    """The models this key sees, by id."""
    return {model["id"]: model for model in caller.client.get("/v1/models").json()["data"]}


def test_list_has_the_public_shape(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(SINGLE)

    response = each_caller.client.get("/v1/models")

    assert response.status_code == 200
    assert response.headers["x-request-id"]
    assert schemas.faults(schemas.MODELS, response.json()) == []
    assert model.name in listed(each_caller)


def test_model_tells_its_price_per_token_its_window_and_its_abilities(world: World, caller: Caller) -> None:
    price = Tariff(input=150_000_000, output=600_000_000, cached_input=75_000_000, request_fee=1_000)
    model = world.offer(Shape(price=price, context_window=32_000, supports_images=True, supports_tools=True))

    seen = caller.client.get(f"/v1/models/{model.name}").json()

    assert schemas.faults(schemas.MODEL, seen) == []
    assert seen["id"] == model.name
    assert seen["context_length"] == 32_000
    assert Decimal(seen["pricing"]["prompt"]) == Decimal("0.00000015")
    assert Decimal(seen["pricing"]["completion"]) == Decimal("0.0000006")
    assert Decimal(seen["pricing"]["input_cache_read"]) == Decimal("0.000000075")
    assert Decimal(seen["pricing"]["request"]) == Decimal("0.000001")
    assert seen["architecture"]["input_modalities"] == ["text", "image"]
    assert seen["architecture"]["output_modalities"] == ["text"]
    assert {"max_tokens", "temperature", "tools", "tool_choice", "response_format"} <= set(seen["supported_parameters"])


def test_model_without_tools_and_images_says_so(world: World, caller: Caller) -> None:
    model = world.offer(Shape(supports_images=False, supports_tools=False))

    seen = listed(caller)[model.name]

    assert seen["architecture"]["input_modalities"] == ["text"]
    assert {"tools", "tool_choice"}.isdisjoint(seen["supported_parameters"])


def test_one_model_is_the_same_as_in_the_list(caller: Caller, model: Offer) -> None:
    assert caller.client.get(f"/v1/models/{model.name}").json() == listed(caller)[model.name]


def test_key_sees_only_its_allowed_models(world: World, model: Offer) -> None:
    caller, other = world.caller(allowed_models=[model.name, "gone"]), world.offer(SINGLE)

    assert list(listed(caller)) == [model.name]
    assert_refused(caller.client.get(f"/v1/models/{other.name}"), 404, "model_not_found", param="model")


def test_model_that_cannot_be_called_is_not_listed(world: World, caller: Caller) -> None:
    shapes = [Shape(is_enabled=False), Shape(price=None), Shape(vias=()), Shape(vias=(Via(is_enabled=False),))]
    names = {world.offer(shape).name for shape in shapes}

    assert names.isdisjoint(listed(caller))


def test_model_without_a_price_in_the_wallets_currency_is_not_listed(world: World, model: Offer) -> None:
    caller = world.caller(funds="100000", currency="VND")

    assert model.name not in listed(caller)


def test_unknown_model_is_not_found(caller: Caller) -> None:
    response = caller.client.get("/v1/models/no-such/model")

    error = assert_refused(response, 404, "model_not_found", param="model")
    assert "no-such/model" in error["message"]


def test_unknown_and_forbidden_model_get_the_same_text(world: World, model: Offer) -> None:
    caller = world.caller(allowed_models=["another"])

    forbidden = assert_refused(caller.client.get(f"/v1/models/{model.name}"), 404, "model_not_found")
    unknown = assert_refused(caller.client.get("/v1/models/no-such"), 404, "model_not_found")

    assert forbidden["message"].replace(model.name, "X") == unknown["message"].replace("no-such", "X")


def test_names_with_slashes_may_be_written_encoded(caller: Caller, model: Offer) -> None:
    response = caller.client.get("/v1/models/" + model.name.replace("/", "%2F"))

    assert response.json()["id"] == model.name


def test_disabled_model_and_channel_are_out_within_two_seconds(world: World, caller: Caller) -> None:
    shape = Shape(vias=(CHEAP,))
    model, by_channel = world.offer(shape), world.offer(shape)
    with world.installation.changes():
        CatalogueModel.objects.filter(name=model.name).update(is_enabled=False)
        Channel.objects.filter(name=by_channel.channels[0]).update(status=Channel.Status.DISABLED)

    assert {model.name, by_channel.name}.isdisjoint(listed(caller))
    assert_refused(caller.ask(model), 404, "model_not_found")


def test_list_names_no_channel_and_no_upstream(caller: Caller, model: Offer) -> None:
    text = caller.client.get("/v1/models").text

    assert model.channels[0] not in text
    assert model.upstream not in text
    assert "127.0.0.1" not in text
