"""A tiny mmcv-full that is really built, and what its tests look at."""

from __future__ import annotations

from mmsetup.paths import state_folder
from mmsetup.progress import Silent

SETUP = """
import os, subprocess
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

class ThroughNinja(build_ext):
    def build_extension(self, extension):
        with open("build.ninja", "w") as file:
            file.write("rule cc\\n  command = c++ $flags -c $in -o $out\\n")
            for source in NINJA:
                file.write("build %s.o: cc %s\\n  flags = FLAGS\\n" % (source, os.path.abspath(source)))
        if NINJA:
            subprocess.run(["ninja", "-v"], check=True)
        super().build_extension(extension)

NINJA = []
setup(
    name="mmcv-full", version="0.1", packages=["mmcv"], cmdclass={"build_ext": ThroughNinja},
    install_requires=["addict"],
    ext_modules=[Extension("mmcv._ext", ["ext.c"])],
)
"""
EXTENSION = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ext", 0, -1, 0};
PyMODINIT_FUNC PyInit__ext(void) { return PyModule_Create(&module); }
"""


class Steps(Silent):
    """Remember the live line and the notes."""

    def __init__(self):
        self.seen = []
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def update(self, text, *, done=0, total=0, seconds_left=None):
        self.seen.append((text, done, total, seconds_left))


def newest_log():
    return max(state_folder("logs").glob("build-*.log"), key=lambda path: path.stat().st_mtime).read_text()
