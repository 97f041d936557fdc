"""What gateways call: the card gateway's events and the bank's transfers. Nobody is signed in; the body is signed.

2xx means that it is booked, or nothing of ours; 4xx that it is refused; 5xx that it is to be sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.errors import GatewayError
from billing.payments import events, transfers
from billing.payments.errors import Declined

log = logging.getLogger(__name__)

MOST_BYTES: Final = 256 * 1024
View = Callable[[HttpRequest], HttpResponse]


def _webhook(receive: Callable[[bytes, HttpRequest], str]) -> View:
    @csrf_exempt
    @require_POST
    @wraps(receive)
    def view(request: HttpRequest) -> HttpResponse:
        body = request.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            return JsonResponse({"error": "too large"}, status=413)
        try:
            return JsonResponse({"outcome": receive(body, request)})
        except GatewayError as refusal:
            log.warning("%s refused: %s", request.path, refusal.message)
            # What Stripe refuses to tell us about an event's object is a refusal of the event.
            status = 400 if isinstance(refusal, Declined) else refusal.status
            return JsonResponse({"error": refusal.code}, status=status)

    return view


@_webhook
def stripe(body: bytes, request: HttpRequest) -> str:
    return events.receive(body, request.headers.get("stripe-signature", "")).value


@_webhook
def bank(body: bytes, request: HttpRequest) -> str:
    return str(transfers.receive(body, request.headers.get("x-signature", "")).state)
