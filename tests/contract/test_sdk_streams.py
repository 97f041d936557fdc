"""The invented forms of upstreams' bytes, through a real gateway, before OpenAI's own stream helper.

What a reader makes of them in process stands with the forms; here is what is left of it at the client and in the books.
"""

from __future__ import annotations

from typing import Any

import openai
import pytest

from billing.kinds import Usage
from tests import schemas
from tests import upstream as up
from tests.callers import Caller
from tests.installation import Offer
from tests.routing.providers.openai.test_bytes import BROKEN, FAILURES, GOOD, Said

GROUPS = sorted({name.partition(":")[0] for name in GOOD})


def reply(data: bytes, size: int) -> up.Reply:
    return up.stream(*(data[at : at + size] for at in range(0, len(data), size)))


def read(client: openai.OpenAI, model: Offer) -> tuple[Said, Any]:
    """What the helper has put together, and its usage; raises the package's errors."""
    messages: Any = [{"role": "user", "content": "hi"}]
    thought = ""
    final: Any = None
    with client.chat.completions.stream(
        model=model.name, messages=messages, stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "chunk":
                assert schemas.faults(schemas.CHUNK, event.chunk.to_dict()) == []
                for choice in event.chunk.choices:
                    thought += getattr(choice.delta, "reasoning_content", None) or ""
        final = stream.current_completion_snapshot  # (the final one is refused where it was cut by its length)
    (choice,) = final.choices
    calls = tuple((call.function.name, call.function.arguments) for call in choice.message.tool_calls or ())
    return Said(choice.message.content or "", choice.finish_reason, calls, thought), final.usage


def units(usage: Any) -> int:
    """The cost that the client is told, in ledger units."""
    cost: float = usage.cost
    return round(cost * 10**9)


def is_told(counted: Usage, usage: Any) -> bool:
    """Whether the client is told these counts, and what they cost where nothing but plain tokens was used."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    told = usage.prompt_tokens, prompt.cached_tokens, usage.completion_tokens, completion.reasoning_tokens
    is_plain = counted == Usage(input=counted.input, output=counted.output)
    is_paid = not is_plain or units(usage) == counted.input * 2_000 + counted.output * 8_000
    return is_paid and told == (counted.input, counted.cached_input, counted.output, counted.reasoning)


def sdk(caller: Caller) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{caller.installation.gateway_url}/v1", api_key=caller.holder.secret, max_retries=0
    )  # fmt: skip


@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize("group", GROUPS)
def test_helper_reads_every_good_form(caller: Caller, model: Offer, group: str, size: int) -> None:
    lost: dict[str, Any] = {}
    shown = 0
    forms = {name: form for name, form in GOOD.items() if name.startswith(f"{group}:")}
    with sdk(caller) as client:
        for name, (data, said) in forms.items():
            caller.upstream.on(model.upstream, reply(data, size))
            try:
                seen, usage = read(client, model)
            except Exception as error:  # noqa: BLE001 - all that are lost are told at once
                lost[name] = repr(error)[:300]
                continue
            counted = said.usage
            if (seen.text, seen.finish, seen.calls, seen.thought) != (said.text, said.finish, said.calls, said.thought):
                lost[name] = seen
            elif counted and not is_told(counted, usage):
                lost[name] = usage
            shown += units(usage)

    assert lost == {}
    caller.wait_until_settled()
    assert [record.outcome for record in caller.records] == ["success"] * len(forms)
    assert sum(record.cost for record in caller.records) == shown


@pytest.mark.parametrize("data", [*BROKEN.values(), *FAILURES.values()], ids=[*BROKEN, *FAILURES])
def test_helper_raises_for_every_broken_form(caller: Caller, model: Offer, data: bytes) -> None:
    caller.upstream.on(model.upstream, reply(data, 64))

    with sdk(caller) as client, pytest.raises(openai.APIError):
        read(client, model)

    assert caller.only_record().outcome != "success"
