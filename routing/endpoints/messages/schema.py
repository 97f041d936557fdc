"""The shape of a messages request: what Anthropic's API documents (POST /v1/messages), checked at the edge.

Unknown members travel on. Null is absent. Blocks and tools that are not looked at are the upstream's to judge, but for
what costs beside tokens: that has no price and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NoReturn

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import IntegerBelowMinValue, MissingRequiredParameter, UnsupportedParameter
from routing.endpoints.messages.refusals import convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, refuse_wishes

Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Source(Struct):
    """Where an image or a document comes from."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: str | list[Block] | None = None


class Citations(Struct):
    enabled: bool | None = None


class Caller(Struct):
    type: str


class Block(Struct):
    """One block of content; kinds that we do not know are the upstream's to judge."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None
    citations: Citations | list[Any] | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    caller: Caller | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | dict[str, Any] | None = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Block], Meta(min_length=1)]


class Tool(Struct):
    name: Name | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    input_examples: list[dict[str, Any]] | None = None
    allowed_callers: list[str] | None = None


class ToolChoice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct):
    type: str
    budget_tokens: Annotated[int, Meta(le=2**31 - 1)] | None = None
    display: str | None = None


class OutputFormat(Struct):
    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(Struct):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(Struct):
    user_id: str | None = None


class Edit(Struct):
    type: str


class ContextManagement(Struct):
    edits: list[Edit] | None = None


class CountRequest(Struct):
    """Everything that is read of a request whose tokens are counted, and of every other."""

    model: ModelName
    messages: Annotated[list[Message], Meta(min_length=1, max_length=100_000)]
    system: str | list[Block] | None = None
    tools: Annotated[list[Tool], Meta(max_length=10_000)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    context_management: ContextManagement | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None

    @property
    def is_stream(self) -> bool:
        return False

    @property
    def format(self) -> OutputFormat | None:
        """The format asked for, under its name or under that of the beta."""
        inner = self.output_config.format if self.output_config is not None else None
        return inner or self.output_format

    def blocks(self) -> Iterator[Block]:
        """Every block of every message, those inside others too."""
        for message in self.messages:
            if type(message.content) is list:
                yield from _all(message.content)


class MessagesRequest(CountRequest, kw_only=True):
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    stream: bool | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=8192)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: str | None = None
    inference_geo: str | None = None
    fallbacks: Any = None
    thread: Any = None
    compaction: Any = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def makes_summary(self) -> bool:
        """Whether the conversation may be read, and a summary of it written, beside the answer."""
        edits = self.context_management.edits if self.context_management is not None else None
        return bool(self.compaction) or any(edit.type.startswith(_SUMMARIES) for edit in edits or ())

    @property
    def shows_thoughts(self) -> bool:
        """Whether the client wants to see what is thought; else its first block would be none that it looks for."""
        thinking = self.thinking
        return thinking is not None and thinking.type != "disabled" and thinking.display != "omitted"


_MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "search_result": ("source", "title", "content"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
}
"""What a block of each kind must have."""
_MEMBERS_OF_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    "base64": ("media_type", "data"),
    "url": ("url",),
    "text": ("data",),
    "content": ("content",),
}
_SUMMARIES: Final = "compact_"
"""Edits of a long conversation that write a summary of it."""
_LEAST_BUDGET: Final = 1024
_OWN_TOOL: Final = (None, "custom")
_FREE_TOOLS: Final = (
    "bash_",
    "text_editor_",
    "computer_",
    "memory_",
    "browser_",
    "tool_search_tool_",
    "web_fetch_",
    "mcp_toolset",
)
"""Tools that Anthropic defines and that cost nothing beside tokens; searches and containers are billed by the piece."""


def read(body: dict[str, Any]) -> MessagesRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`.

    Takes nulls out of the body, and the router's harmless wishes.
    """
    _drop_nulls(body)
    request = convert(body, MessagesRequest)
    _check(request, body)
    _check_thinking(request)
    _check_unpriced(request)
    return request


def read_count(body: dict[str, Any]) -> CountRequest:
    """The same of a request whose tokens are to be counted."""
    _drop_nulls(body)
    request = convert(body, CountRequest)
    _check(request, body)
    return request


def _drop_nulls(body: dict[str, Any]) -> None:
    for name in [name for name, value in body.items() if value is None]:
        del body[name]


