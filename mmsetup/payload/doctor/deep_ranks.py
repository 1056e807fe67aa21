"""Let two processes add a tensor up through torch.distributed."""

import ctypes
import datetime as dt
import faulthandler
import json
import os
import signal
import sys
import time

import torch
from deep_endings import told
from deep_questions import AbsentError, WrongAnswerError

__all__ = ["talk"]

_RANKS = 2
_PR_SET_PDEATHSIG = 1


class RankError(Exception):
    """A process of the group did not come to its end."""


def talk(backend, job):
    """Start two processes that form a group and reduce a tensor; raise what the first that failed raised."""
    distributed = torch.distributed
    if not distributed.is_available() or not getattr(distributed, "is_%s_available" % backend, bool)():
        raise AbsentError("this torch was built without %s" % backend)
    began = time.monotonic()
    # A fork would take the lock of its thread along, and no thread.
    faulthandler.cancel_dump_traceback_later()
    # Forked, so that torch is imported once: nothing has started threads or CUDA here yet.
    started = {os.fork() or _be(rank, backend, job): rank for rank in range(_RANKS)}
    failed = {}
    while started:
        pid, status = os.wait()
        rank = started.pop(pid, None)
        if rank is not None and status:
            failed[rank] = status
            # The other one waits for an answer that does not come.
            for other in started:
                os.kill(other, signal.SIGTERM)
    if failed:
        rank, status = next(iter(failed.items()))
        if os.WIFSIGNALED(status):
            raise RankError("process %d was ended by %s" % (rank, signal.Signals(os.WTERMSIG(status)).name))
        with open(_answer_of(rank, backend, job), encoding="utf-8") as file:
            said = json.load(file)
        raise RankError("process %d: %s: %s" % (rank, said["kind"], said["message"]))
    return {"seconds": round(time.monotonic() - began, 3)}


def _be(rank, backend, job):
    """Be one process of the group, and never return."""
    status = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # A rank knows where it hangs, the parent only that it waits.
        faulthandler.dump_traceback_later(max(0.5, job["limit"] - 1))
        torch.set_num_threads(1)
        _reduce(rank, backend, job)
        status = 0
    except BaseException as error:
        with open(_answer_of(rank, backend, job), "w", encoding="utf-8") as file:
            json.dump(told(error), file)
    os._exit(status)


def _reduce(rank, backend, job):
    distributed = torch.distributed
    device = "cpu"
    if backend == "nccl":
        device = "cuda:%d" % rank
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        backend,
        init_method="file://" + os.path.join(job["scratch"], "group-" + backend),
        rank=rank,
        world_size=_RANKS,
        timeout=dt.timedelta(seconds=2 * job["limit"]),
    )
    tensor = torch.full((1000,), float(rank + 1), device=device)
    distributed.all_reduce(tensor)
    if tensor.cpu().tolist() != [3.0] * 1000:
        raise WrongAnswerError("1 and 2 were added to %s" % float(tensor[0]))
    distributed.destroy_process_group()


def _answer_of(rank, backend, job):
    return os.path.join(job["scratch"], "rank-%s-%d.json" % (backend, rank))
