"""A whole text completion: what the public schema requires (CreateCompletionResponse), and nothing of the upstream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from routing.endpoints.base import Head
from routing.endpoints.chat.answer import NEVER
from routing.endpoints.completions.schema import CompletionsRequest
from routing.endpoints.members import is_number, is_text, is_whole
from routing.endpoints.received import BYTES_PER_TOKEN
from routing.providers.base import MalformedAnswer

OBJECT: Final = "text_completion"
REASONS: Final = frozenset(("stop", "length", "content_filter"))
_LISTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "tokens": is_text,
    "token_logprobs": lambda value: value is None or is_number(value),
    "top_logprobs": lambda value: value is None or (type(value) is dict and all(map(is_number, value.values()))),
    "text_offset": is_whole,
}
"""What stands in each list: of a prompt's first token the public API has no probability either."""
BYTES_OF_TOKEN_AT_MOST: Final = 12
"""Of a token whose text is not known."""


def check_answer(request: CompletionsRequest, answer: dict[str, Any]) -> None:
    """Raises MalformedAnswer unless there is a text for each answer that was asked for.

    Each choice learns how much of it is the prompt, which only the request knows.
    """
    choices = answer.get("choices")
    if type(choices) is not list or not choices:
        raise MalformedAnswer("the answer has no choices")
    if any(type(choice) is not dict or type(choice.get("text")) is not str for choice in choices):
        raise MalformedAnswer("a choice has no text")
    if len(choices) != request.choices:
        raise MalformedAnswer(f"the answer has {len(choices)} texts for {request.choices} that were asked for")
    for choice, echoed in zip(choices, echoed_bytes(request), strict=True):
        choice["echoed"] = echoed


def echoed_bytes(request: CompletionsRequest) -> list[int]:
    """For each choice, how many bytes of its text are the prompt again."""
    each = [_prompt_bytes(prompt) if request.echo else 0 for prompt in request.prompts]
    return [size for size in each for _ in range(request.n or 1)]


def _prompt_bytes(prompt: Any) -> int:
    return len(prompt.encode()) if type(prompt) is str else len(prompt) * BYTES_OF_TOKEN_AT_MOST


def estimate_output(answer: Mapping[str, Any]) -> int:
    """Output tokens of a checked answer whose upstream did not say."""
    written: int = sum(max(0, len(choice["text"].encode()) - choice["echoed"]) for choice in answer["choices"])
    return -(-written // BYTES_PER_TOKEN)


def top_of(head: Head) -> dict[str, Any]:
    """What stands beside the choices."""
    return {"id": head.public_id, "object": OBJECT, "created": head.created, "model": head.model}


def complete_choice(choice: dict[str, Any], place: int) -> dict[str, Any]:
    """A choice with what the schema has a place for, and no more."""
    index, reason = choice.get("index"), choice.get("finish_reason")
    return {
        "text": choice["text"],
        "index": index if type(index) is int and index >= 0 else place,
        "logprobs": complete_logprobs(choice.get("logprobs")),
        "finish_reason": reason if reason in REASONS else "stop",
    }


def complete_logprobs(found: Any) -> dict[str, Any] | None:
    """The format's four lists, also where a server writes them as chat's (llama.cpp); None for anything else."""
    if type(found) is not dict:
        return None
    if type(found.get("content")) is list:
        return _from_chat([token for token in found["content"] if type(token) is dict])
    lists = {name: found[name] for name, is_one in _LISTS.items() if _is_list(found.get(name), is_one)}
    return lists if "tokens" in lists else None


def _is_list(value: Any, is_one: Callable[[Any], bool]) -> bool:
    return type(value) is list and all(map(is_one, value))


def _from_chat(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    offsets, end = [], 0
    for token in tokens:
        offsets.append(end)
        end += len(str(token.get("token", "")))
    return {
        "tokens": [str(token.get("token", "")) for token in tokens],
        "token_logprobs": [_logprob(token) for token in tokens],
        "top_logprobs": [
            {str(other.get("token", "")): _logprob(other) for other in _others(token)} for token in tokens
        ],
        "text_offset": offsets,
    }


def _others(token: dict[str, Any]) -> list[dict[str, Any]]:
    others = token.get("top_logprobs")
    return [other for other in others if type(other) is dict] if type(others) is list else []


def _logprob(token: dict[str, Any]) -> float:
    value: Any = token.get("logprob")
    return value if is_number(value) else NEVER
