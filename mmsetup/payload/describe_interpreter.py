"""Print one JSON object about the interpreter that runs this: version, platform, prefix and folders.

Started as ``python -I -S``, so that nothing of the installed packages is imported. Any Python 3 can run it.
"""

import json
import site
import sys
import sysconfig


def describe():
    """Gather the facts of the interpreter itself, also where it is asked through a virtual environment.

    ``include`` are the folders in which Python.h would be.
    """
    paths = [sysconfig.get_path(name) for name in ("include", "platinclude")]
    return {
        "executable": sys.executable,
        "version": "{}.{}.{}".format(*sys.version_info[:3])
        + (
            ""
            if sys.version_info[3] == "final"
            else "{}{}".format(sys.version_info[3][:1], sys.version_info[4])
        ),
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
        "prefix": sys.base_prefix,
        "free_threaded": "t" in getattr(sys, "abiflags", ""),
        "include": sorted({path for path in paths if path}),
        "site_packages": site.getsitepackages(sorted({sys.base_prefix, sys.base_exec_prefix})),
    }


if __name__ == "__main__":
    print(json.dumps(describe()))
