"""The operator's pages of where requests go: channels, models, routes and what they cost."""

from __future__ import annotations

from routing.admin import catalogue, channels

__all__ = ["catalogue", "channels"]
