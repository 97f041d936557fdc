"""What to do about a Redis that does not let us in, told by what its client says."""

from __future__ import annotations

from typing import Final

_LOGIN: Final = "it does not know the user and password of REDIS_URL. Reserved characters are written as %40."
_NO_LOGIN: Final = "it wants a password. Write it into REDIS_URL: redis://:password@host:6379/0."
_RIGHTS: Final = "the user of REDIS_URL may not do enough: it needs all commands on all keys (ACL)."
_NO_TLS: Final = "it may not speak TLS at this port: name its TLS port, or begin with redis://."
_TLS: Final = "it hangs up at once. If it speaks TLS, REDIS_URL begins with rediss://."

_REMEDIES: Final = {
    "certificate is not valid for": "its certificate names another host than REDIS_URL. Write the name it has.",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate comes from nobody whom this machine trusts. "
        "Name the authority's file at the end of REDIS_URL: ?ssl_ca_certs=/path/ca.pem."
    ),
    "CERTIFICATE_REQUIRED": (
        "it wants a certificate of ours. "
        "Name it at the end of REDIS_URL: ?ssl_certfile=/path/us.pem&ssl_keyfile=/path/us.key."
    ),
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "Timeout connecting": f"nobody answers within three seconds. If REDIS_URL begins with rediss://, {_NO_TLS}",
    "Timeout reading": f"nobody answers within three seconds. If REDIS_URL begins with rediss://, {_NO_TLS}",
    "WRONGPASS": _LOGIN,
    "invalid username-password": _LOGIN,
    "NOAUTH": _NO_LOGIN,
    "HELLO must be called": _NO_LOGIN,
    "Authentication required": _NO_LOGIN,
    "no permissions": _RIGHTS,
    "NOPERM": _RIGHTS,
    "closed by server": _TLS,
    "reset by peer": _TLS,
}
"""By a part of the message of redis-py or of OpenSSL, the closer one first."""


def remedy(message: str) -> str | None:
    """In words, what the message means; None where it says no more than that nobody answers."""
    return next((words for sign, words in _REMEDIES.items() if sign in message), None)
