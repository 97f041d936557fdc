"""An endpoint that exists only here: texts in, vectors out, priced by input alone, never streamed."""

from __future__ import annotations

from tests.routing.endpoints.vectors.endpoint import VECTORS

__all__ = ["VECTORS"]
