"""`Idempotency-Key`: what a client sends twice is served once and billed once."""

from __future__ import annotations

import datetime as dt
import re
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from django.utils import timezone

from accounts import keys
from billing.models import IdempotencyKey
from tests import upstream as up
from tests.callers import PATH, Caller, Stream, record_id
from tests.envelopes import assert_error, assert_refused, assert_retriable
from tests.faults import BROKEN, BROKEN_FIRST_EVENT
from tests.installation import COST, DOLLAR, SINGLE, Offer, Shape, Tariff, Via
from tests.worlds import World

FLAT = Shape(price=Tariff(input=0, output=0, cached_input=None, request_fee=DOLLAR // 20))
"""Five cents a request, whatever it says: the hold is the cost."""
HASTY = Shape(vias=(Via(total_timeout=0.5),))


@pytest.fixture
def key() -> dict[str, str]:
    """The header, with a value that nobody has used."""
    return {"idempotency-key": secrets.token_hex(16)}


def assert_in_use(response: httpx.Response) -> None:
    error = assert_error(response, 409, "invalid_request_error", "idempotency_key_in_use", param=None)
    assert_retriable(response)
    assert re.search(r"chatcmpl-[0-9a-f]{32}", error["message"])


def assert_used(response: httpx.Response, first: str) -> None:
    error = assert_refused(response, 409, "idempotency_key_used", param=None)
    assert first in error["message"]
    assert "billed" in error["message"]
    assert response.headers["x-costrouter-first-request"] == first


def held_back(gate: threading.Event) -> up.Reply:
    return up.Reply((up.Until(gate), *up.answer().steps))


# --- the same again --------------------------------------------------------------------------------------------------


def test_answer_is_given_again_and_not_billed_again(each_world: World, key: dict[str, str]) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)
    first = caller.ask(model, headers=key)
    caller.wait_until_settled()

    with caller.nothing_changes():
        again = caller.ask(model, headers=key)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert {name: len(again.headers.get_list(name)) for name in ("x-request-id", "content-length", "content-type")} == {
        "x-request-id": 1, "content-length": 1, "content-type": 1,
    }  # fmt: skip
    assert caller.only_record().cost == COST
    assert len(each_world.upstream.received(model.upstream)) == 1


def test_answer_can_be_given_again_many_times(caller: Caller, model: Offer, key: dict[str, str]) -> None:
    first = caller.ask(model, headers=key)
    caller.wait_until_settled()

    answers = [caller.ask(model, headers=key) for _count in range(3)]

    assert {answer.content for answer in answers} == {first.content}
    assert all(len(answer.headers.get_list("x-request-id")) == 1 for answer in answers)


def test_repetition_tells_the_limits_as_they_stand_now(world: World, model: Offer, key: dict[str, str]) -> None:
    caller = world.caller(requests_per_minute=10)
    caller.ask(model, headers=key)
    caller.wait_until_settled()

    again = caller.ask(model, headers=key)

    assert again.headers.get_list("x-ratelimit-remaining-requests") == ["8"]


def test_request_in_flight_is_not_sent_twice(each_world: World, key: dict[str, str]) -> None:
    caller, model, gate = each_world.caller(), each_world.offer(SINGLE), threading.Event()
    each_world.upstream.on(model.upstream, held_back(gate))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model, headers=key)
        each_world.upstream.wait_for(model.upstream)
        second = caller.ask(model, headers=key)
        gate.set()
        answered = first.result()

    assert_in_use(second)
    assert answered.status_code == 200
    assert caller.only_record().cost == COST
    assert len(each_world.upstream.received(model.upstream)) == 1


def test_twenty_at_once_are_one(each_world: World, key: dict[str, str]) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _i: caller.ask(model, headers=key), range(20)))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert caller.only_record().cost == COST
    assert len(each_world.upstream.received(model.upstream)) == 1


def test_answer_whose_client_had_left_is_given_to_its_retry(
    world: World, caller: Caller, model: Offer, key: dict[str, str]
) -> None:
    world.upstream.on(model.upstream, up.Reply((up.Pause(0.6), *up.answer().steps)))
    with pytest.raises(httpx.ReadTimeout):
        caller.client.post(PATH, json=caller.body(model), headers=key, timeout=0.2)
    assert_in_use(caller.ask(model, headers=key))
    record = caller.only_record()

    again = caller.ask(model, headers=key)

    assert (again.status_code, record_id(again.json()["id"])) == (200, record.id)
    assert len(caller.records) == 1


def test_retry_is_answered_from_a_wallet_that_the_first_request_has_emptied(
    each_world: World, key: dict[str, str]
) -> None:
    caller, model = each_world.caller(funds="0.05"), each_world.offer(FLAT)
    first = caller.ask(model, headers=key)
    caller.wait_until_settled()

    again = caller.ask(model, headers=key)

    assert (caller.available, again.status_code, again.content) == (0, 200, first.content)
    assert caller.ask(model).status_code == 429


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_other_body_with_the_same_key_is_refused(each_world: World, key: dict[str, str], is_stream: bool) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)
    caller.ask(model, headers=key)
    caller.wait_until_settled()

    with caller.nothing_changes():
        other = caller.ask(model, headers=key, stream=is_stream, temperature=1)

    assert_refused(other, 422, "idempotency_key_mismatch", param=None)


