"""The shape of a Responses request: the public API's fields and ranges (CreateResponse), checked once, at the edge.

Unknown fields travel on. Null is absent. Nothing is kept of an answer, so that whatever refers to something kept (by
the gateway, or in the operator's account upstream, which is no tenant's) is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, structs

from accounts.errors import InvalidRequest
from routing.endpoints.chat.pictures import address_of
from routing.endpoints.chat.schema import FunctionName, Share, Temperature
from routing.endpoints.invalid import UnsupportedParameter, convert, missing
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

_MOST_ITEMS: Final = 10_000


class Part(Struct):
    """One part of a message or of a tool's output; kinds that we do not know are the upstream's to judge."""

    type: str
    text: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    refusal: str | None = None


class Message(Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]


class FunctionCall(Struct):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class CustomCall(Struct):
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class CallOutput(Struct):
    """Of a function, or of a custom tool."""

    call_id: str
    output: str | list[Part]


class Thought(Struct):
    type: str
    text: str


class Reasoning(Struct):
    summary: list[Thought] | None = None
    content: list[Thought] | None = None
    encrypted_content: str | None = None


class Tool(Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None
    """Of a custom tool: how its input is written."""
    tools: list[Tool] | None = None
    """Of a namespace."""
    execution: str | None = None
    """Of a tool search: by whom."""
    external_web_access: bool | None = None
    environment: dict[str, Any] | None = None


class MoreTools(Struct):
    """Tools that stand among the items: a developer's, or what a client's tool search has found."""

    tools: Annotated[list[Tool], Meta(max_length=1_000)]
    call_id: str | None = None


class SearchCall(Struct):
    """A tool search that the client ran."""

    arguments: Any = None
    call_id: str | None = None


class Drawing(Struct):
    """A picture that the model has drawn, in base64."""

    result: str | None = None


ITEMS: Final[dict[str, type[Struct]]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": CallOutput,
    "custom_tool_call": CustomCall,
    "custom_tool_call_output": CallOutput,
    "reasoning": Reasoning,
    "additional_tools": MoreTools,
    "tool_search_call": SearchCall,
    "tool_search_output": MoreTools,
    "image_generation_call": Drawing,
}
"""Those that are read here; others are the upstream's."""


class Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: FunctionName | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Text(Struct):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Thinking(Struct):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(Struct):
    include_obfuscation: bool | None = None


class _Asked(Struct):
    """Everything of a body that the gateway reads."""

    model: ModelName
    input: str | Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=_MOST_ITEMS)]
    instructions: str | None = None
    tools: Annotated[list[Tool], Meta(max_length=1_000)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=16, le=2**31 - 1)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    text: Text | None = None
    reasoning: Thinking | None = None
    include: list[str] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    metadata: (
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None
    ) = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None


class ResponsesRequest(_Asked, kw_only=True):
    items: list[tuple[str, Any]]
    """Each item with its kind, read; one of a kind that is not read here, as it came."""
    body: dict[str, Any]
    """What it was read from: an answer repeats much of it."""

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def cap(self) -> int | None:
        return self.max_output_tokens

    @property
    def shows_summary(self) -> bool:
        """Whether what is thought is to be told as a summary."""
        thinking = self.reasoning
        return thinking is not None and bool(thinking.summary or thinking.generate_summary)

    @property
    def has_schema(self) -> bool:
        return self.text is not None and self.text.format is not None and self.text.format.type == "json_schema"

    def includes(self, what: str) -> bool:
        return self.include is not None and what in self.include

    def parts(self) -> list[Part]:
        """Every part of every message and of every tool's output, and every picture that was drawn."""
        contents = [item.content for kind, item in self.items if kind == "message"]
        contents += [item.output for kind, item in self.items if kind in OUTPUTS]
        drawn = [item.result for kind, item in self.items if kind == DRAWING and item.result]
        pictures = [Part("input_image", image_url=address_of(data)) for data in drawn]
        return [*(part for parts in contents if type(parts) is list for part in parts), *pictures]

    def all_tools(self) -> list[Tool]:
        """Those of the request, and those that its items brought."""
        more = [tool for kind, item in self.items if kind in MORE_TOOLS for tool in item.tools]
        return [*(self.tools or ()), *more]


