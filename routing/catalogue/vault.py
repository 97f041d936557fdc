"""Sealing upstream secrets: AES-256-GCM envelopes bound to their row and field.

Each secret has a data key of its own, which is wrapped by a master key from the environment. Row and field are
associated data: a ciphertext moved to another row does not open.
"""

from __future__ import annotations

import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE_BYTES = 12


class SealBroken(Exception):
    """The master key is missing, or the ciphertext does not belong to this row and field."""


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    master_key_id: str
    wrapped_key: bytes
    ciphertext: bytes


def seal(secret: str, *, bound_to: str) -> bytes:
    """The secret in an envelope that opens only with the same `bound_to` ("channel:<uid>:secret")."""
    key_id, master_key = next(iter(settings.MASTER_KEYS.items()))
    data_key = AESGCM.generate_key(bit_length=256)
    envelope = _Envelope(
        key_id, _encrypt(master_key, data_key, bound_to), _encrypt(data_key, secret.encode(), bound_to)
    )
    return msgspec.msgpack.encode(envelope)


def unseal(sealed: bytes, *, bound_to: str) -> str:
    """The secret that was sealed; raises SealBroken."""
    try:
        envelope = msgspec.msgpack.decode(sealed, type=_Envelope)
        data_key = _decrypt(settings.MASTER_KEYS[envelope.master_key_id], envelope.wrapped_key, bound_to)
        return _decrypt(data_key, envelope.ciphertext, bound_to).decode()
    except (msgspec.DecodeError, KeyError, InvalidTag) as error:
        raise SealBroken(f"the secret of {bound_to} cannot be opened") from error


def _encrypt(key: bytes, text: bytes, bound_to: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound_to.encode())


def _decrypt(key: bytes, sealed: bytes, bound_to: str) -> bytes:
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
