"""An endpoint of another kind goes the same way: held, tried, failed over, settled, recorded, explained, and paid.

It is one folder (tests/routing/endpoints/vectors); the pipeline, the dialects and the books do not know it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import orjson
import pytest

from accounts import keys
from accounts.errors import GatewayError
from accounts.models import Tenant
from billing import balances, ledger
from billing.kinds import Usage
from billing.models import LedgerEntry, Price, Reservation, UsageRecord
from routing.api.base import ApiRequest, ApiResponse
from routing.api.headers import RequestHeaders
from routing.api.intake import Intake
from routing.api.views import EndpointView
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, Route
from routing.endpoints.base import Form, Needs
from routing.endpoints.invalid import UnsupportedParameter
from tests import upstream as up
from tests.callers import decoded
from tests.routing.endpoints.vectors import VECTORS
from tests.routing.endpoints.vectors.endpoint import Vectors
from tests.routing.pipeline.conftest import Stage
from tests.upstream import Upstream

FUNDS = 10**9
RATE = 130_000_000
"""0.13 USD per million tokens: 130 ledger units a token."""
ANSWER = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 12}}


class VectorsView(EndpointView):
    endpoint = VECTORS


class Pictures(Vectors):
    """The same, with two pictures for each request."""

    def needs(self, *members: Any) -> Needs:
        return msgspec.structs.replace(super().needs(*members), beside=Usage(images=2))


class PicturesView(EndpointView):
    endpoint = Pictures()


class Shouted(Vectors):
    """Vectors' format, in which capitals stand for the loud endpoint's words, and which knows no dimensions."""

    def body(self, request: Any, body: dict[str, Any]) -> dict[str, Any]:
        if "dimensions" in body:
            raise UnsupportedParameter("No.", param="dimensions")
        return {**body, "input": body["input"].upper()}


class Loud(Vectors):
    """An endpoint whose own format OpenAI's upstreams do not speak."""

    name = "messages"
    path = "/loud"
    over: tuple[Form, ...] = (Shouted(),)
    passes = frozenset((b"x-volume",))

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return {"loud": error.code, "param": error.param}


class LoudView(EndpointView):
    endpoint = Loud()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    started = Upstream().start()
    yield started
    started.stop()


@dataclass(slots=True)
class App:
    """A tenant's app, and a model on two channels; the first is cheaper."""

    stage: Stage
    upstream: Upstream
    model: str = field(default_factory=lambda: f"m-{secrets.token_hex(4)}")
    secret: str = ""
    tenant: Tenant = field(init=False)

    def __post_init__(self) -> None:
        self.tenant = Tenant.objects.create(name=self.model)
        wallet = balances.open_wallet(self.tenant)
        ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=FUNDS, reference=self.model)
        self.secret = keys.issue(tenant=self.tenant, name="k").secret
        CatalogueModel.objects.create(name=self.model, endpoints=["vectors"])
        Price.objects.create(model=self.model, input=RATE, output=0)
        self.add_route("openai", self.upstream.url)
        self.add_route("openai", self.upstream.url)

    def add_route(self, provider: str, base_url: str) -> None:
        number = Route.objects.filter(model__name=self.model).count() + 1
        channel = Channel.objects.create(name=f"{self.model}-{number}", provider=provider, base_url=base_url)
        model = CatalogueModel.objects.get(name=self.model)
        route = Route.objects.create(channel=channel, model=model, upstream_name=self.upstream_name(number))
        CostPrice.objects.create(route=route, input=number * 10**6, output=0)
        self.stage.gateway.catalogue.refresh()

    def upstream_name(self, number: int) -> str:
        return f"{self.model}-up{number}"

    def script(self, number: int, status: int, answer: Any) -> None:
        """What the upstream behind a route answers from now on."""
        self.upstream.on(self.upstream_name(number), up.plain(status, answer))

    def ask(
        self, endpoint_view: type[EndpointView] = VectorsView, arriving: Awaitable[Any] | None = None, **members: Any
    ) -> ApiResponse:
        """What the API answers to this body, once nothing is held any more; `arriving` is how long that takes."""
        body = orjson.dumps({"model": self.model, "input": "What is the sea?", **members})

        messages = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.Event().wait()
            if arriving is not None:
                await arriving
            return messages.pop()

        async def story() -> ApiResponse:
            request = ApiRequest(
                id=secrets.token_hex(16),
                method="POST",
                path="/v1/vectors",
                headers=RequestHeaders(
                    [(b"authorization", b"Bearer " + self.secret.encode()), (b"content-type", b"application/json")]
                ),
                query_string=b"",
                peer="127.0.0.1",
                started=time.monotonic(),
                started_at=time.time(),
                gateway=self.stage.gateway,
                intake=Intake(1_000_000),
                receive=receive,
            )
            view: Any = endpoint_view.as_view()
            response: ApiResponse = await view(request)
            await asyncio.sleep(0.05)
            return response

        response = self.stage.runner.run(story())
        deadline = time.monotonic() + 2
        while Reservation.objects.filter(tenant_id=self.tenant.pk).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return response

    @property
    def records(self) -> list[UsageRecord]:
        return list(UsageRecord.objects.filter(tenant=self.tenant))

    @property
    def available(self) -> int:
        return balances.open_wallet(self.tenant).available

    def outcomes(self) -> list[str]:
        """How the attempts of the one request ended."""
        (record,) = self.records
        return [attempt["outcome"] for attempt in record.attempts]


