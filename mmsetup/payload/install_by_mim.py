"""Drive ``mim.install`` in the target interpreter.

Usage: ``python -I install_by_mim.py PAGE REQUIREMENTS_FILE [REQUIREMENTS_FILE ...]``. Each file is one call,
in that order. What may be installed is what PAGE lists and the file pins by hash: no index is asked, nothing
is built, nothing else is touched. On standard output is one JSON object a line; what mim and pip say goes to
standard error. The exit status is that of the first call that fails.
"""

import json
import os
import sys

FIXED = (
    "--no-index",
    "--no-deps",
    "--only-binary=:all:",
    # The bytecode would name the folder in which the environment is made.
    "--no-compile",
    "--no-cache-dir",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
)


def main(argv):
    """Call mim once for each file."""
    page, files = argv[0], argv[1:]
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from mim import install

    for file in files:
        arguments = ["-r", file, "-f", page]
        arguments.extend(FIXED)
        status = int(install(arguments) or 0)
        events.write(json.dumps({"event": "installed", "file": file, "status": status}) + "\n")
        events.flush()
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
