"""REDIS_URL as Celery has to be told of it: by itself it takes anybody's certificate, and knows fewer options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from redis.connection import parse_url

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def broker_of(redis_url: str) -> tuple[str, dict[str, Any] | None]:
    """The broker's URL without options, and what TLS is spoken with, None where it is not.

    Raises ValueError, in words for whoever wrote the URL.
    """
    options = _options(redis_url)
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    parts = urlsplit(redis_url)
    if parts.scheme != "rediss":
        if tls:
            raise ValueError(f"{min(tls)} is for TLS, which rediss:// speaks and {parts.scheme}:// does not")
        return (_socket(options) if parts.scheme == "unix" else urlunsplit(parts._replace(query=""))), None
    for name in _FILES:
        if name in tls and not os.access(tls[name], os.R_OK):
            raise ValueError(f"{name} is {tls[name]}, which cannot be read")
    return urlunsplit(parts._replace(query="")), {"ssl_cert_reqs": "required"} | tls


def _socket(options: Mapping[str, Any]) -> str:
    """A Unix socket in Celery's words, which are others than redis-py's (kombu's transport/redis.py, `_connparams`)."""
    user, password = (quote(options.get(name, ""), safe="") for name in ("username", "password"))
    login = f"{user}:{password}@" if password else ""
    return f"redis+socket://{login}{quote(options['path'])}?virtual_host={options.get('db', 0)}"


def _options(redis_url: str) -> dict[str, Any]:
    """As redis-py reads them, and with it the limits and the cache."""
    try:
        return dict(parse_url(redis_url))  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError("it begins with redis://, rediss:// or unix://") from None
