"""The null application: reads the JSON request and answers a completion in JSON. What the server itself costs.

BENCH_SCHED=batch puts its process under the scheduling policy that the gateway chooses for its own (ADR 0008).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bench.payloads import answer_to

Message = MutableMapping[str, Any]

if os.environ.get("BENCH_SCHED") == "batch":
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = answer_to(b"".join(parts))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
