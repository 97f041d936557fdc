"""The API's endpoints. Each view reads its input and hands over; who calls is known by then."""

from __future__ import annotations

from typing import Any, ClassVar

from accounts.errors import GatewayError
from routing.api import account, body, idempotency, models
from routing.api.base import ApiRequest, ApiResponse, GatewayView, json_response
from routing.api.headers import RequestHeaders
from routing.endpoints.base import Endpoint
from routing.endpoints.chat import CHAT
from routing.endpoints.embeddings import EMBEDDINGS
from routing.pipeline.call import Call
from routing.pipeline.serve import serve
from routing.pipeline.stream import StreamReply


class EndpointView(GatewayView):
    """POST to an endpoint: the same for all of them."""

    endpoint: ClassVar[Endpoint]

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return self.endpoint.envelope(error, request_id)

    async def post(self, request: ApiRequest) -> ApiResponse:
        headers = request.headers
        if headers.by_name.get(b"content-type") != b"application/json" or b"content-encoding" in headers.by_name:
            body.check_media_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
        raw = await request.read_body()
        values = request.values = body.parse(raw) if len(raw) <= body.AT_ONCE else await body.parse_in_turns(raw)
        caller = request.caller
        call = Call(
            id=request.id,
            caller=caller,
            endpoint=self.endpoint,
            request=self.endpoint.read(values),
            body=values,
            body_bytes=len(raw),
            snapshot=request.gateway.catalogue.snapshot,
            wants_explanation=headers.by_name.get(b"x-costrouter-explain") == b"true",
            started=request.started,
            started_at=request.started_at,
            legs=caller.legs,
            spending_limits=caller.spending_limits,
            session=_session(request, values) if caller.session_quotas else "",
            idempotency=idempotency.read(headers, request.path, raw),
            headers=_passed(headers, self.endpoint.passes) if self.endpoint.passes else (),
        )
        reply = await serve(call, request.gateway, request.until_gone)
        if isinstance(reply, StreamReply):
            return ApiResponse(200, reply.headers, stream=reply)
        return ApiResponse(200, reply.headers, reply.body)


def _passed(headers: RequestHeaders, names: frozenset[bytes]) -> tuple[tuple[str, str], ...]:
    """The client's headers that go on, as they came."""
    found = ((name.decode(), headers.get_all(name.decode())) for name in sorted(names))
    return tuple((name, value) for name, values in found for value in values)


def _session(request: ApiRequest, values: dict[str, Any]) -> str:
    """The run that the client says this request belongs to; empty if it says nothing."""
    metadata = values.get("metadata")
    named = metadata.get("session_id") if type(metadata) is dict else None
    return request.headers.get("x-costrouter-session", "") or (named if type(named) is str else "")


class ChatCompletions(EndpointView):
    """POST /v1/chat/completions"""

    endpoint = CHAT


class EmbeddingsView(EndpointView):
    """POST /v1/embeddings"""

    endpoint = EMBEDDINGS


class Models(GatewayView):
    """GET /v1/models"""

    async def get(self, request: ApiRequest) -> ApiResponse:
        snapshot = request.gateway.catalogue.snapshot
        return json_response(models.listing(snapshot, request.caller, request.started_at))


class Model(GatewayView):
    """GET /v1/models/{id}"""

    async def get(self, request: ApiRequest, model_id: str) -> ApiResponse:
        snapshot = request.gateway.catalogue.snapshot
        return json_response(models.one(snapshot, request.caller, model_id, request.started_at))


class Key(GatewayView):
    """GET /v1/key"""

    async def get(self, request: ApiRequest) -> ApiResponse:
        return json_response({"data": await account.key(request.caller)})


class Credits(GatewayView):
    """GET /v1/credits"""

    async def get(self, request: ApiRequest) -> ApiResponse:
        return json_response({"data": await account.credit(request.caller)})


class Generation(GatewayView):
    """GET /v1/generation?id="""

    async def get(self, request: ApiRequest) -> ApiResponse:
        shown = request.gateway.options.shown
        return json_response({"data": await account.generation(request.caller, request.query("id"), shown)})
