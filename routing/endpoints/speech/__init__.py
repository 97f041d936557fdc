"""Speech: a text in, sound out as it is made."""

from __future__ import annotations

from routing.endpoints.speech.endpoint import SPEECH

__all__ = ["SPEECH"]
