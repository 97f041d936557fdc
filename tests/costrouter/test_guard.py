"""What stands before the pages: the client's address behind proxies, and bodies that are too large or too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from accounts.networks import parse_networks
from costrouter.guard import LARGEST_FORM, Guard
from routing.api.doors import Doors
from routing.api.intake import Intake

Message = dict[str, Any]


class Page:
    """The application behind the guard: remembers whose request came, and reads its body."""

    def __init__(self) -> None:
        self.scope: Any = None
        self.body = b""
        self.after = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        if scope["method"] == "POST":
            self.body = (await receive())["body"]
        self.after = (await receive())["type"]
        await send({"type": "http.response.start", "status": 200, "headers": []})


def ask(
    guard: Guard, *, method: str = "GET", peer: str = "10.0.0.1", headers: Iterable[tuple[bytes, bytes]] = (),
    parts: Iterable[bytes] = (), pause: float = 0, query: bytes = b"",
) -> Message:  # fmt: skip
    """The head of the answer."""
    sent: list[Message] = []

    async def play() -> None:
        waiting = list(parts)

        async def receive() -> Message:
            await asyncio.sleep(pause)
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": "/", "query_string": query, "scheme": "http",
                 "client": [peer, 1], "headers": list(headers)}  # fmt: skip
        await guard(scope, receive, send)

    asyncio.run(play())
    return sent[0]


def guard(page: Page, *proxies: str) -> Guard:
    return Guard(page, Doors(1), parse_networks(proxies), 20 * 2**20)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        pytest.param([], [b"203.0.113.9"], "10.0.0.1", id="nobody is trusted"),
        pytest.param(["10.0.0.0/8"], [b"203.0.113.9"], "203.0.113.9", id="one proxy"),
        pytest.param(["10.0.0.0/8"], [b"6.6.6.6, 203.0.113.9"], "203.0.113.9", id="what the client made up"),
        pytest.param(["10.0.0.0/8"], [b"6.6.6.6", b"203.0.113.9, 10.0.0.7"], "203.0.113.9", id="two headers"),
        pytest.param(["10.0.0.0/8"], [b"[2001:db8::1]:443"], "2001:db8::1", id="brackets and a port"),
        pytest.param(["192.0.2.0/24"], [b"203.0.113.9"], "10.0.0.1", id="another proxy is trusted"),
    ],
)
def test_address_is_the_clients(proxies: list[str], forwarded: list[bytes], address: str) -> None:
    page = Page()

    ask(guard(page, *proxies), headers=[(b"x-forwarded-for", value) for value in forwarded])

    assert page.scope["client"][0] == address


@pytest.mark.parametrize(
    ("proxies", "told", "scheme"),
    [
        pytest.param(["10.0.0.0/8"], b"https", "https", id="a proxy's word"),
        pytest.param(["10.0.0.0/8"], b"HTTP, https", "https", id="the nearest proxy's word"),
        pytest.param(["10.0.0.0/8"], b"https, http", "http", id="not the client's"),
        pytest.param([], b"https", "http", id="nobody is trusted"),
        pytest.param(["10.0.0.0/8"], b"gopher", "http", id="no scheme of ours"),
    ],
)
def test_scheme_is_what_a_trusted_proxy_says(proxies: list[str], told: bytes, scheme: str) -> None:
    page = Page()

    ask(guard(page, *proxies), headers=[(b"x-forwarded-proto", told)])

    assert page.scope["scheme"] == scheme


def test_body_is_handed_on_whole_and_the_clients_leaving_after_it() -> None:
    page = Page()

    answer = ask(guard(page), method="POST", headers=[(b"transfer-encoding", b"chunked")], parts=[b"a=1", b"&b=2"])

    assert (answer["status"], page.body, page.after) == (200, b"a=1&b=2", "http.disconnect")


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        pytest.param([(b"content-length", b"%d" % (LARGEST_FORM + 1))], [], id="declared"),
        pytest.param([(b"content-length", b"lots")], [], id="no number"),
        pytest.param([(b"transfer-encoding", b"chunked")], [b"x" * 2**20] * 400, id="chunked"),
        pytest.param([(b"content-length", b"5")], [b"x" * 2**20] * 400, id="declared too small"),
    ],
)
def test_body_that_is_too_large_never_reaches_a_page(headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> None:
    page = Page()

    answer = ask(guard(page), method="POST", headers=headers, parts=parts)

    assert (answer["status"], dict(answer["headers"])[b"connection"]) == (413, b"close")
    assert page.scope is None


def test_body_that_comes_too_slowly_is_ended() -> None:
    page = Page()
    slow = guard(page)
    slow._intake = Intake(1_000, seconds=0.2)

    answer = ask(slow, method="POST", headers=[(b"transfer-encoding", b"chunked")], parts=[b"x"] * 100, pause=0.05)

    assert (answer["status"], page.scope) == (408, None)


class Slow:
    """A page that says nothing before its client has gone."""

    def __init__(self, *, says: int) -> None:
        self._says = says

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for _message in range(self._says):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass


@pytest.mark.parametrize(
    ("says", "parts", "statuses"),
    [
        pytest.param(0, [b"x"] * 1000, [503], id="its body still comes"),
        pytest.param(0, [b"x"], [503], id="it is in the making"),
        pytest.param(1, [b"x"], [200], id="its answer has begun"),
    ],
)
def test_page_ends_when_the_process_waits_no_longer(says: int, parts: list[bytes], statuses: list[int]) -> None:
    doors, sent = Doors(1), list[Message]()
    slow = Guard(Slow(says=says), doors, (), 20 * 2**20)

    async def receive() -> Message:
        await asyncio.sleep(0.01 if parts else 3600)
        return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def story() -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "scheme": "http",
                 "client": ["10.0.0.1", 1], "headers": [(b"transfer-encoding", b"chunked")]}  # fmt: skip
        asking = asyncio.ensure_future(slow(scope, receive, send))
        await asyncio.sleep(0.1)
        assert len(doors.pages) == 1
        doors.cut_pages()
        await asyncio.wait_for(asking, 1)

    asyncio.run(story())

    heads = [message for message in sent if message["type"] == "http.response.start"]
    assert [head["status"] for head in heads] == statuses
    assert doors.pages == {}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param(b"currency__exact=%00", [], id="query"),
        pytest.param(b"a=b&%00=c", [], id="name in a query"),
        pytest.param(b"q=a\0b", [], id="query as it is"),
        pytest.param(b"", [(b"cookie", b'a=b; sessionid="abc\\000defghi"')], id="cookie"),
        pytest.param(b"", [(b"cookie", b"a=b"), (b"cookie", b'sessionid="\\000"')], id="second line of cookies"),
    ],
)
def test_nul_never_reaches_a_page(query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """PostgreSQL takes none, so whatever looks for one there fails."""
    page = Page()

    answer = ask(guard(page), query=query, headers=headers)

    assert (answer["status"], page.scope) == (400, None)


def test_percent_that_is_a_text_is_no_nul() -> None:
    page = Page()

    assert ask(guard(page), query=b"q=%2500&r=100%2C000", headers=[(b"cookie", b"a=\\0010")])["status"] == 200
