"""An app that calls the gateway over real HTTP, and keeps an eye on its own wallet."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import httpx

from billing.models import UsageRecord
from tests.installation import Holder, Installation, Offer
from tests.upstream import Upstream

MESSAGES: Final = [{"role": "user", "content": "Say hello."}]
PATH: Final = "/v1/chat/completions"


def decoded(data: bytes | str) -> Any:
    """JSON with exact numbers: money is compared as it was written."""
    return json.loads(data, parse_float=Decimal)


@dataclass(slots=True)
class Stream:
    """A stream as the client saw it."""

    status: int
    headers: httpx.Headers
    raw: bytes = b""
    is_cut: bool = False
    """Whether the connection broke instead of ending."""
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, response: httpx.Response) -> Stream:
        """Reads an answer as it comes, also where it breaks off."""
        seen = cls(response.status_code, response.headers)
        try:
            for data in response.iter_raw():
                seen.raw += data
                seen.arrivals.append((time.monotonic(), data))
        except httpx.RemoteProtocolError:
            seen.is_cut = True
        return seen

    @property
    def data(self) -> list[str]:
        """The data of each event."""
        blocks = self.raw.decode().replace("\r\n", "\n").split("\n\n")
        lines = [[line for line in block.split("\n") if line.startswith("data:")] for block in blocks]
        return ["\n".join(line[5:].removeprefix(" ") for line in group) for group in lines if group]

    @property
    def comments(self) -> list[str]:
        return [line for line in self.raw.decode().splitlines() if line.startswith(":")]

    @property
    def is_done(self) -> bool:
        """Whether it ended with [DONE], said once, as its very last event."""
        return self.data.count("[DONE]") == 1 and self.data[-1] == "[DONE]"

    @property
    def events(self) -> list[Any]:
        return [decoded(item) for item in self.data if item != "[DONE]"]

    @property
    def chunks(self) -> list[Any]:
        return [item for item in self.events if "error" not in item]

    @property
    def error(self) -> Any:
        """The error event; it must be the last event of all."""
        found = [item for item in self.events if "error" in item]
        assert len(found) == 1, f"{len(found)} error events"
        assert decoded(self.data[-1]) == found[0], "something follows the error event"
        return found[0]["error"]

    def text(self, index: int = 0) -> str:
        """What one choice said."""
        choices = [choice for chunk in self.chunks for choice in chunk["choices"] if choice["index"] == index]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def id(self) -> str:
        """The one id of all chunks."""
        (only,) = {chunk["id"] for chunk in self.chunks}
        return str(only)

    @property
    def usages(self) -> list[Any]:
        """The usage of each chunk that has one."""
        return [chunk["usage"] for chunk in self.chunks if chunk.get("usage") is not None]


class Caller:
    """A key, a client that uses it, and the wallet behind it."""

    def __init__(self, installation: Installation, upstream: Upstream, holder: Holder) -> None:
        self.installation = installation
        self.upstream = upstream
        self.holder = holder
        self.client = httpx.Client(base_url=installation.gateway_url, headers=self.authorization, timeout=10)

    @property
    def secret(self) -> str:
        return self.holder.secret

    @property
    def authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.holder.secret}"}

    def body(self, model: Offer | str, /, **members: Any) -> dict[str, Any]:
        """A small valid request for a model."""
        name = model.name if isinstance(model, Offer) else model
        return {"model": name, "messages": MESSAGES, **members}

    def ask(self, model: Offer | str, /, *, headers: Mapping[str, str] | None = None, **members: Any) -> httpx.Response:
        """Asks for a JSON answer."""
        return self.client.post(PATH, json=self.body(model, **members), headers=headers)

    def post(self, content: bytes | str, **headers: str) -> httpx.Response:
        """Posts these very bytes."""
        return self.client.post(PATH, content=content, headers={"content-type": "application/json", **headers})

    def listen(self, model: Offer | str, /, *, headers: Mapping[str, str] | None = None, **members: Any) -> Stream:
        """Asks for a stream and reads it to its end."""
        body = self.body(model, stream=True, **members)
        with self.client.stream("POST", PATH, json=body, headers=headers) as response:
            return Stream.of(response)

    @contextlib.contextmanager
    def listening(self, model: Offer | str, /, **members: Any) -> Iterator[httpx.Response]:
        """An open stream on a connection of its own; leaving the block hangs up."""
        body = self.body(model, stream=True, **members)
        with (
            httpx.Client(base_url=self.installation.gateway_url, headers=self.authorization, timeout=10) as client,
            client.stream("POST", PATH, json=body) as response,
        ):
            yield response

    # --- the wallet --------------------------------------------------------------------------------------------------

    @property
    def available(self) -> int:
        """Ledger units left."""
        return self.installation.available(self.holder)

    @property
    def records(self) -> list[UsageRecord]:
        return self.installation.records(self.holder)

    def wait_until_settled(self, *, seconds: float = 2) -> None:
        """Until this wallet holds nothing any more."""
        deadline = time.monotonic() + seconds
        while self.installation.reservations(self.holder):
            assert time.monotonic() < deadline, f"money is still held after {seconds} s"
            time.sleep(0.01)

    def only_record(self, *, seconds: float = 2) -> UsageRecord:
        """The one usage record there is, once nothing is held any more."""
        self.wait_until_settled(seconds=seconds)
        (record,) = self.records
        return record

    @contextlib.contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """Inside the block: no usage record, no reservation, the same `available`, no upstream call."""
        before = self.available, len(self.records), len(self.upstream.requests)
        yield
        assert (self.available, len(self.records), len(self.upstream.requests)) == before
        assert self.installation.reservations(self.holder) == 0

    def close(self) -> None:
        self.client.close()


def record_id(public_id: str) -> uuid.UUID:
    """The usage record's id behind an answer's id."""
    return uuid.UUID(hex=public_id[-32:])
