"""The codes of a second factor. Wrong ones are counted by the user, wherever they come from; in a browser in which he
has given a right one (portal/devices.py) they are counted there alone, so that whoever has his password, and guesses,
does not keep him out.
"""

from __future__ import annotations

from allauth.account.adapter import get_adapter as account_adapter
from allauth.core import context, ratelimit
from allauth.mfa import adapter
from allauth.mfa.base import forms
from allauth.mfa.models import Authenticator

from portal import devices

_ACTION = "login_failed"
_TYPED = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


class OwnTries(forms.BaseAuthenticateForm):  # type: ignore[misc]  # allauth is not typed
    """What allauth's forms do, with this browser's own tries where it has some."""

    def clean_code(self) -> str:
        browser = devices.name_for_codes(context.request, self.user)
        if not browser:
            return str(super().clean_code())
        key = f"code-{self.user.pk}-{browser}"
        if not ratelimit.consume(context.request, action=_ACTION, key=key):
            raise account_adapter().validation_error("too_many_login_attempts")
        code: str = self.cleaned_data["code"]
        for authenticator in Authenticator.objects.filter(user=self.user, type__in=_TYPED):
            if authenticator.wrap().validate_code(code):
                self.authenticator = authenticator
                ratelimit.clear(context.request, action=_ACTION, key=key)
                return code
        raise adapter.get_adapter().validation_error("incorrect_code")


class AuthenticateForm(OwnTries, forms.AuthenticateForm):  # type: ignore[misc]
    """On the way in."""


class ReauthenticateForm(OwnTries, forms.ReauthenticateForm):  # type: ignore[misc]
    """In a session that is to prove it again, such as before the administration."""
