"""What a peer is given by the run: where it listens and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    port: int
    upstream_port: int
    """Where the constant JSON upstream listens."""
    database_url: str
    """The run's throw-away PostgreSQL; a peer makes a database of its own there."""

    @property
    def upstream_url(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"
