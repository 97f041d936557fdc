"""`manage.py restrict_role NAME`: a PostgreSQL role that can serve requests and cannot change history."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from billing import privileges


class Command(BaseCommand):
    help = "Gives a PostgreSQL role what the gateway needs, without UPDATE, DELETE and TRUNCATE on history."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", help="an existing role that owns none of the tables")
        parser.add_argument("--print", action="store_true", help="print the SQL instead of running it")

    def handle(self, *args: Any, role: str, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("roles are PostgreSQL's; SQLite has triggers alone")
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in privileges.statements(role):
                if options["print"]:
                    self.stdout.write(statement.as_string(cursor.connection) + ";")
                else:
                    cursor.execute(statement)
        if not options["print"]:
            self.stdout.write(f"{role} can add to history and not change it")
