"""Moderations: texts and images in, what is harmful about them out."""

from __future__ import annotations

from routing.endpoints.moderations.endpoint import MODERATIONS

__all__ = ["MODERATIONS"]
