"""Meet over TCP: the first process listens, each of the others says its report and hears the verdict.

Both sides prove that they know the job before anything else is said: each signs a number that the other drew,
with a key made of the job's id and of ``MMSETUP_FLEET_SECRET``. Where there is neither, everybody who reaches
the port could take part. A message is its length, its text and its signature; none is longer than
:data:`MOST_BYTES`, and nothing that arrives is executed or unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmsetup.doctor.fleet.launcher import Place
from mmsetup.doctor.fleet.node import MOST_BYTES
from mmsetup.errors import NetworkError

__all__ = ["Wire"]

_GREETING = b"mmsetup-fleet/1\n"
_DIGEST = hashlib.sha256().digest_size
_HANDSHAKE_SECONDS = 10.0
_RETRY_SECONDS = 0.3
_SPARE_CONNECTIONS = 64
_LENGTH = struct.Struct("!I")


class _RefusedError(Exception):
    """The other side is not of this job, or breaks the rules."""


@dataclass(slots=True)
class Wire:
    """The connection of a job."""

    place: Place
    _answers: dict[int, bytes] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _told: set[int] = field(default_factory=set)
    _code: int | None = None

    def lead(self, decide: Callable[[Mapping[int, bytes]], int], timeout: float) -> int:
        """Gather what the others say until all did or ``timeout`` seconds are over; tell them the code.

        Raises:
            NetworkError: nothing can listen on the port.
        """
        deadline = time.monotonic() + timeout
        with self._listening() as server:
            threading.Thread(target=self._accept, args=(server, deadline), daemon=True).start()
            with self._changed:
                while len(self._answers) < self.place.world - 1 and time.monotonic() < deadline:
                    self._changed.wait(max(0.01, deadline - time.monotonic()))
                answers = dict(self._answers)
        code = decide(answers)
        with self._changed:
            self._code = code
            self._changed.notify_all()
        told_until = time.monotonic() + _HANDSHAKE_SECONDS
        with self._changed:
            self._changed.wait_for(lambda: self._told >= set(answers), told_until - time.monotonic())
        return code

    def follow(self, content: bytes, timeout: float) -> int:
        """Say ``content`` to the first process and give the code that it tells.

        Raises:
            NetworkError: it told none for ``timeout`` seconds.
        """
        where = f"{self.place.address}:{self.place.port}"
        deadline = time.monotonic() + timeout
        refused, last = "", "it was not tried"
        while time.monotonic() < deadline:
            left = max(0.1, deadline - time.monotonic())
            try:
                address = (self.place.address, self.place.port)
                with socket.create_connection(address, timeout=min(left, _HANDSHAKE_SECONDS)) as line:
                    return self._say(line, content, deadline)
            except _RefusedError as error:
                refused = str(error)
            except OSError as error:
                last = error.strerror or str(error)
            time.sleep(_RETRY_SECONDS)
        raise NetworkError(
            f"the first process of the job, {where}, told no result for {timeout:g} s: {refused or last}",
            remedy="mmsetup doctor --fleet --fleet-dir DIR  # a shared folder needs no connection",
        )

    def _listening(self) -> socket.socket:
        both = socket.has_dualstack_ipv6()
        for family in (socket.AF_INET6, socket.AF_INET) if both else (socket.AF_INET,):
            is_six = family == socket.AF_INET6
            try:
                return socket.create_server(
                    ("", self.place.port),
                    family=family,
                    backlog=min(self.place.world + _SPARE_CONNECTIONS, 4096),
                    dualstack_ipv6=is_six,
                )
            except OSError as error:
                if is_six:
                    continue
                why = os.strerror(error.errno) if error.errno else str(error)
                raise NetworkError(
                    f"port {self.place.port} cannot be listened on: {why}",
                    remedy="MMSETUP_FLEET_PORT=29517 mmsetup doctor --fleet  # the same on all nodes",
                ) from error
        raise AssertionError

    def _accept(self, server: socket.socket, deadline: float) -> None:
        room = threading.BoundedSemaphore(self.place.world + _SPARE_CONNECTIONS)
        # Closing a socket wakes nobody who waits in accept.
        server.settimeout(_RETRY_SECONDS)
        with contextlib.suppress(OSError):
            while True:
                try:
                    line, _ = server.accept()
                except TimeoutError:
                    continue
                if not room.acquire(blocking=False):
                    line.close()
                    continue
                threading.Thread(
                    target=self._hear, args=(line, deadline, room), daemon=True, name="mmsetup-fleet-line"
                ).start()

    def _hear(self, line: socket.socket, deadline: float, room: threading.BoundedSemaphore) -> None:
        try:
            with line, contextlib.suppress(_RefusedError, OSError):
                line.settimeout(_HANDSHAKE_SECONDS)
                own, others = self._recognised(line, leads=True)
                key = self._key(b"line", own, others)
                rank, content = _numbered(_receive(line, key, b"to"))
                if not 0 < rank < self.place.world:
                    return
                with self._changed:
                    self._answers[rank] = content
                    self._changed.notify_all()
                    while self._code is None:
                        self._changed.wait(max(1.0, deadline - time.monotonic()))
                    code = self._code
                line.settimeout(_HANDSHAKE_SECONDS)
                _send(line, key, b"from", _LENGTH.pack(code))
                self._tell(rank)
        finally:
            room.release()

    def _tell(self, rank: int) -> None:
        with self._changed:
            self._told.add(rank)
            self._changed.notify_all()

    def _say(self, line: socket.socket, content: bytes, deadline: float) -> int:
        line.settimeout(_HANDSHAKE_SECONDS)
        own, others = self._recognised(line, leads=False)
        key = self._key(b"line", others, own)
        _send(line, key, b"to", _LENGTH.pack(self.place.rank) + content)
        line.settimeout(max(0.1, deadline - time.monotonic()))
        code, _ = _numbered(_receive(line, key, b"from"))
        return code

    def _recognised(self, line: socket.socket, *, leads: bool) -> tuple[bytes, bytes]:
        """Exchange numbers and their signatures; give the own number and that of the other side."""
        own = secrets.token_bytes(_DIGEST)
        line.sendall(_GREETING + own)
        if _exactly(line, len(_GREETING)) != _GREETING:
            raise _RefusedError("another program answers there")
        others = _exactly(line, _DIGEST)
        sides = (b"leads", b"follows") if leads else (b"follows", b"leads")
        # The follower signs first, so that a stranger learns nothing from the leader.
        if not leads:
            line.sendall(self._key(sides[0], own, others))
        try:
            theirs = _exactly(line, _DIGEST)
        except (_RefusedError, ConnectionError):
            raise _RefusedError("another job answers there, or one with another secret") from None
        if not hmac.compare_digest(theirs, self._key(sides[1], others, own)):
            raise _RefusedError("another job answers there, or one with another secret")
        if leads:
            line.sendall(self._key(sides[0], own, others))
        return own, others

    def _key(self, what: bytes, one: bytes, other: bytes) -> bytes:
        told = f"{len(self.place.secret)} {self.place.secret} {self.place.job} {self.place.world}"
        key = hashlib.sha256(told.encode()).digest()
        return hmac.digest(key, what + one + other, "sha256")


def _send(line: socket.socket, key: bytes, way: bytes, content: bytes) -> None:
    line.sendall(_LENGTH.pack(len(content)) + content + hmac.digest(key, way + content, "sha256"))


def _receive(line: socket.socket, key: bytes, way: bytes) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size))
    if length > MOST_BYTES:
        raise _RefusedError("a message is too long")
    content = _exactly(line, length)
    if not hmac.compare_digest(_exactly(line, _DIGEST), hmac.digest(key, way + content, "sha256")):
        raise _RefusedError("a message has a wrong signature")
    return content


def _exactly(line: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        piece = line.recv(min(65_536, count - len(received)))
        if not piece:
            raise _RefusedError("the connection was closed")
        received += piece
    return bytes(received)


def _numbered(content: bytes) -> tuple[int, bytes]:
    """Take the number off the beginning of a message."""
    if len(content) < _LENGTH.size:
        raise _RefusedError("a message is too short")
    (number,) = _LENGTH.unpack(content[: _LENGTH.size])
    return number, content[_LENGTH.size :]
