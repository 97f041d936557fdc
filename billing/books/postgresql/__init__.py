"""The books on PostgreSQL."""

from billing.books.postgresql.books import PostgresBooks

__all__ = ["PostgresBooks"]
