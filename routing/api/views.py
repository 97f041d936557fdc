"""The API's endpoints. Each view authenticates, reads its input and hands over."""

from __future__ import annotations

from routing.api import body, models
from routing.api.base import ApiRequest, ApiResponse, GatewayView, json_response
from routing.catalogue.snapshot import catalogue
from routing.endpoints.chat import schema
from routing.pipeline.plan import Call
from routing.pipeline.serve import complete
from routing.pipeline.stream import StreamReply


class ChatCompletions(GatewayView):
    """POST /v1/chat/completions"""

    async def post(self, request: ApiRequest) -> ApiResponse:
        headers = request.headers
        body.check_media_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
        raw = await request.read_body()
        values = body.parse(raw)
        assert request.user is not None  # noqa: S101 - authenticated
        call = Call(
            id=request.id,
            caller=request.user,
            request=schema.read(values),
            body=values,
            body_bytes=len(raw),
            snapshot=catalogue.snapshot,
            wants_explanation=headers.get("x-costrouter-explain", "") == "true",
            started=request.started,
            started_at=request.started_at,
        )
        reply = await complete(call, request.until_gone)
        if isinstance(reply, StreamReply):
            return ApiResponse(200, reply.headers, stream=reply)
        return ApiResponse(200, reply.headers, reply.body)


class Models(GatewayView):
    """GET /v1/models"""

    async def get(self, request: ApiRequest) -> ApiResponse:
        assert request.user is not None  # noqa: S101 - authenticated
        return json_response(models.listing(catalogue.snapshot, request.user, request.started_at))


class Model(GatewayView):
    """GET /v1/models/{id}"""

    async def get(self, request: ApiRequest, model_id: str) -> ApiResponse:
        assert request.user is not None  # noqa: S101 - authenticated
        return json_response(models.one(catalogue.snapshot, request.user, model_id, request.started_at))
