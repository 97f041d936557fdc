"""Users and the groups of operators. Sign-in's own tables (addresses, second factors) have no pages here."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserCreationForm

from accounts.models import User
from administration.frame import Admin, action, display

for internal in (Group, EmailAddress, Authenticator):
    if admin.site.is_registered(internal):
        admin.site.unregister(internal)


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    """A user by e-mail address and password; allauth compares addresses in lower case."""

    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    """A user without the password: not even its hash's parameters are shown."""

    password = None  # type: ignore[assignment]  # a form's way to take an inherited field out

    class Meta:
        model = User
        fields = "__all__"

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


@admin.register(User)
class UserAdmin(DjangoUserAdmin, Admin):  # type: ignore[type-arg, misc]
    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "is_staff", "is_superuser", "is_active", "last_login", "created_at")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("password_link", "second_factors", "last_login", "created_at")
    actions = ("remove_second_factors",)
    fieldsets = (
        (None, {"fields": ("email", "name", "language", "is_active")}),
        (_("Sign-in"), {"fields": ("password_link", "second_factors", "last_login", "created_at")}),
        (_("Administration"), {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only a superuser gives rights: nobody can hand out more than they have."""
        rights = () if _is_superuser(request) else ("is_staff", "is_superuser", "groups", "user_permissions")
        return (*super().get_readonly_fields(request, obj), *rights)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if isinstance(obj, User) and (obj.is_staff or obj.is_superuser) and not _is_superuser(request):
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _is_superuser(request) and bool(super().has_delete_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm[User], change: bool) -> None:
        """With a new e-mail address the old one must not sign in any more."""
        super().save_model(request, obj, form, change)
        EmailAddress.objects.filter(user=obj).exclude(email__iexact=obj.email).delete()

    @display(description=_("password"))
    def password_link(self, user: User) -> SafeString:
        link = reverse("admin:auth_user_password_change", args=(user.pk,))
        state = gettext("set") if user.has_usable_password() else gettext("not set")
        text = gettext("Set a new password")
        return format_html('{} · <a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', state, link, text)

    @display(description=_("second factors"))
    def second_factors(self, user: User) -> str:
        kinds = Authenticator.objects.filter(user=user).values_list("type", flat=True)
        return ", ".join(Authenticator.Type(kind).label for kind in kinds) or gettext("none")

    @action(description=_("Remove the second factors (lost device)"), permissions=("remove_factors",))
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        count, _kinds = Authenticator.objects.filter(user__in=queryset).delete()
        for user in queryset:
            self.log_change(request, user, [{"changed": {"fields": ["second factors"]}}])
        text = ngettext("Removed %d second factor.", "Removed %d second factors.", count) % count
        self.message_user(request, text, messages.SUCCESS)

    def has_remove_factors_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, Admin):  # type: ignore[misc]
    """Sets of rights for operators who are not superusers; only a superuser composes them."""

    filter_horizontal = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_active and getattr(request.user, "is_superuser", False)
