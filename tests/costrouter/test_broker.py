"""One REDIS_URL for the limits, the cache and Celery, and what each makes of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import redis
from django.core.cache.backends.base import BaseCache
from kombu import Connection
from kombu.exceptions import OperationalError

from accounts.redis_line import RedisLine
from accounts.shared_cache import SharedCache
from costrouter.broker import broker_of
from tests import servers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def socket_redis_url() -> Iterator[str]:
    """A Redis behind a password on a Unix socket, whose path has a blank."""
    folder = Path(tempfile.mkdtemp(prefix="costrouter sock"))
    folder.chmod(0o777)
    server = servers.start_redis(None, f'unixsocket "{folder}/r.sock"', "unixsocketperm 777")
    password = urlsplit(server.url).password
    yield f"unix://:{password}@{quote(str(folder))}/r.sock?db=3"
    server.process.stop()
    shutil.rmtree(folder)


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


def test_a_socket_carries_celerys_tasks_in_the_database_of_the_url(socket_redis_url: str) -> None:
    broker, tls = broker_of(socket_redis_url)
    with Connection(broker, ssl=tls or False) as found, found.SimpleQueue("tasks") as queue:
        queue.put({"task": 1})
        with redis.Redis.from_url(socket_redis_url) as client:
            waiting = client.llen("tasks")
        assert (waiting, queue.get(timeout=5).payload) == (1, {"task": 1})


def test_nobody_reads_a_sockets_password_in_a_log(socket_redis_url: str) -> None:
    broker, _tls = broker_of(socket_redis_url)
    password = urlsplit(socket_redis_url).password
    assert password
    with Connection(broker) as found:
        assert password not in f"{found!r} {found.as_uri()}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("redis://:p%40@h:1/2?socket_timeout=3", ("redis://:p%40@h:1/2", None), id="plain"),
        pytest.param("rediss://h:1/2", ("rediss://h:1/2", {"ssl_cert_reqs": "required"}), id="tls"),
        pytest.param("rediss://h/2?ssl_cert_reqs=none", ("rediss://h/2", {"ssl_cert_reqs": "none"}), id="unchecked"),
        pytest.param("unix:///r.sock?db=2", ("redis+socket:///r.sock?virtual_host=2", None), id="socket"),
        pytest.param(
            "unix://me:p%40@/a%20b/r.sock", ("redis+socket://me:p%40@/a%20b/r.sock?virtual_host=0", None), id="login"
        ),
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
