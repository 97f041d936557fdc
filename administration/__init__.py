"""The operator's pages in Django's admin, one module a noun."""
