"""The tables of outcomes: every fault and every meaning has its row, and a client is told what its row says."""

from __future__ import annotations

from typing import get_args

import pytest

from accounts.errors import GatewayError
from routing.errors import ContentRefused, NoAvailableChannel, UpstreamError, UpstreamTimeout
from routing.pipeline.outcomes import (
    FAULT_OF_OURS,
    LEFT,
    LEFT_EARLY,
    OF_FAULT,
    OF_MEANING,
    SUCCESS,
    WORDS,
    Close,
    Ending,
    Outcome,
    close_refused,
    error_of,
)
from routing.providers.base import Meaning, Refusal
from routing.wire.answer import Fault

REFUSAL = Refusal("content_refused", "invalid_request_error", "content_filter", "No.", param="messages")
BROKE_OFF = "The upstream broke off before the answer was complete."


def test_tables_are_complete() -> None:
    assert set(WORDS) == set(Ending)
    assert set(OF_FAULT) == set(get_args(Fault))
    assert set(OF_MEANING) == set(get_args(Meaning))


@pytest.mark.parametrize(
    ("close", "outcome", "status", "code", "pays_prompt"),
    [
        (SUCCESS, "success", 200, "", False),
        (LEFT, "client_gone", 200, "", True),
        (LEFT_EARLY, "client_gone", 499, "", True),
        (FAULT_OF_OURS, "internal_error", 500, "internal_error", False),
        (OF_FAULT["idle_timeout"].close, "timeout", 504, "upstream_timeout", False),
        (OF_FAULT["broken_stream"].close, "upstream_error", 502, "upstream_error", False),
    ],
    ids=["success", "left", "left early", "fault of ours", "fell silent", "broke off"],
)
def test_request_is_closed_with_its_outcome_status_and_code(
    close: Close, outcome: str, status: int, code: str, pays_prompt: bool
) -> None:
    assert (close.outcome, close.status, close.code, close.pays_prompt) == (outcome, status, code, pays_prompt)


@pytest.mark.parametrize(
    ("error", "close"),
    [
        (ContentRefused(403, REFUSAL), Close(Outcome.REFUSED, 403, "content_filter")),
        (ContentRefused(400, Refusal("content_refused")), Close(Outcome.REFUSED, 400, "")),
        (UpstreamTimeout(), Close(Outcome.TIMEOUT, 504, "upstream_timeout")),
        (UpstreamError(), Close(Outcome.UPSTREAM_ERROR, 502, "upstream_error")),
        (NoAvailableChannel(5), Close(Outcome.UPSTREAM_ERROR, 503, "no_available_channel")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refused_request_is_closed_as_its_client_was_told(error: GatewayError, close: Close) -> None:
    assert close_refused(error) == close


def test_refused_content_is_told_in_the_upstreams_words() -> None:
    error = error_of(OF_MEANING["content_refused"], REFUSAL, status=403, wait=0.0)
    assert isinstance(error, ContentRefused)
    assert (error.upstream_status, error.refusal) == (403, REFUSAL)


@pytest.mark.parametrize("status", [500, 503, 302, 200])
def test_refused_content_is_the_clients_whatever_status_the_upstream_gave_it(status: int) -> None:
    error = error_of(OF_MEANING["content_refused"], REFUSAL, status=status, wait=0.0)
    assert isinstance(error, ContentRefused)
    assert (error.upstream_status, error.refusal) == (400, REFUSAL)


def test_rest_is_told_with_its_time() -> None:
    error = error_of(OF_MEANING["rest"], Refusal("rest"), status=429, wait=7.2)
    assert (type(error), error.retry_after) == (NoAvailableChannel, 7)


@pytest.mark.parametrize("refusal", [None, REFUSAL], ids=["no refusal", "a refusal"])
def test_timeout_and_failure_are_told_as_what_they_are(refusal: Refusal | None) -> None:
    late = error_of(OF_FAULT["total_timeout"], refusal, status=0, wait=0.0)
    failed = error_of(OF_FAULT["connect_failed"], refusal, status=0, wait=0.0)
    broken = error_of(OF_FAULT["broken_stream"], refusal, status=0, wait=0.0, has_begun=True)

    assert [type(late), type(failed), type(broken)] == [UpstreamTimeout, UpstreamError, UpstreamError]
    assert [failed.message == UpstreamError().message, broken.message] == [True, BROKE_OFF]
