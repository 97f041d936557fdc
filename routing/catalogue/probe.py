"""Testing a channel: one real, smallest request for each of its routes, and what came of it.

It goes to the first endpoint that the route's model is called for, streamed where that can be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables

from billing.kinds import Usage
from billing.prices import Tariff, cost
from routing.catalogue.models import Channel, Route
from routing.catalogue.snapshot import RouteView, view_routes
from routing.catalogue.vault import SealBroken
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Endpoint, Form, Head, Relay
from routing.providers import ADAPTERS, recognise
from routing.providers.base import End, Event, MalformedAnswer, Reader, UpstreamCall
from routing.wire import fake
from routing.wire.addresses import Network
from routing.wire.answer import Answer, Fault, Timeouts, UpstreamFault
from routing.wire.client import Client

_LONGEST_SECONDS: Final = 20.0
_MOST_WORDS: Final = 200
_MOST_ERROR_BYTES: Final = 64 * 1024
_HEAD: Final = Head("test", "test", 0)


def _(message: str) -> str:
    """Marks a text for translation; it is translated when the test runs, in the operator's language."""
    return message


FAULTS: Final[Mapping[Fault, str]] = {
    "connect_failed": _("No connection could be made."),
    "tls_failed": _("The TLS handshake failed: the certificate is not valid for this host."),
    "connect_timeout": _("The connection timed out."),
    "first_byte_timeout": _("The upstream did not answer in time."),
    "idle_timeout": _("The upstream fell silent in the middle of its answer."),
    "total_timeout": _("The answer took too long."),
    "invalid_response": _("The upstream does not speak HTTP as it should."),
    "broken_stream": _("The upstream broke the connection."),
    "cancelled": _("The upstream broke the connection."),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a test of one route found.

    `status` is the upstream's HTTP status, None without an answer; times are milliseconds. `words` is what the upstream
    said, its answer or its error, without our secret. `cost` is in ledger units of `currency`, by the route's cost
    price; None where that or the usage is not known.
    """

    route: str
    is_ok: bool
    message: str
    status: int | None = None
    first_token_ms: int | None = None
    duration_ms: int = 0
    usage: Usage | None = None
    is_estimated: bool = False
    cost: int | None = None
    currency: str = ""
    words: str = ""


@sensitive_variables()
def probe(channel: Channel, routes: Sequence[Route], networks: Sequence[Network]) -> list[Result]:
    """Sends one request for each route, one after the other, at addresses that were checked, following no redirect."""
    try:
        views = view_routes(channel, routes)
    except SealBroken:
        text = gettext("The secret cannot be opened: its master key is missing or it belongs to another row.")
        return [Result(str(route), False, text) for route in routes]
    wanted = [(str(row), view, _endpoint(row)) for row, view in zip(routes, views, strict=True)]
    return async_to_sync(_probe_all)(wanted, networks)


def _endpoint(route: Route) -> Endpoint:
    return next(each for name, each in ENDPOINTS.items() if name in route.model.served)


async def _probe_all(routes: Sequence[tuple[str, RouteView, Endpoint]], networks: Sequence[Network]) -> list[Result]:
    client = Client(networks)
    try:
        return [await _probe(name, route, client, endpoint) for name, route, endpoint in routes]
    finally:
        client.close()


async def _probe(name: str, route: RouteView, client: Client, endpoint: Endpoint) -> Result:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            result = await _exchange(name, route, client, endpoint, began)
    except UpstreamFault as fault:
        text = FAULTS[fault.fault]
        result = Result(name, False, gettext(text), words=fault.detail)
    except TimeoutError:
        text = FAULTS["total_timeout"]
        result = Result(name, False, gettext(text))
    result = replace(result, duration_ms=_milliseconds(began))
    secret = route.channel.secret
    return replace(result, words=result.words.replace(secret, "…")) if secret else result


async def _exchange(name: str, route: RouteView, client: Client, endpoint: Endpoint, began: float) -> Result:
    """Raises UpstreamFault."""
    provider, origin = route.channel.provider, route.channel.origin
    if provider not in ADAPTERS or origin is None:
        return Result(name, False, gettext("The channel’s provider or base URL is not valid."))
    form = route.channel.form(endpoint)
    if form is None:
        return Result(name, False, gettext("The provider does not speak the endpoint of this model."))
    body = {"model": route.upstream_name, **endpoint.smallest, **({"stream": True} if endpoint.streams else {})}
    request = endpoint.read(body)
    call = UpstreamCall(
        endpoint=form.name,
        path=form.path,
        body=form.body(request, body),
        upstream_model=route.upstream_name,
        host=origin.host,
        secret=route.channel.secret,
        cap=endpoint.smallest_cap,
        answers=1,
        is_stream=endpoint.streams,
        options=route.channel.options,
    )
    asked = ADAPTERS[provider].request(call)
    answer: Answer
    if origin.scheme == "fake":
        answer = await fake.answer(origin, asked)
    else:
        answer = await client.post(
            origin, asked.path, asked.headers, asked.body, _within(route.channel.timeouts), pieces=asked.pieces
        )
    try:
        adapter = ADAPTERS[recognise(provider, answer.headers)]
        if not 200 <= answer.status < 300:
            error = (await answer.read())[:_MOST_ERROR_BYTES]
            refusal = adapter.refusal(answer.status, answer.headers, error, call)
            return Result(name, False, _refused(answer.status), answer.status, words=refusal.detail[:_MOST_WORDS])
        if not endpoint.streams:
            return await _whole(name, route, form, adapter.open(call), request, answer)
        relay = form.relay(request, _HEAD, endpoint.smallest_cap)
        listener = _Listener(form, adapter.open(call), relay, began)
        await listener.listen(answer)
        return listener.result(name, answer.status, route.cost)
    finally:
        answer.close()


async def _whole(name: str, route: RouteView, form: Form, reader: Reader, request: Any, answer: Answer) -> Result:
    """What a whole answer says; raises UpstreamFault."""
    error = ""
    try:
        form.check(request, reader.whole(await answer.read()))
    except MalformedAnswer as malformed:
        error = str(malformed)
    return _result(name, answer.status, route.cost, error, reader.usage)


def _result(name: str, status: int, tariff: Tariff | None, error: str, usage: Usage | None, **fields: Any) -> Result:
    return Result(
        route=name,
        is_ok=not error,
        message=gettext("The answer is not one: %(reason)s.") % {"reason": error}
        if error
        else gettext("The upstream answers."),
        status=status,
        usage=usage,
        cost=None if tariff is None or usage is None else cost(usage, tariff),
        currency="" if tariff is None else tariff.currency,
        **fields,
    )


def _within(timeouts: Timeouts) -> Timeouts:
    """The channel's own timeouts, as far as somebody who waits for a page has the patience."""
    longest = _LONGEST_SECONDS
    return Timeouts(
        min(timeouts.connect, longest), min(timeouts.first_byte, longest), min(timeouts.idle, longest), longest
    )


class _Listener:
    """One test's stream, read as a client's would be, and what it said."""

    def __init__(self, form: Form, reader: Reader, relay: Relay, began: float) -> None:
        self._form = form
        self._reader = reader
        self._relay = relay
        self._began = began
        self._words = ""
        self._first_token_ms: int | None = None
        self._error: MalformedAnswer | None = None

    async def listen(self, answer: Answer) -> None:
        """Returns when the answer is over, or cannot be read; raises UpstreamFault."""
        data: bytes | None = b""
        try:
            while data is not None and not self._relay.is_done:
                data = await answer.next()
                for event in self._reader.feed(data):
                    self._take(event)
        except MalformedAnswer as error:
            self._error = error

    def _take(self, event: Event) -> None:
        if type(event) is dict:
            self._relay.relay(dict(event))
            self._words += self._form.words(event)
            if self._words and self._first_token_ms is None:
                self._first_token_ms = _milliseconds(self._began)
        elif isinstance(event, End):
            self._relay.is_done = True
            if event.error is not None:
                raise MalformedAnswer(event.error)

    def result(self, name: str, status: int, tariff: Tariff | None) -> Result:
        usage = self._reader.usage or Usage(output=self._relay.received_tokens())
        error = "" if self._error is None else str(self._error)
        if not error and not self._relay.is_complete:
            error = gettext("the stream ended before the answer was whole")
        return _result(
            name,
            status,
            tariff,
            error,
            usage,
            first_token_ms=self._first_token_ms,
            is_estimated=self._reader.usage is None,
            words=self._words[:_MOST_WORDS],
        )


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _refused(status: int) -> str:
    if 300 <= status < 400:
        return gettext("The upstream answers with a redirect, which is never followed; check the base URL.")
    if status in {401, 402, 403}:
        return gettext("The upstream refuses the secret.")
    if status in {404, 405}:
        return gettext("The upstream has no such model or endpoint; check the upstream name and the base URL.")
    if status == 429:
        return gettext("The upstream answers, but is limiting requests.")
    return gettext("The upstream answers with an error.")
