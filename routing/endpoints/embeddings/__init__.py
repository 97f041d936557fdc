"""Embeddings: texts or tokens in, vectors out."""

from __future__ import annotations

from routing.endpoints.embeddings.endpoint import EMBEDDINGS

__all__ = ["EMBEDDINGS"]