def test_key_belongs_to_its_api_key(world: World, caller: Caller, model: Offer, key: dict[str, str]) -> None:
    with world.installation.database():
        other = keys.issue(tenant=caller.holder.tenant, name="other").secret
    first = caller.ask(model, headers=key)
    second = caller.ask(model, headers={**key, "authorization": f"Bearer {other}"})

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] != second.json()["id"]


def test_key_is_free_again_after_a_day(each_world: World, key: dict[str, str]) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)
    first = caller.ask(model, headers=key)
    caller.wait_until_settled()
    with each_world.installation.database():
        rows = IdempotencyKey.objects.filter(api_key_id=caller.holder.api_key.pk)
        rows.update(created_at=timezone.now() - dt.timedelta(hours=24, minutes=1))

    again = caller.ask(model, headers=key)

    assert (again.status_code, "idempotent-replayed" in again.headers) == (200, False)
    assert again.json()["id"] != first.json()["id"]


def test_requests_without_the_header_leave_no_key(caller: Caller, model: Offer, world: World) -> None:
    caller.ask(model)
    with world.installation.database():
        assert not IdempotencyKey.objects.filter(api_key_id=caller.holder.api_key.pk).exists()


# --- streams ---------------------------------------------------------------------------------------------------------


def ask_for_stream(caller: Caller, model: Offer, key: dict[str, str]) -> httpx.Response:
    """The refusal of a stream."""
    return caller.client.post(PATH, json=caller.body(model, stream=True), headers=key)


def test_stream_in_flight_is_not_begun_twice(each_world: World, key: dict[str, str]) -> None:
    caller, model, gate = each_world.caller(), each_world.offer(SINGLE), threading.Event()
    rest = [up.event(item) for item in (*up.words("Hello there"), up.FINISH, up.usage_chunk())]
    each_world.upstream.on(model.upstream, up.stream(up.event(up.ROLE), up.Until(gate), *rest, up.DONE))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.listen, model, headers=key)
        each_world.upstream.wait_for(model.upstream)
        second = ask_for_stream(caller, model, key)
        gate.set()
        seen: Stream = first.result()

    assert_in_use(second)
    assert seen.is_done
    caller.only_record()


def test_stream_that_has_ended_is_named_and_not_billed_again(each_world: World, key: dict[str, str]) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)
    seen = caller.listen(model, headers=key)
    caller.wait_until_settled()

    with caller.nothing_changes():
        again = ask_for_stream(caller, model, key)

    assert_used(again, seen.id)


def test_stream_that_broke_off_after_its_beginning_is_named(
    world: World, caller: Caller, model: Offer, key: dict[str, str]
) -> None:
    world.upstream.on(model.upstream, up.stream(up.event(up.ROLE), up.event(up.words("Hello")[0]), end=up.End.RESET))
    seen = caller.listen(model, headers=key)
    record = caller.only_record()

    again = ask_for_stream(caller, model, key)

    assert (seen.is_done, record.outcome) == (False, "upstream_error")
    assert record.cost > 0
    assert_used(again, seen.id)


def test_stream_whose_client_left_before_it_began_is_named(
    world: World, caller: Caller, model: Offer, key: dict[str, str]
) -> None:
    world.upstream.on(model.upstream, up.stream(up.HANG), up.told())
    with pytest.raises(httpx.ReadTimeout):
        caller.client.post(PATH, json=caller.body(model, stream=True), headers=key, timeout=0.3)
    record = caller.only_record()
    assert (record.outcome, record.cost > 0) == ("client_gone", True)

    with caller.nothing_changes():
        again = ask_for_stream(caller, model, key)

    assert_used(again, f"chatcmpl-{record.id.hex}")


# --- what leaves the key free ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "status"),
    [({"temperature": 9}, 400), ({"model": "no-such-model"}, 404), ({"max_tokens": 16_000, "n": 128}, 429)],
    ids=["bad input", "unknown model", "too dear"],
)
def test_refused_request_leaves_its_key_free(
    each_world: World, key: dict[str, str], members: dict[str, object], status: int
) -> None:
    caller, model = each_world.caller(funds="0.10"), each_world.offer(SINGLE)

    with caller.nothing_changes():
        refused = caller.client.post(PATH, json=caller.body(model) | members, headers=key)
    answered = caller.ask(model, headers=key, max_tokens=50)

    assert (refused.status_code, answered.status_code) == (status, 200)
    assert caller.only_record().outcome == "success"


