"""Take out of a text what nobody should post in public: secrets, home folders, names of people and hosts."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["Scrubber", "of_this_machine"]

_HIDDEN = "***"
# Names that say nothing about anybody, and that reports are full of.
_COMMON = frozenset(
    (
        *("root", "user", "users", "admin", "ubuntu", "debian", "centos", "fedora", "ec2-user", "docker"),
        *("jovyan", "vscode", "runner", "builder", "build", "nobody", "localhost", "node", "host", "gpu"),
        *("test", "python", "worker", "master", "home", "opt", "usr", "var", "tmp", "lib", "localdomain"),
    )
)
_PRIVATE = (
    r"(?:token|passw(?:or)?d|passphrase|pwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|credential)"
)
_URL = re.compile(r"(?<=://)(?:(?!://)[^\s<>|])*@")
_QUERY = re.compile(
    rf"(?P<name>[?&;](?:[\w.-]*{_PRIVATE}[\w.-]*|sig|signature|auth|key|access|x-amz-[\w-]+)=)[^\s&;#'\"]+",
    re.IGNORECASE,
)
# Neither `tokenizers==0.15` nor `std::token::kind` says a secret.
_VARIABLE = re.compile(
    rf"(?P<name>(?<![\w.-])[\w.-]*(?:{_PRIVATE}|_auth|_key|_pass|cookie)[\w.-]*[\"']?\s*(?:=(?!=)|:(?!:|//))\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s,;&'\"]+)",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"(?P<name>(?<!\w)--?[\w-]*{_PRIVATE}[\w-]*\s+)(?P<value>[^\s-]\S*)", re.IGNORECASE)
# curl's -u USER:PASSWORD (not the numbers of docker's), and a line of ~/.netrc, in commands of Dockerfiles.
_LOGIN = re.compile(
    r"(?P<name>(?<![\w-])(?:-u|--user|--proxy-user)(?:\s*=\s*|\s*)[\"']?)(?!\d+:\d+\b)[^\s:'\"=]+:[^\s'\"]+"
)
_NETRC = re.compile(r"(?P<name>\blogin\s+)\S+\s+password\s+[^\s'\"]+")
_AUTHORIZATION = re.compile(
    r"(?P<name>\bbearer\s+|\bauthorization\s*[:=]\s*(?:\w+\s+)?)[^\s'\"]+", re.IGNORECASE
)
# The forms that their issuers document, so that secret scanners find them.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|pypi-[\w-]{16,}|hf_\w{16,}"
    r"|npm_\w{16,}|xox[abeprs]-[\w-]{10,}|sk-[\w-]{16,}|AKIA[0-9A-Z]{12,}|ya29\.[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_HOMES = re.compile(r"(?<![\w.~-])(?:/[\w.-]+){0,2}/(?:home|homes|Users)/[^/\s:;,'\"<>|*?]+")
_WINDOWS_HOMES = re.compile(r"\b[A-Za-z]:[\\/]+Users[\\/]+[^\\/\s:;,'\"<>|*?]+", re.IGNORECASE)


@dataclass(frozen=True)
class Scrubber:
    """What is known to be private here; each of ``homes`` is a folder, of ``users`` and ``hosts`` a name.

    ``spared`` are words that stay where they are not part of an address (``mmcv`` of a user called so).
    """

    homes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    spared: frozenset[str] = frozenset()

    def clean(self, text: str) -> str:
        """Give the text without what is private; what is not stays as it is."""
        text = _URL.sub(_without_credentials, text)
        text = _QUERY.sub(rf"\g<name>{_HIDDEN}", text)
        text = _AUTHORIZATION.sub(rf"\g<name>{_HIDDEN}", text)
        text = _VARIABLE.sub(rf"\g<name>{_HIDDEN}", text)
        text = _OPTION.sub(rf"\g<name>{_HIDDEN}", text)
        text = _LOGIN.sub(rf"\g<name>{_HIDDEN}", text)
        text = _NETRC.sub(rf"\g<name>{_HIDDEN}", text)
        text = _TOKENS.sub(_HIDDEN, text)
        for home in _longest_first(self.homes):
            text = re.sub(rf"(?<![\w.~-]){re.escape(home.rstrip('/'))}(?![\w.-])", "~", text)
        text = _HOMES.sub("~", text)
        text = _WINDOWS_HOMES.sub("~", text)
        for pattern, word in self._names:
            text = pattern.sub(word, text)
        return text

    @cached_property
    def _names(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """Give what finds a name: as a word of its own, never as a part of a longer one."""
        found: list[tuple[re.Pattern[str], str]] = []
        for names, word in ((self.hosts, "<host>"), (self.users, "<user>")):
            for name in _longest_first(names):
                if name.lower() in self.spared:
                    # Only where it cannot be the package: before the @ of an address, which comes first.
                    found.insert(0, (re.compile(rf"(?<![\w./-]){re.escape(name)}(?=@[A-Za-z])"), word))
                elif name and name.lower() not in _COMMON:
                    found.append((re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"), word))
        return tuple(found)


def of_this_machine(spared: Collection[str] = ()) -> Scrubber:
    """Give a scrubber that knows this user and this host; ``spared`` are the names of distributions."""
    homes = {str(Path.home()), os.environ.get("HOME", ""), os.path.realpath(Path.home())}
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER", "USERNAME")}
    # A user id without a name, as containers have it, is none.
    with suppress(KeyError, OSError):
        users.add(getpass.getuser())
    full = {platform.node(), socket.gethostname(), os.environ.get("HOSTNAME", "")}
    hosts = full | {name.partition(".")[0] for name in full}
    parts = {part for name in spared for part in (name.lower(), *re.split(r"[-_.]", name.lower()))}
    return Scrubber(
        homes=tuple(home for home in homes if home not in {"", "/"}),
        users=tuple(filter(None, users)),
        hosts=tuple(filter(None, hosts)),
        spared=frozenset(parts),
    )


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=len, reverse=True)


def _without_credentials(found: re.Match[str]) -> str:
    """Hide what stands before the @ of a host, also where its password has signs that should be escaped.

    In ``https://host/package@v1`` there is nothing to hide, nor behind the port of ``http://host:80/a@b``.
    """
    authority = found[0].partition("/")[0]
    _, colon, port = authority.partition(":")
    if "@" in authority:
        return f"{_HIDDEN}@{found[0][authority.rindex('@') + 1 :]}"
    return f"{_HIDDEN}@" if colon and not port.isdigit() else found[0]
