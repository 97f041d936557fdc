"""Who is calling the API plane, as DRF's authentication contract: a key in a header, and the caller behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from rest_framework.authentication import BaseAuthentication

from accounts.callers import AccountDeactivated, Caller, InvalidApiKey, IpNotAuthorized
from accounts.errors import ServiceUnavailable
from accounts.key_cache import KeyCache
from accounts.networks import client_address

Pair = tuple[Caller, Caller]
"""DRF's `user` and `auth`."""


class ApiKeyAuthentication(BaseAuthentication):
    """DRF's contract with an `authenticate` that may be awaitable: the API plane's dispatch awaits it then.

    Accepts `Authorization: Bearer sk-...`, `x-api-key: sk-...` (Anthropic's clients) and `x-goog-api-key` (Google's).
    """

    def secret(self, request: Any) -> str:
        """What the request says it is authorised by; empty if nothing."""
        return _secret(request.headers)

    def authenticate(self, request: Any) -> Pair | Awaitable[Pair]:  # type: ignore[override]
        """At once where the caller is at hand, as nearly always, else awaitable."""
        key_cache: KeyCache = request.gateway.key_cache
        secret = self.secret(request)
        caller = key_cache.at_hand(secret)
        return self._look_up(request, key_cache, secret) if caller is None else self._let_in(request, key_cache, caller)

    async def _look_up(self, request: Any, key_cache: KeyCache, secret: str) -> Pair:
        caller = await key_cache.find(secret)
        if caller is None:
            raise InvalidApiKey
        return self._let_in(request, key_cache, caller)

    @staticmethod
    def _let_in(request: Any, key_cache: KeyCache, caller: Caller) -> Pair:
        try:
            caller.check_usable(request.started_at)
            if caller.allowed_networks:
                forwarded_for = ", ".join(request.headers.get_all("x-forwarded-for"))
                caller.check_address(client_address(request.peer, forwarded_for, key_cache.trusted_proxies))
        except (AccountDeactivated, IpNotAuthorized):
            request.auth = caller  # a browser may read why
            raise
        return caller, caller

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


class QueryKeyAuthentication(ApiKeyAuthentication):
    """The same for Google's paths, whose clients may also say `?key=` (cloud.google.com/docs/authentication/api-keys).

    No query string is ever logged.
    """

    def secret(self, request: Any) -> str:
        found: str = super().secret(request) or request.query("key")
        return found


async def whose(request: Any) -> Caller | None:
    """Whose key a request carries that was refused before anybody looked at it, whether it may be used or not."""
    try:
        caller: Caller | None = await request.gateway.key_cache.find(_secret(request.headers))
    except ServiceUnavailable:
        return None
    return caller


def _secret(headers: Mapping[str, str]) -> str:
    authorization = headers.get("authorization")
    if authorization is None:
        return headers.get("x-api-key") or headers.get("x-goog-api-key", "")
    scheme, _space, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
