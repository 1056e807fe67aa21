"""Patches on real sources: each fits the releases that it names, and what it mends is mended where the code runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsetup.build import fetch
from mmsetup.build.patched import patched_wheel
from mmsetup.build.patching import apply
from mmsetup.build.unpack import unpack
from mmsetup.catalog import load
from mmsetup.catalog.patches import Patch
from mmsetup.lock import source_distribution
from mmsetup.probe.machine import Interpreter
from mmsetup.progress import Silent

pytestmark = pytest.mark.stack

CATALOG = load()
# One torch with the builds for GPUs, so that it is fetched once; its wheels need patches for all of mmcv 1.x.
CHOICE = ("--torch", "2.13.0", "--python", "3.10")
NEEDED = {"copy-stream-of-its-own", "ddp-without-replicated-tensor", "load-whole-checkpoints"}
TRAIN = """
import os, sys, tempfile, numpy, torch
from mmcv.parallel import MMDistributedDataParallel
from mmcv.runner import load_checkpoint, save_checkpoint

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)
    def forward(self, img):
        return self.head(self.body(img).mean((2, 3)))
    def train_step(self, data, optimizer):
        return {"loss": self(**data).square().mean()}

os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
store = "file://" + tempfile.mktemp()
torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
model = MMDistributedDataParallel(Model())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
images = torch.randn(2, 3, 8, 8)
losses = []
for _ in range(5):
    loss = model.train_step({"img": images}, optimizer)["loss"]
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    losses.append(float(loss))
assert losses[-1] < losses[0], losses
with torch.no_grad():
    assert model(img=images).shape == (2, 2)
place = tempfile.mktemp(suffix=".pth")
save_checkpoint(model.module, place, meta={"epoch": numpy.int64(3), "PALETTE": numpy.zeros((2, 3))})
assert load_checkpoint(Model(), place)["meta"]["epoch"] == 3
print("trained")
"""


def last_and_first(patch: Patch) -> list[tuple[str, str]]:
    """Give the newest and the oldest release of each distribution that a patch fits."""
    found = []
    for family in CATALOG.families:
        for part in family.parts:
            fitting = [version for version in part.versions if patch.fits(part.distribution, version)]
            ends = dict.fromkeys(fitting[:1] + fitting[-1:])
            found += [(part.distribution, str(version)) for version in ends]
    return found


@pytest.mark.parametrize(
    ("patch", "name", "version"),
    [(patch, name, version) for patch in CATALOG.patches for name, version in last_and_first(patch)],
    ids=lambda value: value.name if isinstance(value, Patch) else value,
)
def test_a_patch_fits_the_releases_that_it_names(
    patch: Patch, name: str, version: str, python: Interpreter, tmp_path: Path
) -> None:
    ops = {family.ops.distribution for family in CATALOG.families}
    if name in ops:
        file = source_distribution(name, version, python.path)
        source = unpack(fetch(file.url, file.sha256, progress=Silent()), tmp_path)
        before = {edit.file: (source / edit.file).read_bytes() for edit in patch.edits}
        apply([patch], source, name)
        assert all((source / file).read_bytes() != content for file, content in before.items())
    else:
        words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", f"{name}=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *words], cwd=tmp_path, check=True, timeout=300)
        made = patched_wheel(next(tmp_path.glob("*.whl")), [patch])
        assert made.name.startswith(f"{name}-{version}+patched-")


@pytest.fixture(scope="module")
def patched(mmsetup: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Install mmcv-full beside a torch that it was not made for."""
    folder = tmp_path_factory.mktemp("patched")
    done = mmsetup("install", "--json", "--no-smoke", *CHOICE, cwd=folder)
    assert done.code == 0, done.err
    return done.document


def test_what_the_patches_mend_works(patched, tmp_path):
    done = subprocess.run(
        [Path(patched["environment"]) / "bin" / "python", "-W", "ignore", "-c", TRAIN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("trained\n"), done.stderr


def test_the_patches_are_told_in_the_plan_the_wheel_and_the_environment(patched, mmsetup, tmp_path):
    assert {patch["name"] for patch in patched["plan"]["patches"]} == NEEDED
    environment = Path(patched["environment"])
    (recipe,) = environment.glob("lib/python3*/site-packages/mmcv_full-*.dist-info/mmsetup-recipe.json")
    told = json.loads(recipe.read_text())["recipe"]["patches"]
    known = {patch.name: patch.sha256 for patch in CATALOG.patches}
    assert {patch["name"]: patch["sha256"] for patch in told} == {name: known[name] for name in NEEDED}
    # MM154 is about the caches of whoever runs this, and not about the environment.
    done = mmsetup("doctor", "--env", environment, "--json", "--ignore", "MM154", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.document["findings"] == []
    (part,) = (part for part in done.document["parts"] if part["name"] == "mmcv-full")
    assert set(part["patches"]) == NEEDED


def test_a_lock_keeps_its_patches(patched, mmsetup, tmp_path):
    lock = Path(patched["environment"]) / ".mmsetup" / "requirements.txt"
    done = mmsetup("install", "--json", "--no-smoke", "--lock", lock, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.document["wheel"]["from_cache"]
    assert done.document["wheel"]["key"] == patched["wheel"]["key"]
    changed = tmp_path / "requirements.changed.txt"
    changed.write_text(lock.read_text().replace(next(iter(NEEDED)), "some-other-patch"))
    refused = mmsetup("install", "--no-smoke", "--lock", changed, "--env", tmp_path / "other", cwd=tmp_path)
    assert refused.code == 5, refused.err
    assert "some-other-patch" in refused.err
    assert not (tmp_path / "other").exists()


def test_without_patches_the_weaknesses_are_told(mmsetup, tmp_path):
    done = mmsetup("plan", "--json", "--no-patches", *CHOICE, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.document["patches"] == []
    assert len(done.document["cautions"]) == len(NEEDED)
