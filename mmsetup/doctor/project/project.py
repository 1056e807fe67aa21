"""A project as the checks see it: its files, read once, and what is derived from them."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from mmsetup.doctor.context import Context
from mmsetup.doctor.context import parsed as parsed_version
from mmsetup.doctor.project.tables import Tables, tables
from mmsetup.errors import RequestError
from mmsetup.project.files import Reading, printable
from mmsetup.project.inherit import Config, Configs
from mmsetup.project.model import Text
from mmsetup.project.notebooks import cells
from mmsetup.project.rules import Rules, rules
from mmsetup.project.syntax import Walk, nodes, parsed
from mmsetup.project.values import Value

__all__ = ["Module", "Project"]

_JSON = re.compile(r'"(?:model|_base_|train_dataloader|data)"\s*:')
_LARGEST_JSON = 1 << 20
_MOST_JSON = 200


@dataclass(frozen=True)
class Module:
    """A file of Python, or the code of a notebook."""

    text: Text

    @cached_property
    def source(self) -> str:
        """Give all lines as one text."""
        return "\n".join(self.text.lines)

    @cached_property
    def tree(self) -> ast.Module | None:
        """Give its syntax; nothing where it is not of this Python."""
        return parsed(self.text.lines)

    @cached_property
    def walk(self) -> Walk:
        """Give every node of it, and whether it stands where a failing import is caught."""
        return () if self.tree is None else tuple(nodes(self.tree))

    @property
    def is_broken(self) -> bool:
        """Tell whether this Python cannot parse it, no matter who asked for its syntax before."""
        # A tree is many times as large as the text, and kept only where a check walks through it.
        tree = self.tree if "tree" in vars(self) else parsed(self.text.lines)
        return tree is None

    @property
    def dotted(self) -> str:
        """Give the path as the name of a module would be from the project's folder: ``a.b.c``."""
        return self.text.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_package(self) -> bool:
        """Tell whether it is the ``__init__`` of a package."""
        return self.text.name == "__init__.py"

    @property
    def is_test(self) -> bool:
        """Tell whether it stands among tests."""
        return not {"test", "tests"}.isdisjoint(self.text.folders) or self.text.name.startswith("test_")

    def at(self, number: int) -> str:
        """Word a line, counted from 1, as evidence: ``tools/train.py:12: import mmcv.runner``."""
        clue = self.text.clue("", number, "")
        return f"{clue.path}:{clue.line}: {clue.text}"


