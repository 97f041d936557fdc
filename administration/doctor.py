"""What an installation stands on, looked at part by part and told in words. Nothing is changed, no money spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.db import Error, connection
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import KombuError

from accounts import schema
from accounts.models import ApiKey
from administration import redis_faults
from billing import processes
from routing.catalogue.vault import SealBroken
from routing.models import Channel

MOST_SKEW: Final = 2.0
"""Seconds between this machine's clock and another's; heartbeats, quotas and limits go by the clock."""


class State(Enum):
    WELL = "ok"
    NOTE = "note"
    """Works, and is worth knowing."""
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    state: State
    words: str


def well(words: str) -> Finding:
    return Finding(State.WELL, words)


def note(words: str) -> Finding:
    return Finding(State.NOTE, words)


def wrong(words: str) -> Finding:
    return Finding(State.WRONG, words)


def examined(examine: Callable[[], Finding]) -> Finding:
    """What it found; a part that does not answer is wrong."""
    try:
        return examine()
    except (redis.RedisError, KombuError) as error:
        words = redis_faults.remedy(str(error))
        return wrong(f"does not let us in: {words}") if words else _silent(error)
    except (Error, OSError) as error:
        return _silent(error)


def _silent(error: Exception) -> Finding:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return wrong(f"does not answer: {reason[0]}")


def database() -> Finding:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT sqlite_version()")
            return note(f"SQLite {cursor.fetchone()[0]}, for one process. Set DATABASE_URL for an installation.")
        cursor.execute("SELECT current_setting('server_version'), pg_backend_pid()")
        version, pid = cursor.fetchone()
    if pid != connection.connection.info.backend_pid:
        return well(f"PostgreSQL {version} answers, through a pooler. Migrations and dumps should go past it.")
    return well(f"PostgreSQL {version} answers.")


def migrations() -> Finding:
    try:
        schema.require_own()
    except schema.WrongSchema as found:
        return wrong(str(found))
    return well("The schema is this version's.")


def durability() -> Finding:
    if connection.vendor == "sqlite":
        return well("A committed hold survives a power cut (synchronous=FULL).")
    with connection.cursor() as cursor:
        values = {}
        for name in ("synchronous_commit", "fsync", "full_page_writes"):
            cursor.execute(f"SHOW {name}")
            values[name] = cursor.fetchone()[0]
    off = [name for name, value in values.items() if value in {"off", "local"}]
    if off:
        return wrong(
            f"{', '.join(off)} of PostgreSQL is off: money that was held can be lost in a crash. Switch it on."
        )
    return well("What is committed survives a crash (synchronous_commit, fsync).")


def clock() -> Finding:
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT strftime('%s', 'now')" if connection.vendor == "sqlite"
                       else "SELECT extract(epoch FROM clock_timestamp())")  # fmt: skip
        told = float(cursor.fetchone()[0])
    skew = told - (before + time.time()) / 2
    if abs(skew) > MOST_SKEW:
        return wrong(f"The database's clock is {skew:+.1f} s from this machine's. Run a time service (NTP) on both.")
    return well("The database's clock and this machine's agree.")


def shared_limits() -> Finding:
    if not settings.REDIS_URL:
        return note("No REDIS_URL: each process counts rate limits by itself, with its share of them.")
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=3) as client:
        seconds, _micros = client.time()
        version = client.info("server")["redis_version"]
    url = urlsplit(settings.REDIS_URL)
    if abs(seconds - time.time()) > MOST_SKEW:
        return wrong("Redis's clock is not this machine's. Run a time service (NTP) on both.")
    if not url.password:
        return note(f"Redis {version} answers anybody, without a password. Nobody but us should reach it.")
    return well(f"Redis {version} answers{', over TLS' if url.scheme == 'rediss' else ''}.")


def page_throttles() -> Finding:
    cache.set("doctor", "well", 10)
    if cache.get("doctor") != "well":
        return wrong("The shared cache does not keep what is put in: throttles of sign-in would not count.")
    if not getattr(cache, "is_shared", True):
        return wrong("Redis is away: each process throttles sign-in by itself, until it answers again.")
    return well("Sign-in is throttled over all processes.")


def broker() -> Finding:
    if not settings.REDIS_URL:
        return note("No broker: the web process does the background work itself.")
    patience = {"socket_timeout": 3, "socket_connect_timeout": 3}  # without it a TLS greeting waits for ever
    broker, tls = settings.CELERY_BROKER_URL, settings.CELERY_BROKER_USE_SSL or False
    with Connection(broker, ssl=tls, transport_options=patience) as found:
        found.ensure_connection(max_retries=1, timeout=3)
    return well("Celery's broker answers.")


def key_material() -> Finding:
    broken = []
    for channel in Channel.objects.exclude(sealed_secret=b""):
        try:
            channel.secret  # noqa: B018 - opening it is the look
        except SealBroken:
            broken.append(channel.name)
    if broken:
        return wrong(
            f"MASTER_KEYS do not open the secrets of: {', '.join(broken)}. Put the old master key back behind."
        )
    return well("MASTER_KEYS open every channel's secret.")


def peppers() -> Finding:
    """A pepper cannot be compared with digests, but its loss shows: keys, and nobody comes in with one."""
    used = ApiKey.objects.exclude(last_used_at=None).order_by("-last_used_at").values_list("last_used_at", flat=True)
    last = used.first()
    count = len(settings.KEY_PEPPERS)
    words = f"{count} in KEY_PEPPERS."
    if len(set(settings.KEY_PEPPERS)) != count or any(len(pepper) < 32 for pepper in settings.KEY_PEPPERS):
        return wrong(f"{words} Each must be another one, of at least 32 characters.")
    if last is None:
        return well(f"{words} No key has been used yet.")
    return well(f"{words} A key was last used {int((timezone.now() - last).total_seconds() / 60)} minutes ago.")


def addresses() -> Finding:
    site = urlsplit(settings.SITE_URL)
    host = site.hostname or ""
    allowed = settings.ALLOWED_HOSTS
    if not any(each in {"*", host} or (each.startswith(".") and f".{host}".endswith(each)) for each in allowed):
        return wrong(f"ALLOWED_HOSTS does not name {host}, the host of SITE_URL: every page would be refused.")
    if site.scheme == "https" and not settings.TRUSTED_PROXIES:
        return wrong(
            "SITE_URL is https, so a proxy stands in front, but TRUSTED_PROXIES is empty: "
            "every client has the proxy's address. Set it to the proxy's network."
        )
    if site.scheme == "https" and settings.SITE_URL not in settings.CSRF_TRUSTED_ORIGINS:
        return note(f"CSRF_TRUSTED_ORIGINS does not name {settings.SITE_URL}: forms work only if the proxy keeps Host.")
    if site.scheme != "https" and host not in {"127.0.0.1", "localhost", "::1"}:
        return wrong(f"SITE_URL is {settings.SITE_URL}: passwords and keys travel unencrypted. Put TLS in front.")
    return well(f"People reach {settings.SITE_URL}.")


def mails() -> Finding:
    if settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
        return note("No EMAIL_URL: mails are printed to the log.")
    with mail.get_connection():
        return well(f"The mail server takes mail from {settings.DEFAULT_FROM_EMAIL}.")


def web_processes() -> Finding:
    count = processes.live().count()
    return well(f"{count} live.") if count else note("None is live at this moment.")


EXAMINATIONS: Final[dict[str, Callable[[], Finding]]] = {
    "Database": database,
    "Migrations": migrations,
    "Durability": durability,
    "Clock": clock,
    "Redis": shared_limits,
    "Throttles": page_throttles,
    "Broker": broker,
    "Master keys": key_material,
    "Peppers": peppers,
    "Addresses": addresses,
    "Mail": mails,
    "Web processes": web_processes,
}
