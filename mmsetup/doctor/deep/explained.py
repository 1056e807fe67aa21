"""Which finding of the static checks is the cause of a failure, so that it is not told twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from mmsetup.doctor.deep.answers import Failure
from mmsetup.doctor.deep.questions import BASE
from mmsetup.doctor.model import SEVERITIES, Finding

__all__ = ["explanation"]

_NO_CAUSE = ("MM001", "MM6", "MM21")
"""What tells of no fault in what is installed: it did not run, it differs, it could not be compiled."""
_NAMED = (
    re.compile(r"No module named '([\w.]+)'"),
    re.compile(r"cannot import name '\w+' from (?:partially initialized module )?'([\w.]+)'"),
    re.compile(r"(lib[\w.+-]+\.so[.\d]*)"),
    re.compile(r"undefined symbol: (\w+)"),
    re.compile(r"version `([\w.]+)' not found"),
    re.compile(r"(/[^\s:']+\.(?:so|py)[\w.]*)"),
)
"""What an exception names as what is missing or bad."""
_SIGNS: tuple[tuple[str, str, str], ...] = (
    (
        "Numpy is not available|numpy\\.core\\.multiarray|compiled using NumPy 1|_ARRAY_API",
        "MM124 MM4",
        "numpy",
    ),
    ("pkg_resources", "MM4 MM11", "setuptools"),
    ("FormatCode|yapf", "MM4", "yapf"),
    ("[Ww]eights.only", "MM4", "weights"),
    ("is used but incompatible|[Pp]lease install mm", "MM401", ""),
    ("torchvision::|Couldn't load custom C\\+\\+ ops", "MM301 MM403", "torchvision"),
    ("already registered", "MM403 MM402", "regist"),
    ("shared memory|[Bb]us error|No space left on device", "MM511", ""),
    ("undefined symbol: _?_ZN?K?\\d*(c10|at|torch|caffe2)", "MM204 MM302", ""),
    ("_ext", "MM20", ""),
    ("NVIDIA driver|CUDA driver", "MM502", ""),
    ("no kernel image", "MM503 MM506", ""),
    ("not compiled with|implementation for device cuda", "MM504 MM505", ""),
    ("file too short|invalid ELF header|wrong ELF class", "MM105 MM202 MM302 MM121", ""),
)
"""What a text of a failure tells, the ids that it can come from, and a word that their finding must hold."""
_DISTRIBUTIONS = {
    "cv2": "opencv",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "pkg_resources": "setuptools",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "attr": "attrs",
}
"""Modules whose distribution has another name."""


def explanation(failure: Failure, findings: Sequence[Finding]) -> Finding | None:
    """Give the finding that is the cause of a failure, the worst first, or nothing where none is known."""
    text = "\n".join((failure.what, failure.root, *failure.last_lines))
    library = failure.place.library if failure.place is not None else ""
    subjects = set(_subjects(text, library, failure.file))
    causes = [one for one in findings if not one.id.startswith(_NO_CAUSE) and one.severity != "note"]
    for one in sorted(causes, key=lambda one: (SEVERITIES.index(one.severity), one.id)):
        told = "\n".join((one.message, *one.evidence))
        if any(_is_in(subject, told) for subject in subjects):
            return one
        if any(re.search(rf"{re.escape(folder)}(?![\w/.])", told) for folder in _packages(failure.file)):
            return one
        for sign, ids, word in _SIGNS:
            if (
                one.id.startswith(tuple(ids.split()))
                and word in told
                and re.search(sign, f"{text}\n{library}")
            ):
                return one
    return None


def _subjects(text: str, library: str, file: str) -> Iterator[str]:
    """Give what a failure is about: missing modules and libraries, symbols, files."""
    for pattern in _NAMED:
        for name in pattern.findall(text):
            yield name
            if pattern is _NAMED[0]:
                top = name.partition(".")[0]
                yield name.replace(".", "/")
                if "." not in name:
                    yield canonicalize_name(_DISTRIBUTIONS.get(top, top))
    if library:
        yield library
    if file:
        yield file


def _packages(file: str) -> Iterator[str]:
    """Give the folder of the package of the stack that a file lies in, wherever that is."""
    for folder in Path(file).parents:
        if folder.name in BASE or folder.name.startswith("mm"):
            yield str(folder)


def _is_in(subject: str, told: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(subject)}(?![\w])", told) is not None
