"""A bad line between client and server: it delays, resets or truncates what comes back, for so many answers."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINGER = struct.pack("ii", 1, 0)  # close with a reset


class Line:
    """Forwards TCP to `port`; while there are `faults` left, what comes back meets one of kind `fault`."""

    def __init__(self, port: int, fault: str, faults: int, after: int) -> None:
        self.port, self.fault, self.faults, self.after = port, fault, faults, after
        self.met = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"grpc://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
                self._open += [near, far]
                threading.Thread(target=self._forward, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(far, near, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                seen += len(data)
                if back and seen > self.after and self._one_more():
                    if self.fault == "delay":
                        time.sleep(1.5)
                    else:
                        if self.fault == "truncate":
                            target.sendall(data[: len(data) // 2])
                        else:
                            target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                        break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _one_more(self) -> bool:
        with self._lock:
            if self.met >= self.faults:
                return False
            self.met += 1
            return True

    def close(self) -> None:
        """Cut everything."""
        for each in self._open:
            each.close()


@contextlib.contextmanager
def bad_line(port: int, fault: str, faults: int, after: int = 20_000) -> Iterator[Line]:
    """A line whose faults begin after so many bytes have come back."""
    line = Line(port, fault, faults, after)
    try:
        yield line
    finally:
        line.close()