CALLS: Final = frozenset(("function_call", "custom_tool_call"))
OUTPUTS: Final = frozenset(("function_call_output", "custom_tool_call_output"))
DRAWING: Final = "image_generation_call"
MORE_TOOLS: Final = frozenset(("additional_tools", "tool_search_output"))
_KEPT: Final = ("previous_response_id", "conversation", "background", "prompt")
"""What refers to something kept upstream, or asks for an answer that is kept until it is fetched."""
_UNPRICED: Final = ("moderation", "search_parameters", "enable_search")
"""The last two are searches, of xAI's (docs.x.ai/docs/guides/live-search) and of Alibaba's."""
_OF_CLIENTS: Final = frozenset(
    ("function", "custom", "namespace", "tool_search", "local_shell", "shell", "apply_patch", "computer",
     "computer_use_preview")
)  # fmt: skip
"""Tools whose calls the client runs: they cost their tokens."""
_SEARCHES: Final = frozenset(("web_search", "web_search_2025_08_26"))
_OF_CODEX: Final = ' Codex does without it where its configuration says web_search = "disabled".'
_CHOICES: Final = frozenset((None, "none", "auto"))
_NEVER_NULL: Final = ("tools", "tool_choice", "text", "user")
_PRICED_TIERS: Final = frozenset((None, "auto", "default"))


