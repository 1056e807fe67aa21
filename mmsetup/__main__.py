"""``python -m mmsetup`` is the console script ``mmsetup``.

Python looks into the current folder and into those of ``PYTHONPATH`` before its own library: a ``random.py``
there is what doctor is to find, and not what mmsetup is to import.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and end with the documented exit code."""
    sys.path[:] = _strange_last(sys.path)
    from mmsetup.cli import main as command_line  # noqa: PLC0415 (it imports much of Python's own library)

    command_line()


def _strange_last(folders: list[str]) -> list[str]:
    """Move the current folder and those of ``PYTHONPATH`` to the end, but where mmsetup comes from them."""
    try:
        strange = {os.path.abspath(one) for one in ["", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]}  # noqa: PTH100
        if os.path.dirname(os.path.dirname(os.path.abspath(__file__))) in strange:  # noqa: PTH100, PTH120
            return folders
        return sorted(folders, key=lambda one: os.path.abspath(one) in strange)  # noqa: PTH100
    except OSError:
        # The current folder is gone.
        return folders


if __name__ == "__main__":
    main()
