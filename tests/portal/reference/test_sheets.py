"""The reference's own sheet comes after the site's on the same page."""

from __future__ import annotations

import re

from django.conf import settings

BEGINS = re.compile(r"^\.([\w-]+)(?=[^{}]*\{)", re.MULTILINE)


def _pieces(sheet: str) -> set[str]:
    """The classes that begin a selector: the pieces that a sheet defines."""
    return set(BEGINS.findall((settings.BASE_DIR / "static" / "css" / sheet).read_text()))


def test_no_piece_is_two_things_by_one_name() -> None:
    both = _pieces("site.css") & _pieces("docs.css")
    assert "code" in _pieces("site.css")
    assert both <= {"code", "prose", "docs-layout", "docs-nav"}, "a page with both sheets would get both pieces' rules"
