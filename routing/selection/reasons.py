"""Why a route is out: each reason once, with its words. Pure.

The words are marked for translation here and translated where they are shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


def _(message: str) -> str:
    """Marks a text for translation; the pages that show it translate it."""
    return message


class Reason(StrEnum):
    """A closed list; stored with every decision."""

    CHANNEL_DISABLED = "channel_disabled"
    ROUTE_DISABLED = "route_disabled"
    NO_COST_PRICE = "no_cost_price"
    NO_SECRET = "no_secret"
    NO_ENDPOINT = "no_endpoint"
    NOT_EXPRESSIBLE = "not_expressible"
    NO_TOOLS = "no_tools"
    NO_IMAGES = "no_images"
    NO_JSON_SCHEMA = "no_json_schema"
    CONTEXT_TOO_SHORT = "context_too_short"
    BREAKER_OPEN = "breaker_open"
    RESTING = "resting"
    CHANNEL_BUSY = "channel_busy"
    OVER_MAX_PRICE = "over_max_price"
    EXCLUDED_BY_REQUEST = "excluded_by_request"


class Words(msgspec.Struct, frozen=True):
    """A reason in words: for operators' tables, for the tenant's page of a request, and for the API's refusal.

    `client` is set where the reason lies in the request, so that another request could use the route.
    """

    operator: str
    tenant: str
    client: str = ""


WORDS: Final[dict[Reason, Words]] = {
    Reason.CHANNEL_DISABLED: Words(_("the channel is disabled"), _("Out: the channel is switched off.")),
    Reason.ROUTE_DISABLED: Words(_("the route is disabled"), _("Out: this model is switched off on the channel.")),
    Reason.NO_COST_PRICE: Words(
        _("no cost price"), _("Out: its cost is not known, and an unknown cost is never taken for a low one.")
    ),
    Reason.NO_SECRET: Words(_("no secret"), _("Out: the channel has no credentials.")),
    Reason.NO_ENDPOINT: Words(
        _("the provider does not speak this endpoint"),
        _("Out: the channel does not serve this endpoint."),
        "No route of this model serves this endpoint.",
    ),
    Reason.NOT_EXPRESSIBLE: Words(
        _("its format cannot say all of the request"),
        _("Out: the request asks for something that the channel’s format has no words for."),
        "No route of this model can be asked for all of this request.",
    ),
    Reason.NO_TOOLS: Words(
        _("no tools"),
        _("Out: the request has tools, which this model does not support here."),
        "No route of this model supports tools.",
    ),
    Reason.NO_IMAGES: Words(
        _("no images"),
        _("Out: the request has images, which this model does not support here."),
        "No route of this model supports image input.",
    ),
    Reason.NO_JSON_SCHEMA: Words(
        _("no JSON schema"),
        _("Out: the request asks for a JSON schema, which this model does not support here."),
        "No route of this model supports response_format json_schema.",
    ),
    Reason.CONTEXT_TOO_SHORT: Words(
        _("the context window is too short"),
        _("Out: the request does not fit into its context window."),
        "No route of this model has a context window long enough.",
    ),
    Reason.BREAKER_OPEN: Words(
        _("failing; the breaker is open"),
        _("Out: it failed several times in a row and rests until a trial request succeeds."),
    ),
    Reason.RESTING: Words(
        _("resting, as the upstream asked"), _("Out: it asked for a pause and rests as long as it said.")
    ),
    Reason.CHANNEL_BUSY: Words(
        _("the channel is busy"), _("Out: as many requests as the channel may serve at once were running.")
    ),
    Reason.OVER_MAX_PRICE: Words(
        _("over the caller's highest price"),
        _("Out: it costs more than the request’s own price limit."),
        "No route of this model is within provider.max_price.",
    ),
    Reason.EXCLUDED_BY_REQUEST: Words(
        _("excluded by the request"),
        _("Out: the request itself excluded it."),
        "No route of this model is left by provider.only and provider.ignore.",
    ),
}

CONSTRAINTS: Final = frozenset(reason for reason, words in WORDS.items() if words.client)
"""Reasons that lie in the request: another request could use the route."""
PERMANENT: Final = frozenset((Reason.CHANNEL_DISABLED, Reason.ROUTE_DISABLED, Reason.NO_COST_PRICE, Reason.NO_SECRET))
"""Reasons that hold for every request while the catalogue stays as it is."""
LACKS: Final = {
    "tools": Reason.NO_TOOLS,
    "images": Reason.NO_IMAGES,
    "json_schema": Reason.NO_JSON_SCHEMA,
}
"""The reason where a capability is missing, in the order in which they are looked at."""

STRATEGIES: Final = {
    "cheapest": _("The cheapest healthy channel was wanted."),
    "fastest": _("The fastest healthy channel was wanted."),
}
"""What a request may ask for, in words for tenants."""
