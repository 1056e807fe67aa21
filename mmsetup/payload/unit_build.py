"""Compile the files of an extension together, and apart where they do not bear it.

``setuptools``' ``build_extension`` is called with other sources than setup.py named: units that include them.
When a unit does not compile, the files in which the compiler found errors become a unit of their own, and
what fails again is compiled as setup.py meant it. What was compiled already is not compiled again.

Where a compiler dies of memory while several run, the build goes on with one at a time; this holds for
extensions whose files are compiled alone as well.
"""

import json
import os
import re
import sys
import threading
from collections import deque
from contextlib import contextmanager

import unit_plan

__all__ = ["Units", "compile_apart", "compile_together"]

_FEWEST = 3
_LINES_KEPT = 20000
_FAILED = re.compile(r"^FAILED: (?:\[code=\S+\] )?(.+?)\s*$")
_INCLUDED = re.compile(r"^(?:In file included|\s+) from (.+?):\d+")
_WHERE = re.compile(r"^(\S.*?):\d+(?::\d+)?: (?:fatal )?(error|note)\b(.*)")
# What g++, ld, nvcc and its ptxas print; mmsetup.build.log knows the same.
_MEMORY = re.compile(
    r"Killed signal terminated program|\bKilled \(program|(terminated with|died due to) signal 9\b"
    r"|out of memory|virtual memory exhausted|Memory allocation failure|std::bad_alloc"
    r"|Cannot allocate memory"
)


def compile_together(order):
    """From now on compile extensions in units.

    ``order`` has ``jobs``, ``apart`` (groups of path endings that do not compile together) and ``report``
    (the file that tells what came of it, as JSON).
    """
    from setuptools.command.build_ext import build_ext

    plain = build_ext.build_extension

    def build_extension(command, extension):
        if sum(map(unit_plan.is_shared, extension.sources)) < _FEWEST:
            return _until_nothing_helps(plain, command, extension)
        units = Units(extension.sources, order, os.getcwd())
        extension.include_dirs = [unit_plan.write_headers(os.getcwd()), *extension.include_dirs]
        say("compiling %d files in %d units" % (len(extension.sources), len(units.paths())))
        return _until_nothing_helps(plain, command, extension, units)

    build_ext.build_extension = build_extension


def compile_apart():
    """From now on compile extensions as setup.py says, but for the number of compilers at once."""
    from setuptools.command.build_ext import build_ext

    plain = build_ext.build_extension
    build_ext.build_extension = lambda command, extension: _until_nothing_helps(plain, command, extension)


def _until_nothing_helps(plain, command, extension, units=None):
    while True:
        if units is not None:
            extension.sources = units.paths()
        with heard() as lines:
            try:
                return plain(command, extension)
            except Exception:  # torch raises RuntimeError, distutils several of its own
                failure = sys.exc_info()[1]
        said = list(lines)
        if not lower_jobs(said) and (units is None or not units.split(said)):
            if any(map(_MEMORY.search, said)):
                print("a compiler ran out of memory though it ran alone", flush=True)
            raise failure


def lower_jobs(lines):
    """Let compilers run one at a time after one died of memory beside others; tell whether that is new."""
    if os.environ.get("MAX_JOBS") == "1" or not any(map(_MEMORY.search, lines)):
        return False
    os.environ["MAX_JOBS"] = "1"
    say("a compiler ran out of memory: going on with one at a time")
    return True


class Units:
    """The units of one extension, and what was learned of them."""

    def __init__(self, sources, order, root):
        self._root = root
        self._report = order["report"]
        self._units = {}
        self._bare = [path for path in sources if not unit_plan.is_shared(path)]
        self._bare.sort(key=lambda path: -os.path.getsize(os.path.join(root, path)))
        self._number = 0
        self.clashes = []
        read = [unit_plan.Source(path, self._text(path)) for path in sources if unit_plan.is_shared(path)]
        for unit in unit_plan.arrange(read, order["jobs"], order["apart"]):
            self._add(unit)
        self._tell()

    def paths(self):
        """Give the files to compile, the longest first."""
        return [*self._units, *self._bare]

    def split(self, lines):
        """Learn from what a failed build printed; tell whether another try makes sense."""
        names = _stems(_FAILED, lines)
        units = [path for path in self._units if _stem(path) in names]
        if not names and any(match.group(2) == "error" for match in filter(None, map(_WHERE.match, lines))):
            # Without ninja, the compiler alone tells what failed.
            names = _stems(_INCLUDED, lines)
            units = [path for path in self._units if _stem(path) in names]
        elif len(units) < len(names):
            return False
        if not units:
            return False
        for path in units:
            self._divide(path, lines)
        self._tell()
        return True

    def _divide(self, path, lines):
        unit = self._units.pop(path)
        known = {os.path.realpath(os.path.join(self._root, source.path)): source for source in unit}
        culprits, partners, says = [], [], ""
        for match in filter(None, map(_WHERE.match, lines)):
            source = known.get(os.path.realpath(match.group(1)))
            if source is None:
                continue
            if match.group(2) == "error":
                culprits.append(source)
                says = says or match.group(3).lstrip(": ")
            else:
                partners.append(source)
        if not culprits or len(set(culprits)) == len(unit):
            self._bare += [source.path for source in unit]
            if any(map(_MEMORY.search, lines)):
                say("%s takes too much memory: its files are compiled one by one" % os.path.basename(path))
                return
            say("%s does not compile: its files are compiled one by one" % os.path.basename(path))
            self._remember(unit, (), says)
            return
        rest = [source for source in unit if source not in culprits]
        moved = [source for source in unit if source in culprits]
        self._remember(moved, [source for source in rest if source in partners], says)
        say("compiled apart from the rest of their unit: %s (%s)" % (_names(moved), says))
        self._add(rest)
        self._add(moved)

    def _add(self, unit):
        self._number += 1
        self._units[unit_plan.write_unit(unit, self._number, self._root)] = unit

    def _remember(self, files, others, says):
        self.clashes.append(
            {
                "files": [source.path for source in files],
                "with": [source.path for source in others],
                "says": says,
            }
        )

    def _tell(self):
        found = {
            "units": [[source.path for source in unit] for unit in self._units.values()],
            "alone": self._bare,
            "clashes": self.clashes,
        }
        with open(self._report, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)

    def _text(self, path):
        with open(os.path.join(self._root, path), encoding="utf-8", errors="replace") as file:
            return file.read()


@contextmanager
def heard():
    """Give the lines that this process and its children print meanwhile; they go on to standard output."""
    lines = deque(maxlen=_LINES_KEPT)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    end, begin = os.pipe()
    os.dup2(begin, 1)
    os.dup2(begin, 2)
    os.close(begin)

    def listen():
        with os.fdopen(end, "rb") as pipe, os.fdopen(os.dup(kept[0]), "wb", 0) as out:
            for line in pipe:
                out.write(line)
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield lines
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        # A child that outlives the build may hold the pipe open.
        listener.join(5)
        for handle in kept:
            os.close(handle)


def say(text):
    """Tell the parent something that a person should read."""
    print("mmsetup: " + text, flush=True)


def _stems(pattern, lines):
    return {_stem(match.group(1)) for match in map(pattern.match, lines) if match}


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def _names(sources):
    return ", ".join(os.path.basename(source.path) for source in sources)
