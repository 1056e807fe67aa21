"""Throw mutated libraries and wheels at the readers of ``mmsetup.binary``: ``python benchmarks/fuzz.py``.

Each input is a small real library, or a wheel with one, of which bits are flipped, numbers replaced by those
that break readers, and pieces cut out, put in or doubled. A reader may give a value or raise an
``IntegrityError``; anything else counts as a crash and is kept in ``--keep``. The seed decides everything, so
that a crash can be had again. Prints how many inputs there were, how they ended, the slowest of them and the
highest memory of the process.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mmsetup.binary import elf, fatbin, operators, symbol_hash, torch_flags, wheel
from mmsetup.errors import IntegrityError

SECONDS_FOR_ONE = 10
NAME = "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
NAMES = ("_Z3nmsv", "offered", "puts", *(f"_ZN2at{number}Ev" for number in range(50)))
INFO = "mmcv_full-1.7.2.dist-info"
SOURCE = """
extern int puts(const char *); extern void *memcpy(void *, const void *, unsigned long);
extern int _ZN3c106detail14torchCheckFailEv(void);
const char *flags = "sm_70 sm_80 compute_80";
int _Z3nmsv(void) { puts("nms"); return _ZN3c106detail14torchCheckFailEv(); }
void *offered(void *a, void *b) { return memcpy(a, b, 8); }
__asm__(".section .nv_fatbin,\\"a\\"\\n.balign 8\\n.incbin \\"code.bin\\"\\n");
"""
OPS = b"ext_module = ext_loader.load_ext('_ext', ['nms', 'softnms'])\n"
NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 1 << 20, 1 << 31, (1 << 32) - 1)
WAYS = {"flip": 30, "number": 45, "cut": 7, "drop": 6, "insert": 6, "copy": 6}
IN_HEADERS = 0.8
TOLD_EVERY = 100_000
LARGE = (*NUMBERS, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1)


def fat_binary(*codes: tuple[int, int, int]) -> bytes:
    body = b"".join(
        struct.pack("<HHIQIIHHIIIQ", kind, 0x101, 64, 32, 0, 0, 0, 9, number, 0, 0, flags) + bytes(48)
        for kind, number, flags in codes
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def library(folder: Path) -> bytes:
    (folder / "code.bin").write_bytes(
        fat_binary((2, 70, 0), (2, 90, 0x100000), (1, 90, 0)) + bytes(8) + fat_binary((2, 70, 0))
    )
    (folder / "small.c").write_text(SOURCE)
    small = ("-Wl,-z,noseparate-code", "-Wl,-z,max-page-size=64", "-Wl,--build-id=none", "-s")
    words = [
        "gcc",
        "-shared",
        "-fPIC",
        "-O1",
        "-w",
        "small.c",
        "-o",
        "small.so",
        "-Wl,-soname,libsmall.so.1",
        *small,
    ]
    subprocess.run([*words, "-Wl,-rpath,$ORIGIN/lib", "-Wl,--no-as-needed", "-lm"], check=True, cwd=folder)
    return (folder / "small.so").read_bytes()


def packed(extension: bytes, way: int = zipfile.ZIP_STORED, member: str = "mmcv/_ext.so") -> bytes:
    files = {
        member: extension,
        "mmcv/ops/nms.py": OPS,
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2\n",
    }
    rows = [f"{name},sha256={hashed(data)},{len(data)}" for name, data in files.items()]
    rows.append(f"{INFO}/RECORD,,")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", way) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{INFO}/RECORD", "\n".join(rows) + "\n")
    return made.getvalue()


def hashed(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def mutated(seed: bytes, chance: random.Random, places: tuple[tuple[int, int], ...]) -> bytes:
    """Change a few things; most of them in ``places``, where the headers are."""
    data = bytearray(seed)

    def place() -> int:
        start, end = chance.choice(places) if chance.random() < IN_HEADERS else (0, len(data))
        return min(chance.randrange(start, max(start + 1, end)), max(0, len(data) - 1))

    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if not data:
            break
        at, how = place(), chance.choices(tuple(WAYS), tuple(WAYS.values()))[0]
        if how == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif how == "number":
            width, layout = chance.choice(((1, "<B"), (2, "<H"), (4, "<I"), (8, "<Q")))
            at -= at % width
            value = chance.choice((*LARGE, len(seed), len(seed) - 1, chance.randrange(1 << 16)))
            if at + width <= len(data):
                struct.pack_into(layout, data, at, value & ((1 << 8 * width) - 1))
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + chance.choice((1, 4, 8, 64, 512))]
        elif how == "insert":
            data[at:at] = chance.randbytes(chance.choice((1, 4, 8, 64)))
        else:
            other, length = place(), chance.choice((8, 24, 64, 256))
            data[at : at + length] = data[other : other + length]
    return bytes(data)


def read_library(path: Path) -> None:
    """Call every reader; what one refuses the others still get."""
    refused = None
    for reader in (
        lambda: operators.operators(path, elf.read(path), frozenset()),
        lambda: elf.read_soname(path),
        lambda: symbol_hash.offered(path, NAMES),
        lambda: fatbin.gpu_code(path),
        lambda: torch_flags.stated(path),
    ):
        try:
            reader()
        except IntegrityError as error:  # noqa: PERF203 (one reader after the other)
            refused = error
    if refused is not None:
        raise refused


def header_places(seed: bytes) -> tuple[tuple[int, int], ...]:
    start, entry, count = (*struct.unpack_from("<Q", seed, 40), *struct.unpack_from("<HH", seed, 58))
    tables = [
        (at, at + size)
        for kind, at, size in (
            (struct.unpack_from("<I", seed, one + 4)[0], *struct.unpack_from("<QQ", seed, one + 24))
            for one in range(start, start + entry * count, entry)
        )
        if kind in {6, 11, 0x6FFFFFFE}
    ]
    return ((0, 64), (start, start + entry * count), (start, start + entry * count), *tables)


def fat_places(seed: bytes) -> tuple[tuple[int, int], ...]:
    at = seed.index(struct.pack("<I", 0xBA55ED50))
    return ((at, at + 16), (at + 16, at + 64), (at, at + 600))


def kinds(
    folder: Path,
) -> dict[str, tuple[bytes, tuple[tuple[int, int], ...], Callable[[Path], object], str]]:
    seed = library(folder)
    archive, small = packed(seed), packed(OPS * 9, zipfile.ZIP_DEFLATED, "mmcv/version.py")
    ends = ((len(archive) - 700, len(archive)), (len(archive) - 22, len(archive)), (0, 64))
    ends_of_small = ((len(small) - 400, len(small)), (len(small) - 22, len(small)), (0, len(small)))
    return {
        "library": (seed, header_places(seed), read_library, "small.so"),
        "fat binary": (seed, fat_places(seed), read_library, "small.so"),
        "wheel": (archive, ends, wheel.inspect, NAME),
        "small wheel": (small, ends_of_small, wheel.inspect, NAME),
        "library in a wheel": (seed, header_places(seed), wheel.inspect, NAME),
    }


def too_slow(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"an input took more than {SECONDS_FOR_ONE} s")


class Tally:
    """How the inputs ended, and which took longest."""

    def __init__(self, seed: int, keep: Path) -> None:
        self.seed, self.keep = seed, keep
        self.ended: Counter[str] = Counter()
        self.slowest = (0.0, "")
        self.began = time.perf_counter()

    def throw(self, number: int, kind: str, read: Callable[[Path], object], path: Path) -> None:
        signal.setitimer(signal.ITIMER_REAL, SECONDS_FOR_ONE)
        start = time.perf_counter()
        try:
            read(path)
            outcome = "read"
        except IntegrityError:
            outcome = "refused"
        except Exception:  # noqa: BLE001 (any is what is looked for)
            outcome = "CRASHED"
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / f"{self.seed}-{number}-{path.name}").write_bytes(path.read_bytes())
            traceback.print_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took = time.perf_counter() - start
        self.slowest = max(self.slowest, (took, f"number {number}, a {kind}, {outcome}"))
        self.ended[f"{kind}: {outcome}"] += 1

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def crashes(self) -> int:
        return sum(count for what, count in self.ended.items() if what.endswith("CRASHED"))

    def show(self) -> None:
        for what, count in sorted(self.ended.items()):
            print(f"{what:<32} {count}")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        total = sum(self.ended.values())
        print(f"seed {self.seed}: {total} inputs in {self.seconds:.0f} s, {self.crashes} crashes")
        took, what = self.slowest
        print(f"slowest: {took * 1000:.0f} ms ({what}); highest memory: {memory:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("crashes"), help="the folder for inputs that crash")
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, too_slow)
    chance = random.Random(asked.seed)
    tally = Tally(asked.seed, asked.keep)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as made:
        folder = Path(made)
        tempfile.tempdir = made
        made_of = kinds(folder)
        for number in range(asked.inputs):
            kind = chance.choices(tuple(made_of), (9, 6, 2, 2, 1))[0]
            seed, places, read, name = made_of[kind]
            data = mutated(seed, chance, places)
            path = folder / name
            path.write_bytes(packed(data) if kind == "library in a wheel" else data)
            tally.throw(number, kind, read, path)
            if (number + 1) % TOLD_EVERY == 0:
                print(f"{number + 1} inputs after {tally.seconds:.0f} s", flush=True)
    tally.show()
    sys.exit(1 if tally.crashes else 0)


if __name__ == "__main__":
    main()
