"""What tests do to a board on loopback: cut its link, and let nothing of ours into its Python."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable


def environment() -> dict[str, str]:
    """Return an environment that lets no package of ours in."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    return {name: os.environ[name] for name in kept if name in os.environ}


class Cutter:
    """A link that breaks: carries bytes to a port and cuts connections as told."""

    def __init__(self, port: int, cut: Callable[[int, int], bool]) -> None:
        """Cut a connection when `cut(which connection from 0, bytes it carried to the server)` says so."""
        self._to, self._cut = port, cut
        self.connections, self._open = 0, []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()
        for link in self._open:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            threading.Thread(target=self._carry, args=(near, far, number), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, None), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, number: int | None) -> None:
        carried = 0
        try:
            while data := source.recv(16384):
                carried += len(data)
                if number is not None and self._cut(number, carried):
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            # Both directions end, whichever thread is waiting.
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