def _check(request: CountRequest, body: dict[str, Any]) -> None:
    refuse_wishes(body)
    _check_messages(request.messages)
    if type(request.system) is list:
        _check_blocks(request.system, "system")
    for index, tool in enumerate(request.tools or ()):
        _check_tool(tool, f"tools.{index}")
    _check_choice(request)


def _all(blocks: list[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if type(block.content) is list:
            yield from _all(block.content)
        if type(block.source) is Source and type(block.source.content) is list:
            yield from _all(block.source.content)


def _refuse(place: str, fault: str) -> NoReturn:
    raise InvalidRequest(f"{place}: {fault}", param=place)


def _missing(place: str) -> NoReturn:
    raise MissingRequiredParameter(f"{place}: Field required", param=place)


def _check_messages(messages: list[Message]) -> None:
    called: set[str | None] = set()
    for index, message in enumerate(messages):
        if type(message.content) is not list:
            continue
        _check_blocks(message.content, f"messages.{index}.content")
        for place, block in enumerate(message.content):
            if block.type == "tool_use":
                called.add(block.id)
            elif block.type == "tool_result" and block.tool_use_id not in called:
                _refuse(
                    f"messages.{index}.content.{place}",
                    "unexpected `tool_use_id` found in `tool_result` blocks. Each `tool_result` block must have a "
                    "corresponding `tool_use` block in a previous message.",
                )


def _check_blocks(blocks: list[Block], at: str) -> None:
    for index, block in enumerate(blocks):
        for name in _MEMBERS.get(block.type, ()):
            if getattr(block, name) is None:
                _missing(f"{at}.{index}.{block.type}.{name}")
        if type(block.source) is Source:
            _check_source(block.source, f"{at}.{index}.{block.type}.source")
            if block.type == "search_result":
                _refuse(f"{at}.{index}.search_result.source", "Input should be a valid string")
        elif block.source is not None and block.type in {"image", "document"}:
            _refuse(f"{at}.{index}.{block.type}.source", "Input should be an object")
        if type(block.content) is list:
            _check_blocks(block.content, f"{at}.{index}.{block.type}.content")


def _check_source(source: Source, at: str) -> None:
    for name in _MEMBERS_OF_SOURCES.get(source.type, ()):
        if getattr(source, name) is None:
            _missing(f"{at}.{source.type}.{name}")
    if type(source.content) is list:
        _check_blocks(source.content, f"{at}.content")


def _check_tool(tool: Tool, at: str) -> None:
    if tool.type in _OWN_TOOL:
        for name in ("name", "input_schema"):
            if getattr(tool, name) is None:
                _missing(f"{at}.custom.{name}")
    elif not tool.type.startswith(_FREE_TOOLS):
        raise UnsupportedParameter(
            f"{at}.type: The tool '{tool.type}' has no price here.",
            param=f"{at}.type",
            kept=f"{at}.type: The tool has no price here.",
        )


def _check_choice(request: CountRequest) -> None:
    choice = request.tool_choice
    if choice is None:
        return
    if not request.tools:
        _refuse("tool_choice", "tool_choice may only be specified while providing tools.")
    if choice.type == "tool" and choice.name not in {tool.name for tool in request.tools}:
        _refuse("tool_choice.name", "Tool is not among the provided tools")


def _check_thinking(request: MessagesRequest) -> None:
    thinking = request.thinking
    if thinking is None or thinking.type != "enabled":
        return
    budget = thinking.budget_tokens
    if budget is None:
        _missing("thinking.enabled.budget_tokens")
    if budget < _LEAST_BUDGET:
        place = "thinking.enabled.budget_tokens"
        raise IntegerBelowMinValue(f"{place}: Input should be greater than or equal to {_LEAST_BUDGET}", param=place)
    if budget >= request.max_tokens:
        _refuse("max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_unpriced(request: MessagesRequest) -> None:
    """Features that a price list cannot cover yet are refused, not given away (platform.claude.com, pricing)."""
    if request.speed not in (None, "standard"):
        raise UnsupportedParameter("speed: Fast answers have no price here.", param="speed")
    if request.fallbacks:
        raise UnsupportedParameter(
            "fallbacks: Another model has another price. Name it in 'models'.", param="fallbacks"
        )  # fmt: skip
    if request.thread:
        raise UnsupportedParameter("thread: Nothing is kept here: send all messages.", param="thread")
    if request.inference_geo not in (None, "global"):
        raise UnsupportedParameter("inference_geo: A place has no price here.", param="inference_geo")
