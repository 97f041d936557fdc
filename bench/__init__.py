"""The benchmarks: what a request and a streamed chunk cost, measured, one command each (bench/README.md)."""
