"""The constant upstreams: nginx for JSON, a bare uvloop server for streams, both on the other core."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench import payloads
from bench.processes import OTHER_CORE, BenchmarkError, Fleet

_NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log crit;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{ return 200 '{answer}'; }}
        location = /v1/embeddings {{ return 200 '{vectors}'; }}
    }}
}}
"""


def start(fleet: Fleet, *, json_port: int, stream_port: int, root: Path) -> None:
    """Starts both and returns once they listen."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        raise BenchmarkError("nginx is not installed (Debian: apt-get install nginx-light wrk)")
    config = fleet.folder / "nginx.conf"
    answers = {"answer": payloads.answer().decode(), "vectors": payloads.embeddings_answer().decode()}
    config.write_text(_NGINX.format(folder=fleet.folder, port=json_port, **answers))
    json_upstream = fleet.start("nginx", [nginx, "-c", config], core=OTHER_CORE)
    stream_upstream = fleet.start(
        "stream-upstream", [sys.executable, "-m", "bench.stream_upstream", str(stream_port)], core=OTHER_CORE, cwd=root
    )
    json_upstream.await_port(json_port)
    stream_upstream.await_port(stream_port)
