"""The public API reference: the same for everybody, so that browsers and proxies may keep it."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from portal.reference import document
from routing.models import CatalogueModel

_EXAMPLE_MODEL = "gpt-4o"

public = cache_control(public=True, max_age=300)


@require_safe
@public
@conditional_page
def introduction(request: HttpRequest) -> HttpResponse:
    return _page("docs/introduction.html", "introduction")


@require_safe
@public
@conditional_page
def errors(request: HttpRequest) -> HttpResponse:
    return _page("docs/errors.html", "errors", errors=document.errors(translation.get_language()))


@require_safe
@public
@conditional_page
def endpoint(request: HttpRequest, slug: str) -> HttpResponse:
    for candidate in document.endpoints(translation.get_language()):
        if candidate.slug == slug:
            return _page("docs/endpoint.html", slug, endpoint=candidate)
    raise Http404


@require_safe
@public
@conditional_page
def openapi(request: HttpRequest) -> HttpResponse:
    """The document itself, in both languages, for tools that read OpenAPI."""
    return HttpResponse(_here(document.PATH.read_text()), content_type="application/yaml; charset=utf-8")


def _page(template: str, slug: str, **context: object) -> HttpResponse:
    """Renders without the request: a page that never looks at the session can be shared."""
    language = translation.get_language()
    context |= {
        "slug": slug,
        "info": document.document(language)["info"],
        "endpoints": document.endpoints(language),
        "languages": [(code, name, _address(code, slug)) for code, name in settings.LANGUAGES],
        "site_url": settings.SITE_URL,
    }
    return HttpResponse(_here(render_to_string(template, context)))


def _address(language: str, slug: str) -> str:
    """The same page in another language."""
    with translation.override(language):
        if slug in {"introduction", "errors"}:
            return reverse(f"docs:{slug}")
        return reverse("docs:endpoint", args=(slug,))


def _here(text: str) -> str:
    """The text with this installation's address, and a model that it serves, so that samples run when pasted."""
    return text.replace("SITE_URL", settings.SITE_URL).replace(_EXAMPLE_MODEL, _example_model())


def _example_model() -> str:
    served = CatalogueModel.objects.filter(is_enabled=True, routes__is_enabled=True).order_by("name")
    names = list(served.values_list("name", flat=True).distinct())
    return _EXAMPLE_MODEL if not names or _EXAMPLE_MODEL in names else names[0]