@pytest.fixture
def app(upstream: Upstream, stage: Stage) -> App:  # the stage is left first, with its connections
    return App(stage, upstream)


def test_input_costs_what_it_costs(app: App) -> None:
    app.script(1, 200, ANSWER)
    response = app.ask()
    answer = decoded(response.body)
    (record,) = app.records
    assert (response.status, answer["data"], answer["usage"]["cost"]) == (200, ANSWER["data"], Decimal("0.00000156"))
    assert (answer["id"], record.endpoint, record.outcome) == (f"vec-{record.id.hex}", "vectors", "success")
    assert (record.input_tokens, record.output_tokens, record.cost) == (12, 0, 1560)
    assert app.available == FUNDS - 1560


def test_request_goes_up_on_its_own_path_without_a_cap(app: App) -> None:
    app.script(1, 200, ANSWER)
    app.ask(dimensions=8)
    (received,) = app.upstream.received(app.upstream_name(1))
    assert received.path.endswith("/vectors")
    assert received.json == {"model": app.upstream_name(1), "input": "What is the sea?", "dimensions": 8}


def test_failing_route_is_followed_by_the_next(app: App) -> None:
    app.script(1, 500, {"error": "broken"})
    app.script(2, 200, ANSWER)
    response = app.ask()
    assert (response.status, dict(response.headers)[b"x-costrouter-attempts"]) == (200, b"2")
    assert app.outcomes() == ["bad_status", "answered"]


def test_answer_that_is_none_is_taken_over(app: App) -> None:
    app.script(1, 200, {"choices": []})
    app.script(2, 200, ANSWER)
    assert app.ask().status == 200
    assert app.outcomes() == ["invalid_response", "answered"]


def test_failure_everywhere_costs_nothing(app: App) -> None:
    app.script(1, 500, {"error": "broken"})
    app.script(2, 500, {"error": "broken"})
    response = app.ask()
    (record,) = app.records
    assert (response.status, record.outcome, record.cost, app.available) == (502, "upstream_error", 0, FUNDS)


def test_decision_is_kept_and_a_dialect_that_does_not_speak_it_is_out(app: App) -> None:
    app.add_route("fake", "fake://quick")
    app.script(1, 200, ANSWER)
    app.ask()
    candidates = app.records[0].decision["candidates"]
    assert [(candidate["state"], candidate["reason"]) for candidate in candidates] == [
        ("chosen", None),
        ("ready", None),
        ("out", "no_endpoint"),
    ]


