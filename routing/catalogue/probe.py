"""Testing a channel: one real, minimal request to its upstream, and what came of it in words for operators."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables

from routing.catalogue.models import Channel
from routing.catalogue.vault import SealBroken
from routing.wire import addresses
from routing.wire.addresses import ForbiddenAddress, Network, Origin

_LONGEST_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a test found. `status` is the upstream's HTTP status, None if there was no answer.

    The message is made here and never quotes the upstream, its address or the secret.
    """

    ok: bool
    status: int | None
    latency_ms: int
    message: str


@sensitive_variables("secret")
async def probe(channel: Channel, networks: Sequence[Network]) -> Result:
    """Asks the channel's upstream for its list of models, at an address that was checked, following no redirect."""
    began = time.monotonic()

    def result(message: str, *, ok: bool = False, status: int | None = None) -> Result:
        return Result(ok, status, round((time.monotonic() - began) * 1000), message)

    try:
        origin, secret = addresses.parse(channel.base_url), channel.secret
        if origin.scheme == "fake":
            return result(gettext("The built-in upstream needs no test."), ok=True)
        async with asyncio.timeout(_LONGEST_SECONDS):
            status = await _status(origin, await addresses.resolve(origin, networks), secret, _timeout(channel))
    except SealBroken:
        return result(gettext("The secret cannot be opened: its master key is missing or it belongs to another row."))
    except ForbiddenAddress as refusal:
        return result(gettext(str(refusal)))
    except httpx.ConnectTimeout:
        return result(gettext("The connection timed out."))
    except (httpx.TimeoutException, TimeoutError):
        return result(gettext("The upstream did not answer in time."))
    except httpx.ConnectError as error:
        return result(_connect_failure(error))
    except httpx.HTTPError:
        return result(gettext("The upstream broke the connection or does not speak HTTP."))
    except OSError:
        return result(gettext("The host name does not resolve."))
    return result(_verdict(status), ok=200 <= status < 300, status=status)


async def _status(origin: Origin, found: list[str], secret: str, limits: httpx.Timeout) -> int:
    """The status of `GET {base}/models`, from the first of the addresses that lets us connect.

    Redirects are not followed (httpx's default) and the body is not read.
    """
    headers = {"host": origin.authority, "accept": "application/json", "accept-encoding": "identity"}
    if secret:
        headers["authorization"] = f"Bearer {secret}"
    async with httpx.AsyncClient(trust_env=False, timeout=limits) as client:
        for address in found:
            request = client.build_request(
                "GET", _url(origin, address), headers=headers, extensions={"sni_hostname": origin.host}
            )
            try:
                response = await client.send(request, stream=True)
            except httpx.ConnectError:
                if address == found[-1]:
                    raise
                continue
            await response.aclose()
            return response.status_code
    raise AssertionError("resolve() never returns an empty list")


def _url(origin: Origin, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{origin.scheme}://{host}:{origin.port}{origin.path}/models"


def _timeout(channel: Channel) -> httpx.Timeout:
    return httpx.Timeout(min(channel.first_byte_timeout, _LONGEST_SECONDS), connect=channel.connect_timeout)


def _connect_failure(error: httpx.ConnectError) -> str:
    """httpx tells a refused connection from a refused certificate only by the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return gettext("The TLS handshake failed: the certificate is not valid for this host.")
        cause = cause.__cause__ or cause.__context__
    return gettext("The connection was refused.")


def _verdict(status: int) -> str:
    if 200 <= status < 300:
        return gettext("The upstream answers.")
    if 300 <= status < 400:
        return gettext("The upstream answers with a redirect, which is never followed; check the base URL.")
    if status in {401, 402, 403}:
        return gettext("The upstream refuses the secret.")
    if status in {404, 405}:
        return gettext("The upstream has no list of models at this path; check the base URL.")
    if status == 429:
        return gettext("The upstream answers, but is limiting requests.")
    return gettext("The upstream answers with an error.")
