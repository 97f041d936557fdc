"""Vendors that follow OpenAI's formats, as data: by host, and by name where a server may stand anywhere.

A row says only what differs. Where usage stands is in no row: the reader looks in every place that any of them uses
(`usage` behind the stream: most; inside the choice: Moonshot; `x_groq`: Groq; in every chunk: xAI, Fireworks).
Sources are the vendors' own pages, as of 2026-11, and issues that quote their refusals.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

_CHAT: Final = "chat.completions"
_SIMPLE: Final = (_CHAT, "completions", "embeddings")
_SPEECH: Final = ("audio.speech", "audio.transcriptions", "audio.translations")
_NO_VALUES: Final[tuple[Any, ...]] = ()
_LOGPROBS: Final[Mapping[str, tuple[Any, ...]]] = {"logprobs": _NO_VALUES, "top_logprobs": _NO_VALUES}
_CHOICES: Final = ("auto", "none")
_OPENAIS: Final = frozenset(
    ("store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity", "prediction")
)
"""Members of a request that are OpenAI's own, and hints: what the answer says does not depend on them."""


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor or server."""

    label: str
    base_url: str = ""
    """What a channel's address usually is."""
    hosts: tuple[str, ...] = ()
    """Its host names; names below them count."""
    has: frozenset[str] | None = None
    """The endpoints that it has, None if that is not known."""
    caps: tuple[str, ...] = ("max_tokens", "max_completion_tokens")
    """The names of the output cap in chat that it knows, the best first."""
    knows_stream_options: bool = True
    """Whether usage can be asked for in a stream; those that refuse it tell usage anyway."""
    drains: bool = False
    """Whether it goes on, and charges, after a stream's client has left."""
    takes: Mapping[str, tuple[Any, ...]] = {}
    """Members of which it takes these values alone; no value: it does not know the member. What asks for more goes
    elsewhere."""
    leaves_out: frozenset[str] = frozenset()
    """Hints that it would refuse."""
    renames: Mapping[str, str] = {}
    tiers: Mapping[str, str] | None = None
    """What it calls the tiers that ask for nothing special; a tier that is not here is left out. None: as they came."""
    thoughts: str | None = None
    """The member of an assistant's message in which it takes back what was thought, empty if in none; None: any. In
    `reasoning_details` it is a list of parts, elsewhere a text."""
    takes_reasoning: bool = False
    """Whether it knows OpenRouter's `reasoning`, with the effort inside it."""
    takes_marks: bool = False
    """Whether it knows, or overlooks, Anthropic's `cache_control`."""
    knows_developers: bool = False
    """Whether it knows the role `developer`; to others it is `system`."""
    knows_names: bool = True
    """Whether a message's author may have a name."""


ANY: Final = Vendor(
    label="", takes_reasoning=True, takes_marks=True, knows_developers=True,
)  # fmt: skip
"""One that nothing is known of: it is asked as the client asked."""
STRANGER: Final = Vendor(label="", thoughts="reasoning_content", knows_developers=True)
"""The same for a request that was said in chat's format for the client. Nobody has asked for OpenRouter's and
Anthropic's conventions that carry its hints, and many servers refuse what they do not know. Thoughts in words belong
there: open models' templates read them."""

