"""Build a wheel from the source tree in the current folder, inside the interpreter of a build environment.

Usage: ``python build_wheel.py OUT_FOLDER ORDER``, where ``ORDER`` is a file of JSON: ``flags`` for the
compiler and ``units``, what :func:`unit_build.compile_together` takes, or null to compile each file alone.

The flags that the interpreter itself was compiled with are used without those that ask for debug symbols; the
given ones come after them. They are changed where distutils reads them, because ``CFLAGS`` in the environment
replaces them in current setuptools and is added to them in older ones.
"""

import json
import os
import re
import runpy
import signal
import sys
import sysconfig
import time

SECONDS_TO_END = 4.0
_DEBUG = re.compile(r"-g(\d|gdb\d?|dwarf.*|stabs.*|split.*)?$")
_COMPILING = ("CFLAGS", "CXXFLAGS", "OPT", "PY_CFLAGS", "PY_CORE_CFLAGS", "CONFIGURE_CFLAGS")
_LINKING = ("LDSHARED", "LDCXXSHARED", "BLDSHARED")


def main(argv):
    """Build; the exit status is that of setup.py."""
    out = os.path.abspath(argv[0])
    with open(argv[1], encoding="utf-8") as file:
        order = json.load(file)
    signal.signal(signal.SIGTERM, end_children)
    for variables in configurations():
        variables.update(without_debug(variables, order["flags"]))
    import unit_build

    if order["units"] is None:
        unit_build.compile_apart()
    else:
        unit_build.compile_together(order["units"])
    sys.argv = ["setup.py", "--no-user-cfg", "bdist_wheel", "--dist-dir", out]
    sys.path[0] = os.getcwd()
    runpy.run_path("setup.py", run_name="__main__")


def configurations():
    """Give the dictionaries from which distutils, in its several editions, takes the interpreter's flags."""
    found = [sysconfig.get_config_vars()]
    name = getattr(sysconfig, "_get_sysconfigdata_name", lambda: "")()
    module = sys.modules.get(name)
    if module is not None:
        found.append(module.build_time_vars)
    return found


def without_debug(variables, flags):
    """Give the changed variables: no debug symbols, stripped, optimised, no assertions, then ``flags``."""
    changed = {}
    for name in _COMPILING + _LINKING:
        if isinstance(variables.get(name), str):
            changed[name] = " ".join(word for word in variables[name].split() if not _DEBUG.match(word))
    words = changed.get("CFLAGS", "").split()
    if not any(re.match(r"-O[23]$", word) for word in words):
        words.append("-O3")
    if "-DNDEBUG" not in words:
        words.append("-DNDEBUG")
    changed["CFLAGS"] = " ".join(words + list(flags))
    for name in _LINKING:
        if changed.get(name):
            changed[name] += " -Wl,-s"
    return changed


def end_children(_signum, _frame):
    """End everything that this build started: ninja ends its compilers when asked, what is left is killed.

    Ninja gives each compiler a process group of its own, so killing it at once would leave them running.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_END
    try:
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
    except ChildProcessError:
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
