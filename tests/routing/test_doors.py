"""How many requests may be open in a process, and what becomes of the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx

from routing.api.doors import Doors, Full, Stopping
from tests import upstream as up
from tests.callers import PATH
from tests.installation import SINGLE
from tests.worlds import World


def test_one_too_many_is_refused_and_the_waiting_do_not_count() -> None:
    async def story() -> None:
        doors = Doors(2)
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _task in range(3)]
        doors.inside[tasks[0]] = None
        assert doors.refusal(0) is None
        doors.inside[tasks[1]] = doors.inside[tasks[2]] = None
        assert isinstance(doors.refusal(0), Full)
        assert doors.refusal(2) is None
        doors.are_closed = True
        assert isinstance(doors.refusal(2), Stopping)
        await asyncio.gather(*tasks)

    asyncio.run(story())


def test_full_process_answers_at_once_and_serves_again_when_there_is_room(
    start_world: Callable[..., World], migrated_sqlite_url: Callable[[], str]
) -> None:
    world = start_world(database_url=migrated_sqlite_url(), env={"MAX_OPEN_REQUESTS": "2"})
    caller, slow, quick = world.caller(), world.offer(SINGLE), world.offer(SINGLE)
    world.upstream.on(slow.upstream, lambda _request: up.told(pause=2))
    with caller.listening(slow), caller.listening(slow):
        refused = httpx.post(f"{world.gateway.url}{PATH}", json=caller.body(quick), headers=caller.authorization)
        alive = httpx.get(f"{world.gateway.url}/health/live")

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
    assert (refused.headers["retry-after"], alive.status_code) == ("1", 200)
    caller.wait_until_settled(seconds=10)
    assert caller.ask(quick).status_code == 200
    caller.wait_until_settled(seconds=10)
    assert [record.requested_model for record in caller.records].count(quick.name) == 1
