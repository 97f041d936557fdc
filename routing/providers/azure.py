"""Azure's OpenAI service: OpenAI's formats behind a path with the deployment, another header, and a content filter.

Facts of learn.microsoft.com/azure/ai-foundry/openai: reference (paths, `api-key`, api-version), api-version-lifecycle
(the newer `/openai/v1`, without a version), concepts/content-filter-annotations and concepts/content-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from routing.providers.base import Options, Reader, Refusal, UpstreamCall, UpstreamRequest
from routing.providers.openai import OpenAI, OpenAIReader
from routing.providers.openai.options import OpenAIOptions, VendorName
from routing.providers.openai.refusals import error_of, text_of

_STABLE: Final = "2024-10-21"
"""The last dated version that is no preview."""
_AT_NO_DEPLOYMENT: Final = frozenset(("responses",))
_CHOSEN_BADLY: Final = frozenset(("DeploymentNotFound", "OperationNotSupported"))
"""Codes of errors about what the operator chose: another route may have a better deployment."""
_VERSION_REFUSED: Final = ("api version not supported", "api-version", "missing required query parameter: api-version")
"""How errors begin that are about the version."""
_NAME: Final = "Azure OpenAI"


def _(message: str) -> str:
    """Marks a text for the catalogue of translations; pages translate it where they show it."""
    return message


_STYLE: Final = _("Which of the two paths: /openai/v1, or /openai/deployments/NAME with an api-version.")
_API_VERSION: Final = _("Empty: none with v1, the last stable one with deployments.")
Style = Annotated[Literal["v1", "deployments"], Meta(description=_STYLE)]
Version = Annotated[
    str,
    Meta(
        pattern=r"\A(?:\d{4}-\d{2}-\d{2}(?:-preview)?|preview|latest)?\Z",
        examples=[_STABLE, "preview"],
        description=_API_VERSION,
    ),
]


class AzureOptions(OpenAIOptions, frozen=True):
    vendor: VendorName = "azure"
    style: Style = "v1"
    api_version: Version = ""

    @property
    def query(self) -> str:
        version = self.api_version or (_STABLE if self.style == "deployments" else "")
        return f"?api-version={version}" if version else ""


_DEFAULT: Final = AzureOptions()


class Azure(OpenAI):
    """A channel's base URL is the resource's own: `https://NAME.openai.azure.com`."""

    label = "Azure OpenAI"
    options: type[Options] = AzureOptions

    def speaks(self, endpoint: str, host: str, options: Any) -> bool:
        if _of(options).style == "deployments" and endpoint in _AT_NO_DEPLOYMENT:
            return False
        return super().speaks(endpoint, host, _of(options))

    def lacks(self, endpoint: str, body: Mapping[str, Any], options: Any) -> str:
        return super().lacks(endpoint, body, _of(options))

    def request(self, call: UpstreamCall) -> UpstreamRequest:
        options = _of(call.options)
        secret, call = call.secret, msgspec.structs.replace(call, secret="", options=options)
        asked = super().request(call)
        headers = (*asked.headers, ("api-key", secret)) if secret else asked.headers
        path = _path(options, call.path, call.upstream_model)
        return msgspec.structs.replace(asked, path=path, headers=headers)

    def open(self, call: UpstreamCall) -> Reader:
        return AzureReader(call.answers) if call.endpoint == "chat.completions" else super().open(call)

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
        refusal = super().refusal(status, headers, body, call)
        if refusal.meaning != "content_refused":
            return refusal
        error = error_of(body)
        if error.get("code") in _CHOSEN_BADLY or text_of(error.get("message")).lower().startswith(_VERSION_REFUSED):
            return Refusal("retry", detail=refusal.detail)
        return replace(refusal, message=refusal.message.replace(_NAME, "the upstream"))


class AzureReader(OpenAIReader):
    """What the filter says of the prompt comes in a chunk of its own, before the first choice: clients that take the
    first choice of every chunk fail on it, so it goes on with the next one."""

    _held: Mapping[str, Any] = {}

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        chunk = super().read_chunk(data)
        if chunk is None:
            return None
        if not chunk["choices"]:
            found = chunk.get("prompt_filter_results")
            self._held = {**self._held, "prompt_filter_results": found} if found else self._held
            return None
        if self._held:
            chunk, self._held = {**self._held, **chunk}, {}
        return chunk


def _of(options: Any) -> AzureOptions:
    return options if isinstance(options, AzureOptions) else _DEFAULT


@lru_cache(maxsize=1024)
def _path(options: AzureOptions, path: str, deployment: str) -> str:
    place = "v1" if options.style == "v1" else f"deployments/{quote(deployment, safe='')}"
    return f"/openai/{place}{path}{options.query}"


AZURE: Final = Azure()
