"""What the payload says to its parent: one JSON object a line, on a pipe that nothing else can write to."""

import json
import os
import sys
import time

__all__ = ["Speaker"]


class Speaker:
    """The only writer of standard output; what else writes there, in Python or C, goes to standard error."""

    def __init__(self):
        """Take standard output over and put standard error in its place."""
        sys.stdout.flush()
        self._pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._stage = ""
        self._began = time.monotonic()

    @property
    def stage_name(self):
        """Give the stage that is under way."""
        return self._stage

    def say(self, event, **fields):
        """Write one event."""
        fields["event"] = event
        self._pipe.write(json.dumps(fields) + "\n")
        self._pipe.flush()

    def stage(self, name):
        """Begin a stage; the one before ends, and how long it took is told."""
        self.end_stage()
        self._stage, self._began = name, time.monotonic()
        self.say("stage", name=name)

    def end_stage(self):
        """Tell how many seconds the stage under way took."""
        if self._stage:
            self.say("stage_end", name=self._stage, seconds=round(time.monotonic() - self._began, 3))
