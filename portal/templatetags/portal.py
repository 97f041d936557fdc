"""Small pieces of every page: times, icons, and the settings that pages show."""

from __future__ import annotations

import datetime as dt

from django import template
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

_FORMAT = "%Y-%m-%d %H:%M:%S"


@register.simple_tag
def moment(at: dt.datetime) -> SafeString:
    """The time in the page's time zone, its UTC on hover."""
    utc = at.astimezone(dt.UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(timespec="milliseconds"),
        utc.strftime(_FORMAT),
        timezone.localtime(at).strftime(_FORMAT),
    )


@register.simple_tag
def utc(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).strftime(_FORMAT) + " UTC"


@register.simple_tag
def icon(name: str) -> str:
    """The drawing of templates/icons/<name>.svg, hidden from screen readers: a text stands beside it."""
    return render_to_string(f"icons/{name}.svg")


@register.simple_tag
def site_url() -> str:
    """Where clients reach the gateway, without a slash at the end."""
    return str(settings.SITE_URL)


@register.simple_tag
def signup_open() -> bool:
    return bool(settings.SIGNUP_OPEN)


@register.filter
def grouped(number: int) -> str:
    """A count with its thousands apart."""
    return number_format(number, 0, force_grouping=True)


@register.simple_tag
def seconds(milliseconds: int) -> str:
    """A duration: milliseconds below one second, seconds above."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{number_format(milliseconds / 1000, 1 if milliseconds >= 10_000 else 2)} s"
