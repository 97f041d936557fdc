"""Transcriptions and translations: a recording in, text out."""

from __future__ import annotations

from routing.endpoints.transcriptions.endpoint import TRANSCRIPTIONS, TRANSLATIONS

__all__ = ["TRANSCRIPTIONS", "TRANSLATIONS"]
