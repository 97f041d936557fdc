"""The API plane's request, response and view: DRF's contracts, dispatched natively async.

A view is a DRF `APIView`: authentication, permissions, throttles and exceptions are DRF's, made once per view class
instead of once per request, and awaited where they wait (ADR 0001).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, Final, NoReturn
from urllib.parse import parse_qs

import msgspec
import orjson
from django.core.exceptions import ImproperlyConfigured
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, NotFound, PermissionDenied, Throttled
from rest_framework.views import APIView

from accounts.authentication import whose
from accounts.callers import Caller, InvalidApiKey, KeyRefused
from accounts.errors import GatewayError
from accounts.limits import RateLimited
from accounts.networks import client_address
from routing.api import cors
from routing.api.errors import InternalError, MethodNotSupported, PermissionRefused, UnknownUrl
from routing.api.headers import Headers, RequestHeaders
from routing.api.intake import Intake, Receive
from routing.pipeline.gateway import Gateway
from routing.pipeline.run import ClientGone
from routing.pipeline.stream import StreamReply

log = logging.getLogger(__name__)


class ApiRequest(msgspec.Struct):
    """A request of the API plane."""

    id: str
    method: str
    path: str
    headers: RequestHeaders
    query_string: bytes
    peer: str
    started: float
    started_at: float
    gateway: Gateway
    intake: Intake
    receive: Receive
    """The server's; for `read_body` and `until_gone` alone."""
    user: Caller | None = None
    values: dict[str, Any] | None = None
    """The body, once a view has read it."""
    auth: Caller | None = None
    """Whose key it is, also where the key may not be used: the answer's CORS headers are this key's."""

    def read_body(self) -> Awaitable[bytes]:
        """The whole body; to be read once. Raises RequestTooLarge or RequestTimeout."""
        return self.intake.read(self.receive, self.headers)

    async def until_gone(self) -> None:
        """Returns when the client has left; the end of the request's body may still be waiting to be read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def query(self, name: str) -> str:
        """A parameter of the query string, empty if it is not there."""
        return parse_qs(self.query_string.decode("latin-1")).get(name, [""])[0]

    @property
    def caller(self) -> Caller:
        """Who asks, in a view that only lets authenticated callers in."""
        if self.user is None:
            raise NotAuthenticated
        return self.user

    @property
    def address(self) -> str:
        """The client's, also behind a trusted proxy."""
        proxies = self.gateway.key_cache.trusted_proxies
        if not proxies:
            return self.peer
        return client_address(self.peer, ", ".join(self.headers.get_all("x-forwarded-for")), proxies)

    @property
    def META(self) -> dict[str, str]:  # noqa: N802 - Django's name for it
        """What DRF's throttles look at to tell callers apart."""
        return {"REMOTE_ADDR": self.peer, "HTTP_X_FORWARDED_FOR": self.headers.get("x-forwarded-for", "")}


class ApiResponse(msgspec.Struct):
    """What the plane's handler sends: a whole body, or a stream."""

    status: int
    headers: Headers
    body: bytes = b""
    stream: StreamReply | None = None
    media: bytes = b""
    """The body's media type where it is no JSON."""
    is_paced: bool = False
    """Somebody without a key can ask for it as often as he likes: it waits for its turn (accounts/pacing.py)."""


_NOT_DISPATCHED: Final = (
    "parser_classes",
    "renderer_classes",
    "content_negotiation_class",
    "versioning_class",
    "metadata_class",
)
"""What DRF's own dispatch would look at and this one does not: there is one parser and one renderer."""