@pytest.fixture
def loud(app: App) -> App:
    CatalogueModel.objects.filter(name=app.model).update(endpoints=["messages"])
    app.stage.gateway.catalogue.refresh()
    return app


def test_request_is_said_in_another_format_where_its_own_is_not_spoken(loud: App) -> None:
    loud.script(1, 200, ANSWER)
    response = loud.ask(LoudView)
    (received,) = loud.upstream.received(loud.upstream_name(1))
    assert (response.status, decoded(response.body)["data"]) == (200, ANSWER["data"])
    assert (received.path.endswith("/vectors"), received.json["input"]) == (True, "WHAT IS THE SEA?")
    assert loud.records[0].cost == 12 * RATE // 10**6


def test_model_that_serves_the_other_format_serves_what_can_be_said_in_it(app: App) -> None:
    app.script(1, 200, ANSWER)
    response = app.ask(LoudView)
    (record,) = app.records
    assert (response.status, record.endpoint, record.cost) == (200, "messages", 12 * RATE // 10**6)


def test_model_that_serves_it_alone_does_not_serve_the_other_format(loud: App) -> None:
    response = loud.ask(VectorsView)
    assert (response.status, decoded(response.body)["error"]["code"]) == (404, "model_not_found")
    assert (loud.records, loud.available, loud.upstream.received(loud.upstream_name(1))) == ([], FUNDS, [])


def test_fallback_model_that_serves_the_other_format_is_tried(loud: App) -> None:
    other = App(loud.stage, loud.upstream)
    loud.script(1, 500, {"error": "broken"})
    loud.script(2, 500, {"error": "broken"})
    other.script(1, 200, ANSWER)
    assert loud.ask(LoudView, models=[other.model]).status == 200
    assert loud.records[0].model == other.model


def test_what_no_format_can_say_is_refused_by_name_and_changes_nothing(loud: App) -> None:
    response = loud.ask(LoudView, dimensions=8)
    assert (response.status, decoded(response.body)) == (400, {"loud": "unsupported_parameter", "param": "dimensions"})
    assert (loud.records, loud.available, loud.upstream.received(loud.upstream_name(1))) == ([], FUNDS, [])


def test_bad_input_is_refused_and_changes_nothing(app: App) -> None:
    response = app.ask(input=5)
    assert (response.status, decoded(response.body)["error"]["param"]) == (400, "input")
    assert (app.records, app.available, app.upstream.received(app.upstream_name(1))) == ([], FUNDS, [])


def test_what_the_price_does_not_cover_is_refused_and_nothing_goes_up(app: App) -> None:
    app.script(1, 200, ANSWER)
    response = app.ask(PicturesView)
    error = decoded(response.body)["error"]
    assert (response.status, error["code"], error["param"]) == (400, "unsupported_parameter", "model")
    assert error["message"] == f"The model '{app.model}' has no price for images."
    assert (app.records, app.available, app.upstream.received(app.upstream_name(1))) == ([], FUNDS, [])


def test_what_the_price_covers_for_nothing_is_served(app: App) -> None:
    Price.objects.create(model=app.model, input=RATE, output=0, image=0)
    app.stage.gateway.catalogue.refresh()
    app.script(1, 200, ANSWER)
    assert app.ask(PicturesView).status == 200


def test_fallback_model_that_covers_it_is_served(app: App) -> None:
    other = App(app.stage, app.upstream)
    Price.objects.create(model=other.model, input=RATE, output=0, image=10**12)
    app.stage.gateway.catalogue.refresh()
    other.script(1, 200, ANSWER)
    assert app.ask(PicturesView, models=[other.model]).status == 200
    assert (app.records[0].model, app.upstream.received(app.upstream_name(1))) == (other.model, [])
