"""The API's endpoints. Each view reads its input and hands over; who calls is known by then."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from accounts.authentication import QueryKeyAuthentication
from accounts.errors import GatewayError
from billing.books import Idempotency
from routing.api import account, body, form, gemini_models, idempotency, models
from routing.api.base import ApiRequest, ApiResponse, GatewayView, json_response, refuse
from routing.api.errors import NoWebSocket, ResponseNotKept, UnknownUrl
from routing.api.headers import RequestHeaders
from routing.api.paths import nearest
from routing.endpoints.base import Endpoint, EndpointRequest
from routing.endpoints.chat import CHAT
from routing.endpoints.completions import COMPLETIONS
from routing.endpoints.embeddings import EMBEDDINGS
from routing.endpoints.generate import GENERATE, MODEL_ACTIONS, OF_VECTORS
from routing.endpoints.generate.needs import Weight
from routing.endpoints.generate.schema import read as read_generate
from routing.endpoints.images import IMAGES
from routing.endpoints.messages import COUNT_TOKENS, MESSAGES
from routing.endpoints.moderations import MODERATIONS
from routing.endpoints.rerank import RERANK
from routing.endpoints.responses import RESPONSES
from routing.endpoints.speech import SPEECH
from routing.endpoints.transcriptions import TRANSCRIPTIONS, TRANSLATIONS
from routing.pipeline.call import Call
from routing.pipeline.count import count
from routing.pipeline.serve import serve
from routing.pipeline.stream import StreamReply
from routing.wire.writing import LARGE


class EndpointView(GatewayView):
    """POST to an endpoint: the same for all of them."""

    endpoint: ClassVar[Endpoint]

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return self.endpoint.envelope(error, request_id)

    def put_in(self, values: dict[str, Any], request: ApiRequest, **named: str) -> None:
        """Puts into the body what an endpoint's URL says of the request; most say nothing."""

    async def post(self, request: ApiRequest, **named: str) -> ApiResponse:
        call = await (self.call(request, **named) if named else self.call(request))  # without a dictionary for nothing
        reply = await serve(call, request.gateway, request.until_gone)
        if isinstance(reply, StreamReply):
            return ApiResponse(200, reply.headers, stream=reply)
        return ApiResponse(200, reply.headers, reply.body, media=reply.media)

    async def call(self, request: ApiRequest, **named: str) -> Call:
        """The request, read and checked."""
        headers = request.headers
        raw, values = await _read(request)
        if named:
            self.put_in(values, request, **named)
        idempotent = None
        if idempotency.IN_HEADERS in headers.by_name:
            idempotent = await idempotency.read(headers, request.path, raw)
        if len(raw) <= LARGE:
            asked = self.endpoint.read(values)
        else:  # tens of thousands of parts, perhaps: a thread lets go of the interpreter every few milliseconds
            asked = await asyncio.to_thread(self.endpoint.read, values)
        return self._call(request, asked, values, len(raw), idempotent)

    def _call(
        self,
        request: ApiRequest,
        asked: EndpointRequest,
        values: dict[str, Any],
        size: int,
        idempotent: Idempotency | None,
    ) -> Call:
        headers, caller = request.headers, request.caller
        return Call(
            id=request.id,
            caller=caller,
            endpoint=self.endpoint,
            request=asked,
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

    async def call(self, request: ApiRequest, **named: str) -> Call:
        headers = request.headers
        boundary = form.boundary_of(headers.get("content-type", ""), headers.get("content-encoding", ""))
        raw = await request.read_body()
        size, values = len(raw), await form.parse(raw, boundary)
        request.values = values
        idempotent = None
        if idempotency.IN_HEADERS in headers.by_name:
            idempotent = await idempotency.read(headers, request.path, await form.digest(values))
        return self._call(request, self.endpoint.read(values), values, size, idempotent)


async def _read(request: ApiRequest) -> tuple[bytes, dict[str, Any]]:
    """The body as it came, and what it says."""
    headers = request.headers
    if headers.by_name.get(b"content-type") != b"application/json" or b"content-encoding" in headers.by_name:
        body.check_media_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
    raw = await request.read_body()
    values = request.values = body.parse(raw) if len(raw) <= body.AT_ONCE else await body.parse_in_turns(raw)
    return raw, values


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

    async def post(self, request: ApiRequest, **named: str) -> ApiResponse:
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


class GenerateView(EndpointView):
    """GET /v1beta/models/{model_id}, POST /v1beta/models/{model_id}:generateContent and the like, below /v1 as well."""

    endpoint = GENERATE
    authentication_classes = [QueryKeyAuthentication]
    ACTIONS: ClassVar = MODEL_ACTIONS

    async def get(self, request: ApiRequest, model_id: str) -> ApiResponse:
        snapshot = request.gateway.catalogue.snapshot
        return json_response(gemini_models.one(snapshot, request.caller, model_id, request.started_at))

    async def post(self, request: ApiRequest, **named: str) -> ApiResponse:
        model, _colon, action = named["model_id"].rpartition(":")
        if action not in self.ACTIONS:
            raise UnknownUrl("/v1/embeddings" if action in OF_VECTORS else None)
        if action == "countTokens":
            return await self._count(request, model)
        return await super().post(request, model=model, action=action)

    def put_in(self, values: dict[str, Any], request: ApiRequest, **named: str) -> None:
        """A stream comes as events where these were asked for, else as a list."""
        is_stream, is_events = named["action"] == "streamGenerateContent", request.query("alt") == "sse"
        values.update(model=named["model"], stream=is_stream and is_events, isList=is_stream and not is_events)

    async def _count(self, request: ApiRequest, name: str) -> ApiResponse:
        """How many tokens a prompt probably is: nothing goes upstream, nothing is billed."""
        raw, values = await _read(request)
        inner = values.get("generateContentRequest")
        asked = inner if type(inner) is dict else values
        asked["model"] = values["model"] = name
        gateway = request.gateway
        model = gemini_models.served(gateway.catalogue.snapshot, request.caller, name, request.started_at)
        read = await asyncio.to_thread(read_generate, asked) if len(raw) > LARGE else read_generate(asked)
        weight = Weight(read, len(raw))
        return json_response({"totalTokens": weight.expected(gateway.health.learned.bytes_per_token(model.name))})


class GenerateModels(GatewayView):
    """GET /v1beta/models"""

    authentication_classes = [QueryKeyAuthentication]
    envelope = staticmethod(GENERATE.envelope)

    async def get(self, request: ApiRequest) -> ApiResponse:
        snapshot, now = request.gateway.catalogue.snapshot, request.started_at
        size, token = request.query("pageSize"), request.query("pageToken")
        return json_response(gemini_models.listing(snapshot, request.caller, now, size, token))


_generate: Final = GenerateView.as_view()
_generate_models: Final = GenerateModels.as_view()


class ForEither(GatewayView):
    """A view of models: who sends Anthropic's version is answered in Anthropic's shape, Google's clients in theirs."""

    async def dispatch(self, request: ApiRequest, **kwargs: Any) -> ApiResponse:  # type: ignore[override]
        names = request.headers.by_name
        if b"anthropic-version" in names:
            return await _of_anthropic(request, **kwargs)
        is_action = request.path.rpartition(":")[2] in MODEL_ACTIONS
        if is_action or b"x-goog-api-key" in names or b"x-goog-api-client" in names:
            return await (_generate if kwargs else _generate_models)(request, **kwargs)
        return await super().dispatch(request, **kwargs)


class Completions(EndpointView):
    """POST /v1/completions"""

    endpoint = COMPLETIONS


class Rerank(EndpointView):
    """POST /v1/rerank"""

    endpoint = RERANK


class Moderations(EndpointView):
    """POST /v1/moderations"""

    endpoint = MODERATIONS


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
