"""In which format a request goes to which upstream: its endpoint's own, or another that can say the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from routing.catalogue.snapshot import ChannelView, RouteView
from routing.endpoints.base import Form
from routing.endpoints.invalid import UnsupportedParameter
from routing.pipeline.call import Call
from routing.providers import ADAPTERS
from routing.selection.reasons import Reason


class Forms:
    """One request in the formats that its routes want it in, each made once."""

    __slots__ = ("_bodies", "_call", "_refusals", "endpoint", "lacking")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.endpoint = call.endpoint
        self._bodies: dict[str, Mapping[str, Any]] = {call.endpoint.name: call.body}
        self._refusals: set[str] = set()
        """Formats that cannot say it."""
        self.lacking = ""
        """A member of the body that some upstream cannot be asked for; empty if nobody lacks anything."""

    def fault(self, channel: ChannelView) -> Reason | None:
        """Why this channel cannot be asked, None if it can."""
        form = channel.form(self.endpoint)
        if form is None:
            return Reason.NO_ENDPOINT
        if form.name not in self._bodies:
            self._say(form)
        if form.name in self._refusals:
            return Reason.NOT_EXPRESSIBLE
        lacking = ADAPTERS[channel.provider].lacks(form.name, self._bodies[form.name], channel.options)
        if lacking:
            self.lacking = self.lacking or lacking
            return Reason.NOT_EXPRESSIBLE
        return None

    def kind(self, route: RouteView) -> Hashable:
        """Routes of one kind have the same fault."""
        form = route.channel.form(self.endpoint)
        return None if form is None else (form.name, route.channel.provider, route.channel.options)

    def of(self, channel: ChannelView) -> tuple[Form, Mapping[str, Any]]:
        """The format for a channel that can be asked, and the body in it."""
        form = channel.forms[self.endpoint.name]
        assert form is not None  # noqa: S101 - its fault was asked first
        return form, self._bodies[form.name]

    def say_ahead(self) -> None:
        """Says the request in every other format that it may be wanted in. Pure: may run in a thread."""
        for form in self.endpoint.over:
            self._say(form)

    def _say(self, form: Form) -> None:
        try:
            self._bodies[form.name] = form.body(self._call.request, self._call.body)
        except UnsupportedParameter as error:
            self._bodies[form.name] = {}
            self._refusals.add(form.name)
            self.lacking = self.lacking or error.param or ""
