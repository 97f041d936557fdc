"""The API plane's request, response and view: DRF's contracts, dispatched natively async.

A view is a DRF `APIView`: authentication class, permissions, exceptions and their handler are DRF's, made once per view
class instead of once per request, and awaited where they wait (ADR 0001).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, overload

import msgspec
import orjson
from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.views import APIView

from accounts.authentication import ApiKeyAuthentication, Caller
from costrouter.errors import GatewayError
from routing.api.errors import InternalError, MethodNotSupported, UnknownUrl
from routing.pipeline.stream import ClientGone, StreamReply

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]


class RequestHeaders(Protocol):
    """A request's headers by their names in lower case."""

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    def get_all(self, name: str, /) -> list[str]:
        """Every value of a header that may come more than once."""


class ApiRequest(msgspec.Struct):
    """A request of the API plane. `read_body` reads the body once, bounded."""

    id: str
    method: str
    path: str
    headers: RequestHeaders
    peer: str
    started: float
    started_at: float
    read_body: Callable[[], Awaitable[bytes]]
    until_gone: Callable[[], Awaitable[None]]
    """Returns when the client has left; to be awaited once, after the body was read."""
    user: Caller | None = None
    auth: Caller | None = None


class ApiResponse(msgspec.Struct):
    """What the plane's handler sends: a whole body, or a stream."""

    status: int
    headers: Headers
    body: bytes = b""
    stream: StreamReply | None = None


class GatewayView(APIView):
    """A DRF view whose handlers are coroutines; contracts are held by the class."""

    http_method_names = ["get", "post"]
    authenticator: ClassVar[ApiKeyAuthentication] = ApiKeyAuthentication()

    async def dispatch(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:  # type: ignore[override]
        try:
            method = request.method.lower()
            handler = getattr(self, method, None)
            if handler is None or method not in self.http_method_names:
                raise MethodNotSupported(request.method, self.allowed_methods)
            request.user, request.auth = await self.authenticator.authenticate(request)
            return await handler(request, **kwargs)  # type: ignore[no-any-return]
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: every failure leaves in the contract's shape
            return error_response(error)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., Awaitable[ApiResponse]]:  # type: ignore[override]
        """One instance serves every request: it keeps nothing of them."""
        return cls(**initkwargs).dispatch


def error_response(error: Exception) -> ApiResponse:
    """The one translator of exceptions to the API's envelope."""
    if isinstance(error, Http404):
        error = UnknownUrl()
    if not isinstance(error, GatewayError):
        error = _of_framework(error)
    status = getattr(error, "upstream_status", error.status)
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return ApiResponse(status, headers, orjson.dumps(error.envelope))


def _of_framework(error: Exception) -> GatewayError:
    if isinstance(error, APIException) and error.status_code < 500:
        translated = InternalError()
        log.error("an exception of the framework reached the API: %s", error)
        return translated
    log.error("a request failed on a fault of ours", exc_info=error)
    return InternalError()


def json_response(value: Any) -> ApiResponse:
    return ApiResponse(200, [], orjson.dumps(value))