def read(body: dict[str, Any]) -> ResponsesRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`.

    Takes out of the body what asks for nothing and must not travel on. So goes a web search without web access, which
    Codex offers unasked: it is only ever offered, and the answer tells which tools there were. Every other hosted tool
    is refused: it has no price.
    """
    _refuse_kept(body)
    asked = convert(body, _Asked)
    refuse_wishes(body)
    request = ResponsesRequest(**structs.asdict(asked), items=_items(asked.input), body=body)
    _drop_absent(body)
    _drop_offers(request, body)
    _check_together(request)
    _check_tools(request)
    _check_calls(request.items)
    _check_parts(request)
    if request.service_tier not in _PRICED_TIERS:
        raise UnsupportedParameter(f"Service tier '{request.service_tier}' has no price.", param="service_tier")
    return request


def _refuse_kept(body: dict[str, Any]) -> None:
    for name in _KEPT:
        if body.get(name):
            raise UnsupportedParameter(
                f"'{name}' needs what is kept between requests, and nothing is kept here. Send all items as 'input'.",
                param=name,
            )
    for name in _UNPRICED:
        if body.get(name):
            raise UnsupportedParameter(f"'{name}' has no price.", param=name)


def _items(given: str | list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Each item with its kind; raises an InvalidRequest."""
    if isinstance(given, str):
        return [("message", Message("user", given))]
    return [_item(index, item) for index, item in enumerate(given)]


def _item(index: int, item: dict[str, Any]) -> tuple[str, Any]:
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    if kind == "item_reference":
        raise UnsupportedParameter(
            "An 'item_reference' needs what an earlier answer said, and nothing is kept here. Send the item itself; "
            "clients do with 'store' set to false.",
            param=f"input[{index}]",
        )
    struct = ITEMS.get(kind) if type(kind) is str else None
    if struct is None:
        return str(kind), item
    try:
        return kind, convert({"input": [item]}, _READERS[struct]).input[0]
    except InvalidRequest as error:
        raise _at(index, error) from error


def _at(index: int, error: InvalidRequest) -> InvalidRequest:
    """What is wrong with one item, in its place."""
    first, place = "input[0]", f"input[{index}]"
    said, kept = error.message.replace(first, place), error.kept.replace(first, place)
    return type(error)(said, param=(error.param or "").replace(first, place) or None, kept=kept)


_READERS: Final[dict[type[Struct], Any]] = {
    struct: msgspec.defstruct(struct.__name__, [("input", list[struct])])  # type: ignore[valid-type]
    for struct in set(ITEMS.values())
}


def _drop_absent(body: dict[str, Any]) -> None:
    for name in _NEVER_NULL:
        if name in body and body[name] is None:
            del body[name]


def _is_offer(tool: Tool) -> bool:
    """Whether this is a web search that may not reach the web: the vendor's own index, offered."""
    return tool.type in _SEARCHES and tool.external_web_access is False


def _asks_for_search(choice: Any) -> bool:
    if type(choice) is not dict:
        return False
    allowed = choice.get("tools")
    named = [choice, *(allowed if type(allowed) is list else ())]
    return any(type(each) is dict and str(each.get("type")).startswith("web_search") for each in named)


def _drop_offers(request: ResponsesRequest, body: dict[str, Any]) -> None:
    """Out of the tools, and out of those that stand among the items."""
    if _asks_for_search(request.tool_choice):
        return
    if request.tools and any(map(_is_offer, request.tools)):
        body["tools"] = [raw for raw, tool in zip(body["tools"], request.tools, strict=True) if not _is_offer(tool)]
        request.tools = [tool for tool in request.tools if not _is_offer(tool)]
    for index, (kind, item) in enumerate(request.items):
        if kind in MORE_TOOLS and any(map(_is_offer, item.tools)):
            raw = body["input"][index]
            kept = [each for each, tool in zip(raw["tools"], item.tools, strict=True) if not _is_offer(tool)]
            body["input"][index] = {**raw, "tools": kept}
            item.tools = [tool for tool in item.tools if not _is_offer(tool)]


def _check_together(request: ResponsesRequest) -> None:
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    format_ = request.text.format if request.text else None
    if format_ is not None and format_.type == "json_schema":
        if format_.name is None:
            missing("text.format.name")
        if format_.schema is None:
            missing("text.format.schema")
    if type(request.tool_choice) is str and request.tool_choice not in {"none", "auto", "required"}:
        raise InvalidRequest("'tool_choice' must be none, auto, required or an object.", param="tool_choice")
    has_choice = type(request.tool_choice) is dict or request.tool_choice not in _CHOICES
    if has_choice and not request.all_tools():
        raise InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", param="tool_choice")


def _check_tools(request: ResponsesRequest) -> None:
    for index, tool in enumerate(request.tools or ()):
        _check_tool(tool, f"tools[{index}]")
    for index, (kind, item) in enumerate(request.items):
        if kind in MORE_TOOLS:
            for place, tool in enumerate(item.tools):
                _check_tool(tool, f"input[{index}].tools[{place}]")


def _check_tool(tool: Tool, at: str) -> None:
    is_hosted = tool.type not in _OF_CLIENTS
    if tool.type == "shell" and (tool.environment or {}).get("type", "local") != "local":
        is_hosted = True  # in a container that is billed by the minute
    if is_hosted:
        hint = _OF_CODEX if tool.type in _SEARCHES else ""
        raise UnsupportedParameter(
            f"Hosted tool '{tool.type}' has no price.{hint}", param=f"{at}.type", kept="Hosted tools have no price."
        )
    if tool.type in {"function", "custom", "namespace"} and not tool.name:
        missing(f"{at}.name")
    for place, inner in enumerate(tool.tools or ()):
        _check_tool(inner, f"{at}.tools[{place}]")


def _check_calls(items: list[tuple[str, Any]]) -> None:
    known: set[str] = set()
    for index, (kind, item) in enumerate(items):
        if kind in CALLS:
            known.add(item.call_id)
        elif kind in OUTPUTS and item.call_id not in known:
            raise InvalidRequest(
                f"An item of type '{kind}' must answer a preceding call's 'call_id'.", param=f"input[{index}].call_id"
            )


def _check_parts(request: ResponsesRequest) -> None:
    for part in request.parts():
        if part.file_id:
            raise UnsupportedParameter("'file_id' names a kept file, and none are kept here.", param="input")
        if part.type in {"input_text", "output_text"} and part.text is None:
            missing("input.content.text")
        if part.type == "input_image" and not part.image_url:
            missing("input.content.image_url")
        if part.type == "input_audio":
            raise UnsupportedParameter("Audio input has no price.", param="input")
