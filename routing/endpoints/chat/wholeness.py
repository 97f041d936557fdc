"""Whether a tool call's arguments are whole JSON: the reading of them is shared with the dialects."""

from routing.wire.wholeness import JsonScan

__all__ = ["JsonScan"]
