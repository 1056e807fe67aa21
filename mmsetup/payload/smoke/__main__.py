"""Train a small model on the built-in data set, and check the compiled ops, inside the target interpreter.

Started as ``python -I -B -u <this folder> <job file>``. The job is a JSON object: ``family`` (what knows the
stack: ``mmseg0`` or ``mmseg1``), ``seed``, ``device`` (``auto``, ``cpu``, ``cuda`` or ``cuda:1``),
``threads``, ``iterations``, ``batch``, ``train_images``, ``validation_images``, ``scratch`` (a folder to
fill, which is removed when the run is ended early) and ``output`` (the folder of what stays). What happens is
told in JSON lines on standard output; logs go to standard error. This measures and does not judge: that is
the parent's.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import traceback

from smoke_events import Speaker

_FAMILIES = {
    "mmseg0": (
        "smoke_mmseg0",
        ("numpy", "cv2", "torch", "torchvision", "mmcv", "mmcv.ops", "mmseg", "mmseg.apis"),
    ),
    "mmseg1": (
        "smoke_mmseg1",
        ("numpy", "cv2", "torch", "torchvision", "mmengine", "mmcv", "mmcv.ops", "mmseg", "mmseg.apis"),
    ),
}
"""The module that knows a family, and what it imports: one by one, so that the one that fails is named."""


class NoGpuError(Exception):
    """A GPU was asked for that torch does not see: nothing is wrong with the stack."""


def main(job_file):
    """Run the job and give the exit status: 0 when everything was measured, 3 when something raised.

    It is 4 where the device that was asked for is not there; then nothing was begun.
    """
    with open(job_file, encoding="utf-8") as file:
        job = json.load(file)
    signal.signal(signal.SIGTERM, _end)
    speaker = Speaker()
    try:
        _family(job, speaker).run(job, speaker)
    except (SystemExit, BrokenPipeError):
        # The parent is gone or wants no more: nobody else is left to clear up.
        shutil.rmtree(job["scratch"], ignore_errors=True)
        raise
    except NoGpuError as error:
        speaker.say("no_gpu", message=str(error))
        return 4
    except BaseException as error:
        traceback.print_exc()
        speaker.say(
            "failure",
            stage=speaker.stage_name,
            kind=type(error).__name__,
            message=str(error),
            where=traceback.format_tb(error.__traceback__)[-3:],
        )
        return 3
    speaker.end_stage()
    speaker.say("end")
    return 0


def _family(job, speaker):
    speaker.stage("import")
    if job["device"] == "cpu":
        # mmseg takes any visible GPU for its own.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    name, imports = _FAMILIES[job["family"]]
    # The stack's bytecode belongs to the target; the payload's (``-B``) would lie in the folder of mmsetup.
    sys.dont_write_bytecode = False
    for module in imports:
        speaker.say("importing", module=module)
        imported = importlib.import_module(module)
        if module == "torch":
            _look_for(job["device"], imported)
    sys.dont_write_bytecode = True
    return importlib.import_module(name)


def _look_for(device, torch):
    if not device.startswith("cuda"):
        return
    version = "torch " + str(torch.__version__)
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        raise NoGpuError("%s was built without CUDA" % version)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) < count:
        return
    if count:
        raise NoGpuError("%s sees %d, the last one as cuda:%d" % (version, count, count - 1))
    try:
        torch.cuda.init()
        why = "none is there"
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split()).partition(". ")[0]
    raise NoGpuError("%s says: %s" % (version, why))


def _end(_signal, _frame):
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
