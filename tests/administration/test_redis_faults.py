"""What keeps us out of a Redis behind a password and TLS is told by its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import redis
from pytest_django.fixtures import Settings

from administration import doctor
from administration.doctor import State
from costrouter.broker import broker_of
from tests import servers

Turn = Callable[[str], str]


def use(settings: Settings, url: str) -> None:
    settings.REDIS_URL = url
    settings.CELERY_BROKER_URL, settings.CELERY_BROKER_USE_SSL = broker_of(url)


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{parts.port}").geturl()


def with_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f":wrong@{parts.hostname}:{parts.port}").geturl()


@pytest.fixture
def open_redis_url() -> Iterator[str]:
    """The URL of a Redis that lets everybody in, with a password all the same."""
    server = servers.start_redis()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "")
    yield server.url
    server.process.stop()


def test_redis_behind_password_and_tls_is_well(settings: Settings, tls_redis_url: str) -> None:
    use(settings, tls_redis_url)

    assert doctor.shared_limits().words.endswith(" answers, over TLS.")
    assert doctor.broker().state is State.WELL


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        pytest.param(without_password, "it wants a password", id="no password"),
        pytest.param(with_password, "it does not know the user and password", id="another password"),
        pytest.param(lambda url: url.partition("?")[0], "from nobody whom this machine trusts", id="no authority"),
        pytest.param(lambda url: url.replace("127.0.0.1", "localhost"), "names another host", id="another name"),
        pytest.param(lambda url: url.partition("?")[0].replace("rediss", "redis"), "begins with rediss://", id="plain"),
    ],
)
@pytest.mark.parametrize("examine", [doctor.shared_limits, doctor.broker], ids=["limits", "broker"])
def test_what_is_wrong_with_the_url_is_said(
    settings: Settings, tls_redis_url: str, examine: Callable[[], doctor.Finding], turn: Turn, words: str
) -> None:
    use(settings, turn(tls_redis_url))

    found = doctor.examined(examine)

    assert found.state is State.WRONG
    assert found.words.startswith("does not let us in: ")
    assert words in found.words


@pytest.mark.parametrize("examine", [doctor.shared_limits, doctor.broker], ids=["limits", "broker"])
def test_tls_where_none_is_spoken_is_said(
    settings: Settings, redis_url: str, examine: Callable[[], doctor.Finding]
) -> None:
    use(settings, redis_url.replace("redis://", "rediss://"))

    found = doctor.examined(examine)

    assert (found.state, "may not speak TLS" in found.words) == (State.WRONG, True), found.words


def test_user_with_few_rights_is_said(settings: Settings, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser("guest", enabled=True, passwords=["+secret"], categories=["+@connection"])
    parts = urlsplit(redis_url)
    use(settings, f"redis://guest:secret@{parts.hostname}:{parts.port}/0")

    assert "needs all commands" in doctor.examined(doctor.shared_limits).words


def test_redis_without_a_password_is_noted(settings: Settings, open_redis_url: str) -> None:
    use(settings, without_password(open_redis_url))

    found = doctor.shared_limits()

    assert (found.state, "answers anybody" in found.words) == (State.NOTE, True)
