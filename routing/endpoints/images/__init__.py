"""Images: a text in, pictures out."""

from __future__ import annotations

from routing.endpoints.images.endpoint import IMAGES

__all__ = ["IMAGES"]
