"""The API's endpoints. Each view reads its input and hands over; who calls is known by then."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from accounts.errors import GatewayError
from billing.books import Idempotency
from routing.api import account, body, form, idempotency, models
from routing.api.base import ApiRequest, ApiResponse, GatewayView, json_response, refuse
from routing.api.errors import NoWebSocket, ResponseNotKept, UnknownUrl
from routing.api.headers import RequestHeaders
from routing.api.paths import nearest
from routing.endpoints.base import Endpoint
from routing.endpoints.chat import CHAT
from routing.endpoints.embeddings import EMBEDDINGS
from routing.endpoints.images import IMAGES
from routing.endpoints.messages import COUNT_TOKENS, MESSAGES
from routing.endpoints.responses import RESPONSES
from routing.endpoints.speech import SPEECH
from routing.endpoints.transcriptions import TRANSCRIPTIONS, TRANSLATIONS
from routing.pipeline.call import Call
from routing.pipeline.count import count
from routing.pipeline.serve import serve
from routing.pipeline.stream import StreamReply


class EndpointView(GatewayView):
    """POST to an endpoint: the same for all of them."""

    endpoint: ClassVar[Endpoint]

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return self.endpoint.envelope(error, request_id)

    async def post(self, request: ApiRequest) -> ApiResponse:
        reply = await serve(await self.call(request), request.gateway, request.until_gone)
        if isinstance(reply, StreamReply):
            return ApiResponse(200, reply.headers, stream=reply)
        return ApiResponse(200, reply.headers, reply.body, media=reply.media)

    async def call(self, request: ApiRequest) -> Call:
        """The request, read and checked."""
        headers = request.headers
        if headers.by_name.get(b"content-type") != b"application/json" or b"content-encoding" in headers.by_name:
            body.check_media_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
        raw = await request.read_body()
        values = request.values = body.parse(raw) if len(raw) <= body.AT_ONCE else await body.parse_in_turns(raw)
        return self._call(request, values, len(raw), idempotency.read(headers, request.path, raw))

    def _call(
        self, request: ApiRequest, values: dict[str, Any], size: int, idempotent: Idempotency | None
    ) -> Call:  # fmt: skip
        """The request of a body that was read; raises what its endpoint refuses."""
        headers, caller = request.headers, request.caller
        return Call(
            id=request.id,
            caller=caller,
            endpoint=self.endpoint,
            request=self.endpoint.read(values),
            body=values,
            body_bytes=size,
            snapshot=request.gateway.catalogue.snapshot,
            wants_explanation=headers.by_name.get(b"x-costrouter-explain") == b"true",
            started=request.started,
            started_at=request.started_at,
            legs=caller.legs,
            spending_limits=caller.spending_limits,
            session=_session(request, values) if caller.session_quotas else "",
            idempotency=idempotent,
            headers=_passed(headers, self.endpoint.passes) if self.endpoint.passes else (),
        )


class UploadView(EndpointView):
    """POST to an endpoint whose bodies are forms with a file."""

    async def call(self, request: ApiRequest) -> Call:
        headers = request.headers
        boundary = form.boundary_of(headers.get("content-type", ""), headers.get("content-encoding", ""))
        raw = await request.read_body()
        size, values = len(raw), await form.parse(raw, boundary)
        request.values = values
        return self._call(request, values, size, idempotency.read(headers, request.path, values, form.digest))


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


class ImagesGenerations(EndpointView):
    """POST /v1/images/generations"""

    endpoint = IMAGES


class Speech(EndpointView):
    """POST /v1/audio/speech"""

    endpoint = SPEECH


class Transcriptions(UploadView):
    """POST /v1/audio/transcriptions"""

    endpoint = TRANSCRIPTIONS


class Translations(UploadView):
    """POST /v1/audio/translations"""

    endpoint = TRANSLATIONS


class ResponsesView(EndpointView):
    """POST /v1/responses"""

    endpoint = RESPONSES

    async def _unhandled(self, request: ApiRequest) -> ApiResponse:
        """Codex asks for a WebSocket first, and goes the other way at once where it is told so by this status alone."""
        if request.headers.get("upgrade", "").lower() == "websocket":
            raise NoWebSocket
        return await super()._unhandled(request)


class KeptResponse(GatewayView):
    """Everything below /v1/responses/: nothing is kept that could be found there."""

    async def _unhandled(self, request: ApiRequest) -> ApiResponse:
        if request.method == "OPTIONS":
            return await super()._unhandled(request)
        raise ResponseNotKept


class OfAnthropic(GatewayView):
    """For Anthropic's clients: refusals in their shape, and the request's id under the name that they look for."""

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return MESSAGES.envelope(error, request_id)

    async def dispatch(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:  # type: ignore[override]
        response = await self.answer(request, **kwargs)
        response.headers.append((b"request-id", b"req_" + request.id.encode()))
        return response

    async def answer(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:
        return await super().dispatch(request, **kwargs)


class MessagesView(OfAnthropic, EndpointView):
    """POST /v1/messages"""

    endpoint = MESSAGES


class CountTokens(OfAnthropic, EndpointView):
    """POST /v1/messages/count_tokens"""

    endpoint = COUNT_TOKENS

    async def post(self, request: ApiRequest) -> ApiResponse:
        return json_response({"input_tokens": await count(await self.call(request), request.gateway)})


class NoMessages(OfAnthropic):
    """Whatever else is asked for below /v1/messages."""

    async def answer(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:
        return await refuse(UnknownUrl(nearest(request.path)), request, self.envelope)


class ModelsOfAnthropic(OfAnthropic):
    """GET /v1/models, and /v1/models/{id}, in Anthropic's shape."""

    async def get(self, request: ApiRequest, model_id: str | None = None) -> ApiResponse:
        snapshot, caller, now = request.gateway.catalogue.snapshot, request.caller, request.started_at
        if model_id is not None:
            return json_response(models.one_of_anthropic(snapshot, caller, model_id, now))
        page = models.Page.of(request.query)
        return json_response(models.listing_of_anthropic(snapshot, caller, page, now))


_of_anthropic: Final = ModelsOfAnthropic.as_view()


class ForEither(GatewayView):
    """A view of models: who sends Anthropic's version is answered in Anthropic's shape."""

    async def dispatch(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:  # type: ignore[override]
        if b"anthropic-version" in request.headers.by_name:
            return await _of_anthropic(request, **kwargs)
        return await super().dispatch(request, **kwargs)


class Models(ForEither):
    """GET /v1/models"""

    async def get(self, request: ApiRequest) -> ApiResponse:
        snapshot = request.gateway.catalogue.snapshot
        return json_response(models.listing(snapshot, request.caller, request.started_at))


class Model(ForEither):
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
