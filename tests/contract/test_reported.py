"""What servers were publicly reported to send, before every kind of client; each with where it was reported."""

from __future__ import annotations

from typing import Any

import pytest

from tests import upstream as up
from tests.callers import Caller
from tests.clients import Client, Said
from tests.contract.test_upstreams import USAGE, each_client
from tests.installation import Offer

GITHUB = "https://github.com"


def piece(delta: Any, finish: Any = None, **members: Any) -> bytes:
    return up.event({**up.chunk(), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **members})


def call(id_: Any = None, name: Any = None, arguments: Any = None, **members: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": id_, "function": {"name": name, "arguments": arguments}, **members}]}


FILTERED = {
    "index": 0,
    "finish_reason": None,
    "content_filter_results": {},
    "content_filter_offsets": {"end_offset": 9},
}
NOBODY = {"id": "", "object": "", "created": 0, "model": ""}
HELLO, THERE, STOP = piece({"content": "Hello"}), piece({"content": " there"}), piece({}, "stop")
TOLD = up.event(up.usage_chunk(USAGE))
TEXT, CALL = Said("Hello there"), Said(calls=[("get", {"x": 1})])
BROKEN = Said(is_broken=True)

REPORTED: dict[str, tuple[Said, list[bytes]]] = {
    f"{GITHUB}/sgl-project/sglang/issues/3912": (TEXT, [  # an empty reason, null beside every text
        *(piece({"role": None, "content": text, "tool_calls": None}, "", usage=None) for text in ("Hello", " there")),
        STOP, TOLD,
    ]),
    f"{GITHUB}/sgl-project/sglang/pull/8417": (TEXT, [  # the reason beside the text, and once more
        HELLO, piece({"content": " there"}, "stop"), piece({"content": None}, "stop"), TOLD,
    ]),
    f"{GITHUB}/sgl-project/sglang/pull/9657": (TEXT, [  # null beside every thought
        piece({"role": None, "content": None, "reasoning_content": "Hm", "tool_calls": None}), HELLO, THERE, STOP, TOLD,
    ]),
    f"{GITHUB}/sgl-project/mini-sglang/pull/126": (TEXT, [  # the object of text completions
        piece({"role": "assistant", "content": "Hello"}, object="text_completion.chunk"), THERE, STOP, TOLD,
    ]),
    f"{GITHUB}/ollama/ollama/issues/4357": (TEXT, [  # a role in every chunk
        *(piece({"role": "assistant", "content": text}, "") for text in ("Hello", " there")),
        piece({"role": "assistant", "content": ""}, "stop"), TOLD,
    ]),
    f"{GITHUB}/langchain-ai/langchain/issues/18977": (TEXT, [  # Azure's filter behind the end, without a delta
        HELLO, THERE, STOP, up.event({**NOBODY, "choices": [FILTERED]}), TOLD,
    ]),
    f"{GITHUB}/microsoft/autogen/issues/6465": (TEXT, [  # the same before and between
        up.event({**NOBODY, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
        HELLO, up.event({**NOBODY, "choices": [{**FILTERED, "content_filter_raw": []}], "usage": None}), THERE, STOP,
        TOLD,
    ]),
    f"{GITHUB}/vllm-project/vllm/issues/19650": (TEXT, [  # no reason at all in between, an empty list of calls
        *(up.event({**up.chunk(), "choices": [{"index": 0, "delta": {"content": text, "tool_calls": []}}]})
          for text in ("Hello", " there")),
        STOP, TOLD,
    ]),
    f"{GITHUB}/BerriAI/litellm/issues/1371": (TEXT, [  # Mistral's: an empty usage in every chunk
        *(piece({"role": None, "content": text, "tool_calls": None}, usage={}) for text in ("Hello", " there")),
        STOP, TOLD,
    ]),
    f"{GITHUB}/crmne/ruby_llm/issues/420": (TEXT, [  # Mistral's thoughts as parts of the content, and filling
        piece({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Okay"}]}]}, p="abc"),
        HELLO, THERE, STOP, TOLD,
    ]),
    f"{GITHUB}/vercel/ai/pull/4820": (TEXT, [  # Mistral's references
        HELLO, piece({"content": [{"type": "reference", "reference_ids": [1]}]}), THERE, STOP, TOLD,
    ]),
    f"{GITHUB}/openai/openai-go/issues/227": (TEXT, [  # OpenRouter's comments before the beginning
        b": OPENROUTER PROCESSING\n\n", b": OPENROUTER PROCESSING\n\n",
        piece({"role": "assistant", "content": ""}, provider="OpenAI"), HELLO, THERE, STOP, TOLD,
    ]),
    f"{GITHUB}/spring-projects/spring-ai/issues/6762": (CALL, [  # empty ids, and the usage beside a delta
        piece(call("call_1", "get", "", type="function")), piece(call("", None, '{"x": ')), piece(call("", None, "1}")),
        piece({}, "tool_calls"), piece({}, usage=USAGE),
    ]),
    f"{GITHUB}/spring-projects/spring-ai/issues/4790": (CALL, [  # empty ids and names, fragments of nothing
        piece({"content": "", "reasoning_content": "", **call("call_1", "get", "", type="function")}),
        piece({"content": "", **call("", "", '{"x": ', type="function")}), piece(call("", "", "", type="function")),
        piece(call("", "", "1}", type="function")), piece({"content": ""}, "tool_calls"), TOLD,
    ]),
    f"{GITHUB}/deepset-ai/haystack/issues/9581": (CALL, [  # a fragment with neither name nor arguments
        piece(call("call_1", "get", '{"x": 1}', type="function")), piece(call()), piece({}, "tool_calls"), TOLD,
    ]),
    f"{GITHUB}/lobehub/lobehub/pull/11219": (CALL, [  # no id and no place behind the first
        piece(call("call_1", "get", '{"x"')), piece({"tool_calls": [{"function": {"arguments": ": 1}"}}]}),
        piece({}, "tool_calls"), TOLD,
    ]),
    f"{GITHUB}/BerriAI/litellm/issues/35663": (CALL, [  # a call that ends in `stop`, the whole of it in one chunk
        piece(call("call_1", "get", {"x": 1}, type="function")), STOP, TOLD,
    ]),
    f"{GITHUB}/vllm-project/vllm-ascend/issues/8327": (CALL, [  # the reason beside the last of the arguments
        piece(call("call_1", "get", "")), piece(call(None, None, '{"x": 1}'), "tool_calls"), TOLD,
    ]),
    f"{GITHUB}/vllm-project/vllm/issues/31443": (BROKEN, [  # the name was lost
        piece(call(None, None, '{"x": 1}')), piece({}, "tool_calls"), TOLD,
    ]),
    f"{GITHUB}/zendev-sh/goai/pull/110": (BROKEN, [  # LM Studio's error
        HELLO, up.event({"error": {"message": "Compute error."}, "message": "Compute error."}),
    ]),
    f"{GITHUB}/BerriAI/litellm/issues/40578": (BROKEN, [up.event({"error": {"message": "queue full", "code": 503}})]),
    f"{GITHUB}/damianvtran/local-operator/pull/223": (BROKEN, [  # OpenRouter's, in the middle of an answer
        HELLO, piece({"content": ""}, "error", error={"code": 502, "message": "Provider disconnected"}),
    ]),
    f"{GITHUB}/diegosouzapw/OmniRoute/pull/8210": (BROKEN, [  # the same without choices
        up.event({**up.chunk(choices=[]), "error": {"code": 502, "message": "Worker limit reached (33/32)"}}),
    ]),
}  # fmt: skip


@each_client
@pytest.mark.parametrize(("right", "parts"), REPORTED.values(), ids=[url.removeprefix(GITHUB) for url in REPORTED])
def test_what_was_reported_is_read(
    caller: Caller, model: Offer, right: Said, parts: list[bytes], client: Client
) -> None:
    caller.upstream.on(model.upstream, up.stream(*parts, up.DONE))

    said = client(caller, model, is_stream=True)

    assert said.is_broken if right.is_broken else said == right
    record = caller.only_record()
    if not right.is_broken:
        assert (record.usage_source, record.input_tokens, record.output_tokens) == ("upstream", 100, 10)
