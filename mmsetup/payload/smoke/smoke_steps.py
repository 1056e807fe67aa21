"""The steps that are alike whatever trains: device, operators, images, losses, segmented files."""

import os
import shutil
import time

import cv2
import numpy as np
import smoke_bench
import smoke_ops
import smoke_pictures
import torch

DATA = "tools_on_a_bench"
"""The folder of the images, below that of what is kept."""

SHOWN = 8
"""So many validation images are compared and shown."""

_TELL_SECONDS = 0.4


def choose_device(job):
    """Give the torch device that the job asks for, and set how many threads compute."""
    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(0)
    wanted = job["device"]
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("torch %s cannot use a GPU here" % torch.__version__)
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


def tell_versions(speaker, device, modules):
    """Tell the versions of ``modules`` and what computes."""
    versions = {module.__name__: str(module.__version__) for module in modules}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    speaker.say(
        "versions", versions=versions, device=str(device), device_name=name, threads=torch.get_num_threads()
    )


def check_ops(speaker):
    """Tell how each compiled operator compares with torchvision's, on the CPU and on every GPU."""
    # TF32 rounds products to 10 bits: two right kernels would differ.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for device in ["cpu"] + ["cuda:%d" % index for index in range(torch.cuda.device_count())]:
        for measurement in smoke_ops.check(device):
            speaker.say("op", **measurement)


def draw(job):
    """Draw the images of both splits and give their folder."""
    data = os.path.join(job["output"], DATA)
    # What another seed left in the same output folder would be trained on as well.
    shutil.rmtree(data, ignore_errors=True)
    # Far apart, so that no image of one split or of another run is an image of this validation.
    first = 1000000 * (job["seed"] % 1000)
    smoke_bench.write(data, "train", range(first, first + job["train_images"]))
    smoke_bench.write(data, "val", range(first + 500000, first + 500000 + job["validation_images"]))
    return data


class Losses:
    """Keeps the loss of each step, and tells it and the time left now and then."""

    def __init__(self, speaker, total):
        """Begin to measure a training of ``total`` steps."""
        self._speaker, self._total = speaker, total
        self._losses = []
        self._began = self._told = time.monotonic()

    def take(self, loss):
        """Take the loss of one more step."""
        self._losses.append(loss)
        done, now = len(self._losses), time.monotonic()
        if now - self._told >= _TELL_SECONDS or done in (1, self._total):
            self._told = now
            recent = self._losses[-20:]
            self._speaker.say(
                "iteration",
                iteration=done,
                total=self._total,
                loss=sum(recent) / len(recent),
                seconds_left=(now - self._began) / done * (self._total - done),
            )

    def tell(self):
        """Tell the whole training; it ends here."""
        seconds = round(time.monotonic() - self._began, 3)
        self._speaker.say("training", iterations=len(self._losses), losses=self._losses, seconds=seconds)


def segment_files(data, predict, speaker):
    """Segment validation images from their files with both models; give the samples and the first file.

    ``predict(file)`` gives the labels of the loaded and of the trained model, arrays of shape (SIZE, SIZE). A
    sample is an image, its true labels and those of the loaded model.
    """
    samples = []
    same = total = 0
    names = sorted(os.listdir(os.path.join(data, "img_dir", "val")))[:SHOWN]
    for name in names:
        file = os.path.join(data, "img_dir", "val", name)
        truth = cv2.imread(os.path.join(data, "ann_dir", "val", name), cv2.IMREAD_UNCHANGED)
        prediction, trained = (np.asarray(labels) for labels in predict(file))
        if prediction.shape != truth.shape:
            raise ValueError("inference gave %s for an image of %s" % (prediction.shape, truth.shape))
        same += int((prediction == trained).sum())
        total += truth.size
        samples.append((cv2.imread(file), truth, prediction))
    speaker.say("inference", images=len(names), agreement=same / total)
    return samples, os.path.join(data, "img_dir", "val", names[0])


def write_pictures(job, samples, overlay):
    """Write the sheet of samples and the one picture that the stack itself drew; give their files."""
    files = [os.path.join(job["output"], name) for name in ("samples.png", "overlay.png")]
    smoke_pictures.write(files[0], samples, smoke_bench.CLASSES, smoke_bench.PALETTE)
    smoke_pictures.write_enlarged(files[1], overlay)
    return files
