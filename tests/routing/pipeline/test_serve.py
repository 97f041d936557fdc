"""What a hostile or broken upstream, and many requests at once, must not do to a completion or to its books."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import upstream as up
from tests.callers import Caller, Stream
from tests.databases import SqliteDatabases
from tests.installation import DOLLAR, DOUBLE, SINGLE, Shape, Via
from tests.worlds import World

NARROW = Shape(vias=(Via(concurrency=2),))


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], sqlite_databases: SqliteDatabases) -> World:
    return start_shared_world(database_url=sqlite_databases.migrated(), stock={SINGLE: 60, DOUBLE: 20, NARROW: 2})


def deep(levels: int) -> Any:
    """So many lists, one in the other."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_error_on_a_kept_connection_does_not_mix_up_the_answers_after_it(world: World, caller: Caller) -> None:
    model = world.offer(SINGLE)

    def reply(request: up.Received) -> up.Reply:
        text = request.json["messages"][0]["content"]
        refused = up.plain(400, {"error": {"message": "no", "type": "invalid_request_error"}})
        return refused if text == "refuse" else up.plain(200, up.completion(text, usage=up.USAGE), delay=0.05)

    def echo(text: str) -> str:
        answer = caller.ask(model, messages=[{"role": "user", "content": text}]).json()
        return str(answer["choices"][0]["message"]["content"])

    caller.upstream.on(model.upstream, reply)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            refusal = caller.ask(model, messages=[{"role": "user", "content": "refuse"}])
            texts = [f"words for {number} alone" for number in range(8)]
            assert (refusal.status_code, list(pool.map(echo, texts))) == (400, texts)


# --- shapes that are none --------------------------------------------------------------------------------------------

ODD_CHUNKS = [
    {"choices": [{"index": [], "delta": {"content": "x"}}]},
    {"choices": [{"index": {}, "delta": {"content": "x"}}]},
    {"choices": [{"index": "first", "delta": {"content": "x"}}]},
    {"choices": [{"index": 0, "delta": [1]}]},
    {"choices": [5]},
    {"choices": {}},
    {"choices": None},
    [],
    5,
    None,
]


@pytest.mark.parametrize("chunk", ODD_CHUNKS, ids=str)
def test_stream_that_begins_oddly_is_taken_over(world: World, caller: Caller, chunk: Any) -> None:
    model = world.offer(DOUBLE)
    caller.upstream.on(model.upstreams[0], up.stream(up.event(chunk), up.DONE))
    seen = caller.listen(model)
    assert (seen.status, seen.is_done, seen.headers["x-costrouter-attempts"]) == (200, True, "2")


def assert_honest_break(caller: Caller, seen: Stream) -> None:
    record = caller.only_record()
    assert (seen.text(), seen.error["code"], seen.is_done, seen.is_cut) == ("Hi", "upstream_error", False, False)
    assert (record.outcome, record.usage_source, record.output_tokens) == ("upstream_error", "estimated", 1)


@pytest.mark.parametrize(
    "chunk",
    [
        *ODD_CHUNKS[:4],
        pytest.param(
            {"choices": [{"index": 0, "delta": {"content": deep(300)}}]}, id="nested deeper than can be written"
        ),
    ],
    ids=str,
)
def test_stream_that_goes_on_oddly_ends_in_an_error_event(world: World, caller: Caller, chunk: Any) -> None:
    model = world.offer(SINGLE)
    caller.upstream.on(model.upstream, up.stream(up.event(up.chunk({"content": "Hi"})), up.event(chunk), up.DONE))
    assert_honest_break(caller, caller.listen(model))


@pytest.mark.parametrize("reason", [[], {}, 5], ids=str)
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_odd_finish_reason_is_a_stop(world: World, caller: Caller, reason: Any, is_stream: bool) -> None:
    model = world.offer(SINGLE)
    choice = {"index": 0, "finish_reason": reason}
    chunk = up.chunk(choices=[{**choice, "delta": {"content": "Hi"}}], usage=up.USAGE)
    whole = up.completion("Hi", usage=up.USAGE)
    whole["choices"][0]["finish_reason"] = reason
    caller.upstream.on(model.upstream, up.stream(up.event(chunk), up.DONE) if is_stream else up.plain(200, whole))
    seen = caller.listen(model).chunks if is_stream else [caller.ask(model).json()]
    reasons = [choice["finish_reason"] for chunk in seen for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason is not None] == ["stop"]


