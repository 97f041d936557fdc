"""`manage.py add_channel`: puts an upstream's models on offer without a browser."""

from __future__ import annotations

import argparse
import os
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from billing.kinds import KINDS
from routing.catalogue import channels
from routing.catalogue.offers import Rate, add_route, offer_model
from routing.models import Channel
from routing.providers import ADAPTERS, choices
from routing.providers.openai.vendors import VENDORS

_OWN: Final[tuple[tuple[str, Any], ...]] = (("input", Decimal()), ("output", Decimal()), ("cached_input", None))
"""The rates that `Rate` has by name, and what holds where none is given."""


def _model(text: str) -> tuple[str, str]:
    """`PUBLIC=UPSTREAM`, or one name that is both."""
    public, _equals, upstream = text.partition("=")
    if not public:
        raise argparse.ArgumentTypeError("a model is PUBLIC or PUBLIC=UPSTREAM")
    return public, upstream or public


def _rate(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise argparse.ArgumentTypeError("a price is a number of currency units per million, 0 or more")
    return value


class Command(BaseCommand):
    help = (
        "Adds a channel with its models, routes and prices; repeated, it adds what is missing. Prices are in currency "
        "units per million: of tokens, of images, of seconds of audio, of characters. The upstream's secret is read "
        "from the environment variable named by --secret-env."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--vendor", choices=sorted(VENDORS), help="whose upstream it is: says what is not given")
        parser.add_argument("--provider", choices=[name for name, _label in choices()], help="default: the vendor's")
        parser.add_argument("--base-url", help="default: the vendor's")
        parser.add_argument("--secret-env", metavar="VAR")
        parser.add_argument("--priority", type=int, default=0)
        parser.add_argument("--weight", type=int, default=1)
        parser.add_argument("--model", type=_model, action="append", required=True, metavar="PUBLIC[=UPSTREAM]")
        parser.add_argument("--currency", default="USD", choices=["USD", "VND"])
        for side in ("cost", "price"):
            for kind in KINDS:
                parser.add_argument(f"--{side}-{kind.rate.replace('_', '-')}", type=_rate)
        parser.add_argument("--context", type=int, default=128_000, help="context window of new models, in tokens")
        parser.add_argument("--output-limit", type=int, default=16_384)
        parser.add_argument("--default-output", type=int, default=4_096)

    def handle(self, *args: Any, model: list[tuple[str, str]], **options: Any) -> None:
        cost, price = _side("cost", options), _side("price", options)
        if cost is None:
            raise CommandError("a channel needs --cost-input and --cost-output, or what else it costs")
        try:
            with transaction.atomic():
                channel = _channel(options)
                for public, upstream in model:
                    offered = offer_model(public, price=price, **_limits(options))
                    route = add_route(channel, offered, upstream_name=upstream, cost=cost)
                    self.stdout.write(f"{route} as {upstream}")
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        except ValueError as error:
            raise CommandError(str(error)) from error


def _channel(options: dict[str, Any]) -> Channel:
    channel = Channel.objects.filter(name=options["name"]).first() or Channel(name=options["name"])
    channel.provider, channel.base_url = options["provider"] or "openai", options["base_url"] or ""
    if options["vendor"]:
        _follow(channel, options["vendor"], provider=options["provider"])
    if not channel.base_url:
        raise CommandError("a channel needs --base-url")
    channel.priority, channel.weight = options["priority"], options["weight"]
    channels.save(channel, secret=_secret(options["secret_env"]) if options["secret_env"] else "")
    return channel


def _follow(channel: Channel, name: str, *, provider: str | None) -> None:
    """Takes from the vendor what was not given; one with a dialect of its own is spoken to in that."""
    vendor = VENDORS[name]
    channel.provider = provider or (name if name in ADAPTERS else "openai")
    if not channel.base_url and "NAME" not in vendor.base_url:
        channel.base_url = vendor.base_url
    if channel.provider != name:
        channel.options = {**(channel.options or {}), "vendor": name}
    if vendor.drains:
        channel.disconnect_policy = Channel.DisconnectPolicy.DRAIN


def _secret(variable: str) -> str:
    secret = os.environ.get(variable, "").strip()
    if not secret:
        raise CommandError(f"the environment variable {variable} is empty")
    return secret


def _side(side: str, options: dict[str, Any]) -> Rate | None:
    """The cost or customer price that was given; without input and output their tokens cost nothing."""
    asked = ((kind.rate, options[f"{side}_{kind.rate}"]) for kind in KINDS)
    given = {name: rate for name, rate in asked if rate is not None}
    if not given:
        return None
    if ("input" in given) != ("output" in given):
        raise CommandError(f"--{side}-input and --{side}-output belong together")
    own = {name: given.pop(name, default) for name, default in _OWN}
    return Rate(**own, others=given, currency=options["currency"])


def _limits(options: dict[str, Any]) -> dict[str, int]:
    return {
        "context_window": options["context"],
        "output_limit": options["output_limit"],
        "default_output": options["default_output"],
    }
