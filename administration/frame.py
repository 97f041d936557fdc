"""The administration's frame: its site, its content security policy, and what all of its pages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ClassVar, Final, TypeVar, cast

from allauth.account.decorators import secure_admin_login
from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django import forms
from django.contrib.auth.views import LogoutView
from django.core.exceptions import FieldDoesNotExist, PermissionDenied, ValidationError
from django.db.models import DateTimeField, ManyToManyField, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold import decorators
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import PaginationInlineFormSet
from unfold.sites import UnfoldAdminSite

from administration import second_factor
from billing import amounts

# Unfold's pages hold Alpine expressions, which are compiled at run time, and style attributes. Scripts and style
# sheets still come from our own host alone; no other page of ours has this exception.
_POLICY = {"script-src": [UNSAFE_EVAL], "style-src-attr": [UNSAFE_INLINE]}


_MOST_LOGGED: Final = 200
Method = TypeVar("Method", bound=Callable[..., Any])
Row = TypeVar("Row", bound=Model)


class Label(tuple[str, str]):
    """What chooses a badge's colour, and the badge's text: all that a row's own page shows, which has no badges."""

    __slots__ = ()

    def __str__(self) -> str:
        return self[1]


def display(**options: Any) -> Callable[[Method], Method]:
    """Unfold's decorator for a shown value, with types."""
    decorate: Callable[[Any], Any] = decorators.display(**options)
    return (lambda method: decorate(_labelled(method))) if "label" in options else decorate


def _labelled(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def shown(admin: Any, row: Model) -> Any:
        value = method(admin, row)
        return Label(value) if isinstance(value, tuple) else value

    return shown


def action(**options: Any) -> Callable[[Method], Method]:
    """Unfold's decorator for an action, with types.

    Name its permissions by a method of the page (`has_<name>_permission`): a dotted name is looked up in the database
    by Unfold's system check, which also runs before there is one.
    """
    decorate: Callable[[Method], Method] = decorators.action(**options)
    return decorate


def named(field: str, label: Any, **options: Any) -> Callable[[Any, Model], Any]:
    """A field shown under a name that is translated, where its model gives it none."""

    @display(description=label, ordering=field, **options)
    def shown(admin: Any, row: Model) -> Any:
        return getattr(row, field)

    return shown


class AdministrationSite(UnfoldAdminSite):  # type: ignore[misc]
    """Operators only. They sign in, out and change passwords through allauth, so that their second factor counts."""

    index_title = _("Overview")
    index_template = "administration/index.html"

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        framed: Any = csp_update(_POLICY)(super().admin_view(second_factor.required(view), cacheable))
        return cast("Callable[..., HttpResponse]", framed)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Without Unfold's inline style sheet: our colours are a file (static/css/administration.css)."""
        context: dict[str, Any] = super().each_context(request)
        return context | {"colors": None}

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = secure_admin_login(super().login)(request, extra_context=extra_context)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return LogoutView.as_view(next_page="account_login")(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("account_change_password")


class Admin(ModelAdmin):  # type: ignore[misc]  # Unfold carries no types; from here on there are some
    """The base of every page about rows."""

    unlogged: ClassVar[frozenset[str]] = frozenset()
    """Fields whose values no log keeps, and nobody reads: secrets."""

    guarded: ClassVar[Mapping[str, str]] = {}
    """What tells of another model's rows, and is for those alone who may look at them: names of columns, fields and
    filters, and of the database's values behind them, with that model.
    """

    log_tells_of: ClassVar[str] = ""
    """Such a model, where these rows' history has values of it."""

    def is_open(self, request: HttpRequest, name: str) -> bool:
        return may_look(request, self.guarded.get(name, ""))

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        return tuple(name for name in super().get_list_display(request) if self.is_open(request, name))

    def get_list_filter(self, request: HttpRequest) -> tuple[Any, ...]:
        shown = super().get_list_filter(request)
        return tuple(each for each in shown if self.is_open(request, getattr(each, "parameter_name", "")))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """A list filtered by a value that is not shown would tell it after some questions.

        Of several numbers Django does not look whether the database knows each.
        """
        is_open = self.is_open(request, lookup.partition("__")[0]) and not _has_too_large(lookup, str(value))
        return is_open and bool(super().lookup_allowed(lookup, value, request))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, Any]]:
        """Without what is guarded; and without what is only written, for who may only look: Django would show the row's
        attribute of that name.
        """
        hidden = frozenset(name for name in self.guarded if not self.is_open(request, name))
        if obj is not None and self.unlogged and not self.has_change_permission(request, obj):
            hidden |= self.unlogged
        fieldsets: list[tuple[Any, Any]] = super().get_fieldsets(request, obj)
        kept = [(title, {**options, "fields": _without(options["fields"], hidden)}) for title, options in fieldsets]
        return [(title, options) for title, options in kept if options["fields"]]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = extra_context or {}
        if not may_look(request, self.log_tells_of):
            context |= {"show_history": False}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not may_look(request, self.log_tells_of):
            raise PermissionDenied
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return super().get_object(request, object_id, from_field or None)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What an address fills a form with, without what its field cannot be; moments are filled from no text."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {name: value for name, value in initial.items() if self._is_possible(name, value)}

    def _is_possible(self, name: str, value: Any) -> bool:
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            return True  # the form's own
        if isinstance(field, ManyToManyField):
            return all(_takes(field.target_field, each) for each in value)
        return not isinstance(field, DateTimeField) and _takes(field, value)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """What was changed, with the old and the new value; Django's own names the fields alone."""
        message = super().construct_change_message(request, form, formsets, add)
        if not add and form.changed_data:
            changed = [self._changed(form, name) for name in form.changed_data]
            message[0] = {"changed": {"fields": changed}}
        return message

    def _changed(self, form: Any, name: str) -> str:
        field = form.fields.get(name)
        if field is None:  # a form's own name for what it changes, such as the password
            return name
        label = str(field.label or name)
        if name in self.unlogged or isinstance(field.widget, forms.PasswordInput):
            return label
        before = form.get_initial_for_field(field, name)
        if isinstance(field, forms.MultiValueField):
            return moved(label, before, form.cleaned_data.get(name))
        return moved(label, field.to_python(before), field.to_python(form[name].data))  # as it is typed: money too


