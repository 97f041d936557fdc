"""What holds for every endpoint of the registry alike, whatever breaks.

Refusals and error events are in its clients' own form, what came is paid for, nothing stays held, the books add up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx
import pytest

from billing import quotas
from routing.endpoints import ENDPOINTS
from tests import databases, dialects, vendors
from tests import upstream as up
from tests.callers import Caller
from tests.contract.test_quotas import grant
from tests.endpoints import OTHERS, ROWS, STREAMS, Streaming, hear, open_stream, send
from tests.envelopes import assert_final
from tests.faults import CANARY
from tests.installation import DOLLAR, SINGLE, Shape
from tests.worlds import World

UNPRICED: Final = Shape(endpoints=tuple(ENDPOINTS), price=None)


def test_every_endpoint_has_a_row() -> None:
    assert ROWS.keys() == ENDPOINTS.keys()
    assert vendors.VENDORS.keys() == ENDPOINTS.keys()
    assert {each.endpoint for each in STREAMS.values()} >= {name for name, each in ENDPOINTS.items() if each.streams}


every_endpoint = pytest.mark.parametrize("name", ENDPOINTS)
every_whole = pytest.mark.parametrize("name", [name for name in ENDPOINTS if name != "audio.speech"])
"""Sound always comes as a stream."""
every_stream = pytest.mark.parametrize("streaming", STREAMS.values(), ids=STREAMS.keys())


@pytest.fixture(scope="module", autouse=True)
def _models(shared_world: World) -> Iterator[None]:
    """All that this module needs, at once; in the end the books hold."""
    spoken = {dialects.ANTHROPIC.shape: 20, dialects.GEMINI.shape: 20, dialects.RESPONSES.shape: 10}
    shared_world.installation.stock({SINGLE: 104, OTHERS: 180, UNPRICED: 12, **spoken})
    yield
    assert "verified" in databases.manage("verify", database_url=shared_world.gateway.database_url)


# --- what is whole ---------------------------------------------------------------------------------------------------


@every_whole
def test_whole_answer_is_what_its_vendor_says_and_costs_its_price(world: World, caller: Caller, name: str) -> None:
    row = ROWS[name]
    model = world.offer(row.shape)
    caller.upstream.on(model.upstream, row.whole)

    response = send(caller, ENDPOINTS[name], model)

    assert response.status_code == 200
    vendors.assert_answer(name, response.content)
    record = caller.only_record()
    assert (record.endpoint, record.outcome, record.cost) == (name, "success", row.cost)


@every_stream
def test_stream_is_what_its_vendor_says(world: World, caller: Caller, streaming: Streaming) -> None:
    model = world.offer(streaming.shape)
    caller.upstream.on(model.upstream, streaming.reply(*streaming.events))

    heard = hear(caller, streaming, model)

    assert (heard.status, heard.is_cut) == (200, False)
    if streaming.breaks is None:
        assert heard.raw == b"".join(streaming.events)
    else:
        assert vendors.assert_stream(streaming.endpoint, heard.raw) >= 2
    assert caller.only_record().outcome == "success"


# --- the upstream's fault --------------------------------------------------------------------------------------------

_CUT: Final = up.head(200, [("content-type", "application/json"), ("content-length", "5000")])
FAULTS: Final[dict[str, up.Reply]] = {
    "500": up.plain(500, {"error": {"message": f"Down at {CANARY}", "type": "server_error", "code": None}}),
    "not JSON": up.plain(200, f"<html>{CANARY}</html>".encode(), content_type="text/html"),
    "reset": up.Reply((), up.End.RESET),
    "cut in the middle": up.Reply((_CUT, json.dumps({"id": CANARY}).encode()[:-1]), up.End.RESET),
    "closed in the middle": up.Reply((_CUT, json.dumps({"id": CANARY}).encode()[:-1]), up.End.CLOSE),
}


@every_endpoint
@pytest.mark.parametrize("fault", FAULTS)
def test_upstreams_fault_is_refused_once_recorded_and_free(world: World, caller: Caller, name: str, fault: str) -> None:
    row = ROWS[name]
    model = world.offer(row.shape)
    caller.upstream.on(model.upstream, FAULTS[fault])
    before = caller.available

    response = send(caller, ENDPOINTS[name], model)

    row.refused(response, 502, "server_error", "upstream_error")
    record = caller.only_record()
    assert (record.endpoint, record.outcome, record.cost) == (name, "upstream_error", 0)
    assert caller.available == before


@every_whole
@pytest.mark.parametrize("end", [up.End.RESET, up.End.CLOSE], ids=["reset", "closed"])
def test_whole_answer_that_lacks_its_last_byte_is_refused_and_free(
    world: World, caller: Caller, name: str, end: up.End
) -> None:
    row = ROWS[name]
    model = world.offer(row.shape)
    *steps, last = row.whole.steps
    assert isinstance(last, bytes)
    caller.upstream.on(model.upstream, up.Reply((*steps, last[:-1], up.Pause(0.05)), end))
    before = caller.available

    response = send(caller, ENDPOINTS[name], model)

    row.refused(response, 502, "server_error", "upstream_error")
    assert (caller.only_record().outcome, caller.only_record().cost) == ("upstream_error", 0)
    assert caller.available == before


# --- streams that are cut --------------------------------------------------------------------------------------------

every_end = pytest.mark.parametrize("is_clean", [False, True], ids=["reset", "ended"])


def cut(streaming: Streaming, length: int, *, is_clean: bool) -> up.Reply:
    """The stream up to so many events, then its end, or none."""
    if is_clean:
        return streaming.reply(*streaming.events[:length])
    return streaming.reply(*streaming.events[:length], up.Pause(0.05), is_whole=False, end=up.End.RESET)


@every_stream
@every_end
def test_stream_that_is_cut_before_its_first_event_is_refused_and_free(
    world: World, caller: Caller, streaming: Streaming, is_clean: bool
) -> None:
    row = ROWS[streaming.endpoint]
    model = world.offer(streaming.shape)
    caller.upstream.on(model.upstream, cut(streaming, 0, is_clean=is_clean))
    before = caller.available

    with open_stream(caller, streaming, model) as response:
        response.read()

    row.refused(response, 502, "server_error", "upstream_error")
    assert (caller.only_record().outcome, caller.only_record().cost) == ("upstream_error", 0)
    assert caller.available == before


@every_stream
@every_end
@pytest.mark.parametrize("place", ["in the middle", "before its end"])
def test_stream_that_is_cut_says_so_and_costs_what_came(
    world: World, caller: Caller, streaming: Streaming, is_clean: bool, place: str
) -> None:
    model = world.offer(streaming.shape)
    length = streaming.needed - 1 if place == "before its end" else (streaming.needed + 1) // 2
    caller.upstream.on(model.upstream, cut(streaming, length, is_clean=is_clean))
    before = caller.available

    heard = hear(caller, streaming, model)

    assert heard.status == 200
    if streaming.breaks is None:
        assert heard.is_cut is not is_clean  # bytes have no end but the connection's
    else:
        streaming.breaks(heard.raw)
    record = caller.only_record()
    is_whole = streaming.breaks is None and is_clean
    assert record.outcome == ("success" if is_whole else "upstream_error")
    assert (record.cost > 0) is streaming.pays
    assert caller.available == before - record.cost


# --- clients that leave ----------------------------------------------------------------------------------------------


@every_whole
def test_client_that_leaves_before_a_whole_answer_pays_for_it(world: World, caller: Caller, name: str) -> None:
    """The upstream goes on and charges."""
    row = ROWS[name]
    model = world.offer(row.shape)
    caller.upstream.on(model.upstream, up.Reply((up.Pause(0.7), *row.whole.steps)))
    before = caller.available

    with pytest.raises(httpx.ReadTimeout):
        send(caller, ENDPOINTS[name], model, timeout=0.3)

    record = caller.only_record()
    assert (record.outcome, record.cost) == ("client_gone", row.cost)
    assert caller.available == before - record.cost


@every_stream
def test_client_that_leaves_a_stream_before_its_first_byte_pays_for_the_prompt(
    world: World, caller: Caller, streaming: Streaming
) -> None:
    model = world.offer(streaming.shape)
    caller.upstream.on(model.upstream, streaming.reply(up.HANG))
    before = caller.available

    with pytest.raises(httpx.ReadTimeout), open_stream(caller, streaming, model, timeout=0.3):
        pass

    record = caller.only_record()
    assert (record.outcome, record.status, record.usage.output, record.usage.images) == ("client_gone", 499, 0, 0)
    assert record.cost > 0
    assert caller.available == before - record.cost
    assert caller.upstream.received(model.upstream)[0].was_left_within(1)


@every_stream
def test_client_that_leaves_a_stream_pays_for_what_came(world: World, caller: Caller, streaming: Streaming) -> None:
    model = world.offer(streaming.shape)
    caller.upstream.on(model.upstream, streaming.reply(*streaming.events[:2], up.HANG))
    before = caller.available

    with open_stream(caller, streaming, model) as response:
        next(response.iter_raw())

    record = caller.only_record()
    assert (record.outcome, record.status) == ("client_gone", 200)
    assert record.cost > 0
    assert caller.available == before - record.cost
    assert caller.upstream.received(model.upstream)[0].was_left_within(1)


# --- the client's purse ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(shared_world: World) -> Caller:
    """An app with money and a quota of nothing."""
    caller = shared_world.caller()
    grant(caller, amount=0, period="total")
    return caller


@every_endpoint
def test_empty_wallet_is_refused_and_changes_nothing(world: World, name: str) -> None:
    poor, model = world.caller(funds="0"), world.offer(ROWS[name].shape)
    with poor.nothing_changes():
        response = send(poor, ENDPOINTS[name], model)
    ROWS[name].refused(response, 429, "insufficient_quota", "insufficient_quota")


@every_endpoint
def test_empty_wallet_is_refused_with_the_status_that_its_tenant_has_chosen(world: World, name: str) -> None:
    poor, model = world.caller(funds="0", tenant={"says_payment_required": True}), world.offer(ROWS[name].shape)
    with poor.nothing_changes():
        response = send(poor, ENDPOINTS[name], model)
    ROWS[name].refused(response, 402, "insufficient_quota", "insufficient_quota")
    assert_final(response)


@every_endpoint
def test_spent_quota_is_refused_and_changes_nothing(world: World, limited: Caller, name: str) -> None:
    model = world.offer(ROWS[name].shape)
    with limited.nothing_changes():
        response = send(limited, ENDPOINTS[name], model)
    ROWS[name].refused(response, 429, "insufficient_quota", "quota_exceeded")


@every_whole
def test_quota_that_is_spent_while_an_answer_is_made_ends_nothing_but_what_follows(world: World, name: str) -> None:
    """What was admitted is served and paid for to its end."""
    row, caller = ROWS[name], world.caller()
    with caller.installation.database():
        quota = quotas.grant(caller.holder.tenant, amount=DOLLAR, period="total")
    model, gate = world.offer(row.shape), threading.Event()
    caller.upstream.on(model.upstream, up.Reply((up.Until(gate), *row.whole.steps)))

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, caller, ENDPOINTS[name], model)
        caller.upstream.wait_for(model.upstream)
        with caller.installation.database():
            quotas.change(quota, amount=0, is_hard=True)
        gate.set()

    assert answer.result().status_code == 200
    record = caller.only_record()
    assert (record.outcome, record.cost) == ("success", row.cost)
    with caller.nothing_changes():
        row.refused(send(caller, ENDPOINTS[name], model), 429, "insufficient_quota", "quota_exceeded")


@every_stream
def test_quota_that_is_spent_in_the_middle_of_a_stream_ends_nothing_but_what_follows(
    world: World, streaming: Streaming
) -> None:
    row, caller = ROWS[streaming.endpoint], world.caller()
    with caller.installation.database():
        quota = quotas.grant(caller.holder.tenant, amount=DOLLAR, period="total")
    model, gate = world.offer(streaming.shape), threading.Event()
    caller.upstream.on(model.upstream, streaming.reply(*streaming.events[:2], up.Until(gate), *streaming.events[2:]))

    with open_stream(caller, streaming, model) as response:
        parts = response.iter_raw()
        next(parts)
        with caller.installation.database():
            quotas.change(quota, amount=0, is_hard=True)
        gate.set()
        assert list(parts)

    record = caller.only_record()
    assert record.outcome == "success"
    assert record.cost > 0
    with caller.nothing_changes():
        refused = send(caller, ENDPOINTS[streaming.endpoint], model)
    row.refused(refused, 429, "insufficient_quota", "quota_exceeded")


@every_endpoint
def test_model_without_a_price_is_refused_before_its_upstream_is_asked(world: World, caller: Caller, name: str) -> None:
    model = world.offer(UNPRICED)
    with caller.nothing_changes():
        response = send(caller, ENDPOINTS[name], model)
    ROWS[name].refused(response, 404, "invalid_request_error", "model_not_found")
