"""The operator's pages of who is calling: users, tenants, API keys."""

from __future__ import annotations

from accounts.admin import keys, tenants, users

__all__ = ["keys", "tenants", "users"]
