"""Meet in a folder that all nodes share: a file for each process, written at once or not at all.

Files of an earlier run may lie there, under the same name of a job, or under none. So nothing is believed for
its name alone: the first process opens a room with a name that is new, every other answers in each room that
it finds, and believes only a verdict that repeats the number which it drew for itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsetup.doctor.fleet.launcher import Place
from mmsetup.doctor.fleet.node import MOST_BYTES
from mmsetup.errors import NetworkError, TargetError
from mmsetup.files import writing

__all__ = ["Folder"]

_OLD_SECONDS = 86_400.0
_FAREWELL_SECONDS = 15.0
_REMEDY = "mmsetup doctor --fleet --fleet-dir DIR  # a folder that every node can write to"


@dataclass(slots=True)
class Folder:
    """The shared folder; ``poll`` is in seconds."""

    root: Path
    place: Place
    poll: float = 0.2
    _seen: set[Path] = field(default_factory=set)

    def lead(self, decide: Callable[[Mapping[int, bytes]], int], timeout: float) -> int:
        """Gather what the others say until all did or ``timeout`` seconds are over; tell them the code.

        Raises:
            TargetError, DiskSpaceError: the folder cannot be written.
        """
        rooms = self._rooms()
        with writing(rooms, remedy=_REMEDY):
            rooms.mkdir(parents=True, exist_ok=True)
            self._clear(rooms)
            room = rooms / secrets.token_hex(16)
            room.mkdir()
        try:
            answers = self._gather(room, time.monotonic() + timeout)
            code = decide({rank: content for rank, (_, content) in answers.items()})
            verdict = {"code": code, "numbers": {str(rank): number for rank, (number, _) in answers.items()}}
            with writing(room, remedy=_REMEDY):
                _write(room / "verdict.json", verdict)
            self._wait_for_farewells(room, answers)
        finally:
            shutil.rmtree(room, ignore_errors=True)
            with contextlib.suppress(OSError):
                rooms.rmdir()
        return code

    def follow(self, content: bytes, timeout: float) -> int:
        """Say ``content`` to the first process and give the code that it tells.

        Raises:
            NetworkError: it told none for ``timeout`` seconds.
            TargetError, DiskSpaceError: the folder cannot be written.
        """
        number = secrets.token_hex(16)
        answer = {"number": number, "content": content.decode()}
        deadline = time.monotonic() + timeout
        answered: set[Path] = set()
        while time.monotonic() < deadline:
            for room in self._open_rooms(answered):
                answered.add(room)
                with contextlib.suppress(FileNotFoundError):
                    _write(room / f"rank-{self.place.rank}.json", answer)
            for room in answered:
                verdict = _read(room / "verdict.json")
                if verdict is not None and verdict.get("numbers", {}).get(str(self.place.rank)) == number:
                    (room / f"rank-{self.place.rank}.json").unlink(missing_ok=True)
                    return int(verdict.get("code", 1))
            time.sleep(self.poll)
        raise NetworkError(
            f"the first process of the job told no result in {self.root} for {timeout:g} s",
            remedy="mmsetup doctor  # on this node, by itself",
        )

    def _rooms(self) -> Path:
        job = self.place.job or f"{self.place.launcher}-{self.place.address}-{self.place.world}"
        readable = re.sub(r"[^\w.-]", "_", job)[:40]
        return self.root / f"mmsetup-{readable}-{hashlib.sha256(job.encode()).hexdigest()[:12]}"

    def _open_rooms(self, known: set[Path]) -> list[Path]:
        """Give the rooms without a verdict that are new: one with a verdict is of a run that is over."""
        try:
            rooms = [room for room in self._rooms().iterdir() if room not in known and room not in self._seen]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TargetError(f"{self.root} cannot be read: {error.strerror}", remedy=_REMEDY) from error
        over = {room for room in rooms if (room / "verdict.json").exists()}
        self._seen |= over
        return [room for room in rooms if room not in over]

    def _gather(self, room: Path, deadline: float) -> dict[int, tuple[str, bytes]]:
        answers: dict[int, tuple[str, bytes]] = {}
        while True:
            for rank in range(1, self.place.world):
                answer = None if rank in answers else _read(room / f"rank-{rank}.json")
                if answer is not None:
                    answers[rank] = str(answer.get("number")), str(answer.get("content")).encode()
            if len(answers) == self.place.world - 1 or time.monotonic() >= deadline:
                return answers
            time.sleep(self.poll)

    def _wait_for_farewells(self, room: Path, answers: Mapping[int, object]) -> None:
        """Keep the verdict until every process that answered has read it, or must be gone."""
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while time.monotonic() < deadline:
            if not any((room / f"rank-{rank}.json").exists() for rank in answers):
                return
            time.sleep(self.poll)

    @staticmethod
    def _clear(rooms: Path) -> None:
        for room in rooms.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - room.stat().st_mtime > _OLD_SECONDS:
                    shutil.rmtree(room, ignore_errors=True)


def _write(place: Path, content: Mapping[str, Any]) -> None:
    partial = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(place)


def _read(place: Path) -> dict[str, Any] | None:
    """Read a file of another process; what is not there yet, too large or no document is nothing."""
    try:
        with place.open("rb") as file:
            content = file.read(2 * MOST_BYTES + 1)
        document = json.loads(content) if len(content) <= 2 * MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
