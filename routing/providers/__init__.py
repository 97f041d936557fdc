"""The literal registry of providers: one pure adapter per wire format."""

from __future__ import annotations


def choices() -> list[tuple[str, str]]:
    """The providers an operator can choose from, for the admin's form; new ones need no migration."""
    return [("openai", "OpenAI-compatible"), ("fake", "Fake (demo and tests)")]
