"""Read a project and say what it wants."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from mmsetup.errors import RequestError
from mmsetup.project.asked import Asked
from mmsetup.project.commands import commands, from_images
from mmsetup.project.configs import read_config
from mmsetup.project.copies import read_copy
from mmsetup.project.declared import declared, is_aside
from mmsetup.project.files import Reading, printable
from mmsetup.project.imports import read_imports, read_imports_by_line
from mmsetup.project.model import Evidence, ProjectWish, Text, gathered
from mmsetup.project.notebooks import cells
from mmsetup.project.rules import Rules, rules
from mmsetup.project.syntax import nodes, parsed
from mmsetup.project.weigh import weigh

__all__ = ["read_project"]

# No requirements file of a person is longer; finding the lines of more would take minutes.
_MOST = 1000

_DECLARING = (".txt", ".in", ".cfg", ".toml", ".yml", ".yaml")


def read_project(path: Path) -> ProjectWish:
    """Tell which family the code below ``path``, a file or a folder, was written for.

    Nothing is executed or imported. At most 5,000 files and 20 MiB are read, those near the top first.

    Raises:
        RequestError: there is nothing at the path, it cannot be read, or nothing in it tells a family.
    """
    table = rules()
    reading = Reading(path)
    read = [(_rank(text), _evidence(text, table)) for text in reading.texts()]
    # Requirements files are about the project; readmes tell of every way there is to install it.
    evidence = gathered(found for _, found in sorted(read, key=lambda pair: pair[0]))
    if not evidence.clues:
        raise _untold(reading, evidence)
    family, clues, against = weigh(evidence.clues, table)
    own = set(evidence.copies)
    named = evidence.named - own - evidence.packages
    is_copy = "mmseg" in own
    packages = (evidence.packages | (frozenset() if is_copy else named)) - own
    notes = [
        *_copies(evidence),
        *_mixed(family, len(clues), sorted({clue.family for clue in against}), len(against)),
        *(f"uses {module} where it is installed" for module in sorted(evidence.optional - packages - own)),
        *(f"some configurations name {module}" for module in sorted(named if is_copy else ())),
        *_pins(evidence.requirements),
        *_unparsed(evidence),
        *(f"left out: {count} {what}" for what, count in sorted(reading.left_out.items())),
    ]
    asserted = tuple(_asserted(evidence, family, table))
    return ProjectWish(
        path=os.fspath(path),
        family=family,
        packages=tuple(sorted(packages)),
        # What code asserts is stronger than what a readme says; what a copy shadows matters least.
        requirements=tuple(
            dict.fromkeys((*asserted, *evidence.requirements, *_shadowed(evidence, family, table)))
        ),
        clues=clues,
        against=against,
        files_read=reading.files_read,
        notes=tuple(notes),
        asserted=asserted,
    )


def _rank(text: Text) -> int:
    if text.name.endswith(_DECLARING) or text.name == "setup.py":
        return 0
    return 1 if "dockerfile" in text.name else 2


def _evidence(text: Text, table: Rules) -> Evidence:
    if text.name.endswith(".py"):
        return gathered((_of_module(text, table), _of_asked(text, declared(text, table), table)))
    if text.name.endswith(".ipynb"):
        parts = cells(text)
        if parts is None:
            return Evidence(unparsed=(text.path,))
        code, shell = parts
        return gathered((_of_module(code, table), _of_asked(shell, commands(shell.lines, table), table)))
    if text.name.endswith(_DECLARING):
        return _of_asked(text, declared(text, table), table)
    images = from_images(text.lines, table) if "dockerfile" in text.name else ()
    return _of_asked(text, chain(images, commands(text.lines, table)), table)


def _of_module(text: Text, table: Rules) -> Evidence:
    tree = parsed(text.lines)
    if tree is None:
        by_line = read_imports_by_line(text, table)
        return gathered((by_line, Evidence(unparsed=(text.path,))))
    walk = list(nodes(tree))
    return gathered(
        (
            read_imports(text, walk, table),
            read_config(text, tree, walk, table),
            read_copy(text, tree, table),
        )
    )


def _of_asked(text: Text, found: Iterable[tuple[int, Asked]], table: Rules) -> Evidence:
    aside = text.name.endswith(".txt") and is_aside(text.name)
    clues = []
    packages: set[str] = set()
    lines: list[str] = []
    for line, asked in islice(found, _MOST):
        known = asked.distribution
        family, certain = known.family_of(asked.specifier)
        if family:
            meaning = f"asks for {asked}, of the family {family}"
            # The distributions of one generation fit the fork's code too, but who names them means them.
            clues.append(
                text.clue(family, line, meaning, strong=certain and not aside, names_family=not aside)
            )
        if aside:
            continue
        if known.module in table.packages:
            packages.add(known.module)
        if asked.specifier:
            lines.append(str(asked))
    return Evidence(clues=tuple(clues), packages=frozenset(packages), requirements=tuple(lines))


def _asserted(evidence: Evidence, family: str, table: Rules) -> Iterator[str]:
    for one in evidence.asserted:
        found = table.of_module(one.module, family)
        if found is not None:
            yield f"{found.name}{one.range}"


def _shadowed(evidence: Evidence, family: str, table: Rules) -> Iterator[str]:
    """Ask for the release that a copy of the segmentation package was made of, to stand behind it."""
    found = table.of_module("mmseg", family)
    try:
        version = Version(evidence.copies.get("mmseg", ""))
    except ValueError:
        return
    if found is not None:
        yield f"{found.name}=={version.public}"


def _copies(evidence: Evidence) -> Iterator[str]:
    for module, version in sorted(evidence.copies.items()):
        yield f"brings its own copy of {module}" + (f" ({version})" if version else "")


def _mixed(family: str, count: int, others: list[str], against: int) -> Iterator[str]:
    if others:
        yield f"mixed: {count} clue(s) for {family}, {against} for {', '.join(others)}"


def _pins(requirements: tuple[str, ...]) -> Iterator[str]:
    pinned: dict[str, list[str]] = {}
    for line in requirements:
        asked = Requirement(line)
        for specifier in asked.specifier:
            if specifier.operator == "==" and specifier.version not in pinned.setdefault(asked.name, []):
                pinned[asked.name].append(specifier.version)
    for name, versions in sorted(pinned.items()):
        exact = [version for version in versions if not version.endswith(".*")]
        if len({version.partition("+")[0] for version in exact}) > 1:
            yield f"pins {name} to several versions: {', '.join(exact)}"


def _unparsed(evidence: Evidence) -> Iterator[str]:
    if evidence.unparsed:
        count = len(evidence.unparsed)
        yield f"{count} file(s) could not be parsed, such as {evidence.unparsed[0]}: read line by line"


def _untold(reading: Reading, evidence: Evidence) -> RequestError:
    used = sorted(evidence.packages | evidence.optional | evidence.named)
    seen = f"; it uses {', '.join(used)}, but no name that tells the generations apart" if used else ""
    return RequestError(
        f"nothing in {printable(reading.root)!r} tells which family it was written for{seen}",
        remedy="mmsetup plan --family mmcv-full  # or mmcv, onedl",
        evidence=[
            f"{reading.files_read} files were read",
            "looked for imports such as mmcv.runner, mmcv.Config, mmengine, mmseg.apis, mmdet.registry",
            "looked for keys of configurations: runner, lr_config, data; train_dataloader, optim_wrapper",
            "looked for versions of mmcv, mmcv-full, mmsegmentation, mmdet, mmengine and onedl-*",
            "in requirements files, setup.py, pyproject.toml, environment.yml, Dockerfiles and readmes",
            *(f"left out: {count} {what}" for what, count in sorted(reading.left_out.items())),
        ],
    )
