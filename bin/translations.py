"""The catalogues of translated texts: found in the sources, brought up to date, compiled. Needs no GNU gettext.

    python -m bin.translations update     new texts in, unused ones out, then compile (`make messages`)
    python -m bin.translations compile    .po to .mo, which is not committed

`locale/` holds our own texts, `locale/packages/` those of the packages whose pages we show and that do not have the
language themselves.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = ("accounts", "administration", "billing", "costrouter", "portal", "routing", "templates")
LANGUAGES: Final = ("vi",)
"""Every language but English, which the sources themselves are written in."""

PACKAGES: Final = Path(django.__file__).resolve().parents[1]
PACKAGE_FOLDERS: Final = (
    "allauth/account", "allauth/mfa", "allauth/templates/account", "allauth/templates/mfa",
    "django/contrib/admin", "django/contrib/auth", "django/core", "django/db/models", "django/forms", "django/utils",
    "unfold",
)  # fmt: skip
_NOT_SHOWN: Final = re.compile(
    r"phone|webauthn|/tests/|contrib/auth/management/|contrib/admin/models\.py"
    r"|unfold/contrib/(?:constance|guardian|import_export|inlines|location_field|simple_history)|unfold_crispy"
)
"""Parts of the packages that are not switched on here, or that only developers see."""

_DJANGO: Final = ("conf", "contrib/admin", "contrib/auth", "contrib/contenttypes", "contrib/sessions")
"""The parts of Django that are switched on here and bring catalogues; what only the others translate stays English."""

_KEYWORDS: Final = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
    "pgettext_lazy": ((1, "c"), 2),
}


def catalogue_path(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def packages_path(language: str) -> Path:
    return ROOT / "locale" / "packages" / language / "LC_MESSAGES" / "django.po"


def load(path: Path) -> Catalog:
    """The catalogue in a .po file; an empty one if there is no file yet."""
    if not path.exists():
        return Catalog(locale=path.parents[1].name, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=path.parents[1].name)


def found_in_sources(root: Path = ROOT, folders: Iterable[str] = FOLDERS) -> Catalog:
    """Every translatable text in the Python files and templates of these folders, untranslated."""
    found = Catalog(fuzzy=False)
    for path in _sources(root, folders):
        for _line, text, comments, context in extract("python", BytesIO(_python(path)), _KEYWORDS, ["Translators:"]):
            found.add(text, locations=[(path.relative_to(root).as_posix(), 1)], auto_comments=comments, context=context)
    return found


def found_in_packages(language: str) -> Catalog:
    """What the packages' pages say and neither Django nor we have in this language yet."""
    known = {_key(message) for message in load(catalogue_path(language))}
    for folder in _DJANGO:
        path = PACKAGES / "django" / folder / "locale" / language / "LC_MESSAGES" / "django.po"
        known |= {_key(message) for message in load(path) if message.string and not message.fuzzy}
    missing = Catalog(fuzzy=False)
    for message in found_in_sources(PACKAGES, PACKAGE_FOLDERS):
        if message.id and _key(message) not in known:
            missing.add(message.id, locations=message.locations, context=message.context)
    return missing


def _key(message: Message) -> tuple[str | None, str]:
    return message.context, message.id if isinstance(message.id, str) else message.id[0]


def update(path: Path, found: Catalog) -> None:
    """Writes a catalogue anew: exactly the texts that were found, with the translations it had."""
    catalogue = load(path)
    catalogue.update(found, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue, width=120, sort_output=True, include_lineno=False)


def compile_all(root: Path = ROOT) -> None:
    """Compiles every catalogue of the project beside its source."""
    for path in sorted((root / "locale").rglob("*.po")):
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, load(path))


def _sources(root: Path, folders: Iterable[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            is_source = path.suffix in {".py", ".html", ".txt"} and "migrations" not in path.parts
            if is_source and not _NOT_SHOWN.search(path.as_posix()):
                yield path


def _python(path: Path) -> bytes:
    """The file as Python source: a template as the gettext calls that Django makes of it.

    Those calls keep the indentation that the template had, which Python's tokenizer would refuse.
    """
    source = path.read_text()
    if path.suffix != ".py":
        source = re.sub(r"^[ \t]+", "", templatize(source), flags=re.MULTILINE)
    return source.encode()


def main(command: str) -> None:
    if command == "update":
        for language in LANGUAGES:
            update(catalogue_path(language), found_in_sources())
            update(packages_path(language), found_in_packages(language))
    compile_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
