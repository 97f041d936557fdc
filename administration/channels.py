"""Channels: their secret is written here and never read back."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanSwitchWidget

from administration.frame import Admin, Inline, action, display, moved
from billing import amounts
from routing.catalogue import channels, options
from routing.catalogue.probe import Result, probe
from routing.models import Channel, Route
from routing.providers import choices
from routing.providers.openai.vendors import VENDORS
from routing.wire import addresses

_MOST_TESTED = 10
_ADDRESSES = "vendor-addresses"
_ROW = "<li><code>{}</code>: {}. {} {} <code>{}</code></li>"


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A channel with a write-only secret. A new base URL drops the secret unless the same form brings a new one."""

    secret = forms.CharField(
        label=_("New secret"),
        required=False,
        max_length=4096,
        # Never rendered back, and a browser must not fill in an operator's own password.
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_(
            "Leave empty to keep the secret. Changing the base URL removes it unless a new one is entered here."
        ),
    )
    remove_secret = forms.BooleanField(label=_("Remove the secret"), required=False, widget=UnfoldBooleanSwitchWidget())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "base_url" in self.fields:
            address = self.fields["base_url"]
            address.widget.attrs |= {"list": _ADDRESSES, "autocomplete": "off"}
            address.help_text = _addresses()
        if "options" in self.fields:
            self.fields["options"].help_text = _options()

    class Meta:
        model = Channel
        fields = (
            "name", "provider", "base_url", "status", "priority", "weight", "connect_timeout", "first_byte_timeout",
            "idle_timeout", "total_timeout", "disconnect_policy", "concurrency", "options",
        )  # fmt: skip

    def clean_secret(self) -> str:
        secret = str(self.cleaned_data["secret"])
        channels.check_secret(secret)
        return secret


class RouteInline(Inline):
    """The channel's routes, to follow; a route is changed on its own page."""

    model = Route
    extra = 0
    show_change_link = True
    fields = readonly_fields = ("model", "upstream_name", "is_enabled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        rows: QuerySet[Route] = super().get_queryset(request)
        return rows.select_related("model", "channel")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Channel)
