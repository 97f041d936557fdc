"""What an app's people can do about each error code of the API: a closed list, in words for them.

The words are marked for translation here and translated where they are shown. What the codes mean stands in
docs/openapi.yaml, `x-errors`; a test walks that list.
"""

from __future__ import annotations

from typing import Final


def _(message: str) -> str:
    """Marks a text for translation; the pages that show it translate it."""
    return message


REMEDIES: Final = {
    "invalid_json": _(
        "Send one JSON object in UTF-8. Build it with a JSON library instead of joining texts; NaN and Infinity are "
        "not JSON."
    ),
    "invalid_form": _(
        "Build the form with an HTTP library and let it set the Content-Type: the boundary there must be the body's."
    ),
    "duplicate_key": _("Name each member once in every object of the body. Most JSON libraries see to that."),
    "json_too_complex": _("Send less at once: fewer messages or tools, or flatter schemas."),
    "invalid_unicode": _("Remove NUL characters and half emoji from the texts before they are sent."),
    "missing_required_parameter": _("Add the field that the message names."),
    "invalid_type": _(
        "Send the field in the type that the message names. Nothing is converted: numbers go without quotation marks."
    ),
    "invalid_value": _(
        "Look the field up in the API reference: its value is not among those allowed, or it contradicts another field."
    ),
    "integer_below_min_value": _("Raise the number to the minimum that the message names."),
    "integer_above_max_value": _("Lower the number to the maximum that the message names."),
    "decimal_below_min_value": _("Raise the number to the minimum that the message names."),
    "decimal_above_max_value": _("Lower the number to the maximum that the message names."),
    "array_above_max_length": _("Shorten the list to the length that the message names."),
    "string_above_max_length": _("Shorten the text to the length that the message names."),
    "empty_array": _("Put at least one item into the list, or leave the field out."),
    "unsupported_parameter": _("Leave the field out: what it asks for is not on offer here."),
    "context_length_exceeded": _(
        "Shorten the conversation or lower max_tokens, or choose a model with a longer context window."
    ),
    "invalid_idempotency_key": _("Send the header once, with 1 to 255 characters, such as a UUID."),
    "invalid_api_key": _(
        "The key is paused, revoked or expired: resume it on the page of API keys, or give the app a new one."
    ),
    "account_deactivated": _("The organisation is suspended. Please talk to the operator."),
    "ip_not_authorized": _(
        "Add the app's address to the key's allowed networks, or call from an address that is among them."
    ),
    "response_not_found": _(
        "Send all items as the input of the next request: answers are not kept. Clients do so with store set to false."
    ),
    "websocket_not_supported": _("Use POST with stream set to true; most clients do so by themselves."),
    "permission_denied": _("Use a key that may do this."),
    "unknown_url": _(
        "Check the base URL and the path in the app; the API reference lists the endpoints. A frequent cause is /v1 "
        "missing or given twice."
    ),
    "model_not_found": _(
        "Check the spelling against the list of models, and whether the key's allowed models include it."
    ),
    "no_matching_route": _(
        "Drop the condition that the message names, such as a price limit or a chosen provider, or use another model."
    ),
    "generation_not_found": _("Ask for the id of an answer that this key's organisation got, as the answer gave it."),
    "duplicate_header": _("Send each header once; a proxy or a wrapper around the client may add it a second time."),
    "method_not_supported": _("Use the method that the API reference names, mostly POST."),
    "request_timeout": _(
        "Send the whole body within a minute; look for a slow connection or a proxy that holds it back."
    ),
    "idempotency_key_in_use": _(
        "Wait as long as Retry-After says and send it again: the first request with this Idempotency-Key is in flight."
    ),
    "idempotency_key_used": _(
        "The first request with this Idempotency-Key was served and billed. To ask once more, use another key."
    ),
    "request_too_large": _("Send a smaller body: shorter conversations, or smaller images."),
    "unsupported_media_type": _(
        "Send Content-Type: application/json in UTF-8, without compression. The official SDKs do."
    ),
    "idempotency_key_mismatch": _("Use a new Idempotency-Key for every request; only its repetition has the same."),
    "insufficient_quota": _("Top up the wallet, or lower max_tokens so that less has to be held."),
    "quota_exceeded": _(
        "Wait for the quota's next period, or have an owner or admin raise it. A lower max_tokens holds less."
    ),
    "funds_in_flight": _(
        "Wait as long as Retry-After says: requests in flight hold the credit. Call with fewer at once, or top up."
    ),
    "rate_limit_exceeded": _(
        "Wait as long as Retry-After says, spread the calls, or raise the limits of the key. The official SDKs wait by "
        "themselves."
    ),
    "internal_error": _("Not your fault, and it cost nothing. Please give the operator the x-request-id."),
    "upstream_error": _("Try again. The page of the request says what each channel answered."),
    "no_available_channel": _(
        "Try again after Retry-After, or name fallback models in the field models. If it stays, talk to the operator."
    ),
    "service_unavailable": _("Try again after Retry-After. If it stays, talk to the operator."),
    "upstream_timeout": _("Try again, with a smaller max_tokens or as a stream."),
}
"""In the order of docs/openapi.yaml."""

WITH_RECORD: Final = frozenset(("internal_error", "upstream_error", "upstream_timeout"))
"""Codes that are never counted as refused calls: a usage record or the operator's log tells of them."""
