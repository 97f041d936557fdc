"""The shape of a chat completion request: the public API's fields and ranges, checked once, at the edge.

Unknown fields are not looked at; they travel on in the request's dict. Types are strict: a boolean is not a number,
`"5"` is not 5. Null is absent for every optional field. The facts are those of OpenAI's public API description
(CreateChatCompletionRequest).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeGuard

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import UnsupportedParameter, convert, missing
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Cap = Annotated[int, Meta(ge=1, le=2**31 - 1)]
StopText = Annotated[str, Meta(min_length=1, max_length=4096)]
FunctionName = Annotated[str, Meta(max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")]


# `gc=False`, of what a body has thousands of: nothing of a body points back, and the collector need not look there.


class ImageUrl(Struct, gc=False):
    url: str
    detail: str | None = None


class InputAudio(Struct, gc=False):
    data: str
    format: str


class File(Struct, gc=False):
    file_data: str | None = None


class Part(Struct, gc=False):
    """One part of a message; kinds that we do not know are the upstream's to judge."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    file: File | None = None
    input_audio: InputAudio | None = None
    refusal: str | None = None


Content = str | Annotated[list[Part], Meta(min_length=1)]


class CalledFunction(Struct, gc=False):
    name: str
    arguments: str


class ToolCall(Struct, gc=False):
    id: str
    type: str
    function: CalledFunction | None = None


class Instruction(Struct, gc=False, tag_field="role", tag="system"):
    content: Content
    name: str | None = None


class DeveloperInstruction(Instruction, tag_field="role", tag="developer"):
    pass


class UserMessage(Struct, gc=False, tag_field="role", tag="user"):
    content: Content
    name: str | None = None


class AssistantMessage(Struct, gc=False, tag_field="role", tag="assistant"):
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: CalledFunction | None = None
    audio: dict[str, Any] | None = None
    name: str | None = None


class ToolMessage(Struct, gc=False, tag_field="role", tag="tool"):
    content: Content
    tool_call_id: str


class FunctionMessage(Struct, gc=False, tag_field="role", tag="function"):
    content: str | None
    name: str


Message = Instruction | DeveloperInstruction | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class StreamOptions(Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Function(Struct):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct):
    type: str
    function: Function | None = None
    custom: dict[str, Any] | None = None


class JsonSchema(Struct):
    name: FunctionName
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(Struct):
    """Everything of a request that the gateway reads."""

    model: ModelName
    messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Cap | None = None
    max_completion_tokens: Cap | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: str | Annotated[list[StopText], Meta(min_length=1, max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, Bias] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Meta(max_length=128)] | None = None
    function_call: str | dict[str, Any] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    metadata: (
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None
    ) = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return self.stream is True

    @property
    def wants_usage(self) -> bool:
        """As OpenAI's clients ask for it, or OpenRouter's."""
        asked = self.stream_options is not None and self.stream_options.include_usage
        return bool(asked or (self.usage is not None and self.usage.include))

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def cap(self) -> int | None:
        """The client's bound on the output tokens of one choice: the smaller of the two fields."""
        older, newer = self.max_tokens, self.max_completion_tokens
        if older is None or newer is None:
            return newer if older is None else older
        return min(older, newer)

    def shown(self) -> tuple[list[str], list[str]]:
        """The address of every picture of every message, and every file that is one of pages, as it was sent."""
        images: list[str] = []
        documents: list[str] = []
        for message in self.messages:  # no comprehension: most messages are text, and of most requests all are
            if type(message.content) is list:
                images += [part.image_url.url for part in message.content if part.image_url]
                documents += [
                    part.file.file_data for part in message.content if part.file and is_paged(part.file.file_data)
                ]
        return images, documents


def is_paged(data: str | None) -> TypeGuard[str]:
    """Whether this is a file whose size says nothing of its text."""
    return data is not None and data.startswith(_PAGED)


_PAGED: Final = "data:application/pdf"
_NEVER_NULL: Final = ("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "response_format",
                      "top_logprobs", "user", "web_search_options")  # fmt: skip
"""What the public schema allows to be absent but not to be null, and upstreams may refuse to be."""
_LISTS_OF_TOOLS: Final = ("tools", "functions")
_CALLABLE_TOOLS: Final = ("function", "custom")
_SAID_BY_NAME: Final = frozenset(("text", "image_url", "input_audio", "refusal"))
"""Parts whose content is the member that is called as their type is."""
_HEARD: Final = frozenset(("input_audio", "audio_url"))
"""Parts of sound, as OpenAI and as vLLM name them."""
_TEXT_ALONE: Final = frozenset(("text",))
_SEARCHES: Final = frozenset(("search_parameters", "enable_search"))
"""xAI's (docs.x.ai/docs/guides/live-search) and Alibaba's (alibabacloud.com/help/model-studio/web-search)."""
_PLAIN: Final = frozenset(
    ("model", "messages", "stream", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p", "stop", "seed",
     "frequency_penalty", "presence_penalty")
)  # fmt: skip
"""Members whose form says all that there is to check."""
_PRICED_TIERS: Final = frozenset((None, "auto", "default"))


