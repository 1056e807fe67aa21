"""Drive uv: find it, give it the user's own index settings, and turn what it says into mmsetup's errors.

uv's configuration, environment variables and caches are the user's and stay in force. Where only pip was told
about an index, a proxy's certificate or a mirror, uv is told as well.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsetup.errors import (
    DiskSpaceError,
    IntegrityError,
    InterpreterError,
    LockError,
    MmsetupError,
    NetworkError,
    ProcessError,
)
from mmsetup.process import Completed, Stream, clean_environment, run, stream

__all__ = ["binary", "cache_folder", "call", "environment", "fetch_interpreter", "platform_for"]

_EVIDENCE_LINES = 12
# The platforms of Linux that `uv pip compile --python-platform` knows, by the minor version of glibc.
_MANYLINUX = (17, 28, *range(31, 41))
_FROM_PIP = {
    "UV_DEFAULT_INDEX": ("PIP_INDEX_URL", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
    "UV_INDEX": ("PIP_EXTRA_INDEX_URL", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
    "SSL_CERT_FILE": ("PIP_CERT", ("SSL_CERT_FILE",)),
}


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What it means when uv prints one of ``words``; ``{}`` in ``message`` stands for what was being done."""

    words: tuple[str, ...]
    error: type[MmsetupError]
    message: str
    remedy: str


# The first that fits counts: a refusal of the network, say, also ends in "No solution found".
_MEANINGS = (
    _Meaning(
        ("No space left on device",),
        DiskSpaceError,
        "the disk ran full while trying to {}",
        "uv cache prune  # or larger disks: --env DIR, UV_CACHE_DIR, MMSETUP_CACHE_DIR",
    ),
    _Meaning(
        ("Hash mismatch", "hash mismatch"),
        IntegrityError,
        "a file did not have its locked hash while trying to {}",
        "mmsetup lock  # if the change is expected; otherwise ask who changed the file",
    ),
    _Meaning(
        ("Failed to extract", "Failed to read from zip", "The wheel is invalid"),
        IntegrityError,
        "a file that was downloaded to {} is damaged",
        "run the command again; if the file stays damaged, tell those who serve it",
    ),
    _Meaning(
        ("No interpreter found", "No download found for request"),
        InterpreterError,
        "no interpreter to {}",
        "mmsetup probe  # lists the interpreters that are here",
    ),
    _Meaning(
        ("network was disabled", "Network connectivity is disabled"),
        NetworkError,
        "uv's cache lacks what is needed to {}, and the network was excluded",
        "leave --offline away once: that fills the cache",
    ),
    _Meaning(
        ("invalid peer certificate",),
        NetworkError,
        "the certificate of the package index was not trusted while trying to {}",
        "SSL_CERT_FILE=/path/to/the/company/ca.pem mmsetup install",
    ),
    _Meaning(
        (
            "error sending request",
            "dns error",
            "Connection refused",
            "operation timed out",
            "Failed to fetch",
            "Request failed after",
            "HTTP status",
        ),
        NetworkError,
        "the package index could not be read while trying to {}",
        "check the network; behind a firewall set UV_DEFAULT_INDEX (or PIP_INDEX_URL) to a mirror",
    ),
    _Meaning(
        ("No solution found", "unsatisfiable"),
        LockError,
        "no set of versions fulfils the plan: cannot {}",
        "mmsetup plan --explain  # other sets; a mirror may also lack a version",
    ),
)


def binary() -> Path:
    """Give the path of uv: the one that was installed with mmsetup, else the one on the search path.

    Raises:
        MmsetupError: there is none.
    """
    try:
        from uv import find_uv_bin  # noqa: PLC0415 (a package of one binary; not needed by every command)

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise MmsetupError("uv is not installed", remedy="python3 -m pip install uv") from None
        return Path(found)


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment variables for uv: those of this process and what only pip was told.

    Where nothing says which certificates to trust, uv is told to trust the system's, as pip does: a company's
    own is among them and not among those that uv brings.
    """
    env = dict(clean_environment() if base is None else base)
    for name, (pip_name, own_names) in _FROM_PIP.items():
        if env.get(pip_name) and not any(env.get(own) for own in own_names):
            env[name] = env[pip_name]
    if "SSL_CERT_FILE" not in env and _system_certificates():
        env.setdefault("UV_SYSTEM_CERTS", "1")
    env["NO_COLOR"] = "1"
    return env


def _system_certificates() -> bool:
    import ssl  # noqa: PLC0415 (takes ten times as long to import as all the rest here)

    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return True
    return paths.capath is not None and any(Path(paths.capath).glob("*.[0-9]"))


def call(
    args: Sequence[str | os.PathLike[str]],
    doing: str,
    *,
    cwd: Path | None = None,
    offline: bool = False,
    on_line: Callable[[Stream, str], None] | None = None,
) -> Completed:
    """Run uv with ``args``; ``doing`` says in words what for (``resolve the plan``).

    Raises:
        NetworkError, LockError, DiskSpaceError, IntegrityError, InterpreterError: what uv's words tell.
        ProcessError: uv failed in another way.
    """
    words: list[str | os.PathLike[str]] = [binary(), *args]
    if offline:
        words.append("--offline")
    # Settings of whatever project the user stands in would count for some of the calls and not for others.
    place = cwd or Path(tempfile.gettempdir())
    try:
        if on_line is None:
            return run(words, env=environment(), cwd=place)
        return stream(words, on_line, env=environment(), cwd=place)
    except ProcessError as error:
        raise _translated(error, doing) from error


def cache_folder() -> Path:
    """Give the folder in which uv keeps what it downloads."""
    return Path(call(["cache", "dir"], "find uv's cache").stdout.strip())


def fetch_interpreter(version: str) -> Path:
    """Let uv fetch a Python of a minor version, or find the one that it fetched before; give its executable.

    Raises:
        InterpreterError: it cannot be fetched.
    """
    try:
        call(["python", "install", "--no-bin", version], f"fetch Python {version}")
        found = call(
            ["python", "find", "--managed-python", "--no-project", version], f"find Python {version}"
        )
    except MmsetupError as error:
        raise InterpreterError(
            f"no Python {version} is here and uv could not fetch one",
            evidence=error.evidence,
            remedy=f"pyenv install {version}  # or set UV_PYTHON_INSTALL_MIRROR to a mirror",
        ) from error
    return Path(found.stdout.strip())


def _translated(error: ProcessError, doing: str) -> MmsetupError:
    text = error.output
    evidence = [line for line in text.strip().splitlines() if line.strip()][-_EVIDENCE_LINES:]
    for meaning in _MEANINGS:
        if any(words in text for words in meaning.words):
            return meaning.error(meaning.message.format(doing), evidence=evidence, remedy=meaning.remedy)
    return ProcessError(
        f"uv could not {doing}", args=error.program_args, returncode=error.returncode, output=text
    )


def platform_for(glibc: str) -> str:
    """Name the newest platform that uv knows whose wheels a version of glibc (2.31) can load.

    Raises:
        LockError: uv knows none that old.
    """
    minor = int(glibc.split(".")[1])
    known = [one for one in _MANYLINUX if one <= minor]
    if not known:
        raise LockError(
            f"uv cannot resolve for glibc {glibc}: it knows 2.{_MANYLINUX[0]} and newer",
            remedy=f"mmsetup lock --glibc 2.{_MANYLINUX[0]}",
        )
    return f"x86_64-manylinux_2_{known[-1]}"
