"""Which embeddings requests are taken, and how many vectors and tokens they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import InvalidRequest
from routing.endpoints.embeddings.schema import read

ABSENT = object()


@pytest.mark.parametrize(
    ("given", "inputs", "tokens"),
    [
        pytest.param("hi", 1, None, id="a text"),
        pytest.param(["hi", "you"], 2, None, id="texts"),
        pytest.param([1, 2, 3], 1, 3, id="tokens"),
        pytest.param([[1, 2], [3]], 2, 3, id="lists of tokens"),
        pytest.param(["hi"] * 2048, 2048, None, id="as many as are allowed"),
    ],
)
def test_inputs_are_counted(given: Any, inputs: int, tokens: int | None) -> None:
    request = read({"model": "m", "input": given})
    assert (request.inputs, request.tokens) == (inputs, tokens)


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        pytest.param({"input": ABSENT}, "missing_required_parameter", "input", id="no input"),
        pytest.param({"input": ""}, "invalid_value", "input", id="an empty text"),
        pytest.param({"input": []}, "empty_array", "input", id="nothing"),
        pytest.param({"input": ["hi", ""]}, None, "input", id="an empty text among texts"),
        pytest.param({"input": [[1], []]}, "empty_array", "input", id="no tokens among lists"),
        pytest.param({"input": ["hi", 1]}, "invalid_type", "input", id="a token among texts"),
        pytest.param({"input": [1, "hi"]}, "invalid_type", "input", id="a text among tokens"),
        pytest.param({"input": [1, True]}, "invalid_type", "input", id="a truth among tokens"),
        pytest.param({"input": [True]}, "invalid_type", "input", id="a truth"),
        pytest.param({"input": [[1], 2]}, "invalid_type", "input", id="a token among lists"),
        pytest.param({"input": [-1]}, "integer_below_min_value", "input", id="a token below nothing"),
        pytest.param({"input": [None]}, "invalid_type", "input", id="null"),
        pytest.param({"input": {"text": "hi"}}, "invalid_type", "input", id="an object"),
        pytest.param({"input": ["hi"] * 2049}, "array_above_max_length", "input", id="too many"),
        pytest.param({"encoding_format": "int8"}, "invalid_value", "encoding_format", id="another encoding"),
        pytest.param({"dimensions": 0}, "integer_below_min_value", "dimensions", id="no dimension"),
        pytest.param({"dimensions": "8"}, "invalid_type", "dimensions", id="dimensions as text"),
        pytest.param({"stream": True}, "invalid_value", "stream", id="a stream"),
        pytest.param({"api_base": "x"}, "unsupported_parameter", "api_base", id="another way"),
        pytest.param(
            {"provider": {"data_collection": "deny"}}, "unsupported_parameter", "provider.data_collection", id="a wish"
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(members: dict[str, Any], code: str | None, param: str) -> None:
    body = {"model": "m", "input": "hi", **members}
    with pytest.raises(InvalidRequest) as caught:
        read({name: value for name, value in body.items() if value is not ABSENT})
    assert str(caught.value.param).partition("[")[0] == param
    assert code in {None, caught.value.code}


def test_null_is_absent_and_unknown_fields_travel_on() -> None:
    body = {"model": "m", "input": "hi", "encoding_format": None, "dimensions": None, "input_type": "query"}
    read(body)
    assert body["input_type"] == "query"
