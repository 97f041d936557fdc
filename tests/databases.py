"""Databases of their own for tests that start processes: empty ones, and migrated ones made by copying."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)
_END_IDLE: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND state = 'idle'"


def manage(*words: str, database_url: str, env: Mapping[str, str] | None = None) -> str:
    """Runs `manage.py` in a process of its own against a database and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        env={**os.environ, "DATABASE_URL": database_url, **(env or {})},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"manage.py {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class PostgresDatabases:
    """Makes databases on one server and drops them again; `front_url` is where they are reached, itself or a pooler."""

    def __init__(self, server_url: str, front_url: str = "") -> None:
        self.server_url = server_url
        self.front_url = front_url or server_url
        self._made: list[str] = []
        self._template = ""

    def empty(self) -> str:
        """The URL of a new empty database."""
        return _at(self.front_url, self._create(template="template0"))

    def migrated(self) -> str:
        """The URL of a new database with all migrations, copied from one that is migrated once."""
        if not self._template:
            name = self._create(template="template0")
            # Nobody may be connected to what is copied, and a pooler would stay.
            manage("migrate", "-v0", database_url=_at(self.server_url, name))
            self._template = name
        return _at(self.front_url, self._create(template=self._template))

    def copied(self, url: str) -> str:
        """The URL of a copy of one of these, to which nobody may be connected; a pooler's idle connection is ended."""
        name = urlsplit(url).path.removeprefix("/")
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(_END_IDLE, (name,))
        return _at(self.front_url, self._create(template=name))

    def drop_all(self) -> None:
        for name in self._made:
            self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _create(self, *, template: str) -> str:
        name = f"own_{os.getpid()}_{next(_numbers)}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        self._made.append(name)
        return name

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(statement)


def _at(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


class SqliteDatabases:
    """Makes migrated SQLite files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._template = folder / "template.sqlite3"

    def migrated(self) -> str:
        """The URL of a new file with all migrations."""
        if not self._template.exists():
            manage("migrate", "-v0", database_url=f"sqlite:///{self._template}")
        return self.copied(f"sqlite:///{self._template}")

    def copied(self, url: str) -> str:
        """The URL of a copy of one of these."""
        path = self.folder / f"own_{next(_numbers)}.sqlite3"
        shutil.copyfile(url.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"