def read(body: dict[str, Any]) -> ChatRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`.

    Takes out of the body what asks for nothing and must not travel on: nulls that the public schema does not know,
    empty lists of tools, the router's harmless wishes.
    """
    request = convert(body, ChatRequest)
    if not body.keys() <= _PLAIN:
        _check_others(request, body)
    _check_messages(request.messages)
    return request


def _check_others(request: ChatRequest, body: dict[str, Any]) -> None:
    """The members that need more than their form, which most requests have none of."""
    refuse_wishes(body)
    if None in body.values() or request.tools == [] or request.functions == []:
        _drop_absent(body)
    _check_together(request)
    if request.tools or request.tool_choice is not None:
        _check_tools(request)
    _check_unpriced(request)
    if not _SEARCHES.isdisjoint(body):
        _check_searches(body)


def _check_searches(body: dict[str, Any]) -> None:
    """Searches that vendors have a member of their own for and bill by the piece; switched off they cost nothing."""
    for name in _SEARCHES:
        asked = body.get(name)
        if asked and not (type(asked) is dict and asked.get("mode") == "off"):
            raise UnsupportedParameter("Web search has no price.", param=name)


def _drop_absent(body: dict[str, Any]) -> None:
    for name in _NEVER_NULL:
        if name in body and body[name] is None:
            del body[name]
    for name in _LISTS_OF_TOOLS:
        if body.get(name) == []:
            del body[name]


def _check_together(request: ChatRequest) -> None:
    """Fields that are each valid but not with each other."""
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if request.top_logprobs and not request.logprobs:
        raise InvalidRequest("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    format_ = request.response_format
    if format_ is not None and format_.type == "json_schema" and format_.json_schema is None:
        missing("response_format.json_schema")


def _check_tools(request: ChatRequest) -> None:
    if isinstance(request.tool_choice, str) and request.tool_choice not in {"none", "auto", "required"}:
        raise InvalidRequest("'tool_choice' must be none, auto, required or an object.", param="tool_choice")
    if request.tool_choice not in (None, "none", "auto") and not request.tools:
        raise InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", param="tool_choice")
    _check_named_tool(request)
    for index, tool in enumerate(request.tools or ()):
        if tool.type == "function" and tool.function is None:
            missing(f"tools[{index}].function")
        if tool.type == "custom" and tool.custom is None:
            missing(f"tools[{index}].custom")
        if tool.type not in _CALLABLE_TOOLS:
            raise UnsupportedParameter(
                f"Hosted tool '{tool.type}' has no price.",
                param=f"tools[{index}].type",
                kept="Hosted tools have no price.",
            )


def _check_named_tool(request: ChatRequest) -> None:
    """A tool choice that names a function must name one of the tools."""
    choice = request.tool_choice
    function = choice.get("function") if type(choice) is dict and choice.get("type") == "function" else None
    if type(function) is dict:
        names = [tool.function.name for tool in request.tools or () if tool.function is not None]
        if function.get("name") not in names:
            raise InvalidRequest("'tool_choice' names a function that is not among the 'tools'.", param="tool_choice")


def _check_messages(messages: list[Message]) -> None:
    known: set[str] = set()
    for index, message in enumerate(messages):
        content = message.content
        if type(content) is list:
            for part in content:
                if part.type != "text" or part.text is None:
                    _check_part(part, content, index)
        if type(message) is AssistantMessage:
            _check_assistant(message, index, known)
        elif type(message) is ToolMessage and message.tool_call_id not in known:
            raise InvalidRequest(
                "A message with role 'tool' must answer a preceding message's 'tool_calls'.",
                param=f"messages[{index}].tool_call_id",
            )


def _check_assistant(message: AssistantMessage, index: int, known: set[str]) -> None:
    """Notes its calls in `known`; an answer that says nothing must at least have called."""
    calls = message.tool_calls
    if calls:
        known.update([call.id for call in calls])
    elif message.content is None and not (message.function_call or message.refusal or message.audio):
        missing(f"messages[{index}].content")


def _check_part(part: Part, parts: list[Part], index: int) -> None:
    """A part other than text, or without what its type promises."""
    if part.type in _SAID_BY_NAME and getattr(part, part.type) is None:
        place = next(place for place, each in enumerate(parts) if each is part)
        missing(f"messages[{index}].content[{place}].{part.type}")
    if part.type in _HEARD:
        raise UnsupportedParameter("Audio input has no price.", param="messages")


def _check_unpriced(request: ChatRequest) -> None:
    """Features that a price list cannot cover yet are refused, not given away."""
    if request.service_tier not in _PRICED_TIERS:
        raise UnsupportedParameter(f"Service tier '{request.service_tier}' has no price.", param="service_tier")
    if request.audio is not None or not _TEXT_ALONE.issuperset(request.modalities or ()):
        raise UnsupportedParameter("Output other than text has no price.", param="modalities")
    if request.web_search_options is not None:
        raise UnsupportedParameter("Web search has no price.", param="web_search_options")
