"""Rerank: a query and documents in, the documents' places by relevance out."""

from __future__ import annotations

from routing.endpoints.rerank.endpoint import RERANK

__all__ = ["RERANK"]
