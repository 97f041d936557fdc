"""The process's parts, built from the settings once, when the server starts."""

from __future__ import annotations

from django.conf import settings

from accounts.key_cache import KeyCache
from accounts.limits import Limiter
from accounts.networks import parse_networks
from accounts.origins import Origins
from billing.legs import legs_of_keys
from billing.reservations import Reservations
from billing.writer import Writer
from routing.catalogue.snapshot import Catalogue
from routing.pipeline.answers import Answers
from routing.pipeline.explanation import Shown
from routing.pipeline.gateway import Gateway, Options
from routing.selection.health import Health
from routing.wire import addresses
from routing.wire.client import Client


def build() -> Gateway:
    """A gateway that has not started yet (costrouter/scheduler.py starts it): nothing runs, nothing is read."""
    writer = Writer(spool_folder=settings.SPOOL_DIR)
    return Gateway(
        options=Options(
            most_attempts=settings.MAX_ATTEMPTS,
            shown=Shown(channels=settings.SHOW_CHANNELS, costs=settings.SHOW_COSTS),
            keep_alive_seconds=settings.KEEP_ALIVE_SECONDS,
            most_body_bytes=settings.MAX_BODY_BYTES,
        ),
        key_cache=KeyCache(legs_of_keys, parse_networks(settings.TRUSTED_PROXIES)),
        origins=Origins(),
        limiter=Limiter(settings.REDIS_URL),
        writer=writer,
        reservations=Reservations(writer),
        catalogue=Catalogue(),
        health=Health(settings.RETRY_BUDGET),
        client=Client(addresses.networks(settings.CHANNEL_NETWORKS)),
        answers=Answers(),
    )
