"""Tariffs in the administration: entered and read as currency units per million tokens; written once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextareaWidget

from accounts.errors import GatewayError
from administration.decisions import operator
from administration.frame import AddOnlyAdmin, action, back_to, display, form_page, row_or_404
from administration.second_look import Look
from billing import amounts, money, plans, terms
from billing.amounts import AmountField
from billing.kinds import KINDS
from billing.models import Rates
from billing.terms import BadTerms

_LABELS = {kind.rate: _(kind.label) for kind in KINDS} | {"request_fee": _("fee per request")}
RATES = tuple(_LABELS)
"""The fields of a tariff: a rate for every kind of usage, and the flat fee."""


def _amount(label: Any, *, required: bool = False, initial: int | None = None) -> AmountField:
    widget = UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"})
    return AmountField(label=capfirst(label), required=required, initial=initial, min_value=0, widget=widget)


class RatesForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """One new version of a tariff. Its rates become ledger units exactly or not at all."""

    effective_from = forms.SplitDateTimeField(
        label=_("Effective from"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=_("Empty: from now on. A price never changes the past."),
    )

    terms = forms.CharField(
        label=_("Terms"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_(
            "One a line: other rates above a length of input, or in hours of the day (UTC). "
            "For example “above 200000: input 6, output 22.5” or “16:30-00:30: input 0.135”."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The model's default, the moment the form was opened, would lie in the past when it is sent.
        self.initial.pop("effective_from", None)

    def clean_effective_from(self) -> Any:
        now = timezone.now()
        chosen = self.cleaned_data["effective_from"] or now
        if chosen < now:
            raise ValidationError(_("A price cannot take effect in the past."))
        return chosen

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        currency = cleaned.get("currency")
        if currency is None:
            return cleaned
        cleaned["request_fee"] = cleaned.get("request_fee") or Decimal(0)
        for name in RATES:
            value = cleaned.get(name)
            if value is not None:
                try:
                    cleaned[name] = amounts.ledger_units(value, currency)
                except ValidationError as error:
                    self.add_error(name, error)
        if "terms" in cleaned:
            cleaned["terms"] = self._stored_terms(cleaned["terms"], currency)
        return cleaned

    def _stored_terms(self, text: str, currency: str) -> Any:
        try:
            return terms.stored(terms.read(text, currency))
        except BadTerms as error:
            self.add_error("terms", gettext(error.text) % error.values)
            return None


for _kind in KINDS:
    RatesForm.declared_fields[_kind.rate] = _amount(_LABELS[_kind.rate], required=_kind.is_required)
RatesForm.declared_fields["request_fee"] = _amount(_LABELS["request_fee"], initial=0)


def _shown_rate(name: str, label: Any) -> Any:
    @display(description=label)
    def rate(self: RatesAdmin, rates: Rates) -> SafeString:
        return amounts.amount_html(getattr(rates, name), rates.currency, absent=gettext("no price of its own"))

    return rate


class RatesAdmin(AddOnlyAdmin):
    """What prices and cost prices share: the form to add a version, and the same rates to read."""

    shown_rates: ClassVar[tuple[str, ...]] = tuple(f"shown_{name}" for name in RATES)

    @display(description=_("terms"))
    def shown_terms(self, rates: Rates) -> SafeString:
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', written_terms(rates) or amounts.ABSENT)

    @display(
        description=_("state"), label={"now": "success", "coming": "info", "past": "default", "withdrawn": "warning"}
    )
    def shown_state(self, rates: Any) -> tuple[str, str]:
        """Whether it holds, has held or is to hold, as far as its own row tells."""
        if hasattr(rates, "withdrawal"):
            return "withdrawn", gettext("withdrawn")
        if rates.effective_from > timezone.now():
            return "coming", gettext("to come")
        return ("past", gettext("past")) if rates.is_followed else ("now", gettext("in force"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With `is_followed`: whether a later version of the same price holds instead."""
        rows: QuerySet[Any] = super().get_queryset(request)
        is_later = Q(effective_from__gt=OuterRef("effective_from")) | Q(
            effective_from=OuterRef("effective_from"), version__gt=OuterRef("version")
        )
        later = self.same_price(self.model.objects.all()).filter(is_later, withdrawal=None, effective_from__lte=Now())
        annotated: QuerySet[Any] = rows.annotate(is_followed=Exists(later))
        return annotated

    def same_price(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The versions of the price of an outer row."""
        raise NotImplementedError

    def look(self, rates: Any) -> Look:
        """The second look at a version before it is saved."""
        raise NotImplementedError

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Saves what somebody has looked at twice: what changes a price, or is unusual, is shown before."""
        if request.method == "POST" and self.has_add_permission(request):
            form = self.get_form(request)(request.POST)
            if form.is_valid():
                look = self.look(form.instance)
                if look.is_due and not look.is_confirmed(request.POST):
                    return self.second_look(request, form.instance, look, back=request.get_full_path())
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    def second_look(self, request: HttpRequest, rates: Any, look: Look, *, back: str) -> HttpResponse:
        """The page that shows what is about to be saved; its button posts the same again, with the ticks."""
        left_out = {"csrfmiddlewaretoken", "seen", *(doubt.name for doubt in look.doubts)}
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Save this price?"),
            "opts": self.opts,
            "subject": self.subject(rates),
            "look": look,
            "terms": written_terms(rates),
            "posted": [(name, value) for name in request.POST if name not in left_out
                       for value in request.POST.getlist(name)],
            "is_incomplete": request.POST.get("seen") == look.seen,
            "back": back,
        }  # fmt: skip
        return TemplateResponse(request, "administration/second_look.html", context)

    def subject(self, rates: Any) -> str:
        """What it is a price of, and from when on."""
        raise NotImplementedError

    def has_price_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may add a version; Unfold asks with a row, Django's own check for adding takes none."""
        return bool(self.has_add_permission(request))

    def fieldsets_of(self, adding: bool, subject: tuple[str, ...], written: tuple[str, ...]) -> list[tuple[Any, Any]]:
        """The page's parts: of what it is a price, and the rates, as fields to type or as values to read."""
        return [
            (None, {"fields": subject}),
            (
                _("Currency units per million tokens"),
                {
                    "fields": RATES if adding else self.shown_rates,
                    "description": _(
                        "A kind without a price of its own costs what the kind costs that contains it: cached input, "
                        "cache writes and input audio what input costs, reasoning and output audio what output costs. "
                        "If nothing contains it, requests for it are refused. The fee is per request, not per million."
                    ),
                },
            ),
            (None, {"fields": ("terms",) if adding else ("shown_terms",)}),
            *([] if adding else [(None, {"fields": written})]),
        ]

    @action(description=_("Withdraw"), permissions=("price",), icon="undo")
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Takes back a version that has not taken effect."""
        price = row_or_404(self.model, object_id)
        form = forms.Form(request.POST or None)
        if request.method == "POST":
            try:
                plans.withdraw(price, operator(request))
            except GatewayError as refusal:
                form.add_error(None, refusal.message)
            else:
                self.log_change(request, price, [{"changed": {"fields": ["withdrawn"]}}])
                self.message_user(request, gettext("The price was withdrawn."), messages.SUCCESS)
                return back_to(self, price)
        return form_page(
            self, request, title=gettext("Withdraw"), form=form, original=price, submit=gettext("Withdraw"),
            explanation=gettext("As if it had never been entered. Only what is still to come can be withdrawn."),
        )  # fmt: skip

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A link may carry an earlier version's rates in ledger units, which the form shows as currency units."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        currency = initial.get("currency", "")
        for name in RATES:
            amount = amounts.whole(str(initial.get(name, "")))
            if amount is not None and currency in money.EXPONENT:
                initial[name] = money.to_json_number(amount, currency)
        return initial


for _name, _label in _LABELS.items():
    setattr(RatesAdmin, f"shown_{_name}", _shown_rate(_name, _label))


def written_terms(rates: Rates) -> str:
    return terms.write(terms.loaded(rates.terms), rates.currency)


def earlier_rates(rates: Rates) -> dict[str, Any]:
    """What a link to the form for a new version carries of an earlier one: ledger units, and the terms as typed."""
    known = {name: getattr(rates, name) for name in RATES if getattr(rates, name) is not None}
    return {"currency": rates.currency, **known, "terms": written_terms(rates)}


def format_pair(input_rate: int | None, output_rate: int | None, currency: str | None) -> SafeString | str:
    """Input and output rates of the version that holds, for lists."""
    if input_rate is None or output_rate is None or currency is None:
        return amounts.ABSENT
    rates = (amounts.format_amount(rate, currency) for rate in (input_rate, output_rate))
    return format_html('<span class="amount">{} / {}</span>', *rates)
