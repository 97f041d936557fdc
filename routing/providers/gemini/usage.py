"""usageMetadata as counts: ai.google.dev/api/generate-content#UsageMetadata.

Cached tokens stand within the prompt's; thoughts, and what tools brought into the prompt, stand beside. The total is
the sum of all four.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS
from routing.providers.openai.usage import usage_of as in_other_words

_COUNTS: Final = (
    "promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount",
    "cachedContentTokenCount",
)  # fmt: skip
_MOST_DIGITS: Final = 10


def usage_of(reported: Any, before: Usage | None = None) -> Usage | None:
    """The counts, None if they cannot be believed, or say nothing.

    Every chunk of a stream tells what was counted until then. `before` is what was told so far: an end that is all
    zero, or one that forgets the prompt, does not take it back.
    """
    if type(reported) is dict and reported and reported.keys().isdisjoint(_COUNTS):
        return in_other_words(reported)
    counts = [_count(reported, name) for name in _COUNTS] if type(reported) is dict else [None]
    if None in counts:
        return None
    prompt, brought, answer, thoughts, total, cached = (count or 0 for count in counts)
    input_, output = prompt + brought, answer + thoughts
    if input_ == 0 and before is None and output and "promptTokenCount" not in reported:
        input_ = max(total - output, 0)
    elif thoughts == 0 and (input_ or before is None):  # perhaps told by their sum alone
        output = max(output, total - input_)
    if input_ == 0 and before is not None:
        return msgspec.structs.replace(before, output=output, reasoning=thoughts) if output >= before.output else None
    if input_ + output == 0 or input_ + output > MOST_TOKENS:
        return None
    cached = min(cached, input_)
    return Usage(
        input=input_,
        cached_input=cached,
        input_audio=min(_heard(reported, "promptTokensDetails"), input_ - cached),
        output=output,
        reasoning=thoughts,
        output_audio=min(_heard(reported, "candidatesTokensDetails"), output - thoughts),
    )


def _count(reported: Mapping[str, Any], name: str) -> int | None:
    """0 where it is absent, as everywhere in Google's JSON; None for what is no count.

    64-bit integers are text there (protobuf.dev/programming-guides/json).
    """
    value = reported.get(name)
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if value is None:
        return 0
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _heard(reported: Mapping[str, Any], name: str) -> int:
    """Tokens of sound among a count's details by modality."""
    details = reported.get(name)
    told = [each for each in details if type(each) is dict] if type(details) is list else []
    return sum(_count(each, "tokenCount") or 0 for each in told if each.get("modality") == "AUDIO")
