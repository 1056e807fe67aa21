"""Print what this Python cannot parse in the files named on standard input; nothing in them is run.

Started as ``python -I -S``. A JSON list of paths comes in, and one of the same length goes out: ``null``, or
line, column (both from 1) and message. Any Python 3 can run it.
"""

import json
import sys
import warnings


def fault(path):
    """Give line, column and message of the first fault in a file; None where there is none."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except (OSError, ValueError):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        null = source.find(b"\0")
        message = "{}: {}".format(type(error).__name__, getattr(error, "msg", None) or error)
        if null >= 0:
            # No Python says where it is.
            start = source.rfind(b"\n", 0, null) + 1
            return source.count(b"\n", 0, null) + 1, null - start + 1, message
        line, column = getattr(error, "lineno", None), getattr(error, "offset", None)
        return max(1, line or 1), max(1, column or 1), message
    except (RecursionError, MemoryError):
        # How deep is too deep depends on where it is read.
        return None
    return None


if __name__ == "__main__":
    print(json.dumps([fault(path) for path in json.load(sys.stdin)]))
