"""The operator's pages of money: prices to add to, books to look at."""

from __future__ import annotations

from billing.admin import books, prices, requests

__all__ = ["books", "prices", "requests"]
