"""Commands that install something, in readmes, scripts, Dockerfiles and notebooks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from mmsetup.project.asked import Asked, cuda_of, of_address, of_conda, of_requirement
from mmsetup.project.rules import Rules

__all__ = ["commands", "from_images", "joined"]

_COMMAND = re.compile(r"\b(pip[\d.]*|mim|conda|mamba|micromamba)\s+(?:install|create|download|wheel|add)\b")
_ENDS = frozenset({"&&", "||", "|", ";", "&"})
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_SET = re.compile(r"^\s*(?:(?:ARG|ENV|export)\s+)?(\w+)(?:=|\s+(?=\S+\s*$))[\"']?([\w.+-]{1,60})[\"']?\s*$")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)?(\S+)", re.IGNORECASE)
_TORCH_IMAGE = re.compile(r"(?:^|/)pytorch:(\d+(?:\.\d+)+)(?:-cuda(\d+)\.(\d+))?")
_CUDA_IMAGE = re.compile(r"(?:^|/)cuda:(\d+)\.(\d+)")
_LONGEST = (
    20_000  # characters of a command: what is longer was made by no person, and splitting it takes long
)
_PYTHON_IMAGE = re.compile(r"(?:^|/)python:(\d+\.\d+(?:\.\d+)?)")


def joined(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Join lines that a backslash continues: the first, the one after the last, and the text."""
    start = 0
    while start < len(lines):
        end = start
        while end + 1 < len(lines) and lines[end].rstrip().endswith("\\"):
            end += 1
        whole = " ".join(line.rstrip().removesuffix("\\") for line in lines[start : end + 1])
        if len(whole) <= _LONGEST:
            yield start, end + 1, whole
        start = end + 1


def commands(lines: Sequence[str], rules: Rules) -> Iterator[tuple[int, Asked]]:
    """Give what is installed and in which line, counted from 1; variables set above are filled in."""
    variables: dict[str, str] = {}
    for start, end, whole in joined(lines):
        setting = _SET.match(whole)
        if setting is not None:
            variables[setting[1]] = setting[2]
        filled = _filled(whole, variables)
        for found, word in _installed(filled, rules):
            yield _line_of(word, lines, start, end), found


def from_images(lines: Sequence[str], rules: Rules) -> Iterator[tuple[int, Asked]]:
    """Give what the base images of a Dockerfile bring."""
    variables: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        setting = _SET.match(line)
        if setting is not None:
            variables[setting[1]] = setting[2]
        base = _FROM.match(line)
        if base is None:
            continue
        image = _filled(base[1], variables)
        torch, cuda, python = (
            pattern.search(image) for pattern in (_TORCH_IMAGE, _CUDA_IMAGE, _PYTHON_IMAGE)
        )
        found: list[Asked] = []
        if torch is not None:
            found.extend(of_conda(f"torch=={torch[1]}", rules))
            found.extend(cuda_of(f"cu{torch[2]}{torch[3]}", rules))
        if cuda is not None:
            found.extend(cuda_of(f"cu{cuda[1]}{cuda[2]}", rules))
        if python is not None:
            found.extend(of_conda(f"python={python[1]}", rules))
        yield from ((number, asked) for asked in found)


def _installed(line: str, rules: Rules) -> Iterator[tuple[Asked, str]]:
    starts = list(_COMMAND.finditer(line))
    for place, match in enumerate(starts):
        end = starts[place + 1].start() if place + 1 < len(starts) else len(line)
        read = of_requirement if match[1].startswith(("pip", "mim")) else of_conda
        # In Markdown a command ends where its backticks do.
        rest = line[match.end() : end].partition("`")[0]
        for word in _words(rest):
            if word in _ENDS:
                break
            value = (word.partition("=")[2] if word.startswith("--") else word).rstrip(";")
            asked = of_address(value, rules) if "://" in value else read(value, rules)
            yield from ((found, word) for found in asked)
            if word.endswith(";"):
                break


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _filled(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), text)


def _line_of(word: str, lines: Sequence[str], start: int, end: int) -> int:
    for number in range(start, end):
        if word in lines[number]:
            return number + 1
    # A variable was filled in: the name is all that the line shares with the word.
    name = re.split(r"[<>=!~;\[]", word, maxsplit=1)[0]
    return next((number + 1 for number in range(start, end) if name in lines[number]), start + 1)
