"""Black-box tests. What the shared modules assert is explained like what the tests assert."""

import pytest

pytest.register_assert_rewrite("tests.callers", "tests.envelopes", "tests.installation")
