"""Where Django looks for this app's models: they live with the catalogue."""

from __future__ import annotations

from routing.catalogue.models import CatalogueModel, CatalogueVersion, Channel, CostPrice, Route

__all__ = ["CatalogueModel", "CatalogueVersion", "Channel", "CostPrice", "Route"]
