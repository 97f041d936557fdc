"""Rate limits: the same rules in this process's memory and in Redis, and what holds while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis

from accounts.limits import LEASE_SECONDS, Batch, Limiter, Limits, LocalBuckets, RateLimited, Standing, _ask
from tests.wires import Wire

Story = Callable[[Limiter], Awaitable[None]]


def limits(
    subject: str = "key:1", *, requests: int | None = None, tokens: int | None = None, concurrency: int | None = None
) -> Limits:
    return Limits(subject, requests, tokens, concurrency)


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """Where the buckets are: nowhere but in the process, or in an empty Redis."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
def wire(redis_url: str) -> Iterator[Wire]:
    """An empty Redis at the end of a wire."""
    made = Wire(redis_url)
    yield made
    made.cut()


def play(url: str, story: Story) -> None:
    async def run() -> None:
        limiter = Limiter(url)
        try:
            await story(limiter)
        finally:
            await limiter.close()

    asyncio.run(run())


async def admitted(limiter: Limiter, count: int, *of: Limits, tokens: int = 1, name: str = "r") -> list[bool]:
    """Which of so many requests at the same time are let in."""
    answers = await asyncio.gather(
        *(limiter.admit(f"{name}{number}", of, tokens) for number in range(count)), return_exceptions=True
    )
    assert all(isinstance(answer, Standing | RateLimited) for answer in answers), answers
    return [isinstance(answer, Standing) for answer in answers]


async def settled(limiter: Limiter) -> None:
    """Until what was handed in with `finish` has been written."""
    while limiter._releases or limiter._flushing is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


# --- the rules -------------------------------------------------------------------------------------------------------


