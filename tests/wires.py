"""A wire to a server, which a test may cut, mend, hold still, or let lose one answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit

from tests.servers import free_port


class Wire:
    """Forwards a loopback port to the server of `url`; `self.url` is that server, reached over the wire."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._port = free_port()
        credentials = f"{parts.username or ''}:{parts.password or ''}@" if parts.password else ""
        self.url = urlunsplit(parts._replace(netloc=f"{credentials}127.0.0.1:{self._port}"))
        self._flows = threading.Event()
        self._flows.set()
        self._loses_answer = False
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        """Accepts connections (again), and forwards."""
        self._flows.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self._port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection and refuses new ones: the server is down."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._flows.set()
        self._end_all()

    def hold_still(self) -> None:
        """Connections stay open, new ones are accepted, and nothing is forwarded: the server hangs."""
        self._flows.clear()

    def lose_next_answer(self) -> None:
        """What the server says next is dropped, with its connection: the work was done and nobody heard."""
        self._loses_answer = True

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                if is_answer and self._loses_answer:
                    self._loses_answer = False
                    break
                sink.sendall(data)
        for end in (source, sink):
            _end(end)

    def _end_all(self) -> None:
        ended, self._open = self._open, []
        for end in ended:
            _end(end)


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
