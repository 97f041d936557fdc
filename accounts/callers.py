"""Callers of the API plane: what it knows of a key and its tenant, and how a key is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from accounts.errors import GatewayError
from accounts.key_rows import KeyRow
from accounts.limits import Limits
from accounts.networks import Network, parse_address


class KeyRefused(GatewayError):
    """A key that is not let in. `caller` is whose key it is, if it is anybody's; the client is never told."""

    def __init__(self, message: str, caller: Caller | None = None) -> None:
        super().__init__(message)
        self.caller = caller


class InvalidApiKey(KeyRefused):
    """No, malformed, unknown, paused, revoked or expired key: one answer for all, so that none can be told apart."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, caller: Caller | None = None) -> None:
        super().__init__(
            "Incorrect API key provided. Send a valid key as `Authorization: Bearer sk-...`; "
            "keys are created in the portal.",
            caller,
        )

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "www-authenticate": "Bearer"}


class AccountDeactivated(KeyRefused):
    status = 403
    type = "invalid_request_error"
    code = "account_deactivated"

    def __init__(self, caller: Caller | None = None) -> None:
        super().__init__("This account is suspended. Please contact the operator.", caller)


class IpNotAuthorized(KeyRefused):
    status = 403
    type = "invalid_request_error"
    code = "ip_not_authorized"

    def __init__(self, caller: Caller | None = None) -> None:
        super().__init__("Your IP address is not allowed for this API key.", caller)


@dataclass(frozen=True, slots=True)
class Caller:
    """What the API plane knows of a key and its tenant: the value behind `request.user`."""

    key_id: int
    tenant_id: int
    currency: str
    is_tenant_active: bool
    is_key_usable: bool
    expires_at: float | None
    """Seconds since the epoch."""
    allowed_models: frozenset[str]
    """Public model names; empty allows all."""
    allowed_networks: tuple[Network, ...]
    """Empty allows all."""
    limits: tuple[Limits, ...]
    """The key's own and its tenant's, where either has any."""
    legs: tuple[int, ...] = ()
    """The balances that its requests take from, by id; without any, nothing can be held."""
    legs_until: float | None = None
    """When another period begins for one of them, in seconds since the epoch."""
    price_plan: int = 0
    """The id of the plan whose prices its tenant pays; 0 for the list."""
    session_quotas: tuple[int, ...] = ()
    """The ids of quotas that a request with a session draws on besides."""
    spending_limits: Mapping[int, SpendingLimit] = field(default_factory=dict)
    """Of the legs that are quotas."""
    allowed_origins: frozenset[str] = frozenset()
    """Web origins whose scripts may use it; empty allows none."""
    says_payment_required: bool = False
    """What its wallet cannot pay for is refused with 402, as its tenant has chosen."""

    is_authenticated: Final = True

    @property
    def pk(self) -> int:
        """The name under which DRF's throttles ask for a caller's identity."""
        return self.key_id

    @property
    def is_of_past_period(self) -> bool:
        """Whether another period has begun for one of its legs."""
        return self.legs_until is not None and time.time() >= self.legs_until

    def may_call(self, model: str) -> bool:
        return not self.allowed_models or model in self.allowed_models

    def check_usable(self, now: float) -> None:
        """Raises InvalidApiKey or AccountDeactivated."""
        if not self.is_key_usable or (self.expires_at is not None and now >= self.expires_at):
            raise InvalidApiKey(self)
        if not self.is_tenant_active:
            raise AccountDeactivated(self)

    def check_address(self, address: str) -> None:
        """Raises IpNotAuthorized unless one of the networks allows it."""
        try:
            ip = parse_address(address)
        except ValueError:
            raise IpNotAuthorized(self) from None
        if not any(ip in network for network in self.allowed_networks):
            raise IpNotAuthorized(self)


@dataclass(frozen=True, slots=True)
class SpendingLimit:
    """A quota behind a leg, as its refusal tells of it: whose, for which period, ledger units, end (epoch seconds)."""

    subject: Literal["key", "member", "tenant"]
    period: Literal["day", "week", "month", "total", "session"]
    amount: int
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Legs:
    """The balances that a key's requests take from, by id in rising order, until a moment (seconds since the epoch).

    And by whose prices.
    """

    ids: tuple[int, ...] = ()
    until: float | None = None
    limits: Mapping[int, SpendingLimit] = field(default_factory=dict)
    """Of those that are quotas."""
    price_plan: int = 0
    session_quotas: tuple[int, ...] = ()


NO_LEGS: Final = Legs()
LegsOf = Callable[[Sequence[KeyRow]], Mapping[int, Legs]]
"""The legs of the requests of each of these keys, by the key's id. Billing knows them, which accounts does not."""
