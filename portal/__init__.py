"""The tenant's pages and the public site, one module a page's noun."""
