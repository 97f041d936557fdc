"""What can be set of a channel, in words that follow from the dialects' own structs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

from routing.catalogue import options
from routing.models import Channel
from routing.providers import ADAPTERS


def test_every_option_of_every_provider_says_what_it_may_be_and_is_by_itself() -> None:
    found = [row for provider in ADAPTERS for row in options.rows(provider)]
    assert found
    assert [row.name for row in found if not (row.kind and row.default and row.text)] == []
    assert [row.name for row in found if row.kind == "a value"] == []


def test_row_is_what_the_struct_says() -> None:
    style = next(row for row in options.rows("azure") if row.name == "style")
    assert (style.kind, style.default) == ('one of "deployments" or "v1"', '"v1"')
    assert style.text.startswith("Which of the two paths")


@pytest.mark.parametrize(
    ("provider", "values", "fault"),
    [
        ("openai", {}, ""),
        ("openai", {"endpoints": ["embeddings"], "vendor": "vllm"}, ""),
        ("openai", {"endpoints": None}, ""),
        ("openai", {"style": "v1"}, "“style” is no option of this provider; it has endpoints and vendor."),
        ("azure", {"style": "v2"}, "“style” must be one of \"deployments\" or \"v1\"."),
        ("azure", {"api_version": "soon"}, "“api_version” must be a text such as \"2024-10-21\" or \"preview\"."),
        ("fake", {"style": "v1"}, "Channels of this provider have no options."),
        ("openai", ["endpoints"], "The options are a JSON object."),
    ],
)  # fmt: skip
def test_fault_is_named_in_words(provider: str, values: Any, fault: str) -> None:
    assert options.fault(provider, values) == fault


def test_fault_is_in_the_operators_language() -> None:
    with translation.override("vi"):
        assert options.fault("azure", {"style": "v2"}).startswith("“style” phải là")


def test_channel_with_a_fault_is_not_saved(db: None) -> None:
    channel = Channel(name="x", provider="azure", base_url="https://mine.openai.azure.com", options={"style": "v2"})
    with pytest.raises(ValidationError, match="must be one of"):
        channel.full_clean()
