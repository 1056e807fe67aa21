"""Ask the environment of this interpreter questions, one after another, and tell each answer in a JSON line.

Started as ``python -X faulthandler <this folder> <job file>``. The job is a JSON object: ``questions`` (each
an object with a ``name``, a ``kind`` and what that kind wants), ``limit`` (seconds that one may take),
``threads``, ``framework`` (``mmcv`` or ``mmengine``: who holds configs and checkpoints), ``bytecode`` (a
folder for what is compiled, or nothing: it is not kept), ``scratch`` (a folder to write to) and ``sockets``
(one that workers meet in).

This measures and does not judge: that is the parent's. What ends the process is for the parent as well: what
is left here for it are the frames on standard error and a process that stands still.
"""

import faulthandler
import json
import os
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "smoke"))

import deep_endings
import deep_questions
from smoke_events import Speaker


def main(job_file):
    """Ask all questions, up to the first import that fails: what that left behind is broken."""
    with open(job_file, encoding="utf-8") as file:
        job = json.load(file)
    if job["bytecode"] and hasattr(sys, "pycache_prefix"):
        sys.pycache_prefix, sys.dont_write_bytecode = job["bytecode"], False
    # What was printed before may have ended without a newline.
    os.write(1, b"\n")
    speaker = Speaker()
    deep_endings.prepare(speaker)
    speaker.say("hello", pid=os.getpid())
    for question in job["questions"]:
        if not _ask(question, job, speaker):
            break
    speaker.say("end")


def _ask(question, job, speaker):
    """Tell the answer to one question, and whether the process is still good for another."""
    name, began = question["name"], time.monotonic()
    speaker.say("ask", question=name)
    faulthandler.dump_traceback_later(job["limit"])
    answer = {"state": "answered", "measured": {}}
    try:
        answer["measured"] = deep_questions.ask(question, job) or {}
    except deep_questions.AbsentError as absent:
        answer = {"state": "absent", "reason": str(absent)}
    except BaseException as error:
        answer = {"state": "raised", "raised": deep_endings.told(error)}
    faulthandler.cancel_dump_traceback_later()
    speaker.say("answer", question=name, seconds=round(time.monotonic() - began, 3), **answer)
    return not (answer["state"] == "raised" and question["kind"] == "import")


if __name__ == "__main__":
    main(sys.argv[1])
    # Not through the C library's exit: what libraries do there is not asked about, and exit is watched.
    sys.stderr.flush()
    os._exit(0)
