"""What the log keeps of a page that was refused: its line, without the traceback.

Django adds one to each 403 and each bad `Host`, and whoever scans the internet sends as many of those as he likes.
"""

from __future__ import annotations

import logging
from typing import Final

_FAULT: Final = 500


class Brief(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and getattr(record, "status_code", _FAULT) < _FAULT:
            record.exc_info = None
        return True