def test_request_without_limits_stands_nowhere(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert await limiter.admit("a", (), 10**9) == Standing()
        assert (await limiter.admit("a", (), 1)).headers == []

    play(url, story)


def test_requests_per_minute_are_counted_and_then_refused(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert await admitted(limiter, 5, limits(requests=3)) == [True, True, True, False, False]
        with pytest.raises(RateLimited, match="requests per minute") as refusal:
            await limiter.admit("x", (limits(requests=3),), 1)
        assert refusal.value.retry_after in {19, 20}
        assert refusal.value.headers == {"retry-after": str(refusal.value.retry_after)}

    play(url, story)


def test_buckets_refill_continuously(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        began = time.monotonic()
        first = sum(await admitted(limiter, 650, limits(requests=600)))
        assert 600 <= first <= 601 + 10 * (time.monotonic() - began)
        await asyncio.sleep(0.25)
        later = sum(await admitted(limiter, 50, limits(requests=600), name="later"))
        assert later >= 2
        assert first + later <= 601 + 10 * (time.monotonic() - began)

    play(url, story)


def test_standing_is_that_of_the_tightest_bucket(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        both = (limits("key:1", requests=100, tokens=50), limits("tenant:1", requests=10, tokens=1000))
        assert await limiter.admit("a", both, 20) == Standing(10, 9, 50, 30)
        second = await limiter.admit("b", both, 20)
        assert (second.limit_requests, second.remaining_requests) == (10, 8)
        assert dict(second.headers)[b"x-ratelimit-remaining-requests"] == b"8"
        assert dict(second.headers)[b"x-ratelimit-limit-tokens"] == b"50"

    play(url, story)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [
        (3, 2, b"20000ms"),
        (60, 60, b"0ms"),
        (7, 3, b"34286ms"),
        (2 * 10**9, 10**9, b"30000ms"),
        (2 * 10**9, 2 * 10**9 - 1, b"1ms"),
    ],
)
def test_time_until_a_bucket_is_full_again_is_a_plain_duration(limit: int, remaining: int, reset: bytes) -> None:
    headers = dict(Standing(limit, remaining, limit, remaining).headers)

    assert headers[b"x-ratelimit-reset-requests"] == headers[b"x-ratelimit-reset-tokens"] == reset


def test_tokens_are_counted_by_what_is_asked_for(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert await admitted(limiter, 3, limits(tokens=100), tokens=40) == [True, True, False]
        with pytest.raises(RateLimited, match="tokens per minute") as refusal:
            await limiter.admit("x", (limits(tokens=100),), 40)
        assert refusal.value.retry_after in {11, 12}

    play(url, story)


def test_request_larger_than_its_limit_takes_all_of_it_and_is_not_refused_for_ever(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert await admitted(limiter, 2, limits(tokens=100), tokens=5000) == [True, False]

    play(url, story)


def test_unused_tokens_are_given_back(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = (limits(tokens=100),)
        await limiter.admit("a", of, 90)
        limiter.finish("a", of, asked=90, used=10)
        await settled(limiter)
        assert (await limiter.admit("b", of, 1)).remaining_tokens in {89, 90}

    play(url, story)


def test_no_more_tokens_are_given_back_than_were_taken(url: str) -> None:
    """Asked for 5,000 of a limit of 100, used 90: the bucket is nearly empty, not full."""

    async def story(limiter: Limiter) -> None:
        of = (limits(tokens=100),)
        await limiter.admit("a", of, 5000)
        limiter.finish("a", of, asked=5000, used=90)
        await settled(limiter)
        assert await admitted(limiter, 1, *of, tokens=40, name="b") == [False]
        assert await admitted(limiter, 1, *of, tokens=5, name="c") == [True]

    play(url, story)


def test_tokens_used_beyond_what_was_asked_take_nothing_back(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = (limits(tokens=100),)
        await limiter.admit("a", of, 10)
        limiter.finish("a", of, asked=10, used=99)
        await settled(limiter)
        assert (await limiter.admit("b", of, 1)).remaining_tokens in {89, 90}

    play(url, story)


def test_bucket_never_holds_more_than_a_minute(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = (limits(tokens=100),)
        await limiter.admit("a", of, 10)
        limiter.finish("a", of, asked=10, used=0)
        limiter.finish("a", of, asked=10, used=0)
        await settled(limiter)
        assert (await limiter.admit("b", of, 1)).remaining_tokens == 99

    play(url, story)


def test_requests_in_flight_are_bounded_and_their_places_come_back(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = limits(concurrency=2)
        assert await admitted(limiter, 3, of) == [True, True, False]
        with pytest.raises(RateLimited, match="in flight"):
            await limiter.admit("x", (of,), 1)
        limiter.finish("r0", (of,), asked=1, used=1)
        await settled(limiter)
        assert await admitted(limiter, 2, of, name="later") == [True, False]

    play(url, story)


def test_place_that_is_given_back_twice_comes_back_once(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = limits(concurrency=2)
        await admitted(limiter, 2, of)
        limiter.finish("r0", (of,), asked=1, used=1)
        limiter.finish("r0", (of,), asked=1, used=1)
        await settled(limiter)
        assert await admitted(limiter, 2, of, name="later") == [True, False]

    play(url, story)


@pytest.mark.parametrize(
    "tight",
    [limits("tenant:1", requests=1), limits("tenant:1", tokens=1), limits("tenant:1", concurrency=1)],
    ids=["requests", "tokens", "concurrency"],
)
def test_refusal_takes_nothing_from_any_bucket(url: str, tight: Limits) -> None:
    async def story(limiter: Limiter) -> None:
        wide = limits("key:1", requests=50, tokens=50, concurrency=2)
        await limiter.admit("a", (tight,), 1)
        assert await admitted(limiter, 5, wide, tight) == [False] * 5
        assert await limiter.admit("b", (wide,), 1) == Standing(50, 49, 50, 49)
        assert await admitted(limiter, 2, wide, name="c") == [True, False]

    play(url, story)


@pytest.mark.parametrize(
    "shut", [limits(requests=0), limits(tokens=0), limits(concurrency=0)], ids=["requests", "tokens", "concurrency"]
)
def test_limit_of_zero_lets_nobody_in(url: str, shut: Limits) -> None:
    async def story(limiter: Limiter) -> None:
        assert await admitted(limiter, 2, shut) == [False, False]

    play(url, story)


def test_subjects_do_not_share_their_buckets(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert await admitted(limiter, 2, limits("key:1", requests=1)) == [True, False]
        assert await admitted(limiter, 2, limits("key:2", requests=1)) == [True, False]

    play(url, story)


def test_request_that_left_before_it_was_let_in_keeps_no_place(url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = limits(concurrency=1)
        leaving = asyncio.ensure_future(limiter.admit("gone", (of,), 1))
        await asyncio.sleep(0)  # asked
        await asyncio.sleep(0)  # on its way
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        await asyncio.sleep(0.05)
        await settled(limiter)
        assert await admitted(limiter, 1, of) == [True]

    play(url, story)


def test_closing_writes_the_last_releases(redis_url: str) -> None:
    of = limits(concurrency=1)

    async def first(limiter: Limiter) -> None:
        await limiter.admit("a", (of,), 1)
        limiter.finish("a", (of,), asked=1, used=1)

    async def second(limiter: Limiter) -> None:
        assert await admitted(limiter, 1, of) == [True]

    play(redis_url, first)
    play(redis_url, second)


def test_processes_share_what_is_in_redis(redis_url: str) -> None:
    async def story(limiter: Limiter) -> None:
        other = Limiter(redis_url)
        assert await admitted(limiter, 3, limits(requests=4)) == [True] * 3
        assert await admitted(other, 3, limits(requests=4)) == [True, False, False]
        await other.close()

    play(redis_url, story)


def test_everything_in_redis_goes_away_by_itself(redis_url: str) -> None:
    async def story(limiter: Limiter) -> None:
        await limiter.admit("a", (limits(requests=4, tokens=5, concurrency=6),), 1)

    play(redis_url, story)

    with redis.Redis.from_url(redis_url) as client:
        ages = {key: client.ttl(key) for key in client.scan_iter()}
    assert set(ages) == {b"limit:key:1", b"flight:key:1"}
    assert 60 < ages[b"limit:key:1"] <= 125
    assert 0 < ages[b"flight:key:1"] <= LEASE_SECONDS


# --- leases and sweeping, at a clock of the test's own ---------------------------------------------------------------


def test_lease_that_never_ends_counts_no_longer_than_it_lasts() -> None:
    buckets, asks = LocalBuckets(), [_ask("a", [limits(concurrency=1)], 1)]

    assert buckets.run(Batch(asks, [], LEASE_SECONDS), 1000.0)[0][0] == ""
    assert buckets.run(Batch(asks, [], LEASE_SECONDS), 1000.0 + LEASE_SECONDS - 1)[0][0] == "concurrency"
    assert buckets.run(Batch(asks, [], LEASE_SECONDS), 1000.0 + LEASE_SECONDS)[0][0] == ""


def test_lease_in_redis_counts_no_longer_than_it_lasts(redis_url: str) -> None:
    async def story(limiter: Limiter) -> None:
        of = limits(concurrency=1)
        with redis.Redis.from_url(redis_url) as client:
            client.zadd("flight:key:1", {"old": time.time() - 1})
        assert await admitted(limiter, 2, of) == [True, False]

    play(redis_url, story)


def test_places_end_with_their_process(redis_url: str) -> None:
    """A process that was killed says nothing more; a living one keeps its places for as long as it wants."""

    async def story() -> None:
        dead, living = Limiter(redis_url), Limiter(redis_url)
        assert await admitted(dead, 2, limits(concurrency=3), name="dead") == [True] * 2
        dead._renew_timer.cancel()  # type: ignore[union-attr]  # as kill -9 does
        assert await admitted(living, 2, limits(concurrency=3), name="living") == [True, False]
        await asyncio.sleep(LEASE_SECONDS + 1)
        assert await admitted(living, 3, limits(concurrency=3), name="later") == [True, True, False]
        for limiter in (dead, living):
            await limiter.close()

    asyncio.run(story())


def test_place_of_a_request_that_has_ended_is_not_renewed(redis_url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert await admitted(limiter, 2, limits(concurrency=2)) == [True, True]
        limiter._renew()
        limiter.finish("r0", (limits(concurrency=2),), asked=1, used=1)
        await settled(limiter)
        assert await admitted(limiter, 2, limits(concurrency=2), name="next") == [True, False]

    play(redis_url, story)


def test_buckets_at_rest_are_forgotten() -> None:
    buckets = LocalBuckets()
    for number in range(100):
        subject = limits(f"key:{number}", requests=5, concurrency=1)
        buckets.run(Batch([_ask("a", [subject], 1)], [], 10), 1000.0)

    buckets.run(Batch([], [], 10), 1000.0 + 121)

    assert (len(buckets._levels), len(buckets._in_flight)) == (0, 0)


def test_bucket_in_use_is_not_forgotten() -> None:
    buckets, asks = LocalBuckets(), [_ask("a", [limits(requests=2)], 1)]

    refusals = [buckets.run(Batch(asks, [], 10), 1000.0 + second)[0][0] for second in (0, 59, 60, 61)]

    assert refusals == ["", "", "", "requests"]


# --- Redis away ------------------------------------------------------------------------------------------------------


def test_share_of_a_process_is_at_least_one() -> None:
    assert limits(requests=10, tokens=3, concurrency=None).share(4) == Limits("key:1", 2, 1, None)


@pytest.mark.parametrize("fault", ["cut", "hold_still"])
def test_nothing_fails_while_redis_is_away_and_each_process_takes_its_share(wire: Wire, fault: str) -> None:
    async def story(limiter: Limiter) -> None:
        limiter.processes = 2
        assert await admitted(limiter, 1, limits(requests=10)) == [True]
        getattr(wire, fault)()
        began = time.monotonic()
        assert await admitted(limiter, 8, limits(requests=10), name="away") == [True] * 5 + [False] * 3
        assert time.monotonic() - began < 1
        wire.mend()
        await asyncio.sleep(1.2)
        assert (await limiter.admit("back", (limits(requests=10),), 1)).limit_requests == 10

    play(wire.url, story)


def test_redis_that_is_away_is_asked_once_a_second(wire: Wire) -> None:
    async def story(limiter: Limiter) -> None:
        wire.hold_still()
        await limiter.admit("a", (limits(requests=1000),), 1)
        began = time.monotonic()
        for number in range(50):
            await limiter.admit(f"r{number}", (limits(requests=1000),), 1)
        assert time.monotonic() - began < 1  # one wait each would be twelve seconds

    play(wire.url, story)


def test_place_taken_in_redis_comes_back_although_redis_was_away_at_the_end(wire: Wire) -> None:
    async def story(limiter: Limiter) -> None:
        of = limits(concurrency=1)
        await limiter.admit("a", (of,), 1)
        wire.cut()
        limiter.finish("a", (of,), asked=1, used=1)
        await settled(limiter)
        wire.mend()
        await asyncio.sleep(1.1)
        assert await admitted(limiter, 1, of) == [True]

    play(wire.url, story)


async def _connected(*limiters: Limiter) -> None:
    """So that what is asked from now on lies before Redis, however long it takes."""
    for limiter in limiters:
        await limiter.admit("warm", (limits("key:0"),), 1)


def test_place_left_while_redis_hung_comes_back_although_nobody_asks_this_process_again(wire: Wire) -> None:
    async def story(limiter: Limiter) -> None:
        other, of = Limiter(wire.url), limits(concurrency=1)
        await _connected(limiter, other)
        wire.hold_still()
        await limiter.admit("a", (of,), 1)  # Redis hears of it later
        limiter.finish("a", (of,), asked=1, used=1)
        await settled(limiter)
        wire.mend()
        await asyncio.sleep(1.5)
        assert await admitted(other, 1, of, name="b") == [True]
        await other.close()

    play(wire.url, story)


def test_who_was_refused_while_redis_hung_keeps_no_place_there(wire: Wire) -> None:
    async def story(limiter: Limiter) -> None:
        limiter.processes = 10
        other, of = Limiter(wire.url), limits(concurrency=10, tokens=6000)  # a share is one, and 600
        await _connected(limiter, other)
        wire.hold_still()
        assert (await admitted(limiter, 4, of)).count(True) == 1
        wire.mend()
        await asyncio.sleep(1.5)
        assert await admitted(other, 10, of, name="b") == [True] * 9 + [False]
        await other.close()

    play(wire.url, story)


def test_place_taken_while_redis_was_away_comes_back_although_redis_is_back(wire: Wire) -> None:
    async def story(limiter: Limiter) -> None:
        of = limits(concurrency=1)
        wire.cut()
        await limiter.admit("a", (of,), 1)
        wire.mend()
        await asyncio.sleep(1.1)
        limiter.finish("a", (of,), asked=1, used=1)
        await settled(limiter)
        wire.cut()
        assert await admitted(limiter, 1, of, name="b") == [True]

    play(wire.url, story)


def test_share_of_tokens_refills_at_the_shares_own_pace(wire: Wire) -> None:
    """A release on a share of the bucket is reckoned by the share, not by the whole."""

    async def story(limiter: Limiter) -> None:
        limiter.processes = 10
        of = (limits(tokens=6000),)  # a share is 600, ten a second
        wire.cut()
        await limiter.admit("a", of, 600)
        await asyncio.sleep(0.5)
        limiter.finish("a", of, asked=600, used=599)
        await settled(limiter)
        assert await admitted(limiter, 1, *of, tokens=20, name="b") == [False]

    play(wire.url, story)


def test_script_is_loaded_again_after_redis_forgot_it(redis_url: str) -> None:
    async def story(limiter: Limiter) -> None:
        assert (await limiter.admit("a", (limits(requests=5),), 1)).remaining_requests == 4
        with redis.Redis.from_url(redis_url) as client:
            client.script_flush()
        assert (await limiter.admit("b", (limits(requests=5),), 1)).remaining_requests == 3

    play(redis_url, story)


def test_redis_that_answers_nonsense_is_as_good_as_away(redis_url: str) -> None:
    async def story(limiter: Limiter) -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.set("limit:key:1", "somebody else's key")
        assert await admitted(limiter, 2, limits(requests=1)) == [True, False]

    play(redis_url, story)
