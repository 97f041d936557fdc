"""A model and what is known of it, for the endpoints of pictures and sound."""

from __future__ import annotations

from typing import Final


class Model:
    name = "m"
    context_window = 1_000
    output_limit = 1_000
    default_output = 1_000
    prompt_overhead = 256


class Learned:
    def bytes_per_token(self, model: str) -> float:
        return 4.0

    def dense_bytes_per_token(self, model: str) -> float:
        return 2.0

    def expected_output(self, tenant_id: int, model: str, cap: int) -> int:
        return cap


MODEL: Final = Model()
LEARNED: Final = Learned()
