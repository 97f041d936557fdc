"""What the log keeps of pages that were refused."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from accounts.models import User
from costrouter.logs import Brief
from tests.pages import Browser


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is written where the log goes."""
    (handler,) = (
        each
        for each in logging.getLogger().handlers
        if isinstance(each, logging.StreamHandler) and any(isinstance(kept, Brief) for kept in each.filters)
    )
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before or handler.stream)


def test_stranger_with_a_bad_host_costs_the_log_one_line(browser: Browser, log: io.StringIO) -> None:
    assert browser.open("/", headers={"host": "evil.example.com"}).status == 400

    (line,) = log.getvalue().splitlines()
    assert "Invalid HTTP_HOST header" in line


def test_page_that_is_not_for_somebody_costs_the_log_one_line(db: None, log: io.StringIO) -> None:
    helper = User.objects.create_user("henry@example.com", name="Henry", is_staff=True)

    assert Browser(helper).open("/admin/accounts/tenant/").status == 403

    (line,) = log.getvalue().splitlines()
    assert "Forbidden" in line


def test_fault_of_ours_keeps_its_traceback(log: io.StringIO) -> None:
    try:
        raise RuntimeError("a fault")
    except RuntimeError:
        logging.getLogger("django.request").exception("it failed", extra={"status_code": 500})

    assert "RuntimeError: a fault" in log.getvalue()
