"""The web plane: so many pages at once, and no more database connections than that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from django.http import StreamingHttpResponse

from costrouter.pages import Pages
from tests.gateway import Gateway

_AT_ONCE = 2
_BROWSERS = 10
_OWN = 13
"""Connections of a process beside its pages, as docs/runbook.md says."""


def test_pages_wait_in_line_and_leave_no_connection_behind(
    migrated_postgres_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    url = migrated_postgres_url()
    gateway = start_gateway(database_url=url, env={"PAGES_AT_ONCE": str(_AT_ONCE)})
    with (
        psycopg.connect(url, autocommit=True) as watcher,
        psycopg.connect(url) as slow,
        ThreadPoolExecutor(_BROWSERS) as browsers,
    ):
        slow.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        asked = [browsers.submit(_open_page, gateway) for _browser in range(_BROWSERS)]
        waiting = _most(watcher, seconds=1, query=_WAITING)
        slow.rollback()
        answers = [each.result().status_code for each in asked]
        left = _number(watcher, _HELD)
    assert (waiting, answers, left <= _OWN + 1) == (_AT_ONCE, [302] * _BROWSERS, True)


@pytest.mark.long
def test_page_whose_turn_does_not_come_is_told_when_to_come_back(
    migrated_postgres_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    url = migrated_postgres_url()
    gateway = start_gateway(database_url=url, env={"PAGES_AT_ONCE": "1"})
    with psycopg.connect(url) as slow, ThreadPoolExecutor(2) as browsers:
        slow.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        asked = [browsers.submit(_open_page, gateway) for _browser in range(2)]
        time.sleep(11)
        assert httpx.get(f"{gateway.url}/v1/models", timeout=5).status_code == 401
        slow.rollback()
        answers = sorted((each.result() for each in asked), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [302, 503]
    assert answers[1].headers["retry-after"] == "5"


def test_client_that_does_not_read_an_export_keeps_no_place(db: None) -> None:
    pages, is_closed = Pages(1, stall_seconds=0.2), list[bool]()

    async def lines() -> AsyncIterator[str]:
        try:
            while True:
                yield "a line\n" * 1000
        finally:
            is_closed.append(True)

    async def never_taken(message: Any) -> None:
        await asyncio.sleep(3600 if message["type"] == "http.response.body" else 0)

    async def story() -> None:
        await pages._places.acquire()  # as a page that is whole has it
        async with asyncio.timeout(5):
            await pages.send_response(StreamingHttpResponse(lines()), never_taken)
            await pages._places.acquire()

    asyncio.run(story())

    assert is_closed == [True]


_WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE relation = 'django_session'::regclass AND NOT granted"
_HELD = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


def _open_page(gateway: Gateway) -> httpx.Response:
    """Whose session is looked up, and then sent to where one signs in."""
    return httpx.get(f"{gateway.url}/portal/", headers={"cookie": f"sessionid={'a' * 32}"}, timeout=30)


def _most(watcher: psycopg.Connection, *, seconds: float, query: str) -> int:
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, _number(watcher, query))
        time.sleep(0.05)
    return most


def _number(watcher: psycopg.Connection, query: str) -> int:
    row = watcher.execute(query).fetchone()
    assert row is not None
    return int(row[0])