def _has_too_large(lookup: str, value: str) -> bool:
    is_of_several = lookup.endswith(("__in", "__range"))
    return is_of_several and any(part.isdecimal() and amounts.whole(part) is None for part in value.split(","))


def _takes(field: Any, value: Any) -> bool:
    try:
        field.to_python(value)
    except (ValidationError, ValueError):
        return False
    return True


def may_look(request: HttpRequest, model: str) -> bool:
    """Whether somebody may look at the rows of a model (`app.name`); at nothing, everybody may."""
    app, _dot, name = model.partition(".")
    return not model or any(request.user.has_perm(f"{app}.{right}_{name}") for right in ("view", "change"))


def _without(fields: Iterable[Any], hidden: frozenset[str]) -> tuple[Any, ...]:
    """Fields of a set, some of them in lines, without these and without lines that are empty then."""
    kept = (_without(each, hidden) if isinstance(each, tuple | list) else each for each in fields)
    return tuple(each for each in kept if each and each not in hidden)


def moved(label: str, before: Any, after: Any) -> str:
    """A change as the log keeps it."""
    return f"{label}: {_logged(before)} \N{RIGHTWARDS ARROW} {_logged(after)}"


def _logged(value: Any) -> str:
    if isinstance(value, QuerySet | list | tuple | set):
        value = ", ".join(sorted(map(str, value)))
    text = "" if value is None else str(value)
    return text[:_MOST_LOGGED] or "\N{EN DASH}"


class PageOfRows(PaginationInlineFormSet):  # type: ignore[misc]
    """A page of rows; one that was sent is the row that it names, also if it has moved to another page meanwhile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound:
            count = min(self.initial_form_count(), self.absolute_max)
            sent = (self.data.get(f"{self.add_prefix(number)}-id") for number in range(count))
            ids = [amounts.whole(text) for text in sent if text]
            self._queryset = self.queryset.filter(pk__in=[pk for pk in ids if pk is not None])

    def _existing_object(self, pk: Any) -> Model:
        """One that is gone meanwhile stays itself, and is refused as such: no neighbour takes its place."""
        return cast("Model", super()._existing_object(pk) or self.model(pk=pk))


class Inline(TabularInline):  # type: ignore[misc]
    """The base of every table of rows inside another row's page: a hundred at once, however many there are."""

    formset = PageOfRows
    ordering = ("pk",)
    per_page = 100

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Named for screen readers: a column's head is no label."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            getattr(field.widget, "widget", field.widget).attrs["aria-label"] = field.label
        return field


class ReadOnlyAdmin(Admin):
    """Rows that the gateway alone writes: they can be looked at."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AddOnlyAdmin(Admin):
    """Rows that are history once they are written."""

    actions = None

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def form_page(
    admin: Admin,
    request: HttpRequest,
    *,
    title: str,
    form: forms.Form,
    original: Model,
    submit: str,
    explanation: str = "",
    preview: SafeString | str = "",
    can_preview: bool = False,
) -> TemplateResponse:
    """A page of the administration that asks for a form about one row.

    `preview` says what would come of it; with `can_preview` a second button asks for that, by the name `preview`.
    """
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "opts": admin.opts,
        "original": original,
        "form": form,
        "submit_label": submit,
        "explanation": explanation,
        "preview": preview,
        "can_preview": can_preview,
    }
    return TemplateResponse(request, "administration/form.html", context)


@never_cache
def secret_page(request: HttpRequest, *, admin: Admin, title: str, original: Model, secret: str) -> TemplateResponse:
    """The page that shows a new secret this one time; no cache keeps it."""
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "opts": admin.opts,
        "original": original,
        "secret": secret,
    }
    return TemplateResponse(request, "administration/secret.html", context)


def table(headers: list[Any], rows: list[tuple[Any, ...]], *, numeric: frozenset[int] = frozenset()) -> SafeString:
    """A small table for a read-only page, everything escaped; `numeric` columns are aligned to the right."""
    classes = ["number" if column in numeric else "" for column in range(len(headers))]
    head = format_html_join("", '<th scope="col" class="{}">{}</th>', zip(classes, headers, strict=True))
    cells = [format_html_join("", '<td class="{}">{}</td>', zip(classes, row, strict=True)) for row in rows]
    body = format_html_join("", "<tr>{}</tr>", ((row,) for row in cells))
    return format_html(
        '<div class="record-table" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )


def row_or_404(rows: type[Row] | QuerySet[Row], object_id: str) -> Row:
    """The row of an address; what can be no id at all is not there either."""
    try:
        return get_object_or_404(rows, pk=object_id)
    except (ValueError, OverflowError, ValidationError) as error:
        raise Http404 from error


def back_to(admin: Admin, original: Model) -> HttpResponseRedirect:
    """Back to the page of a row."""
    opts = admin.opts
    return redirect(f"{admin.admin_site.name}:{opts.app_label}_{opts.model_name}_change", original.pk)
