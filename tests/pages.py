"""Pages as people use them: a form is the one that was rendered, and its button is pressed by the label that it shows.

What a browser checks by itself (required fields, number inputs) is not checked here: the server has to.
"""

from __future__ import annotations

from typing import Any
from unicodedata import normalize
from urllib.parse import urljoin

from asgiref.sync import async_to_sync
from django.test import Client
from lxml import html

from accounts.models import User

Values = dict[str, list[str]]

_SENDING = {"button", "file", "image", "reset", "submit"}
_WORDS = ".//text()[not(ancestor::*[contains(@class, 'material-symbols')])]"  # that font draws icons from their names


class Browser(Client):
    """A client that checks csrf tokens; somebody may be signed in. The options are those of Django's client."""

    def __init__(self, user: User | None = None, **options: Any) -> None:
        super().__init__(enforce_csrf_checks=True, **options)
        if user is not None:
            self.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    def open(self, url: str, **options: Any) -> Page:
        return Page(self, self.get(url, **options))

    def forge(self, url: str, fields: Any = None) -> Page:
        """Posts what no page asked for, as somebody may who has a valid token."""
        self.handler.enforce_csrf_checks = False
        answer = self.post(url, fields)
        self.handler.enforce_csrf_checks = True
        return Page(self, answer)


def whole(response: Any) -> str:
    """The text of an answer, also of one that comes in pieces."""
    if not response.streaming:
        return str(response.content.decode())

    async def read() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return async_to_sync(read)().decode()


class Page:
    """What came back from a request, to be read and used."""

    def __init__(self, browser: Browser, response: Any) -> None:
        self.browser, self.response = browser, response
        self.status: int = response.status_code
        self.url: str = response.wsgi_request.get_full_path()
        is_text = response.headers.get("content-type", "").startswith("text/")
        self.text: str = whole(response) if is_text else ""
        self._root = html.document_fromstring(self.text or "<html></html>")

    @property
    def location(self) -> str:
        """Where it redirects to; empty if it does not."""
        return str(self.response.headers.get("location", ""))

    @property
    def buttons(self) -> list[str]:
        """The labels of what sends a form; icons without a word are left out."""
        labels = [_label(button) for button in self._root.iter("button") if _kind(button) == "submit"]
        return list(filter(None, labels))

    @property
    def links(self) -> dict[str, str]:
        """Where the links lead, by their labels."""
        return {_label(link): str(link.get("href", "")) for link in self._root.iter("a")}

    @property
    def actions(self) -> dict[str, str]:
        """What an administration's list offers for the selected rows: labels, with the names that are sent."""
        options = self._root.xpath("//select[@name='action']/option[@value!='']")
        return {_label(option): str(option.get("value")) for option in options}

    def press(self, label: str, /, **fields: Any) -> Page:
        """Fills in the form of a button and sends it: texts, a list where several can be chosen, a bool for a tick."""
        button = self._only("button", label)
        form = self._form(button)
        values = self.values(label) | {name: self._fill(form, name, value) for name, value in fields.items()}
        if button.get("name"):
            values[button.get("name")] = [button.get("value", "")]
        send = self.browser.post if form.method == "POST" else self.browser.get
        return Page(self.browser, send(urljoin(self.url, form.get("action", "")), values))

    def run(self, action: str, *rows: Any) -> Page:
        """Selects rows of an administration's list and runs an action on them."""
        return self.press("Run", action=self.actions[action], _selected_action=[str(row.pk) for row in rows])

    def click(self, label: str) -> Page:
        """Where a link leads in the end."""
        return self.browser.open(urljoin(self.url, self._only("a", label).get("href"))).landed()

    def landed(self) -> Page:
        """Where the redirects end."""
        return self.browser.open(urljoin(self.url, self.location)).landed() if self.location else self

    def values(self, button: str) -> Values:
        """What the form of a button holds as it was rendered."""
        values: Values = {}
        for control in self._controls(self._form(self._only("button", button))):
            values.setdefault(control.name, []).extend(_held(control))
        return values

    def _only(self, tag: str, label: str) -> Any:
        """What shows this label; it may be there more than once if it always does the same."""
        found = [element for element in self._root.iter(tag) if _label(element) == label]
        assert found, f"no {label!r} among {list(self.links) if tag == 'a' else self.buttons}"
        assert len({self._deed(element) for element in found}) == 1, f"{label!r} means more than one thing"
        return found[0]

    def _deed(self, element: Any) -> tuple[Any, ...]:
        if element.tag == "a":
            return (element.get("href"),)
        form = self._form(element) if _kind(element) == "submit" else None
        assert form is not None, f"{_label(element)!r} sends nothing"
        return form.get("action"), element.get("name"), element.get("value")

    def _form(self, control: Any) -> Any:
        named = control.get("form")
        return self._root.get_element_by_id(named) if named else next(control.iterancestors("form"), None)

    def _controls(self, form: Any) -> list[Any]:
        named = [control for control in self._root.iter("input", "select", "textarea") if control.name]
        live = [control for control in named if "disabled" not in control.attrib and _kind(control) not in _SENDING]
        return [control for control in live if self._form(control) is form]

    def _fill(self, form: Any, name: str, value: Any) -> list[str]:
        controls = [each for each in self._controls(form) if each.name == name and _kind(each) != "hidden"]
        assert controls, f"{name!r} is no field of the form"
        choices = _choices(controls)
        if isinstance(value, bool):
            assert choices is not None, f"{name!r} is no tick"
            return choices if value else []
        chosen = [str(each) for each in (value if isinstance(value, list) else [value])]
        assert choices is None or set(chosen) <= set(choices), f"{name!r} offers {choices}, not {chosen}"
        return chosen


def _label(element: Any) -> str:
    words = element.get("aria-label") or "".join(element.xpath(_WORDS))
    return " ".join(normalize("NFC", words).split())


def _kind(control: Any) -> str:
    return str(control.get("type", "submit" if control.tag == "button" else "text")).lower()


def _held(control: Any) -> list[str]:
    if control.tag == "input" and control.checkable:
        return [control.get("value", "on")] if control.checked else []
    if control.tag == "select":
        chosen = control.value
        return list(chosen) if control.multiple else [] if chosen is None else [chosen]
    return [control.value or ""]


def _choices(controls: list[Any]) -> list[str] | None:
    """What can be chosen; None where anything can be typed."""
    if controls[0].tag == "select":
        return [option for control in controls for option in control.value_options]
    return [control.get("value", "on") for control in controls] if _kind(controls[0]) in {"checkbox", "radio"} else None
