"""Gateways of their own for the tests that kill and race: what they do would disturb the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.worlds import World, running


@pytest.fixture
def start_world(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Callable[..., World]]:
    """Starts worlds (the options are those of `worlds.running`), stopped at the end."""
    with ExitStack() as stack:

        def start(**options: Any) -> World:
            var = tmp_path_factory.mktemp("chaos")
            return stack.enter_context(running(var=var, blocker=django_db_blocker, **options))

        yield start
