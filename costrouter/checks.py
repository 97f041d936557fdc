"""System checks: a misconfiguration is explained before the first request (`manage.py check --deploy` for all)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from billing.money import EXPONENT, from_decimal
from billing.payments import gateways

_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_LEAST: Final = {
    "MAX_BODY_BYTES": 1024, "MAX_OPEN_REQUESTS": 1, "PAGES_AT_ONCE": 1, "DRAIN_SECONDS": 0, "HEARTBEAT_SECONDS": 0.1,
    "KEEP_ALIVE_SECONDS": 0.1, "INVOICE_DRAFT_DAYS": 0, "SESSION_COOKIE_AGE": 60, "SECURE_HSTS_SECONDS": 0,
}  # fmt: skip
"""What a process with less would stand still or turn in circles with."""
_LAX: Final = {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:", "data:"}


def register_all() -> None:
    """Called once, when the apps are ready."""
    register(check_servers)
    register(check_values)
    register(check_public, Tags.security, deploy=True)


def check_servers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Databases and brokers that do not fit together."""
    found: list[CheckMessage] = []
    if settings.EMBEDDED and settings.REDIS_URL:
        found.append(
            checks.Warning(
                "REDIS_URL is set, but DATABASE_URL is not: this is the embedded default, one process on SQLite.",
                hint="Set DATABASE_URL to a PostgreSQL database, or drop REDIS_URL.",
                id="costrouter.W001",
            )
        )
    if not settings.EMBEDDED and not settings.REDIS_URL:
        found.append(
            checks.Warning(
                "There is no REDIS_URL: each process counts rate limits by itself, and Celery has no broker.",
                hint="Set REDIS_URL, unless one web process with its own scheduler is all there is.",
                id="costrouter.W002",
            )
        )
    return found