class ChannelAdmin(Admin):
    unlogged = frozenset({"secret", "remove_secret"})
    form = ChannelForm
    list_display = ("name", "provider", "base_url", "shown_secret", "shown_status", "priority", "weight", "route_count")
    list_filter = (("status", ChoicesDropdownFilter), "provider")
    list_filter_submit = True
    search_fields = ("name", "base_url")
    readonly_fields = ("shown_secret",)
    inlines = (RouteInline,)
    actions = ("enable", "disable", "test")
    actions_detail = ("add_route",)
    actions_submit_line = ("save_and_test",)
    fieldsets = (
        (None, {"fields": ("name", "provider", "base_url", "status", "options")}),
        (_("Secret"), {"fields": ("shown_secret", "secret", "remove_secret")}),
        (_("Choice among channels"), {"fields": ("priority", "weight", "concurrency")}),
        (_("Timeouts"), {"fields": ("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout",
                                    "disconnect_policy")}),
    )  # fmt: skip

    # Reports of an error below show neither the form's values nor the variables of any function on the way.
    @method_decorator(sensitive_post_parameters("secret"))
    @sensitive_variables()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        rows: QuerySet[Channel] = super().get_queryset(request)
        return rows.annotate(routes_held=Count("routes"))

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> tuple[type[RouteInline], ...]:
        return () if obj is None else self.inlines

    def save_model(self, request: HttpRequest, obj: Channel, form: ChannelForm, change: bool) -> None:
        secret, removes = form.cleaned_data["secret"], form.cleaned_data["remove_secret"]
        if channels.save(obj, secret=secret, removes_secret=removes):
            self.message_user(
                request,
                gettext("The base URL has changed, so the secret was removed. Enter the secret for the new URL."),
                messages.WARNING,
            )
        super().save_model(request, obj, form, change)  # which also runs the button that was pressed

    @display(description=_("secret"))
    def shown_secret(self, channel: Channel) -> str:
        if not channel.sealed_secret:
            return gettext("none")
        return f"…{channel.secret_last_four}" if channel.secret_last_four else gettext("set")

    @display(description=_("status"), ordering="status", label={"enabled": "success", "disabled": "danger"})
    def shown_status(self, channel: Channel) -> tuple[str, str]:
        return channel.status, channel.get_status_display()

    @display(description=_("routes"), ordering="routes_held")
    def route_count(self, channel: Channel) -> int:
        return getattr(channel, "routes_held", 0)

    @action(description=_("Add a route"), permissions=("route",), icon="add")
    def add_route(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The form to add a route, with this channel chosen."""
        return HttpResponseRedirect(f"{reverse('admin:routing_route_add')}?{urlencode({'channel': object_id})}")

    def has_route_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, because Unfold looks up permissions given by name in the database when it checks the project."""
        return request.user.has_perm("routing.add_route")

    @action(description=_("Enable the selected channels"), permissions=("change",))
    def enable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._move(request, queryset, Channel.Status.ENABLED)

    @action(description=_("Disable the selected channels"), permissions=("change",))
    def disable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._move(request, queryset, Channel.Status.DISABLED)

    def _move(self, request: HttpRequest, queryset: QuerySet[Channel], status: Channel.Status) -> None:
        channels = list(queryset.exclude(status=status))
        Channel.objects.filter(pk__in=[channel.pk for channel in channels]).update(status=status)
        for channel in channels:
            before = channel.status  # as it was read
            self.log_change(request, channel, [{"changed": {"fields": [moved("status", before, status)]}}])
        count = len(channels)
        self.message_user(
            request, ngettext("Changed %d channel.", "Changed %d channels.", count) % count, messages.SUCCESS
        )

    @action(description=_("Test the selected channels"), permissions=("change",))
    def test(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        for channel in queryset[:_MOST_TESTED]:
            self._report(request, channel)

    @action(description=_("Save and test"), permissions=("change",))
    def save_and_test(self, request: HttpRequest, obj: Channel) -> None:
        """After the commit: this is called inside the transaction that saves, which must not wait for an upstream."""
        transaction.on_commit(partial(self._report, request, obj))

    def _report(self, request: HttpRequest, channel: Channel) -> None:
        """One real request for each enabled route, and what came of it as messages."""
        routes = list(channel.routes.filter(is_enabled=True).select_related("model", "channel")[:_MOST_TESTED])
        if not routes:
            self.message_user(request, _no_route(channel), messages.WARNING)
        for result in probe(channel, routes, addresses.networks(settings.CHANNEL_NETWORKS)):
            self.message_user(request, _sentence(result), messages.SUCCESS if result.is_ok else messages.ERROR)


def _addresses() -> SafeString:
    """The help of the base URL, with the addresses of known vendors, which browsers suggest."""
    known = [(vendor.base_url, vendor.label) for vendor in VENDORS.values()]
    suggested = format_html_join("", '<option value="{}">{}</option>', known)
    text = gettext("The addresses of known vendors are suggested.")
    return format_html('{}<datalist id="{}">{}</datalist>', text, _ADDRESSES, suggested)


def _options() -> SafeString:
    """The help of the options: what each provider's dialect can be told, as it says itself."""
    by_provider = {label: options.rows(provider) for provider, label in choices()}
    default = gettext("Default:")
    told = [
        (label, format_html_join("", _ROW, ((row.name, row.kind, row.text, default, row.default) for row in rows)))
        for label, rows in by_provider.items()
        if rows
    ]
    text = gettext("What the provider’s dialect can be told, as a JSON object; nothing is the default of each.")
    lists = format_html_join("", "<details><summary>{}</summary><ul>{}</ul></details>", told)
    return format_html("{}{}", text, lists)


def _no_route(channel: Channel) -> str:
    text = gettext("%(channel)s has no enabled route to test. Add one, then test again.")
    return text % {"channel": channel.name}


def _sentence(result: Result) -> str:
    """A test's result on one line: what, how fast, how much, at what cost, and the upstream's own words."""
    parts = [f"{result.route}: {result.message}"]
    if result.status is not None:
        parts.append(f"HTTP {result.status}")
    if result.first_token_ms is not None:
        parts.append(gettext("first token after %(time)d ms") % {"time": result.first_token_ms})
    parts.append(gettext("%(time)d ms in all") % {"time": result.duration_ms})
    if result.usage is not None:
        text = gettext("%(input)d → %(output)d tokens")
        if result.is_estimated:
            text = gettext("%(input)d → %(output)d tokens (estimated)")
        parts.append(text % {"input": result.usage.input, "output": result.usage.output})
    if result.cost is not None:
        parts.append(amounts.format_amount(result.cost, result.currency))
    if result.words:
        parts.append(f"“{result.words.strip()}”")
    return " · ".join(parts)