def test_answer_that_cannot_be_passed_on_costs_nothing(world: World, caller: Caller) -> None:
    model = world.offer(SINGLE)
    caller.upstream.on(model.upstream, up.answer(x=deep(300)))
    before = caller.available
    assert caller.ask(model).status_code in {500, 502}
    assert (caller.only_record().cost, caller.available) == (0, before)


def test_comments_without_end_are_taken_over(world: World, caller: Caller) -> None:
    model = world.offer(DOUBLE)
    caller.upstream.on(model.upstreams[0], up.stream(up.Forever(up.framed(b": busy\n\n" * 1000), 0.001)))
    seen = caller.listen(model)
    assert (seen.is_done, seen.headers["x-costrouter-attempts"]) == (True, "2")


# --- usage that cannot be --------------------------------------------------------------------------------------------

LIES = [2**63, 2**64 - 1, 10**18, 100_000_001, -1, 1e9, "seven", None, True]


@pytest.mark.parametrize("lie", LIES, ids=str)
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_usage_that_cannot_be_is_estimated_and_recorded(
    world: World, caller: Caller, lie: Any, is_stream: bool
) -> None:
    model = world.offer(SINGLE)
    usage = {"prompt_tokens": 12, "completion_tokens": lie, "total_tokens": lie}
    caller.upstream.on(model.upstream, up.told("Hello there", usage=usage) if is_stream else up.answer(usage=usage))
    assert (caller.listen(model).is_done if is_stream else caller.ask(model).is_success) is True
    record = caller.only_record()
    assert (record.outcome, record.usage_source) == ("success", "estimated")
    assert 0 < record.output_tokens < 10


def test_usage_beyond_the_hold_is_paid_as_far_as_the_wallet_goes(world: World, caller: Caller) -> None:
    model = world.offer(SINGLE)
    caller.upstream.on(model.upstream, up.answer(usage={"prompt_tokens": 90_000_000, "completion_tokens": 5}))
    assert caller.ask(model, max_tokens=5).status_code == 200
    record = caller.only_record()
    assert (record.cost, record.input_tokens, caller.available) == (10 * DOLLAR, 90_000_000, 0)
    assert record.claimed_cost == 90_000_000 * 2_000 + 5 * 8_000


# --- many at once ----------------------------------------------------------------------------------------------------


def test_channel_never_gets_more_at_once_than_it_allows(world: World, caller: Caller) -> None:
    model = world.offer(NARROW)
    go = threading.Event()
    whole = json.dumps(up.completion(usage=up.USAGE)).encode()
    start = up.head(200, [("content-type", "application/json"), ("content-length", str(len(whole)))])
    caller.upstream.on(model.upstream, up.Reply((up.Until(go), start + whole)))
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(caller.ask, model) for _ in range(12)]
        caller.upstream.wait_for(model.upstream, 2)
        refused = [future.result() for future in asked if future not in waiting(asked, 2)]
        go.set()
        statuses = sorted(future.result().status_code for future in asked)
    assert statuses == [200] * 2 + [503] * 10
    assert {response.json()["error"]["code"] for response in refused} == {"no_available_channel"}
    assert len(caller.upstream.received(model.upstream)) == 2
    caller.wait_until_settled()
    assert caller.ask(model).status_code == 200


def waiting(futures: list[Any], count: int) -> list[Any]:
    """Those that are still under way once no more than `count` are."""
    while sum(not future.done() for future in futures) > count:
        threading.Event().wait(0.01)
    return [future for future in futures if not future.done()]


def test_failures_without_an_alternative_leave_the_retry_budget_to_others(
    start_world: Callable[..., World], migrated_sqlite_url: Callable[[], str]
) -> None:
    broken = up.plain(500, {"error": "broken"})
    world = start_world(database_url=migrated_sqlite_url(), stock={SINGLE: 4, DOUBLE: 1}, env={"RETRY_BUDGET": "0"})
    caller = world.caller()
    lonely = [world.offer(SINGLE) for _ in range(4)]
    for model in lonely:
        caller.upstream.on(model.upstream, broken)
    failed = {caller.ask(model).status_code for model in lonely * 4}
    double = world.offer(DOUBLE)
    caller.upstream.on(double.upstreams[0], broken)
    assert (failed, caller.ask(double).status_code) == ({502}, 200)
