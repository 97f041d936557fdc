"""API keys: their format, their digests, and issuing them."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re

import pytest
from django.conf import settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import ApiKey, Tenant, User

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_new_key_has_the_documented_form() -> None:
    assert re.fullmatch(r"sk-cr-[0-9A-Za-z]{49}", keys.generate())


def test_new_keys_are_well_formed_and_differ() -> None:
    secrets = {keys.generate() for _key in range(500)}

    assert len(secrets) == 500
    assert all(keys.is_well_formed(secret) for secret in secrets)


def test_all_256_bits_fit_the_body() -> None:
    assert 62**43 > 2**256


@given(place=st.integers(6, 54), character=st.sampled_from(CHARACTERS))
def test_any_single_mistyped_character_is_noticed(place: int, character: str) -> None:
    secret = keys.generate()
    mistyped = secret[:place] + character + secret[place + 1 :]

    assert keys.is_well_formed(mistyped) == (mistyped == secret)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda secret: "",
        lambda secret: secret[:-1],
        lambda secret: secret + "0",
        lambda secret: secret + "\n",
        lambda secret: " " + secret,
        lambda secret: secret.replace("sk-cr-", "sk-ab-"),
        lambda secret: secret.upper(),
        lambda secret: secret[:20] + "é" + secret[21:],
        lambda secret: secret[:20] + "\x00" + secret[21:],
        lambda secret: "sk-cr-" + "0" * 49,
        lambda secret: "sk-" + secret,
    ],
    ids=["empty", "short", "long", "newline", "space", "prefix", "case", "not ascii", "nul", "zeros", "twice"],
)
def test_malformed_keys_are_noticed(spoil: object) -> None:
    secret = keys.generate()
    assert not keys.is_well_formed(spoil(secret))  # type: ignore[operator]


@given(st.text(max_size=80))
def test_no_text_breaks_the_check_of_the_form(text: str) -> None:
    assert keys.is_well_formed(text) in {True, False}


def test_digest_is_hmac_sha256_under_the_first_pepper() -> None:
    secret = keys.generate()
    expected = hmac.new(settings.KEY_PEPPERS[0], secret.encode(), hashlib.sha256).hexdigest()

    assert keys.digest(secret) == expected
    assert len(expected) == 64


def test_digests_name_every_pepper_the_current_one_first(settings: Settings) -> None:
    settings.KEY_PEPPERS = [b"new" * 11, b"old" * 11]
    secret = keys.generate()

    assert keys.digests(secret) == [keys.digest(secret, b"new" * 11), keys.digest(secret, b"old" * 11)]
    assert keys.digest(secret) == keys.digests(secret)[0]


def test_issued_key_keeps_only_its_digest(tenant: Tenant, alice: User) -> None:
    issued = keys.issue(tenant=tenant, name="production", created_by=alice)

    row = ApiKey.objects.get(pk=issued.api_key.pk)
    assert keys.is_well_formed(issued.secret)
    assert (row.digest, row.prefix, row.last_four) == (
        keys.digest(issued.secret), issued.secret[:10], issued.secret[-4:],
    )  # fmt: skip
    stored = " ".join(str(value) for value in ApiKey.objects.filter(pk=row.pk).values()[0].values())
    assert issued.secret not in stored
    assert issued.secret[10:-4] not in stored
    assert (row.tenant, row.created_by, row.status) == (tenant, alice, ApiKey.Status.ACTIVE)


def test_issued_key_has_the_limits_it_was_given(tenant: Tenant) -> None:
    tomorrow = timezone.now() + dt.timedelta(days=1)
    issued = keys.issue(
        tenant=tenant,
        name="limited",
        expires_at=tomorrow,
        allowed_models=("a", "b"),
        allowed_networks=("10.0.0.0/8",),
        requests_per_minute=1,
        tokens_per_minute=2,
        concurrency=3,
    )

    row = ApiKey.objects.get(pk=issued.api_key.pk)
    assert (row.expires_at, row.allowed_models, row.allowed_networks) == (tomorrow, ["a", "b"], ["10.0.0.0/8"])
    assert (row.requests_per_minute, row.tokens_per_minute, row.concurrency) == (1, 2, 3)


def test_revoked_key_never_comes_back(tenant: Tenant) -> None:
    row = keys.issue(tenant=tenant, name="gone").api_key
    stale = ApiKey.objects.get(pk=row.pk)
    row.revoke()

    stale.resume()

    assert ApiKey.objects.get(pk=row.pk).status == ApiKey.Status.REVOKED
    assert stale.status == ApiKey.Status.REVOKED
    assert stale.revoked_at == row.revoked_at