VENDORS: Final[Mapping[str, Vendor]] = {
    # platform.openai.com/docs/api-reference; unknown members are refused
    "openai": Vendor(
        label="OpenAI", base_url="https://api.openai.com/v1", hosts=("openai.com",),
        has=frozenset((*_SIMPLE, *_SPEECH, "responses", "moderations", "images.generations")),
        caps=("max_completion_tokens", "max_tokens"), thoughts="", knows_developers=True,
    ),
    # learn.microsoft.com/azure/ai-foundry/openai/reference
    "azure": Vendor(
        label="Azure OpenAI", base_url="https://NAME.openai.azure.com",
        hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
        has=frozenset((*_SIMPLE, *_SPEECH, "responses", "images.generations")),
        caps=("max_completion_tokens", "max_tokens"), thoughts="", knows_developers=True,
    ),
    # api-docs.deepseek.com/api/create-chat-completion: JSON mode without a schema, one answer
    "deepseek": Vendor(
        label="DeepSeek", base_url="https://api.deepseek.com/v1", hosts=("deepseek.com",), has=frozenset((_CHAT,)),
        caps=("max_tokens",), takes={"n": (1,), "response_format": ("text", "json_object")},
        leaves_out=_OPENAIS, tiers={}, thoughts="reasoning_content",
    ),
    # docs.mistral.ai/api: unknown members are refused with 422, `stream_options` and a message's thoughts among them
    "mistral": Vendor(
        label="Mistral", base_url="https://api.mistral.ai/v1", hosts=("mistral.ai",),
        has=frozenset((_CHAT, "embeddings", "moderations", "audio.transcriptions")),
        caps=("max_tokens",), knows_stream_options=False, drains=True, takes={**_LOGPROBS, "logit_bias": _NO_VALUES},
        leaves_out=_OPENAIS | {"user"}, renames={"seed": "random_seed"}, tiers={}, thoughts="", knows_names=False,
    ),
    # console.groq.com/docs/openai: refused are logprobs, logit_bias, names, and n above 1
    "groq": Vendor(
        label="Groq", base_url="https://api.groq.com/openai/v1", hosts=("groq.com",),
        has=frozenset((_CHAT, "responses", *_SPEECH)), caps=("max_completion_tokens", "max_tokens"), drains=True,
        takes={**_LOGPROBS, "logit_bias": _NO_VALUES, "n": (1,)}, leaves_out=_OPENAIS,
        tiers={"auto": "auto", "default": "on_demand"}, thoughts="", knows_names=False,
    ),
    # docs.together.ai/reference/chat-completions-1
    "together": Vendor(
        label="Together", base_url="https://api.together.xyz/v1", hosts=("together.xyz", "together.ai"),
        has=frozenset((*_SIMPLE, *_SPEECH, "rerank", "images.generations")), caps=("max_tokens",),
        leaves_out=_OPENAIS, tiers={}, thoughts="reasoning_content",
    ),
    # docs.fireworks.ai/api-reference/post-chatcompletions
    "fireworks": Vendor(
        label="Fireworks", base_url="https://api.fireworks.ai/inference/v1", hosts=("fireworks.ai",),
        has=frozenset((*_SIMPLE, "rerank", "responses")), leaves_out=_OPENAIS, tiers={}, thoughts="reasoning_content",
    ),
    # openrouter.ai/docs/api-reference/overview
    "openrouter": Vendor(
        label="OpenRouter", base_url="https://openrouter.ai/api/v1", hosts=("openrouter.ai",),
        has=frozenset((*_SIMPLE, "responses", "rerank")), takes_reasoning=True, takes_marks=True, knows_developers=True,
    ),
    # docs.x.ai/docs/api-reference
    "xai": Vendor(
        label="xAI", base_url="https://api.x.ai/v1", hosts=("x.ai",),
        has=frozenset((_CHAT, "completions", "responses", "images.generations")),
        caps=("max_completion_tokens", "max_tokens"), takes={"logit_bias": _NO_VALUES},
        leaves_out=_OPENAIS, tiers={}, thoughts="", knows_developers=True,
    ),
    # platform.moonshot.ai/docs/api/chat: a call cannot be required of a model that thinks
    "moonshot": Vendor(
        label="Moonshot", base_url="https://api.moonshot.ai/v1", hosts=("moonshot.ai", "moonshot.cn"),
        has=frozenset((_CHAT,)), takes={**_LOGPROBS, "logit_bias": _NO_VALUES, "tool_choice": _CHOICES},
        leaves_out=_OPENAIS - {"prompt_cache_key"}, tiers={}, thoughts="reasoning_content",
    ),
    # www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope
    "qwen": Vendor(
        label="Qwen (DashScope)", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        has=frozenset((_CHAT, "completions", "embeddings")), caps=("max_tokens",), drains=True,
        takes={"logit_bias": _NO_VALUES, "n": (1, 2, 3, 4)}, leaves_out=_OPENAIS, tiers={},
        thoughts="reasoning_content", takes_marks=True,
    ),
    # inference-docs.cerebras.ai/resources/openai: system messages are its developers'
    "cerebras": Vendor(
        label="Cerebras", base_url="https://api.cerebras.ai/v1", hosts=("cerebras.ai",),
        has=frozenset((_CHAT, "completions")), caps=("max_completion_tokens", "max_tokens"),
        takes={"n": (1,), "logit_bias": _NO_VALUES, "frequency_penalty": _NO_VALUES, "presence_penalty": _NO_VALUES},
        leaves_out=_OPENAIS, tiers={}, thoughts="",
    ),
    # docs.perplexity.ai/api-reference/chat-completions-post
    "perplexity": Vendor(
        label="Perplexity", base_url="https://api.perplexity.ai", hosts=("perplexity.ai",), has=frozenset((_CHAT,)),
        caps=("max_tokens",), drains=True, leaves_out=_OPENAIS, tiers={}, thoughts="",
        takes={**_LOGPROBS, "n": (1,), "logit_bias": _NO_VALUES, "tools": _NO_VALUES, "tool_choice": _CHOICES},
    ),
    # docs.z.ai/api-reference/llm/chat-completion
    "zai": Vendor(
        label="Z.ai (Zhipu)", base_url="https://api.z.ai/api/paas/v4", hosts=("z.ai", "bigmodel.cn"),
        has=frozenset((_CHAT, "embeddings")), caps=("max_tokens",), tiers={}, leaves_out=_OPENAIS,
        takes={**_LOGPROBS, "n": (1,), "logit_bias": _NO_VALUES, "tool_choice": _CHOICES,
               "response_format": ("text", "json_object")},
        thoughts="reasoning_content",
    ),
    # platform.minimax.io/docs/api-reference/text-openai-api: what was thought comes and goes back as details
    "minimax": Vendor(
        label="MiniMax", base_url="https://api.minimax.io/v1", hosts=("minimax.io", "minimaxi.com"),
        has=frozenset((_CHAT,)), caps=("max_completion_tokens", "max_tokens"), drains=True,
        takes={"n": (1,), "logit_bias": _NO_VALUES}, leaves_out=_OPENAIS, tiers={}, thoughts="reasoning_details",
    ),
    # docs.sambanova.ai/docs/en/features/openai-compatibility: a message has its role, content and calls, no thoughts
    "sambanova": Vendor(
        label="SambaNova", base_url="https://api.sambanova.ai/v1", hosts=("sambanova.ai",),
        has=frozenset((_CHAT, "embeddings", "audio.transcriptions")), drains=True,
        takes={**_LOGPROBS, "n": (1,), "logit_bias": _NO_VALUES}, leaves_out=_OPENAIS, tiers={}, thoughts="",
    ),
    # deepinfra.com/docs/openai_api
    "deepinfra": Vendor(
        label="DeepInfra", base_url="https://api.deepinfra.com/v1/openai", hosts=("deepinfra.com",),
        has=frozenset((*_SIMPLE, "images.generations", "audio.speech", "audio.transcriptions")),
        leaves_out=_OPENAIS - {"prompt_cache_key"}, thoughts="reasoning_content",
    ),
    # ai.google.dev/gemini-api/docs/openai: members that it does not know are refused ("Cannot find field")
    "google": Vendor(
        label="Google (OpenAI compatibility)", base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        hosts=("googleapis.com",), has=frozenset((_CHAT, "embeddings", "images.generations")),
        takes={"seed": _NO_VALUES, "frequency_penalty": _NO_VALUES, "top_k": _NO_VALUES, "logit_bias": _NO_VALUES,
               **_LOGPROBS},
        leaves_out=_OPENAIS | {"user"}, tiers={}, thoughts="",
    ),
    # docs.cohere.com/reference/rerank
    "cohere": Vendor(
        label="Cohere (rerank)", base_url="https://api.cohere.com/v2", hosts=("cohere.com",),
        has=frozenset(("rerank",)), thoughts="",
    ),
    # docs.cohere.com/docs/compatibility-api: its lists of members; efforts are `none` and `high`
    "cohere-chat": Vendor(
        label="Cohere", base_url="https://api.cohere.ai/compatibility/v1", hosts=("cohere.ai",),
        has=frozenset((_CHAT, "embeddings")), caps=("max_tokens",),
        takes={**_LOGPROBS, "n": (1,), "logit_bias": _NO_VALUES, "reasoning_effort": ("none", "high")},
        leaves_out=_OPENAIS | {"user", "parallel_tool_calls"}, tiers={}, thoughts="",
    ),
    # api.jina.ai/docs
    "jina": Vendor(
        label="Jina", base_url="https://api.jina.ai/v1", hosts=("jina.ai",), has=frozenset(("embeddings", "rerank")),
    ),
    # docs.voyageai.com/reference/reranker-api
    "voyage": Vendor(
        label="Voyage", base_url="https://api.voyageai.com/v1", hosts=("voyageai.com",),
        has=frozenset(("embeddings", "rerank")), renames={"top_n": "top_k"},
    ),
    # --- servers, which may stand at any address: a channel names them in its options ---
    # docs.ollama.com/api/openai-compatibility: other members are overlooked, a longer name of the cap among them
    "ollama": Vendor(
        label="Ollama", base_url="http://127.0.0.1:11434/v1", has=frozenset((*_SIMPLE, "responses")),
        caps=("max_tokens",), takes={"n": (1,), "logit_bias": _NO_VALUES, "tool_choice": _CHOICES},
        takes_reasoning=True, takes_marks=True,
    ),
    # docs.vllm.ai/en/latest/serving/openai_compatible_server
    "vllm": Vendor(
        label="vLLM", base_url="http://127.0.0.1:8000/v1",
        has=frozenset((*_SIMPLE, "responses", "rerank", "audio.transcriptions", "audio.translations")),
        takes_marks=True, knows_developers=True,
    ),
    # docs.sglang.ai/basic_usage/openai_api
    "sglang": Vendor(
        label="SGLang", base_url="http://127.0.0.1:30000/v1", has=frozenset((*_SIMPLE, "responses", "rerank")),
        takes_marks=True,
    ),
    # lmstudio.ai/docs/developer/openai-compat
    "lmstudio": Vendor(
        label="LM Studio", base_url="http://127.0.0.1:1234/v1", has=frozenset((*_SIMPLE, "responses")),
        caps=("max_tokens",), takes={"n": (1,)}, takes_marks=True,
    ),
}  # fmt: skip


def vendor_of(host: str, options: Any, unknown: Vendor = ANY) -> Vendor:
    """The vendor that a channel's options name, else the one whose host it is, else `unknown`."""
    name = getattr(options, "vendor", "") or name_of(host)
    return VENDORS[name] if name else unknown


@lru_cache(maxsize=1024)
def name_of(host: str) -> str:
    """The vendor whose host this is, empty if nobody's that is known."""
    whole = f".{host.lower()}"
    names = (name for name, vendor in VENDORS.items() for own in vendor.hosts if whole.endswith(f".{own}"))
    return next(names, "")
