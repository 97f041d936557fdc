"""Every text that people see is translated, and no translation is left of a text that is gone.

After changing a text: `.venv/bin/python -m bin.translations update`, then fill in what is empty in
locale/vi/LC_MESSAGES/django.po.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from babel.messages.catalog import Catalog, Message
from django.template.base import Lexer, TokenType

from bin import translations

TEMPLATES: Final = sorted(
    path for folder in translations.FOLDERS for path in (translations.ROOT / folder).rglob("*.html")
)
MAILS: Final = sorted((translations.ROOT / "templates").rglob("email/*.txt"))
PLACEHOLDER: Final = re.compile(r"%%|%\(\w+\)[a-z]|%[sd]|\{\w*\}")
UNTRANSLATABLE: Final = re.compile(r"CostRouter|\b(?:API|JSON|OpenAI|SDK|SSE|USD|UTC|VND|curl)\b|https?://\S*")
WORD: Final = re.compile(r"[^\W\d_]{2,}")
READ_ATTRIBUTES: Final = {"alt", "aria-description", "aria-label", "placeholder", "title"}

Key = tuple[str | None, str]


def _key(message: Message) -> Key:
    return message.context, _texts(message.id)[0]


def _texts(text: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    """Singular and plural; an empty text where there is no translation at all."""
    return (text or "",) if isinstance(text, str | None) else tuple(text)


def _messages(catalogue: Catalog) -> dict[Key, Message]:
    return {_key(message): message for message in catalogue if message.id}


CATALOGUES: Final = {
    f"{kind} {language}": (path(language), partial(found, language))
    for language in translations.LANGUAGES
    for kind, path, found in (
        ("ours", translations.catalogue_path, lambda _language: translations.found_in_sources()),
        ("packages", translations.packages_path, translations.found_in_packages),
    )
}


@pytest.fixture(params=CATALOGUES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def catalogue(name: str) -> Catalog:
    return translations.load(CATALOGUES[name][0])


@pytest.fixture
def found(name: str) -> dict[Key, Message]:
    """The texts that the catalogue should hold."""
    return _messages(CATALOGUES[name][1]())


def test_every_text_is_translated(found: dict[Key, Message], catalogue: Catalog) -> None:
    done = {
        key
        for key, message in _messages(catalogue).items()
        if all(text.strip() for text in _texts(message.string)) and not message.fuzzy
    }
    assert sorted(set(found) - done, key=str) == []


def test_no_translation_is_left_over(found: dict[Key, Message], catalogue: Catalog) -> None:
    assert sorted(set(_messages(catalogue)) - set(found), key=str) == []
    assert dict(catalogue.obsolete) == {}


def _differing(catalogue: Catalog) -> Iterator[str]:
    for message in _messages(catalogue).values():
        wanted = set(PLACEHOLDER.findall(_texts(message.id)[-1]))
        yield from (text for text in _texts(message.string) if text and set(PLACEHOLDER.findall(text)) != wanted)


def test_translations_keep_the_placeholders(catalogue: Catalog) -> None:
    assert list(_differing(catalogue)) == []


def _framed(text: str) -> tuple[bool, bool]:
    """Whether a text begins and ends with a line break: Django joins such texts to their neighbours."""
    return text.startswith("\n"), text.endswith("\n")


def test_translations_keep_the_line_breaks_at_their_ends(catalogue: Catalog) -> None:
    wrong = [
        text
        for message in _messages(catalogue).values()
        for text in _texts(message.string)
        if text and _framed(text) != _framed(_texts(message.id)[0])
    ]
    assert wrong == []


def test_compiled_catalogue_speaks(tmp_path: Path) -> None:
    source = translations.catalogue_path("vi").read_text()
    po = tmp_path / "locale" / "vi" / "LC_MESSAGES" / "django.po"
    po.parent.mkdir(parents=True)
    po.write_text(source)
    translations.compile_all(tmp_path)
    with po.with_suffix(".mo").open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("API key") == "khóa API"


# --- templates -------------------------------------------------------------------------------------------------------


def _without_tags(source: str) -> str:
    """The template without its tags, comments, translated blocks and CSS class blocks, each of them blanked."""
    kept: list[str] = []
    end = ""
    for token in Lexer(source).tokenize():
        contents = token.contents if token.token_type == TokenType.BLOCK else ""
        name = contents.partition(" ")[0]
        if name in {"blocktrans", "blocktranslate", "comment"}:
            end = f"end{name}"
        elif contents.startswith("block ") and contents.endswith("_class"):
            end = "endblock"
        elif name == end:
            end = ""
        is_kept = token.token_type == TokenType.TEXT and not end
        kept.append(token.contents if is_kept else "" if contents else " ")
    return "".join(kept)


class _ReadText(HTMLParser):
    """Collects what a person reads of a page: text nodes and the attributes that are read out."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = 0
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in {"code", "script", "style"}
        self.texts += [value or "" for name, value in attrs if name in READ_ATTRIBUTES]

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in {"code", "script", "style"}

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def _bare(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts if WORD.search(UNTRANSLATABLE.sub("", text))]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(translations.ROOT).as_posix())
def test_template_has_no_bare_text(path: Path) -> None:
    reader = _ReadText()
    reader.feed(_without_tags(path.read_text()))
    reader.close()
    assert _bare(reader.texts) == []


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.relative_to(translations.ROOT).as_posix())
def test_mail_has_no_bare_text(path: Path) -> None:
    assert _bare(_without_tags(path.read_text()).splitlines()) == []
