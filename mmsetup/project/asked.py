"""One requirement as people write it, for pip, mim or conda, and the addresses that go with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mmsetup.binary.local_version import labelled_pair
from mmsetup.project.rules import Distribution, Rules

__all__ = ["Asked", "cuda_of", "of_address", "of_conda", "of_requirement"]

_PAGE = re.compile(r"/mmcv/dist/(cu\d+|cpu)/torch(\d+\.\d+)")
_INDEX = re.compile(r"download\.pytorch\.org/whl/(?:\w+/)?(cu\d+)\b")
_REPOSITORY = re.compile(r"github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?(?:@v?([\w.+-]+))?(?:[#/?].*)?$")
_WHEEL = re.compile(r"([^/?#]+\.whl)(?:[?#].*)?$")
_CONDA = re.compile(r"(?:[\w./-]+::)?([\w.-]+)\s*(.*)", re.DOTALL)
_CONDA_EQUALS = re.compile(r"={1,2}\s*([\w.+!-]+?)(\.?\*)?(?:=(.*))?")
_CONDA_BUILD = re.compile(r"cuda(\d+\.\d+)")
_CARET = re.compile(r"\^\s*(\d+)((?:\.\d+)*)")
_NUMBERS = 3
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """A distribution of the stack and the versions of it that are asked for; none: any."""

    distribution: Distribution
    specifier: SpecifierSet
    marker: str = ""

    def __str__(self) -> str:
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.distribution.name}{self.specifier}{marker}"


def of_requirement(words: str, rules: Rules) -> Iterator[Asked]:
    """Read ``mmcv-full==1.5.3``, ``torch==1.11.0+cu113``, ``mmseg @ git+https://...@v0.30.0``.

    A local part that names a pair, as that of ``mmcv-full==1.7.2+pt1.13.1cu117``, asks for that torch and
    CUDA, and not for a version of its own.
    """
    words = _unquoted(words)
    if not words or len(words) > _LONGEST:
        return
    if "://" in words:
        yield from of_address(words.partition("@ ")[2] if "@ " in words else words, rules)
        return
    if "$" in words or "{" in words:
        # A version out of a variable: what is left is the name.
        words = re.split(r"[\s<>=!~;\[]", words, maxsplit=1)[0]
    words = _CARET.sub(_without_caret, words)
    try:
        read = Requirement(words)
    except InvalidRequirement:
        return
    known = rules.distribution(read.name)
    if known is None:
        return
    yield Asked(known, _without_label(read.specifier), str(read.marker or ""))
    for specifier in read.specifier:
        yield from _of_local(specifier.version.partition("+")[2], rules)


def of_conda(words: str, rules: Rules) -> Iterator[Asked]:
    """Read ``python=3.8``, ``pytorch::pytorch=1.11.0=py3.8_cuda11.3_0``, ``cudatoolkit=11.3``."""
    words = _unquoted(words)
    match = _CONDA.fullmatch(words)
    known = rules.distribution(match[1]) if match and len(words) <= _LONGEST else None
    if match is None or known is None:
        return
    equals = _CONDA_EQUALS.fullmatch(match[2].strip())
    try:
        if equals is None:
            specifier = SpecifierSet(match[2].strip().replace(" ", ""))
        else:
            specifier = _series(equals[1], whole=match[2].startswith("==") and not equals[2])
    except (InvalidSpecifier, InvalidVersion):
        return
    if known.name == "cuda" and equals is not None:
        yield from cuda_of("cu" + "".join(equals[1].split(".")[:2]), rules)
        return
    yield Asked(known, specifier)
    build = _CONDA_BUILD.search(equals[3] or "") if equals is not None else None
    if build is not None:
        yield from cuda_of("cu" + build[1].replace(".", ""), rules)


def of_address(address: str, rules: Rules) -> Iterator[Asked]:
    """Read a page of wheels, an index of torch, a wheel itself, or a repository at a tag.

    Layout: ``mmcv/dist/cu113/torch1.11.0/index.html`` serves the whole series 1.11 of torch.
    """
    if len(address) > _LONGEST:
        return
    page = _PAGE.search(address)
    if page is not None:
        yield Asked(rules.distributions["torch"], SpecifierSet(f"=={page[2]}.*"))
        yield from cuda_of(page[1], rules)
    index = _INDEX.search(address)
    if index is not None:
        yield from cuda_of(index[1], rules)
    wheel = _WHEEL.search(address)
    if wheel is not None:
        try:
            name, version, _, _ = parse_wheel_filename(wheel[1].replace("%2B", "+").replace("%2b", "+"))
        except (InvalidWheelFilename, InvalidVersion):
            return
        known = rules.distribution(name)
        if known is not None:
            yield Asked(known, _without_label(SpecifierSet(f"=={version}")))
            yield from _of_pair(version.local or "", rules)
        return
    repository = _REPOSITORY.search(address)
    known = rules.repositories.get(repository[1].lower()) if repository else None
    if repository is not None and known is not None:
        tag = repository[2] or ""
        yield Asked(known, SpecifierSet(f"=={tag}" if _is_version(tag) else ""))


def cuda_of(variant: str, rules: Rules) -> Iterator[Asked]:
    """Read a CUDA variant, ``cu113``; ``cpu`` and other local versions say nothing of CUDA."""
    if re.fullmatch(r"cu\d{2,3}", variant):
        version = f"{variant[2:-1]}.{variant[-1]}"
        yield Asked(rules.distributions["cuda"], SpecifierSet(f"=={version}"))


def _of_local(local: str, rules: Rules) -> Iterator[Asked]:
    yield from _of_pair(local, rules)
    yield from cuda_of(local, rules)


def _of_pair(local: str, rules: Rules) -> Iterator[Asked]:
    named = labelled_pair(local)
    if named is not None:
        yield Asked(rules.distributions["torch"], SpecifierSet(f"=={named[0]}"))
        yield from cuda_of(named[1], rules)


def _without_label(asked: SpecifierSet) -> SpecifierSet:
    """Give the versions that are asked for without a local part that names a pair."""
    lines = []
    for specifier in asked:
        version, _, local = specifier.version.partition("+")
        lines.append(f"{specifier.operator}{version}" if labelled_pair(local) else str(specifier))
    return SpecifierSet(",".join(lines))


def _unquoted(words: str) -> str:
    words = words.strip().strip(",`")
    quoted = words[:1] in {'"', "'"}
    return words.strip("\"'").strip() if quoted else words


def _series(version: str, *, whole: bool) -> SpecifierSet:
    parsed = Version(version)
    exact = whole or len(parsed.release) >= _NUMBERS
    return SpecifierSet(f"=={parsed}" if exact else f"=={parsed}.*")


def _without_caret(match: re.Match[str]) -> str:
    # "^0.30" of poetry keeps the first number that is not 0.
    first, rest = int(match[1]), match[2]
    second = int(rest.split(".")[1]) if rest else 0
    end = f"{first + 1}" if first or not rest else f"0.{second + 1}"
    return f">={first}{rest},<{end}"


def _is_version(text: str) -> bool:
    # A commit of digits alone is no version.
    try:
        return bool(text) and "." in text and bool(Version(text))
    except InvalidVersion:
        return False