def test_request_over_its_limit_leaves_its_key_free(world: World, model: Offer, key: dict[str, str]) -> None:
    caller, gate = world.caller(concurrency=1), threading.Event()
    world.upstream.on(model.upstream, held_back(gate), up.answer())

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model)
        world.upstream.wait_for(model.upstream)
        refused = caller.ask(model, headers=key)
        gate.set()
        first.result()
    answered = caller.ask(model, headers=key)

    assert (refused.status_code, answered.status_code) == (429, 200)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        pytest.param(BROKEN["503 loading"], 502, id="502"),
        pytest.param(up.plain(429, {"error": {"message": "slow"}}, headers=[("retry-after", "1")]), 503, id="503"),
        pytest.param(up.plain(400, {"error": {"message": "no", "type": "invalid_request_error"}}), 400, id="400"),
    ],
)
def test_request_that_failed_upstream_for_nothing_can_be_sent_again(
    world: World, caller: Caller, key: dict[str, str], reply: up.Reply, status: int
) -> None:
    model = world.offer(SINGLE)
    world.upstream.on(model.upstream, reply, up.answer())

    failed = caller.ask(model, headers=key)
    caller.wait_until_settled()
    answered = _ask_until_served(caller, model, key)
    caller.wait_until_settled()

    assert (failed.status_code, answered.status_code) == (status, 200)
    assert [record.cost for record in caller.records] == [0, COST]
    assert caller.available == 10 * DOLLAR - COST


def test_request_that_timed_out_upstream_can_be_sent_again(world: World, caller: Caller, key: dict[str, str]) -> None:
    model = world.offer(HASTY)
    world.upstream.on(model.upstream, up.Reply((up.HANG,)), up.answer())

    failed = caller.ask(model, headers=key)
    answered = _ask_until_served(caller, model, key)
    caller.wait_until_settled()

    assert (failed.status_code, answered.status_code) == (504, 200)
    assert [record.outcome for record in caller.records] == ["timeout", "success"]


@pytest.mark.parametrize("fault", ["an error event", "a close after the headers"])
def test_stream_that_failed_before_it_began_can_be_asked_for_again(
    world: World, caller: Caller, model: Offer, key: dict[str, str], fault: str
) -> None:
    world.upstream.on(model.upstream, BROKEN_FIRST_EVENT[fault], up.told())

    failed = ask_for_stream(caller, model, key)
    caller.wait_until_settled()
    seen = caller.listen(model, headers=key)

    assert (failed.status_code, seen.status, seen.is_done) == (502, 200, True)


def _ask_until_served(caller: Caller, model: Offer, key: dict[str, str]) -> httpx.Response:
    """A client that retries for as long as it is told to."""
    response = caller.ask(model, headers=key)
    for _retry in range(30):
        if "retry-after" not in response.headers:
            break
        threading.Event().wait(0.1)
        response = caller.ask(model, headers=key)
    return response


# --- the header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 255])
def test_key_of_any_length_that_is_allowed(caller: Caller, model: Offer, length: int) -> None:
    key = {"idempotency-key": secrets.token_hex(128)[:length]}
    first = caller.ask(model, headers=key)
    caller.wait_until_settled()
    assert caller.ask(model, headers=key).content == first.content


@pytest.mark.parametrize(
    "value",
    [b"", b"x" * 256, b"a\tb", b"a\x85b"],
    ids=["empty", "too long", "tab", "other control character"],
)
def test_key_that_is_none_is_refused(caller: Caller, model: Offer, value: bytes) -> None:
    with caller.nothing_changes():
        response = caller.client.post(PATH, json=caller.body(model), headers=[(b"idempotency-key", value)])
    assert_refused(response, 400, "invalid_idempotency_key", param=None)


def test_two_keys_are_refused(caller: Caller, model: Offer) -> None:
    with caller.nothing_changes():
        response = caller.client.post(
            PATH, json=caller.body(model), headers=[("idempotency-key", "a"), ("idempotency-key", "a")]
        )
    assert_refused(response, 400, "invalid_idempotency_key", param=None)


def test_body_is_compared_byte_by_byte(caller: Caller, model: Offer, key: dict[str, str]) -> None:
    body = f'{{"model":"{model.name}","messages":[{{"role":"user","content":"Hi"}}]}}'
    first = caller.post(body, **key)
    caller.wait_until_settled()
    assert caller.post(body.replace(":[", ": ["), **key).status_code == 422
    assert caller.post(body, **key).content == first.content


def test_raw_connection_that_breaks_leaves_one_bill(
    world: World, caller: Caller, model: Offer, key: dict[str, str]
) -> None:
    """A client whose network dies after it has sent, which then sends the same bytes anew."""
    body = httpx.Request("POST", "http://x", json=caller.body(model)).content
    address = urlsplit(caller.installation.gateway_url)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {caller.secret}\r\n"
        f"content-type: application/json\r\nidempotency-key: {key['idempotency-key']}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head.encode() + body)
        world.upstream.wait_for(model.upstream)
    record = caller.only_record()

    again = caller.post(body, **key)

    assert (again.status_code, record_id(again.json()["id"])) == (200, record.id)
    assert len(caller.records) == 1
