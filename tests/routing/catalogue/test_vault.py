"""Sealed secrets: they open in their own row and nowhere else."""

from __future__ import annotations

import base64

import pytest
from pytest_django import Settings

from routing.catalogue import vault
from routing.catalogue.vault import SealBroken
from routing.models import Channel

CANARY = "sk-canary-0123456789"


def test_sealed_secret_opens_again() -> None:
    sealed = vault.seal(CANARY, bound_to="channel:1:secret")
    assert vault.unseal(sealed, bound_to="channel:1:secret") == CANARY


def test_ciphertext_does_not_hold_the_secret() -> None:
    assert CANARY.encode() not in vault.seal(CANARY, bound_to="channel:1:secret")


def test_sealing_twice_gives_different_ciphertexts() -> None:
    assert vault.seal(CANARY, bound_to="a") != vault.seal(CANARY, bound_to="a")


@pytest.mark.parametrize("other", ["channel:2:secret", "channel:1:other", "", "channel:1:secret "])
def test_ciphertext_of_another_place_does_not_open(other: str) -> None:
    sealed = vault.seal(CANARY, bound_to="channel:1:secret")
    with pytest.raises(SealBroken):
        vault.unseal(sealed, bound_to=other)


@pytest.mark.parametrize("index", [0, 10, 40, -1])
def test_altered_ciphertext_does_not_open(index: int) -> None:
    sealed = bytearray(vault.seal(CANARY, bound_to="a"))
    sealed[index] ^= 1
    with pytest.raises(SealBroken):
        vault.unseal(bytes(sealed), bound_to="a")


@pytest.mark.parametrize("sealed", [b"", b"\x00", b"\x93\xa1k\xc4\x00\xc4\x00", CANARY.encode()])
def test_what_is_no_envelope_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        vault.unseal(sealed, bound_to="a")


def test_secret_of_an_earlier_master_key_still_opens(settings: Settings) -> None:
    earlier = dict(settings.MASTER_KEYS)
    sealed = vault.seal(CANARY, bound_to="a")
    settings.MASTER_KEYS = {"newer": b"n" * 32, **earlier}
    assert vault.unseal(sealed, bound_to="a") == CANARY


def test_secret_without_its_master_key_does_not_open(settings: Settings) -> None:
    sealed = vault.seal(CANARY, bound_to="a")
    settings.MASTER_KEYS = {"other": b"o" * 32}
    with pytest.raises(SealBroken):
        vault.unseal(sealed, bound_to="a")


def test_error_does_not_repeat_the_ciphertext() -> None:
    sealed = vault.seal(CANARY, bound_to="a")
    with pytest.raises(SealBroken) as broken:
        vault.unseal(sealed, bound_to="b")
    assert base64.b64encode(sealed).decode() not in str(broken.value)
    assert CANARY not in str(broken.value)


@pytest.mark.django_db
def test_swapped_ciphertexts_of_two_channels_do_not_open() -> None:
    one, other = (
        Channel(name="one", base_url="https://one.example"),
        Channel(name="other", base_url="https://b.example"),
    )
    one.set_secret(CANARY)
    other.set_secret("sk-other-0123456789")
    one.sealed_secret, other.sealed_secret = other.sealed_secret, one.sealed_secret
    one.save()
    other.save()
    with pytest.raises(SealBroken):
        _ = Channel.objects.get(name="one").secret
    with pytest.raises(SealBroken):
        _ = Channel.objects.get(name="other").secret


@pytest.mark.django_db
def test_channel_keeps_its_secret_through_the_database() -> None:
    channel = Channel(name="one", base_url="https://one.example")
    channel.set_secret(CANARY)
    channel.save()
    stored = Channel.objects.get(name="one")
    assert stored.secret == CANARY
    assert stored.secret_last_four == "6789"
