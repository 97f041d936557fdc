"""The Gemini API's requests: where they go, with which key, and the body in Google's words.

Paths, the key's header and the members of bodies: ai.google.dev/api, ai.google.dev/api/generate-content,
ai.google.dev/api/embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from routing.providers.base import Options, Reader, Refusal, UpstreamCall, UpstreamRequest
from routing.providers.gemini import embeddings, lacks, requests
from routing.providers.gemini.reader import ChatReader, GenerateReader
from routing.providers.openai.refusals import refusal_of

_ROUTERS_OWN: Final = frozenset(("model", "models", "provider", "usage", "stream"))
"""Members that are the gateway's, or stand in the path."""
_HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", "CostRouter"),
)
_STREAM_HEADERS: Final = tuple((name, "text/event-stream" if name == "accept" else value) for name, value in _HEADERS)


@lru_cache(maxsize=256)
def _headers(secret: str, is_stream: bool) -> tuple[tuple[str, str], ...]:
    headers = _STREAM_HEADERS if is_stream else _HEADERS
    return (*headers, ("x-goog-api-key", secret)) if secret else headers


class Gemini:
    label = "Google Gemini"
    within = ""
    options: type[Options] = Options

    def speaks(self, endpoint: str, host: str, options: Any) -> bool:
        return endpoint in {"generate", "chat.completions", "embeddings"}

    def lacks(self, endpoint: str, body: Mapping[str, Any], options: Any) -> str:
        if endpoint == "chat.completions":
            return lacks.of_chat(body)
        return lacks.of_embeddings(body) if endpoint == "embeddings" else ""

    def recognises(self, headers: Mapping[bytes, bytes]) -> bool:
        return False

    def prefers_stream(self, answers: int, *, is_met: bool) -> bool:
        return False

    def request(self, call: UpstreamCall) -> UpstreamRequest:
        if call.endpoint == "embeddings":
            action, body = "batchEmbedContents", embeddings.request(call.body, f"models/{call.upstream_model}")
        else:
            action = "streamGenerateContent?alt=sse" if call.is_stream else "generateContent"
            body = requests.of_chat(call) if call.endpoint == "chat.completions" else _as_it_came(call)
        path = f"/models/{quote(call.upstream_model.removeprefix('models/'), safe='/:@')}:{action}"
        return UpstreamRequest.of_json(call, path, _headers(call.secret, call.is_stream), body)

    def open(self, call: UpstreamCall) -> Reader:
        if call.endpoint == "embeddings":
            return embeddings.EmbeddingsReader(call)
        return ChatReader(call.answers) if call.endpoint == "chat.completions" else GenerateReader(call.answers)

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
        """Google's errors (google.rpc.Status with its details, alone or in a list) are read as everybody's are."""
        return refusal_of(status, headers, body, call)


def _as_it_came(call: UpstreamCall) -> dict[str, Any]:
    """The client's own body with the output cap."""
    body = {name: value for name, value in call.body.items() if name not in _ROUTERS_OWN and value is not None}
    body["generationConfig"] = {**(body.get("generationConfig") or {}), "maxOutputTokens": call.cap}
    return body


GEMINI: Final = Gemini()
