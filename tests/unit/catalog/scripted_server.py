"""Servers that say exactly what a test has them say, byte by byte, and a proxy."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Served:
    """A server on loopback: its address ``HOST:PORT``, and the requests that came so far."""

    address: str
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@contextmanager
def scripted(answers: Sequence[bytes | None]) -> Iterator[Served]:
    """Answer each connection with the next of ``answers``; ``None`` resets it. The last one stays."""
    left = list(answers)

    def answer(connection: socket.socket, _: str) -> None:
        said = left.pop(0) if len(left) > 1 else left[0]
        if said is None:
            # To close with something still to be lingered for sends a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.sendall(said)

    with _serving(answer) as served:
        yield served


@contextmanager
def tunnelling(authorization: str, status: str = "200 OK") -> Iterator[Served]:
    """Run a proxy for CONNECT alone, which takes the user and password whose header is ``authorization``."""

    def answer(connection: socket.socket, request: str) -> None:
        if authorization and f"Proxy-Authorization: {authorization}" not in request:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("200"):
            return
        host, _, port = request.split()[1].partition(":")
        with socket.create_connection((host, int(port)), 5) as target:
            back = threading.Thread(target=_pass_on, args=(target, connection), daemon=True)
            back.start()
            _pass_on(connection, target)
            back.join(5)

    with _serving(answer) as served:
        yield served


@contextmanager
def _serving(answer: Callable[[socket.socket, str], None]) -> Iterator[Served]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        served = Served(f"127.0.0.1:{listening.getsockname()[1]}")

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                request = connection.recv(1 << 16).decode("latin-1")
                served.requests.append(request)
                answer(connection, request)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield served
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