@dataclass(frozen=True)
class Project:
    """What is at ``path``, a folder or a file, beside the environment that ``context`` describes.

    Nothing of it is run. At most 5,000 files and 20 MiB are read, those near the top first. A file alone is
    judged by itself; what lies around it is known to it. ``is_offline``: no host may be asked for weights.
    """

    path: Path
    context: Context | None = None
    is_offline: bool = False
    _reading: list[Reading] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict, compare=False)
    """What several checks derive from the project, each under a name of its own."""

    @cached_property
    def root(self) -> Path:
        """Give the folder that paths and imports in the project start from.

        For a file it is the current folder where the file lies below, as for who starts
        ``python tools/train.py configs/fcn.py``; else that of the file.
        """
        if self.path.is_dir():
            return self.path.absolute()
        return Path.cwd() if self._place.is_relative_to(Path.cwd()) else self._place.parent

    @cached_property
    def _place(self) -> Path:
        """Give where a file alone is, seen through links where only that shows that it is below."""
        written = Path(os.path.normpath(self.path.absolute()))
        real = written.parent.resolve() / written.name
        is_seen = real.is_relative_to(Path.cwd()) and not written.is_relative_to(Path.cwd())
        return real if is_seen else written

    @cached_property
    def rules(self) -> Rules:
        """Give what names and keys say about generations."""
        return rules()

    @cached_property
    def tables(self) -> Tables:
        """Give what is known of names that moved."""
        return tables()

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """Give the files of the project.

        Raises:
            RequestError: there is nothing at the path, or it cannot be read.
        """
        reading = Reading(self.path)
        try:
            found = tuple(reading.texts())
        except RequestError as error:
            raise RequestError(
                str(error), remedy="mmsetup doctor --project DIR  # that can be read"
            ) from error
        self._reading.append(reading)
        if self.path.is_dir():
            return found
        return tuple(replace(text, path=printable(self._place.relative_to(self.root))) for text in found)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Give what was not read, and how often."""
        return self._reading[0].left_out if self._reading else {}

    @property
    def binaries(self) -> Sequence[str]:
        """Give the files that are no text, though their names promise it."""
        if self.path.is_dir() or not self._reading:
            return self._reading[0].binaries if self._reading else ()
        return [printable(self._place.relative_to(self.root))] if self._reading[0].binaries else []

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """Give the files of Python."""
        return tuple(Module(text) for text in self.texts if text.name.endswith(".py"))

    @cached_property
    def known(self) -> tuple[Module, ...]:
        """Give the modules that the code may import: of a file alone, those around it too.

        They are looked at for what they define and import, and not judged.
        """
        # Below the root of the file system is all that there is, and no project.
        if self.path.is_dir() or self.root == Path(self.root.anchor):
            return self.modules
        own = {module.text.path for module in self.modules}
        around: list[Text] = []
        with suppress(RequestError):
            around += (text for text in Reading(self.root).texts() if text.name.endswith(".py"))
        return (*self.modules, *(Module(text) for text in around if text.path not in own))

    @cached_property
    def notebooks(self) -> tuple[tuple[Module, Text], ...]:
        """Give the code and the shell lines of each notebook."""
        found = (cells(text) for text in self.texts if text.name.endswith(".ipynb"))
        return tuple((Module(one[0]), one[1]) for one in found if one is not None)

    def naming(self, modules: Iterable[str], words: Iterable[str] = ()) -> tuple[Module, ...]:
        """Give the code that names one of the modules, and one of the words: no other has to be parsed."""
        first = _any(modules)
        second = _any(words) if words else first
        every = (*self.modules, *(code for code, _ in self.notebooks))
        return tuple(one for one in every if first.search(one.source) and second.search(one.source))

    @cached_property
    def scripts(self) -> tuple[Text, ...]:
        """Give the shell scripts, and the shell lines of notebooks."""
        shell = (text for text in self.texts if text.name.endswith(".sh"))
        return (*shell, *(lines for _, lines in self.notebooks))

    @cached_property
    def dockerfiles(self) -> tuple[Text, ...]:
        """Give the Dockerfiles."""
        return tuple(
            text
            for text in self.texts
            if text.name.startswith(("dockerfile", "containerfile")) or text.name.endswith(".dockerfile")
        )

    @cached_property
    def own_packages(self) -> frozenset[str]:
        """Give the modules of the stack that the project brings itself: copies of mmseg and the like."""
        return frozenset(
            one.text.path.split("/")[-2]
            for one in self.known
            if one.is_package and "/" in one.text.path and one.text.path.split("/")[-2] in self.rules.modules
        )

    @cached_property
    def configs(self) -> tuple[Config, ...]:
        """Give the configurations that can be run, each with all that it inherits.

        A part (in a folder ``_base_``, or another configuration inherits from it and it has no model or no
        data of its own) is looked at inside of those that use it, where what they replace does not count.
        """
        found = {}
        for place, lines in self._candidates():
            config = self.reader.read(place, lines)
            if config is not None:
                found[place] = config
        used = frozenset[Path]().union(*(config.bases for config in found.values()))
        return tuple(
            config
            for place, config in found.items()
            if "_base_" not in place.parts and (place not in used or _is_whole(config))
        )

    def used(self, config: Config) -> Value:
        """Give what runners take from a configuration: other names at its top are there to be put into it."""
        # Kept: who walks through many of them knows those that it has seen by their id.
        kept: dict[str, Value] = self.kept.setdefault("used", {})
        if config.path not in kept:
            names = self.tables.used(self.generation)
            values = {name: value for name, value in config.values.items() if name in names}
            kept[config.path] = Value(values, config.root.place)
        return kept[config.path]

    @cached_property
    def generation(self) -> int | None:
        """Give the generation of what is installed, by mmcv; nothing where that cannot be told."""
        return self.generation_of("mmcv")

    def generation_of(self, module: str) -> int | None:
        """Tell the generation of an installed module of the stack; nothing where that cannot be told."""
        found: set[int] = set()
        for owner in self.context.owners(module) if self.context is not None else ():
            known, version = self.rules.distribution(owner.name), parsed_version(owner.version)
            if known is None or version is None:
                continue
            family, _ = known.family_of(SpecifierSet(f"=={version.public}"))
            if family:
                found.add(self.rules.generations[family])
        return found.pop() if len(found) == 1 else None

    @cached_property
    def reader(self) -> Configs:
        """Give what reads configurations."""
        return Configs(self.root, self._installed_configs)

    def _candidates(self) -> Iterator[tuple[Path, tuple[str, ...]]]:
        for module in self.modules:
            if self.is_config(module):
                yield self.root / module.text.path, module.text.lines
        for text in self._json_texts():
            yield self.root / text.path, text.lines

    def is_config(self, module: Module) -> bool:
        """Tell whether a file holds assignments alone, and one of them is what runners read."""
        source = module.source
        if not self.tables.config_key.search(source) or re.search(
            r"^(?:class|def|async|if|for|while)\b", source, re.MULTILINE
        ):
            return False
        return "argparse" not in source

    def _json_texts(self) -> Iterator[Text]:
        if not self.path.is_dir():
            return
        folders = sorted({text.path.rpartition("/")[0] for text in self.texts})
        seen = 0
        for folder in folders:
            for place in sorted((self.root / folder).glob("*.json")):
                seen += 1
                try:
                    if seen > _MOST_JSON or not place.is_file() or place.stat().st_size > _LARGEST_JSON:
                        continue
                    text = place.read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue
                if _JSON.search(text):
                    relative = printable(place.relative_to(self.root))
                    yield Text(relative, tuple(text.split("\n")))

    def _installed_configs(self, module: str) -> Path | None:
        folder = self.context.source(module) if self.context is not None else None
        place = folder / ".mim" / "configs" if folder is not None else None
        return place if place is not None and place.is_dir() else None

    def has(self, dotted: str) -> bool:
        """Tell whether a module of that name is among the project's files, from any of its folders."""
        # Kept: code names the same few modules in thousands of lines.
        told: dict[str, bool] = self.kept.setdefault("has", {})
        if dotted not in told:
            told[dotted] = any(f".{dotted}." in f".{one}." for one in self._dotted)
        return told[dotted]

    @cached_property
    def _dotted(self) -> frozenset[str]:
        return frozenset(module.dotted for module in self.known)


def _is_whole(config: Config) -> bool:
    return "model" in config.values and not config.values.keys().isdisjoint({"data", "train_dataloader"})


def _any(words: Iterable[str]) -> re.Pattern[str]:
    alternatives = "|".join(map(re.escape, sorted(words)))
    return re.compile(rf"\b(?:{alternatives})\b" if alternatives else r"(?!)")
