"""Why an answer ended, in other vendors' words. A failure is never flattened into `stop`."""

from __future__ import annotations

import re
from typing import Any, Final

from routing.providers.base import MalformedAnswer
from routing.providers.openai.refusals import text_of

GOOD_ENDS: Final = frozenset(("stop", "tool_calls", "function_call"))
OURS: Final = GOOD_ENDS | {"length", "content_filter"}
_EQUALS: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("eos", "eos_token", "end_of_text", "end_turn", "stop_sequence", "stop_token", "complete", "completed", "done",
         "finished", "normal", "success", "end", "eot", "pause_turn", "stopped", "eos_token_id", "</s>", "<|im_end|>",
         "<|eot_id|>", "<|endoftext|>", "<|end|>", "<end_of_turn>", "endoftext"),
        "stop",
    ),
    **dict.fromkeys(
        ("max_tokens", "max_token", "max_output_tokens", "max_new_tokens", "max_length", "length_limit",
         "model_length", "token_limit", "max_completion_tokens", "model_context_window_exceeded", "context_length",
         "context_length_exceeded", "truncated", "length_capped", "token_limit_reached", "context_window_exceeded",
         "incomplete", "max_token_limit", "output_limit", "error_limit", "token_limit_exceeded", "max_tokens_reached",
         "max_tokens_exceeded", "output_truncated", "tokens_exhausted", "partial"),
        "length",
    ),
    **dict.fromkeys(
        ("tool_use", "tool_call", "tools", "tool", "function_calls", "functions", "toolcalls"), "tool_calls"
    ),
    **dict.fromkeys(
        ("content_filtered", "error_toxic", "filtered", "filter", "safety", "recitation", "blocklist",
         "prohibited_content", "spii", "image_safety", "language", "sensitive", "refusal", "guardrail_intervened",
         "guardrails", "moderation", "flagged", "blocked", "risk", "violation", "data_inspection_failed"),
        "content_filter",
    ),
}  # fmt: skip
"""In lower case. Of Anthropic, Cohere, Google, Mistral, Bedrock, Zhipu, text-generation-inference and others."""
_OF_OBJECTS: Final = ("type", "reason", "value", "name")
NATIVE: Final = "native_finish_reason"
"""Of a choice of OpenRouter's: its upstream's word (openrouter.ai/docs/api-reference/overview)."""
_LONGEST: Final = 100
_MOST_WORDS: Final = 300
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_FAILURES: Final = (
    "error", "fail", "abort", "cancel", "timeout", "timed_out", "interrupt", "insufficient_system_resource",
    "malformed", "unexpected", "overload", "exception", "crash", "connect", "rate_limit", "killed", "unavailable",
    "preempt", "evict", "invalid", "memory", "lost", "died", "deadline", "internal", "broken", "terminated", "shutdown",
    "quota", "time_limit", "oom", "expired", "time_out", "max_time", "gateway", "dead", "stall", "dropped", "shutting",
    "panic", "fatal", "incomplete_", "exhausted", "retry", "retries", "too_many", "missing_", "capacity", "resource",
    "closed", "hang_up", "hang up", "reset", "_by_server", "server_", "unhealthy", "throttl", "segfault", "corrupt",
    "stuck", "halted", "balance", "credit", "unauthorized", "suspended", "bad_re", "cache_full",
    "none_available", "http_", "goaway", "eof", "unfinished", "not_finished", "restart", "sigterm", "sigkill",
)  # fmt: skip
"""Parts of words that say the answer is not whole."""
_PARTS: Final = {
    "length": ("length", "max_", "maxtoken", "maximum", "limit", "context", "seq_len", "out_of_token", "truncat",
               "budget", "too_long", "cutoff", "cut_off", "window"),
    "content_filter": ("filter", "safety", "prohibit", "blocked", "censor", "violat", "moderat", "guardrail",
                       "sensitive", "refus", "toxic", "policy", "unsafe", "harmful", "jailbreak", "armor", "risk",
                       "inappropriate", "hate", "illegal", "copyright", "infring", "security", "blacklist",
                       "inspection"),
}  # fmt: skip
"""Parts of words nobody has listed that say as much as these."""
_STATUS: Final = re.compile(r"[45][0-9][0-9]")
"""HTTP's, of a failure."""
_NOT_OF_A_WORD: Final = " .!;,"


def finish_reason(reason: Any) -> str | None:
    """The schema's word for a vendor's; None where nothing was said, or a word that nobody knows.

    Raises MalformedAnswer for a word that says the answer failed.
    """
    words = ""
    if type(reason) is list and len(reason) == 1:
        reason = reason[0]
    if type(reason) is dict:  # SGLang's own, and names as languages write them
        words = f": {text_of(reason.get('message'))[:_MOST_WORDS]}" if reason.get("message") else ""
        reason = next(filter(None, map(reason.get, _OF_OBJECTS)), None)
    if type(reason) is not str or not reason:
        return None
    if reason in OURS:
        return reason
    for word in _spellings(reason[:_LONGEST]):
        if word in OURS:
            return word
        if word in _EQUALS:
            return _EQUALS[word]
    if any(part in word for part in _FAILURES) or _STATUS.fullmatch(word):
        raise MalformedAnswer(f"the upstream ended the answer with {reason[:60]!r}{words}")
    return next((ours for ours, parts in _PARTS.items() if any(part in word for part in parts)), None)


def reason_elsewhere(choice: dict[str, Any]) -> Any:
    """What a choice without a finish reason says under other names: Google's, Anthropic's, OpenAI's of old.

    vLLM and others write the text that stopped it under `stop_reason`: only a word that is known is one. So with the
    word of OpenRouter's upstream. Raises MalformedAnswer for one of these that says the answer failed.
    """
    said, details, stop = choice.pop("finishReason", None), choice.get("finish_details"), choice.get("stop_reason")
    said = said or choice.get("done_reason") or choice.get("stopReason")
    if said:
        return said
    if type(details) is dict:
        return details.get("type")
    return finish_reason(stop) or finish_reason(choice.get(NATIVE))


def refuse_native(choice: dict[str, Any]) -> None:
    """Raises MalformedAnswer if a choice that is said to be well has a failure's word from OpenRouter's upstream."""
    if choice.get("finish_reason") in GOOD_ENDS:
        finish_reason(choice[NATIVE])


def _spellings(reason: str) -> tuple[str, ...]:
    """The word in lower case, without its detail, and with underscores.

    Google's compatible endpoint says `content_filter: RECITATION`, others `maxTokens` or `FINISH_REASON_STOP`.
    """
    plain = reason.strip(_NOT_OF_A_WORD).rpartition(".")[2]  # Python's name of a member has its class's before it
    if not plain.isupper():
        plain = _HUMP.sub("_", plain)
    plain = plain.lower()
    word = plain.replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
    return reason.strip().lower(), plain.partition(":")[0].strip(), word
