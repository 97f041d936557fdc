"""What apps do with LangChain and LlamaIndex, at a base URL; run in an environment of its own.

`python langchain_and_llamaindex.py BASE_URL KEY CHAT_MODEL EMBEDDINGS_MODEL` prints one JSON object: what came of each.
"""

import json
import sys
from typing import Any

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAIResponses

base_url, key, chat_model, embeddings_model = sys.argv[1:]


def get_weather(city: str) -> str:
    """The weather of a city."""
    return city


def langchain() -> dict[str, Any]:
    """Its Responses API and its vectors; texts are sent as texts, since its tokenizer wants the network."""
    model = ChatOpenAI(base_url=base_url, api_key=key, model=chat_model, use_responses_api=True, max_retries=0)
    vectors = OpenAIEmbeddings(
        base_url=base_url, api_key=key, model=embeddings_model, check_embedding_ctx_length=False, max_retries=0
    )
    whole = model.invoke("Hi")
    pieces = list(model.stream("Hi"))
    last = pieces[0]
    for piece in pieces[1:]:
        last = last + piece
    return {
        "whole": whole.text,
        "usage": [whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]],
        "stream": "".join(piece.text for piece in pieces),
        "streamed_usage": [last.usage_metadata["input_tokens"], last.usage_metadata["output_tokens"]],
        "calls": [
            [call["name"], call["args"]] for call in model.bind_tools([tool(get_weather)]).invoke("Call").tool_calls
        ],
        "query": vectors.embed_query("Hi"),
        "documents": vectors.embed_documents(["a", "b", "c"]),
    }


def llamaindex() -> dict[str, Any]:
    model = OpenAIResponses(api_base=base_url, api_key=key, model=chat_model, context_window=128_000, max_retries=0)
    vectors = OpenAIEmbedding(api_base=base_url, api_key=key, model_name=embeddings_model, max_retries=0)
    asked = [ChatMessage(role="user", content="Hi")]
    return {
        "whole": model.chat(asked).message.content,
        "stream": "".join(piece.delta or "" for piece in model.stream_chat(asked)),
        "query": vectors.get_query_embedding("Hi"),
        "documents": vectors.get_text_embedding_batch(["a", "b", "c"]),
    }


print(json.dumps({"langchain": langchain(), "llamaindex": llamaindex()}))  # noqa: T201
