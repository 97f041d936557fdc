"""Bodies of the endpoints that do not converse: vectors, texts, rankings, judgements, pictures, speech."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from tests.fuzz.subjects import Subject
from tests.fuzz.words import numbers, scalars, texts, values
from tests.installation import DOLLAR, Shape, Tariff

OTHERS: Final = Shape(
    endpoints=(
        "completions", "embeddings", "rerank", "moderations", "images.generations", "audio.speech",
        "audio.transcriptions", "audio.translations",
    ),
    price=Tariff(image=40_000 * DOLLAR, second=100 * DOLLAR, character=15 * DOLLAR),
)  # fmt: skip
"""One model of all of them, priced by whatever they produce."""

_tokens = st.lists(st.integers(0, 2**31), min_size=1, max_size=5)
_inputs = st.one_of(texts, st.lists(texts, min_size=1, max_size=4), _tokens, st.lists(_tokens, min_size=1, max_size=3))
_size = st.sampled_from(["auto", "1024x1024", "1024x1536", "99999x99999", "0x0", "x", "1024X1024"])

EMBEDDINGS: Final = Subject(
    path="/v1/embeddings",
    frame={"input": _inputs},
    smallest={"input": "Hi"},
    valid={
        "encoding_format": st.sampled_from(["float", "base64"]),
        "dimensions": st.integers(1, 3000),
        "user": texts,
        "input_type": texts,
        "stream": st.just(False),
    },
    shape=OTHERS,
)
COMPLETIONS: Final = Subject(
    path="/v1/completions",
    frame={"prompt": _inputs},
    smallest={"prompt": "Hi"},
    valid={
        "max_tokens": st.integers(0, 200),
        "n": st.integers(1, 4),
        "best_of": st.integers(0, 5),
        "echo": st.booleans(),
        "suffix": texts,
        "logprobs": st.integers(0, 5),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "stop": st.one_of(texts, st.lists(texts, max_size=5)),
        "seed": st.integers(-5, 5),
        "logit_bias": st.dictionaries(texts, numbers, max_size=3),
        "stream": st.booleans(),
        "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.booleans()}),
        "presence_penalty": numbers,
        "service_tier": st.sampled_from(["auto", "default", "flex"]),
        "user": texts,
    },
    shape=OTHERS,
)
RERANK: Final = Subject(
    path="/v1/rerank",
    frame={
        "query": texts,
        "documents": st.lists(
            st.one_of(texts, st.fixed_dictionaries({"text": texts}, optional={"id": values})), min_size=1, max_size=5
        ),
    },
    smallest={"query": "Hi", "documents": ["a", "b"]},
    valid={
        "top_n": st.integers(1, 9),
        "return_documents": st.booleans(),
        "max_tokens_per_doc": numbers,
        "user": texts,
        "stream": st.just(False),
    },
    shape=OTHERS,
)
_judged = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.one_of(st.fixed_dictionaries({"url": texts}), values)}
    ),
    values,
)
MODERATIONS: Final = Subject(
    path="/v1/moderations",
    frame={"input": st.one_of(texts, st.lists(texts, max_size=4), st.lists(_judged, max_size=3))},
    smallest={"input": "Hi"},
    valid={"user": texts, "stream": st.just(False)},
    shape=OTHERS,
)
IMAGES: Final = Subject(
    path="/v1/images/generations",
    frame={"prompt": texts},
    smallest={"prompt": "A dot"},
    valid={
        "n": st.integers(1, 10),
        "size": _size,
        "quality": st.sampled_from(["low", "high", "auto", "x"]),
        "response_format": st.sampled_from(["url", "b64_json"]),
        "stream": st.booleans(),
        "partial_images": st.integers(0, 3),
        "background": scalars,
        "output_format": scalars,
        "output_compression": numbers,
        "style": texts,
        "user": texts,
    },
    shape=OTHERS,
)
SPEECH: Final = Subject(
    path="/v1/audio/speech",
    frame={"input": texts, "voice": st.one_of(st.just("alloy"), st.fixed_dictionaries({"id": texts}))},
    smallest={"input": "Hi", "voice": "alloy"},
    valid={
        "instructions": texts,
        "response_format": st.sampled_from(["mp3", "wav", "pcm", "opus", "x", ""]),
        "speed": st.floats(0.25, 4),
        "stream_format": st.sampled_from(["sse", "audio"]),
        "stream": st.booleans(),
    },
    shape=OTHERS,
)
JSON_SUBJECTS: Final[dict[str, Any]] = {
    "embeddings": EMBEDDINGS,
    "completions": COMPLETIONS,
    "rerank": RERANK,
    "moderations": MODERATIONS,
    "images": IMAGES,
    "speech": SPEECH,
}
