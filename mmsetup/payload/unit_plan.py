"""Choose which source files of an extension are compiled together, and write the files that include them.

Parsing torch's headers is most of the work of a small file, so files that share a compilation share that.
Seconds are those of one core (gcc 12, torch 1.13.1, ``-O3``): only their proportions matter.
"""

import os
import re

__all__ = ["Source", "arrange", "is_shared", "seconds", "write_headers", "write_unit"]

# Not files for nvcc: the headers of their kernels define names and macros over again, with other values, and
# what came of that could only be seen on a GPU.
TOGETHER = (".cpp", ".cc", ".cxx")
# distutils sorts sources by their paths: units come before the ./mmcv of setup.py, and in their own order.
FOLDER = os.path.join(".", "build", "units")

# Of mmcv-full 1.7.2, each measured alone; of files that include several of them the dearest counts.
_HEADERS = {"torch/extension.h": 5.4, "torch/script.h": 4.0}
_HEADER = 2.6
_SECONDS_PER_BYTE = 35e-6
_SECONDS_PER_WORD = {"AT_DISPATCH_": 0.08, "m.def(": 0.035}
_NEARLY = 1.1
_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)

_INCLUDE = re.compile(r"[ \t]*#[ \t]*include[ \t]*<([^>]+)>")
_CONDITION = re.compile(r"[ \t]*#[ \t]*(if|endif)")
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

# torch/extension.h is the whole of torch's C++ front end; what mmcv binds needs tensors and their conversion.
_EXTENSION_H = """\
#pragma once
#if defined(MMSETUP_UNIT) && __has_include(<torch/csrc/utils/pybind.h>)
#include <torch/types.h>
#include <torch/csrc/utils/pybind.h>
#else
#include_next <torch/extension.h>
#endif
"""


class Source:
    """A source file: its path as setup.py named it, the headers that it includes, what it costs."""

    def __init__(self, path, text):
        self.path = path
        text = _COMMENT.sub(" ", text)
        self.headers = tuple(_unconditional(text))
        self.macros = tuple(sorted(set(_DEFINE.findall(text))))
        words = sum(text.count(word) * each for word, each in _SECONDS_PER_WORD.items())
        self.seconds = len(text) * _SECONDS_PER_BYTE + words


def is_shared(path):
    """Tell whether a source file may share a compilation with others."""
    return path.endswith(TOGETHER)


def seconds(unit):
    """Estimate how long a core compiles the sources of ``unit`` together."""
    known = [_HEADERS.get(header, _HEADER) for source in unit for header in source.headers]
    return max([*known, _HEADER]) + sum(source.seconds for source in unit)


def arrange(sources, jobs, apart):
    """Give the units for ``sources``, the longest first.

    There are as many units as make the build short with ``jobs`` compilers, or with two, so that no compiler
    gets everything at once. Of the files of a group in ``apart`` (path endings) no two are in one
    unit.
    """
    jobs = max(2, jobs)
    counts = [count for count in _COUNTS if count < jobs] + [jobs]
    tried = [_spread(sources, count, jobs, apart) for count in counts]
    shortest = min(_lasts(map(seconds, units), jobs) for units in tried)
    chosen = next(units for units in tried if _lasts(map(seconds, units), jobs) <= shortest * _NEARLY)
    return sorted(chosen, key=seconds, reverse=True)


def write_unit(unit, number, root):
    """Write the file that includes the sources of ``unit``; give its path below the folder ``root``.

    Headers come first, so that no macro or ``using`` of a source reaches into them, and each source's macros
    end with it.
    """
    name = os.path.join(FOLDER, "unit%02d_of_%d_files.cpp" % (number, len(unit)))
    lines = ["#define MMSETUP_UNIT 1"]
    lines += ["#include <%s>" % header for header in _unique(h for source in unit for h in source.headers)]
    for source in unit:
        lines += ['#pragma push_macro("%s")' % macro for macro in source.macros]
        lines.append('#include "%s"' % os.path.relpath(source.path, FOLDER).replace(os.sep, "/"))
        lines += ['#pragma pop_macro("%s")' % macro for macro in source.macros]
    os.makedirs(os.path.join(root, FOLDER), exist_ok=True)
    with open(os.path.join(root, name), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return name


def write_headers(root):
    """Write the headers that stand in for dear ones inside units; give their folder."""
    folder = os.path.join(root, FOLDER, "include")
    os.makedirs(os.path.join(folder, "torch"), exist_ok=True)
    with open(os.path.join(folder, "torch", "extension.h"), "w", encoding="utf-8") as file:
        file.write(_EXTENSION_H)
    return folder


def _spread(sources, count, jobs, apart):
    units = [[] for _ in range(min(count, len(sources)))]
    loads = [0.0] * len(units)
    for source in sorted(sources, key=lambda source: (-seconds([source]), source.path)):
        free = [n for n, unit in enumerate(units) if not any(_clash(source, one, apart) for one in unit)]
        if not free:
            free = [len(units)]
            units.append([])
            loads.append(0.0)
        tried = []
        for number in free:
            load = seconds([*units[number], source])
            tried.append((_lasts([*loads[:number], load, *loads[number + 1 :]], jobs), load, number))
        _, load, number = min(tried)
        units[number].append(source)
        loads[number] = load
    return [unit for unit in units if unit]


def _lasts(loads, jobs):
    """Give how long ``jobs`` compilers take when each begins with the longest unit that is left."""
    compilers = [0.0] * jobs
    for load in sorted(loads, reverse=True):
        compilers[compilers.index(min(compilers))] += load
    return max(compilers)


def _clash(one, other, apart):
    return any(_named(one, group) and _named(other, group) for group in apart)


def _named(source, group):
    path = "/" + source.path.replace(os.sep, "/")
    return any(path.endswith("/" + ending) for ending in group)


def _unconditional(text):
    """Give the headers in angle brackets that are included whatever is defined."""
    depth = 0
    for line in text.splitlines():
        condition = _CONDITION.match(line)
        if condition:
            depth += 1 if condition.group(1) == "if" else -1
        found = _INCLUDE.match(line)
        if found and depth == 0:
            yield found.group(1)


def _unique(items):
    return list(dict.fromkeys(items))
