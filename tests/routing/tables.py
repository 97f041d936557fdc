"""Tables of what a format cannot say, as tests' parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest


def rows(values: dict[str, tuple[Any, ...]]) -> list[Any]:
    """A parameter for each value of each member."""
    return [pytest.param(name, value, id=f"{name}: {json.dumps(value)}") for name in values for value in values[name]]
