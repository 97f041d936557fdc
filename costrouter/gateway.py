"""The process's parts, built from the settings once, when the server starts."""

from __future__ import annotations

from django.conf import settings

from accounts.authentication import KeyCache, networks
from accounts.limits import Limiter
from billing import balances
from billing.reservations import Reservations
from billing.writer import Writer
from routing.catalogue.snapshot import Catalogue
from routing.pipeline.answers import Answers
from routing.pipeline.gateway import Gateway, Options
from routing.selection.health import Health
from routing.wire import addresses
from routing.wire.client import Client


def build() -> Gateway:
    """A gateway that has not started yet (costrouter/scheduler.py starts it): nothing runs, nothing is read."""
    writer = Writer()
    return Gateway(
        options=Options(
            most_attempts=settings.MAX_ATTEMPTS,
            shows_channels=settings.SHOW_CHANNELS,
            keep_alive_seconds=settings.KEEP_ALIVE_SECONDS,
            most_body_bytes=settings.MAX_BODY_BYTES,
        ),
        key_cache=KeyCache(balances.legs, networks(settings.TRUSTED_PROXIES)),
        limiter=Limiter(settings.REDIS_URL),
        writer=writer,
        reservations=Reservations(writer),
        catalogue=Catalogue(),
        health=Health(settings.RETRY_BUDGET),
        client=Client(addresses.networks(settings.CHANNEL_NETWORKS)),
        answers=Answers(),
    )
