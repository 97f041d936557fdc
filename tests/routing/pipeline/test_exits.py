"""Every way out of a completion, in this process: it settles exactly once and leaves nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from accounts.callers import Caller
from accounts.errors import GatewayError
from accounts.models import Tenant
from billing import balances, ledger
from billing.models import Balance, LedgerEntry, Price, Reservation, UsageRecord
from billing.prices import cost
from billing.reservations import InsufficientQuota, new_id
from routing.api.plane import send_stream
from routing.catalogue.snapshot import build
from routing.endpoints.chat import CHAT
from routing.errors import UpstreamError
from routing.models import CatalogueModel, Channel, CostPrice, Route
from routing.pipeline.call import Call, WholeReply
from routing.pipeline.run import ClientGone
from routing.pipeline.serve import serve
from routing.pipeline.stream import StreamReply
from tests import upstream as up
from tests.routing.pipeline.conftest import Stage
from tests.upstream import Upstream

FUNDS = 10**9
QUICK = "fake://quick?tokens=5"
SLOW = "fake://slow?delay_ms=5000"
PACED = "fake://paced?chunk_ms=30&tokens=40"


@dataclass(slots=True)
class Client:
    """A tenant's app, and what the server in front of the gateway sends to it."""

    stage: Stage
    tenant: Tenant
    wallet: Balance
    call: Call
    channel_id: int
    sent: list[MutableMapping[str, Any]] = field(default_factory=list)
    breaks_at: int = 1000
    """The number of the message on which sending fails."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if len(self.sent) == self.breaks_at:
            raise OSError("the peer is gone")
        self.sent.append(message)

    async def until_gone(self) -> None:
        await self.gone.wait()

    async def ask(self) -> WholeReply | StreamReply:
        return await serve(self.call, self.stage.gateway, self.until_gone)

    async def listen(self) -> None:
        reply = await self.ask()
        assert isinstance(reply, StreamReply)
        await send_stream(reply, reply.headers, self.send)

    def run(self, exchange: Coroutine[Any, Any, Any], *, count: int = 1) -> Any:
        """Plays the exchange, and waits until so many usage records are there and nothing is held."""

        async def played() -> Any:
            try:
                return await exchange
            finally:
                await asyncio.sleep(0.05)

        try:
            return self.stage.runner.run(played())
        finally:
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline and (self.reservations or len(self.records) < count):
                time.sleep(0.01)

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def records(self) -> list[UsageRecord]:
        return list(UsageRecord.objects.filter(tenant=self.tenant))

    @property
    def reservations(self) -> int:
        return Reservation.objects.filter(tenant_id=self.tenant.pk).count()

    def assert_settled(self, outcome: str) -> UsageRecord:
        """One record says so, the money adds up, and nothing is open any more."""
        (record,) = self.records
        assert record.outcome == outcome
        assert Balance.objects.get(pk=self.wallet.pk).available == FUNDS - record.cost
        self.assert_nothing_open()
        return record

    def assert_nothing_open(self) -> None:
        assert (self.reservations, self.call.id in self.stage.gateway.writer.in_flight) == (0, False)
        health = self.stage.gateway.health
        assert health.channels[self.channel_id].in_flight == 0
        assert {route.is_probing for route in health.routes.values()} <= {False}


@pytest.fixture
def client(stage: Stage) -> Callable[..., Client]:
    """Makes an app with a dollar and a model on one fake channel."""

    def make(url: str, *, is_stream: bool, funds: int = FUNDS, provider: str = "fake", **channel: Any) -> Client:
        name = f"m-{secrets.token_hex(4)}"
        tenant = Tenant.objects.create(name=name, currency="USD")
        wallet = balances.open_wallet(tenant)
        ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=funds, reference=name)
        row = Channel.objects.create(name=name, provider=provider, base_url=url, **channel)
        model = CatalogueModel.objects.create(name=name)
        Price.objects.create(model=name, input=2 * 10**9, output=8 * 10**9, request_fee=7)
        CostPrice.objects.create(
            route=Route.objects.create(channel=row, model=model, upstream_name="up"), input=1, output=1
        )
        body = {"model": name, "messages": [{"role": "user", "content": "hi"}], "stream": is_stream}
        caller = Caller(
            key_id=1,
            tenant_id=tenant.pk,
            currency="USD",
            is_tenant_active=True,
            is_key_usable=True,
            expires_at=None,
            allowed_models=frozenset(),
            allowed_networks=(),
            limits=(),
            legs=(wallet.pk,),
        )
        call = Call(
            id=new_id(),
            caller=caller,
            endpoint=CHAT,
            request=CHAT.read(body),
            body=body,
            body_bytes=len(orjson.dumps(body)),
            snapshot=build(1),
            wants_explanation=False,
            started=time.monotonic(),
            started_at=time.time(),
            legs=caller.legs,
            spending_limits={},
        )
        return Client(stage, tenant, wallet, call, row.pk)

    return make


async def leaving(client: Client, exchange: Coroutine[Any, Any, Any], *, after: float) -> Any:
    """The exchange, with the client leaving after so many seconds."""
    asyncio.get_running_loop().call_later(after, client.gone.set)
    return await exchange


async def cancelled(exchange: Coroutine[Any, Any, Any], *, after: float) -> None:
    """The exchange, cancelled by the server after so many seconds."""
    task = asyncio.ensure_future(exchange)
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- the ways out ----------------------------------------------------------------------------------------------------


def test_whole_answer(client: Callable[..., Client]) -> None:
    app = client(QUICK, is_stream=False)
    assert isinstance(app.run(app.ask()), WholeReply)
    record = app.assert_settled("success")
    assert (record.output_tokens, record.channel, record.upstream_model) == (5, record.model, "up")


def test_whole_stream(client: Callable[..., Client]) -> None:
    app = client(QUICK, is_stream=True)
    app.run(app.listen())
    assert app.text.endswith(b"data: [DONE]\n\n")
    assert app.assert_settled("success").output_tokens == 5


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_failing_upstream(client: Callable[..., Client], is_stream: bool) -> None:
    app = client("fake://x?fail=1", is_stream=is_stream)
    with pytest.raises(UpstreamError):
        app.run(app.ask())
    assert app.assert_settled("upstream_error").cost == 0


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_misconfigured_upstream(client: Callable[..., Client], is_stream: bool) -> None:
    app = client("fake://x?delay_ms=soon", is_stream=is_stream)
    with pytest.raises(UpstreamError):
        app.run(app.ask())
    assert app.assert_settled("upstream_error").cost == 0


def test_stream_that_is_cut(client: Callable[..., Client]) -> None:
    app = client("fake://x?cut=1&tokens=20", is_stream=True)
    app.run(app.listen())
    assert (b'"error"' in app.text, b"[DONE]" in app.text) == (True, False)
    assert app.assert_settled("upstream_error").output_tokens > 0


def test_wallet_that_is_too_small(client: Callable[..., Client]) -> None:
    app = client(QUICK, is_stream=False, funds=10)
    with pytest.raises(InsufficientQuota):
        app.run(app.ask(), count=0)
    assert app.records == []
    app.assert_nothing_open()


def test_client_that_leaves_before_the_first_event(client: Callable[..., Client]) -> None:
    app = client(SLOW, is_stream=True)
    with pytest.raises(ClientGone):
        app.run(leaving(app, app.ask(), after=0.1))
    assert_prompt_alone(app)


def test_client_that_has_left_before_it_asked(client: Callable[..., Client]) -> None:
    app = client(SLOW, is_stream=True)
    app.gone.set()
    with pytest.raises(ClientGone):
        app.run(app.ask())
    assert_prompt_alone(app)


def assert_prompt_alone(app: Client) -> None:
    """The request was on its way when its client left: the upstream has read it. The fee is for answers."""
    record = app.assert_settled("client_gone")
    assert (record.output_tokens, record.usage_source) == (0, "estimated")
    assert record.cost == record.claimed_cost == cost(record.usage, record.price.tariff) - 7 > 0


@pytest.mark.parametrize("policy", ["cancel", "drain"])
def test_client_that_leaves_in_the_middle(client: Callable[..., Client], policy: str) -> None:
    app = client(PACED, is_stream=True, disconnect_policy=policy)
    app.run(leaving(app, app.listen(), after=0.3))
    assert b"[DONE]" not in app.text
    record = app.assert_settled("client_gone")
    assert (record.output_tokens == 40) is (policy == "drain")


@pytest.mark.parametrize("breaks_at", [0, 1, 2, 5], ids=["the head", "the first event", "the second", "later"])
def test_server_that_cannot_send(client: Callable[..., Client], breaks_at: int) -> None:
    app = client(PACED, is_stream=True)
    app.breaks_at = breaks_at
    with contextlib.suppress(OSError):  # of the head alone: a stream takes it for a client that has left
        app.run(app.listen())
    app.assert_settled("client_gone")


def test_server_that_cannot_send_the_end(client: Callable[..., Client]) -> None:
    app = client(QUICK, is_stream=True)
    app.run(app.listen())
    again = client(QUICK, is_stream=True)
    again.breaks_at = len(app.sent) - 1
    with pytest.raises(OSError, match="the peer is gone"):
        again.run(again.listen())
    again.assert_settled("success")


def test_stream_that_nobody_writes(client: Callable[..., Client]) -> None:
    app = client(PACED, is_stream=True)

    async def dropped() -> None:
        reply = await app.ask()
        assert isinstance(reply, StreamReply)
        reply.close()
        reply.close()

    app.run(dropped())
    app.assert_settled("client_gone")


@pytest.mark.parametrize("after", [0.0, 0.02, 0.2, 0.5])
def test_server_that_cancels_a_stream(client: Callable[..., Client], after: float) -> None:
    app = client(PACED, is_stream=True)
    app.run(cancelled(app.listen(), after=after), count=0)
    outcomes = {record.outcome for record in app.records}
    assert outcomes <= {"client_gone", "internal_error"}
    assert app.call.id not in app.stage.gateway.writer.in_flight
    assert app.stage.gateway.health.channels[app.channel_id].in_flight == 0


def test_server_that_cancels_a_whole_answer(client: Callable[..., Client]) -> None:
    app = client(SLOW, is_stream=False)
    app.run(cancelled(app.ask(), after=0.2))
    record = app.assert_settled("internal_error")
    assert (record.status, record.error_code, record.cost) == (503, "service_unavailable", 0)


# --- what stays behind -----------------------------------------------------------------------------------------------

PARTS = [up.event(up.chunk({"content": word})) for word in ("One", " two", " three")]
MORE: tuple[up.Step, ...] = (up.Pause(0.05), up.event(up.chunk({"content": " more"})))
LONG = (PARTS[0], *MORE * 8)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    started = Upstream().start()
    yield started
    started.stop()


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
@pytest.mark.parametrize(
    ("reply", "is_stream"),
    [
        pytest.param(up.answer(), False, id="whole"),
        pytest.param(up.told(), False, id="whole from a stream"),
        pytest.param(up.plain(200, up.completion("Hi"), delay=0.3), False, id="slow"),
        pytest.param(up.plain(500, {"error": {"message": "no"}}), False, id="failing"),
        pytest.param(up.plain(400, {"error": {"message": "no"}}), True, id="refused"),
        pytest.param(up.Reply((b"nonsense\r\n\r\n",), up.End.CLOSE), False, id="no HTTP"),
        pytest.param(up.Reply((), up.End.RESET), True, id="reset"),
        pytest.param(up.told(), True, id="stream"),
        pytest.param(up.answer(), True, id="stream from a whole"),
        pytest.param(up.stream(*LONG, up.DONE), True, id="long stream"),
        pytest.param(up.stream(*PARTS, end=up.End.RESET, is_terminated=False), True, id="stream cut"),
        pytest.param(up.stream(*PARTS, up.event({"error": {"message": "no"}})), True, id="stream that fails"),
        pytest.param(up.stream(*PARTS, b"data: {nonsense\n\n"), True, id="stream that breaks"),
    ],
)
def test_nothing_is_left_to_the_garbage_collector(
    client: Callable[..., Client], upstream: Upstream, reply: up.Reply, is_stream: bool, leaves: bool
) -> None:
    """It comes by seldom (ADR 0001): what each request left in a circle would add up to many megabytes until then."""
    upstream.on("up", reply)

    def exchange() -> None:
        app = client(upstream.url, is_stream=is_stream, provider="openai")
        asked = app.listen() if is_stream else app.ask()
        app.run(_whatever_comes(leaving(app, asked, after=0.12) if leaves else asked))
        assert app.records

    exchange()  # what is loaded once
    gc.collect()
    gc.disable()
    try:
        exchange()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert Counter(type(left).__qualname__ for left in gc.garbage if _is_ours(left)) == {}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _whatever_comes(exchange: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(GatewayError, ClientGone):
        await exchange


def _is_ours(left: object) -> bool:
    return type(left).__module__.partition(".")[0] in {"accounts", "billing", "routing"}