class GatewayView(APIView):
    """A DRF view whose handlers are coroutines. `HEAD` is `GET`, whose body the plane leaves out.

    Authentication, permission and throttle classes are DRF's, made once for the class; each may be plain or async. A
    view that sets a contract which is not dispatched here cannot be defined.
    """

    http_method_names = ["get", "post"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unheeded = [name for name in _NOT_DISPATCHED if name in vars(cls)]
        if unheeded:
            raise ImproperlyConfigured(f"{cls.__name__} sets {', '.join(unheeded)}, which the API plane does not heed.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._handlers = {name: getattr(self, name.lower()) for name in self.allowed_methods}
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]
        self._allowed = ", ".join((*sorted(self._handlers), "OPTIONS"))
        self._authenticators = [make() for make in self.authentication_classes]
        self._permissions = [make() for make in self.permission_classes]
        self._throttle_classes = tuple(self.throttle_classes)

    async def dispatch(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:  # type: ignore[override]
        try:
            handler = self._handlers.get(request.method)
            if handler is None:
                return await self._unhandled(request)
            request.headers.check_repetitions()
            for authenticator in self._authenticators:
                found: Any = authenticator.authenticate(request)  # type: ignore[arg-type]
                if type(found) is CoroutineType:
                    found = await found
                if found is not None:
                    request.user, request.auth = found
                    break
            for permission in self._permissions:
                is_allowed: Any = permission.has_permission(request, self)  # type: ignore[arg-type]
                if is_allowed is not True and not await _result(is_allowed):
                    self._deny(request, permission)
            if self._throttle_classes:
                await self._throttle(request)
            response: ApiResponse = await (handler(request, **kwargs) if kwargs else handler(request))
            return response
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: every failure leaves in the contract's shape
            return await refuse(error, request, self.envelope)

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        """A refusal's body as this view's clients read it."""
        return {**error.envelope}

    async def _throttle(self, request: ApiRequest) -> None:
        for make in self._throttle_classes:
            throttle = make()
            if not await _result(throttle.allow_request(request, self)):  # type: ignore[arg-type]
                raise Throttled(throttle.wait())

    async def _unhandled(self, request: ApiRequest) -> ApiResponse:
        """OPTIONS is answered to everybody; raises MethodNotSupported for any other method."""
        if request.method != "OPTIONS":
            raise MethodNotSupported(request.method, self._allowed)
        headers = await cors.preflight_headers(request.headers, request.gateway.origins, self._allowed)
        return ApiResponse(204, [(b"allow", self._allowed.encode()), *headers])

    @staticmethod
    def _deny(request: ApiRequest, permission: Any) -> NoReturn:
        """DRF's own distinction: nobody is asked to say who they are, somebody is told that they may not."""
        if request.user is None:
            raise NotAuthenticated
        raise PermissionDenied(getattr(permission, "message", None))

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., Awaitable[ApiResponse]]:  # type: ignore[override]
        """One instance serves every request: it keeps nothing of them."""
        return cls(**initkwargs).dispatch


Envelope = Callable[[GatewayError, str], dict[str, Any]]
_AWAY: Final = 503
_BEFORE_THE_KEY: Final = frozenset((404, 405))
"""What is said of a path or method before anybody looks at the key."""
_OF_NOBODY: Final = _BEFORE_THE_KEY | {401}
"""What somebody without a key can ask for as often as he likes."""


async def _result(value: Any) -> Any:
    """What a contract answers, plain or async."""
    return await value if type(value) is CoroutineType else value


async def refuse(error: Exception, request: ApiRequest, envelope: Envelope | None = None) -> ApiResponse:
    """The one translator of exceptions to what clients read; what no usage record tells of is counted.

    `envelope` is the view's, where there is one; else OpenAI's.
    """
    refusal = error if isinstance(error, GatewayError) else _of_framework(error)
    is_paced = False
    if not refusal.is_recorded and (refusal.status < 500 or refusal.status == _AWAY):
        caller = await _count(refusal, request)
        is_paced = caller is None and refusal.status in _OF_NOBODY
    status = getattr(refusal, "upstream_status", refusal.status)
    headers = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    body = orjson.dumps(envelope(refusal, request.id) if envelope else refusal.envelope)
    return ApiResponse(status, headers, body, is_paced=is_paced)


async def _count(refusal: GatewayError, request: ApiRequest) -> Caller | None:
    """Whose it was, if anybody's."""
    caller = request.user
    if caller is None:
        if isinstance(refusal, KeyRefused):
            caller = refusal.caller
        elif refusal.status in _BEFORE_THE_KEY:
            caller = await whose(request)
    model = request.values.get("model") if request.values else None
    request.gateway.refusals.count(refusal, caller, path=request.path, model=model, at=request.started_at)
    return caller


def _of_framework(error: Exception) -> GatewayError:
    """DRF's and Django's refusals as ours; anything else is a fault of ours."""
    if isinstance(error, Http404 | NotFound):
        return UnknownUrl()
    if isinstance(error, NotAuthenticated | AuthenticationFailed):
        return InvalidApiKey()
    if isinstance(error, PermissionDenied | DjangoPermissionDenied):
        return PermissionRefused()
    if isinstance(error, Throttled):
        seconds = max(1, math.ceil(getattr(error, "wait", None) or 1))
        return RateLimited(f"Too many requests. Please try again in {seconds} s.", retry_after=seconds)
    log.error("a request failed on a fault of ours", exc_info=error)
    return InternalError()


def json_response(value: Any) -> ApiResponse:
    return ApiResponse(200, [], orjson.dumps(value))
