"""MM71x and MM72x: what comes out when the environment is asked itself, in child processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Check, Observation

__all__ = ["DEEP_CHECKS", "SECONDS", "judged_by"]

SECONDS = 60.0
"""How long one question may take: six times what the slowest import took on a machine with five times as many
programs at work as cores."""


def _not_asked(_context: Context) -> Iterable[Observation]:
    """Observe nothing: nobody was asked."""
    return ()


def _check(number: str, title: str, cause: str, looks_at: str, remedy: str, *seen_in: str) -> Check:
    return Check(number, title, cause, f"--deep: {looks_at}", remedy, seen_in, _not_asked)


DEEP_CHECKS: tuple[Check, ...] = (
    _check(
        "MM711",
        "The interpreter does not start as it should",
        "Code that runs at every start (sitecustomize, usercustomize, a line of a .pth file) fails, prints, "
        "hangs or ends the process, or the interpreter itself is damaged.",
        "A start of the interpreter with the variables that are set here, and what it prints before the "
        "first line of a program.",
        "Mend or remove the file that the evidence names.",
    ),
    _check(
        "MM712",
        "A part of the stack cannot be imported",
        "Importing it raises an exception: a module, a name or a library that it wants is not there, or two "
        "versions do not fit.",
        "import of each part that is installed, in a child process; after one that fails the next is "
        "tried in a new process. The deepest frame tells where it was raised.",
        "What the static finding beside it says; else install the part that the deepest frame lies in again.",
        "open-mmlab/mmsegmentation#3704",
        "open-mmlab/mmengine#1609",
    ),
    _check(
        "MM713",
        "Compiled code ends the process",
        "A signal (SIGSEGV, SIGABRT, SIGILL ...) or a call of exit in compiled code: it was built by another "
        "compiler or for another processor or torch, two copies of a library are loaded, or memory ran out.",
        "How each child ends: its signal, the Python frames that faulthandler writes, and the libraries on "
        "the stack of the process, which is kept standing until they are read.",
        "Install the distribution again that brings the library in the evidence, for this torch.",
        "open-mmlab/mmcv#1601",
        "open-mmlab/mmdetection#11759",
    ),
    _check(
        "MM714",
        "An import does not come to an end",
        "A module waits or runs for ever when it is imported: for a lock that a killed process left, a file "
        "server that does not answer, a network, or in compiled code.",
        "Where Python is when the time is over, and the libraries on the stack.",
        "Look at what the deepest frame waits for.",
    ),
    _check(
        "MM721",
        "Compiled operators fail or give wrong numbers",
        "mmcv's operators load, and do not compute what they should: they are built with other flags, from "
        "another source, for another GPU, or are not there for this device.",
        "nms, roi_align, deform_conv2d, modulated_deform_conv2d and sigmoid_focal_loss, forward and "
        "backward, against torchvision's, on the CPU and on every GPU.",
        "Install a wheel of mmcv that was built for this torch and these GPUs.",
        "open-mmlab/mmcv#2968",
        "open-mmlab/mmdetection#11044",
    ),
    _check(
        "MM722",
        "Tensors and numpy arrays cannot be exchanged",
        "torch was compiled against another numpy, mostly numpy 1 where numpy 2 is here.",
        "tensor.numpy() and torch.from_numpy(), and the numbers that come out.",
        "Install a numpy that this torch was compiled for.",
        "yunxiangfu2001/SegMAN#42",
        "zgchen33/MCGaze#9",
    ),
    _check(
        "MM723",
        "A config cannot be written and read back",
        "Config formats its text by yapf, whose interface changed in 0.40.2.",
        "Config.fromfile, pretty_text and Config.dump, and whether the dumped config is the same.",
        "Install a yapf below 0.40.2, or an mmcv or mmengine that knows the newer one.",
        "open-mmlab/mmrotate#944",
        "open-mmlab/mmdetection3d#3107",
    ),
    _check(
        "MM724",
        "A checkpoint cannot be saved and loaded",
        "Since 2.6 torch.load takes plain weights alone unless told otherwise, and runners keep more: numpy "
        "values and buffers of the history.",
        "save_checkpoint and load_checkpoint of mmcv or mmengine, with an optimizer, numpy values and (in "
        "mmengine) a HistoryBuffer.",
        "Install an mmengine that tells torch.load what it loads, or a torch below 2.6.",
        "open-mmlab/mmengine#1655",
    ),
    _check(
        "MM725",
        "Workers of a DataLoader cannot hand over tensors",
        "There is too little shared memory (a container has 64 MB unless told otherwise), too few open "
        "files are allowed, the name of TMPDIR is too long for a socket in it, or workers die or wait.",
        "A DataLoader with two workers and four batches of four images of 512 by 512: 50 MB.",
        "docker run --shm-size=8g (or --ipc=host); ulimit -n for open files.",
    ),
    _check(
        "MM726",
        "Two processes cannot work together",
        "torch.distributed does not form a group: a network interface that gloo or NCCL chooses does not "
        "reach this host itself, or the backend is not there.",
        "Two processes that form a group through a file and add a tensor up, by gloo and, with two GPUs, "
        "by nccl.",
        "Name the interface in GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME; one process alone is not hurt.",
    ),
    _check(
        "MM727",
        "torch cannot use a GPU of this machine",
        "The driver, its libraries or the rights on /dev/nvidia* do not let torch compute there.",
        "torch.cuda.init() and a product of two matrices on each GPU.",
        "What the static finding beside it says; else look at nvidia-smi and, in a container, --gpus all.",
        "open-mmlab/mmdetection#6049",
    ),
)


def judged_by(observed: Mapping[str, tuple[Observation, ...]], chosen: Iterable[Check]) -> list[Check]:
    """Give the chosen checks with what they observe."""

    def told(one: Check) -> Check:
        found = observed.get(one.id, ())
        return Check(
            one.id, one.title, one.cause, one.looks_at, one.remedy, one.seen_in, run=lambda _context: found
        )

    return [told(one) for one in chosen]
