"""Curves of what grows, one module each; `python -m bench.growth` measures them."""
