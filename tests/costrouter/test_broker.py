"""One REDIS_URL for the limits, the cache and Celery, and what each makes of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.cache.backends.base import BaseCache
from kombu import Connection
from kombu.exceptions import OperationalError

from accounts.redis_line import RedisLine
from accounts.shared_cache import SharedCache
from costrouter.broker import broker_of

ROOT = Path(__file__).resolve().parents[2]


def connect(url: str) -> None:
    broker, tls = broker_of(url)
    with Connection(broker, ssl=tls or False, connect_timeout=3) as found:
        found.ensure_connection(max_retries=1, timeout=3)


def test_everybody_who_reads_the_url_gets_through_password_and_tls(tls_redis_url: str) -> None:
    async def ask() -> object:
        line = RedisLine(tls_redis_url, 2.0)
        answer = await line.ask("PING")
        line.close()
        return answer

    cache: BaseCache = SharedCache(tls_redis_url, {})
    cache.set("attempts", 2, 60)

    assert asyncio.run(ask()) == b"PONG"
    assert (SharedCache(tls_redis_url, {}).get("attempts"), cache._own.get("attempts")) == (2, None)  # type: ignore[attr-defined]
    connect(tls_redis_url)


def test_celery_sends_no_password_to_a_server_that_nobody_vouches_for(tls_redis_url: str) -> None:
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(tls_redis_url.partition("?")[0])


def test_options_that_celery_does_not_know_are_the_others(tls_redis_url: str) -> None:
    connect(f"{tls_redis_url}&socket_timeout=3&health_check_interval=10")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("redis://:p%40@h:1/2?socket_timeout=3", ("redis://:p%40@h:1/2", None), id="plain"),
        pytest.param("rediss://h:1/2", ("rediss://h:1/2", {"ssl_cert_reqs": "required"}), id="tls"),
        pytest.param("rediss://h/2?ssl_cert_reqs=none", ("rediss://h/2", {"ssl_cert_reqs": "none"}), id="unchecked"),
        pytest.param("unix:///run/redis.sock?db=2", ("unix:///run/redis.sock?db=2", None), id="socket"),
    ],
)
def test_what_celery_is_told(url: str, expected: tuple[str, object]) -> None:
    assert broker_of(url) == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://h/0", "it begins with redis://, rediss:// or unix://", id="another protocol"),
        pytest.param("redis://h?ssl_ca_certs=/x", "ssl_ca_certs is for TLS, which rediss:// speaks", id="no TLS"),
        pytest.param("rediss://h?ssl_ca_certs=/no/x.pem", "ssl_ca_certs is /no/x.pem, which cannot", id="no file"),
    ],
)
def test_url_that_cannot_work_is_told_in_words_before_anything_starts(url: str, words: str, tmp_path: Path) -> None:
    environment = {**os.environ, "REDIS_URL": url, "COSTROUTER_VAR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", "from costrouter import settings"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert f"ImproperlyConfigured: REDIS_URL: {words}" in done.stderr


def test_settings_hand_the_url_on(tls_redis_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "REDIS_URL": tls_redis_url, "COSTROUTER_VAR": str(tmp_path)}
    program = """
from costrouter.celery import app
with app.connection_for_write() as broker:
    broker.ensure_connection(max_retries=1, timeout=3)
    print(broker.as_uri())
"""

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout.strip(), done.returncode) == (f"rediss://:**@127.0.0.1:{urlsplit(tls_redis_url).port}/0", 0), (
        done.stderr
    )
