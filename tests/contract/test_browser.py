"""A page in a real browser calls the gateway: from an origin that its key allows, and from another one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from selenium import webdriver

from tests import axe
from tests.callers import PATH
from tests.installation import Offer
from tests.worlds import World

pytestmark = pytest.mark.skipif(not (axe.CHROMIUM and axe.DRIVER), reason="Chromium and its driver are not installed")

FETCH: Final = """
const [url, key, model, done] = arguments;
(async () => {
  const response = await fetch(url, {
    method: "POST",
    headers: {authorization: `Bearer ${key}`, "content-type": "application/json"},
    body: JSON.stringify({model, stream: true, messages: [{role: "user", content: "Say hello."}]}),
  });
  let text = "", pieces = 0;
  const reader = response.body.getReader(), decoder = new TextDecoder();
  for (;;) {
    const {done: isOver, value} = await reader.read();
    if (isOver) break;
    pieces += 1;
    text += decoder.decode(value, {stream: true});
  }
  done({status: response.status, text, pieces, served: response.headers.get("x-costrouter-model")});
})().catch(error => done({error: String(error)}));
"""


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>app</title>")

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def site() -> Iterator[str]:
    """The origin of a site with a blank page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with axe.chromium() as browser:
        yield browser


def fetched(browser: webdriver.Chrome, world: World, model: Offer, *, page: str, allowed: str) -> dict[str, Any]:
    """What a script on this page reads with a key that allows this origin."""
    caller = world.caller(allowed_origins=[allowed])
    browser.get(page)
    result: dict[str, Any] = browser.execute_async_script(FETCH, world.gateway.url + PATH, caller.secret, model.name)
    return result


def test_page_on_an_allowed_origin_streams_an_answer(chromium: webdriver.Chrome, world: World, model: Offer) -> None:
    with site() as origin:
        seen = fetched(chromium, world, model, page=origin, allowed=origin)

    assert (seen["status"], seen["served"]) == (200, model.name)
    assert seen["text"].rstrip().endswith("data: [DONE]")
    assert seen["pieces"] >= 1


def test_page_on_another_origin_gets_nothing(chromium: webdriver.Chrome, world: World, model: Offer) -> None:
    with site() as origin, site() as other:
        seen = fetched(chromium, world, model, page=other, allowed=origin)

    assert seen == {"error": "TypeError: Failed to fetch"}
    assert world.upstream.received(model.upstream) == []
