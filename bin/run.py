"""`make run`: the demo in one command. Migrates, furnishes, starts the server, and says how to reach it."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from bin import leash
from tests.real import llama

ROOT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("COSTROUTER_VAR") or ROOT / "var")
START_SECONDS = 60


class NotStarted(Exception):
    """The message says what is in the way and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", default="8000")
    parser.add_argument("--real", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with _only_one() as lock:
            _run(_port(args.port), real=args.real, lock=lock)
    except NotStarted as reason:
        print(f"make run: {reason}", file=sys.stderr)
        return 1
    except llama.NoModel as reason:
        print(f"make run REAL=1: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"make run: {error.filename} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _only_one() -> Iterator[TextIO]:
    """The file that says where this checkout's demo runs, locked for as long as it does.

    Raises NotStarted if another one has it: two servers on one embedded database would count money twice as slowly,
    and the second would give the demo's people new passwords.
    """
    VAR.mkdir(parents=True, exist_ok=True)
    with (VAR / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            where = lock.read().strip() or "an address that it has not said yet"
            raise NotStarted(f"this checkout's demo runs already, at {where}; stop that one first") from None
        yield lock


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise NotStarted(f"PORT={text} is no port; a port is a number from 1 to 65535, such as PORT=9000")
    return int(text)


def _run(port: int, *, real: bool, lock: TextIO) -> None:
    url = f"http://127.0.0.1:{port}"
    _refuse_taken(port)
    lock.truncate(0)
    lock.write(url)
    lock.flush()
    environment = {**os.environ, "PORT": str(port), "SITE_URL": url, "WEB_PROCESSES": "1"}
    with contextlib.ExitStack() as stack:
        _python("-m", "bin.translations", "compile", env=environment)
        _python("manage.py", "migrate", "-v0", env=environment)
        upstreams = [stack.enter_context(llama.running(name)) for name in ("a", "b")] if real else []
        options = [word for upstream in upstreams for word in ("--real", upstream.base_url)]
        demo_file = _python("manage.py", "demo", "--url", url, *options, env=environment).strip()
        server = stack.enter_context(_serving(environment, url))
        _introduce(Path(demo_file), real=real)
        while server.is_running:
            time.sleep(0.2)
        raise NotStarted(f"the server ended by itself; its log is {VAR / 'server.log'}")


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if 1024 <= port < 65535 else 9000
            raise NotStarted(f"port {port} cannot be used ({error.strerror}); try: make run PORT={other}") from error


def _python(*words: str, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise NotStarted(f"`{' '.join(words)}` failed")
    return done.stdout


@contextlib.contextmanager
def _serving(environment: dict[str, str], url: str) -> Iterator[leash.Leashed]:
    log = VAR / "server.log"
    log.unlink(missing_ok=True)
    server = leash.start([str(ROOT / "bin" / "serve")], env=environment, log=log)
    try:
        _wait(server, url, log)
        yield server
    finally:
        server.stop()


def _wait(server: leash.Leashed, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if not server.is_running or time.monotonic() > deadline:
            raise NotStarted(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health/ready", timeout=2).close()
    except OSError:  # refused, or 503
        return False
    return True


def _introduce(demo_file: Path, *, real: bool) -> None:
    """What a stranger needs: where to look, how to sign in, and a line to paste."""
    value = dict(line.split("=", 1) for line in demo_file.read_text().splitlines())
    url, key = value["COSTROUTER_URL"], value["COSTROUTER_KEY"]
    simulated = value["COSTROUTER_MODEL"]
    model = llama.ALIAS if real else simulated
    also = f" (a real one; or {simulated}, simulated)" if real else ""
    print(f"""
CostRouter is running. Ctrl-C stops it.

  Portal          {url}/
      sign in as  {value["COSTROUTER_PORTAL_EMAIL"]}  {value["COSTROUTER_PORTAL_PASSWORD"]}
  Administration  {url}/admin/
      sign in as  {value["COSTROUTER_ADMIN_EMAIL"]}  {value["COSTROUTER_ADMIN_PASSWORD"]}  (sees the portal too)
  API reference   {url}/en/docs/
  Base URL        {url}/v1
  API key         {key}
  Model           {model}{also}
  The same in     {demo_file}
  Server log      {VAR / "server.log"}

Try it:

curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
""", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