def check_values(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Settings that Django would accept and the gateway would trip over."""
    return [*_numbers(), *_site(), *_networks(), *_amounts(), *_times(), *_payments(), *_cookies()]


def check_public(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What must not meet the internet."""
    return [*_embedded(), *_connections(), *_scripts(), *_signups(), *_debugging()]


def _embedded() -> Iterator[CheckMessage]:
    if settings.EMBEDDED:
        yield checks.Warning(
            "This is the embedded default, which is for trying things out.",
            hint="Set DATABASE_URL and REDIS_URL; see docs/runbook.md.",
            id="costrouter.W010",
        )


def _connections() -> Iterator[CheckMessage]:
    if not settings.SITE_URL.startswith("https://"):
        yield checks.Warning(
            f"SITE_URL is {settings.SITE_URL}: passwords, cookies and keys travel unencrypted.",
            hint="Put a TLS proxy in front and set SITE_URL to its https address.",
            id="costrouter.W011",
        )
    elif not settings.TRUSTED_PROXIES:
        yield checks.Warning(
            "TRUSTED_PROXIES is empty: every client behind the TLS proxy has the proxy's address.",
            hint="Set it to the proxy's network, or one client's wrong passwords lock out all of them.",
            id="costrouter.W012",
        )
    if settings.HAS_TLS and not settings.SESSION_COOKIE_SECURE:
        yield checks.Warning(
            "COOKIE_SECURE is off: a browser that is led to http sends its session unencrypted.",
            hint="Remove COOKIE_SECURE from the environment.",
            id="costrouter.W015",
        )


def _scripts() -> Iterator[CheckMessage]:
    lax = sorted(_LAX & set(settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["script-src"]))
    if lax:
        yield checks.Warning(
            f"CSP_ADDITIONS lets {', '.join(lax)} run as a script: a text that somebody slips into a page would.",
            hint="Name the hosts whose scripts are meant.",
            id="costrouter.W016",
        )


def _signups() -> Iterator[CheckMessage]:
    if not settings.SIGNUP_OPEN or _trial_credit() <= 0:
        return
    if not settings.TRIAL_AFTER_CONFIRMATION:
        yield checks.Warning(
            "TRIAL_AFTER_CONFIRMATION is off: every made-up address is granted TRIAL_CREDIT.",
            hint="Remove it from the environment and set EMAIL_URL, or set TRIAL_CREDIT to 0.",
            id="costrouter.W013",
        )
    elif not _can_confirm():
        yield checks.Warning(
            "Nobody who signs up can confirm an address, so nobody gets the trial credit.",
            hint="Set EMAIL_URL, and EMAIL_VERIFICATION to optional or mandatory.",
            id="costrouter.W014",
        )


def _debugging() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error(
            "DEBUG is on: error pages show settings and source.",
            hint="Remove DEBUG from the environment.",
            id="costrouter.E010",
        )


def _can_confirm() -> bool:
    return bool(settings.HAS_MAIL) and settings.ACCOUNT_EMAIL_VERIFICATION != "none"


def _numbers() -> Iterator[CheckMessage]:
    for name, least in _LEAST.items():
        value = getattr(settings, name)
        if value < least:
            yield Error(f"{name} is {value}, but at least {least}.", hint="See docs/runbook.md.", id="costrouter.E016")


def _site() -> Iterator[CheckMessage]:
    site = _parts(settings.SITE_URL)
    if site.scheme not in {"http", "https"} or not site.hostname:
        yield Error(
            f"SITE_URL is {settings.SITE_URL!r}: mails and pages would lead nowhere.",
            hint="Write it as people type it, such as https://gateway.example.com.",
            id="costrouter.E017",
        )


def _parts(url: str) -> SplitResult:
    """Those of nothing, where it is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _networks() -> Iterator[CheckMessage]:
    for name in ("TRUSTED_PROXIES", "CHANNEL_NETWORKS"):
        for text in getattr(settings, name):
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                yield Error(
                    f"{name}: {error}", hint="Write networks as 10.0.0.0/8, comma-separated.", id="costrouter.E001"
                )


def _trial_credit() -> int:
    """In ledger units; negative if it is no amount."""
    try:
        return from_decimal(Decimal(settings.TRIAL_CREDIT), "USD")
    except (InvalidOperation, ValueError, OverflowError):
        return -1


def _amounts() -> Iterator[CheckMessage]:
    if _trial_credit() < 0:
        yield Error(
            f"TRIAL_CREDIT is {settings.TRIAL_CREDIT!r}.",
            hint="Write currency units, such as 5.00.",
            id="costrouter.E002",
        )
    if settings.TRIALS_PER_NETWORK < 1:
        yield Error("TRIALS_PER_NETWORK is at least 1.", id="costrouter.E011")
    for name in ("CONFIRM_ABOVE", "GRANT_TWO_PERSONS_ABOVE"):
        try:
            is_fine = all(Decimal(value) >= 0 for value in getattr(settings, name).values())
        except InvalidOperation:
            is_fine = False
        if not is_fine:
            yield Error(
                f"{name} is {getattr(settings, name)!r}.",
                hint="Write currency units for each currency, such as USD=1000,VND=25000000.",
                id="costrouter.E009",
            )


def _cookies() -> Iterator[CheckMessage]:
    """What a browser would not keep: everybody would be signed out at once."""
    samesite, host = settings.SESSION_COOKIE_SAMESITE, _parts(settings.SITE_URL).hostname or ""
    if samesite not in {"Lax", "Strict"}:
        yield Error(f"COOKIE_SAMESITE is {samesite!r}.", hint="Write Lax or Strict.", id="costrouter.E012")
    if settings.SESSION_COOKIE_SECURE and not settings.HAS_TLS and host not in _LOOPBACK:
        yield Error(
            f"COOKIE_SECURE is on, but SITE_URL is {settings.SITE_URL}: no browser would send the cookies back.",
            hint="Set SITE_URL to the https address, or remove COOKIE_SECURE.",
            id="costrouter.E013",
        )
    domain = (settings.SESSION_COOKIE_DOMAIN or host).removeprefix(".")
    if host != domain and not host.endswith(f".{domain}"):
        yield Error(
            f"COOKIE_DOMAIN is {domain}, but SITE_URL's host is {host}: no browser would take the cookies.",
            hint="Leave it empty, unless pages of other hosts below one domain share the sign-in.",
            id="costrouter.E014",
        )
    if settings.SECURE_HSTS_PRELOAD and not settings.SECURE_HSTS_INCLUDE_SUBDOMAINS:
        yield Error(
            "HSTS_PRELOAD needs HSTS_SUBDOMAINS: the browsers' list takes whole domains alone.", id="costrouter.E015"
        )


def _times() -> Iterator[CheckMessage]:
    if settings.OWNER_DEAD_SECONDS < 2 * settings.HEARTBEAT_SECONDS:
        yield Error(
            "OWNER_DEAD_SECONDS is less than two heartbeats: living processes would be taken for dead.",
            hint="Leave HEARTBEAT_SECONDS at 4 and OWNER_DEAD_SECONDS at 15.",
            id="costrouter.E003",
        )
    if not 0 <= settings.RETRY_BUDGET <= 1:
        yield Error("RETRY_BUDGET is a share between 0 and 1.", id="costrouter.E004")
    if settings.MAX_ATTEMPTS < 1:
        yield Error("MAX_ATTEMPTS is at least 1.", id="costrouter.E005")


def _payments() -> Iterator[CheckMessage]:
    """An empty webhook secret would accept forged payments: the server does not start with it (scheduler.py)."""
    for problem in gateways.problems():
        yield Error(problem, hint="See the settings of payments in docs/runbook.md.", id="costrouter.E006")
    if not 0 <= settings.TOP_UP_BONUS_PERCENT <= 100 or settings.BANK_QUOTE_MINUTES < 1:
        yield Error("TOP_UP_BONUS_PERCENT is 0 to 100, BANK_QUOTE_MINUTES at least 1.", id="costrouter.E007")
    for name in ("TOP_UP_MIN", "TOP_UP_MAX", "REFUND_APPROVAL_ABOVE"):
        if not _has_every_currency(getattr(settings, name)):
            yield Error(f"{name} names an amount for each currency: USD=5,VND=100000.", id="costrouter.E008")


def _has_every_currency(values: dict[str, str]) -> bool:
    try:
        return all(from_decimal(Decimal(values[currency]), currency) > 0 for currency in EXPONENT)
    except (KeyError, InvalidOperation, ValueError, OverflowError):
        return False
