"""Versions that do not go together, really installed: each fails for real, and the doctor names that cause alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from breaking import (
    catalog,
    copied,
    diagnosed,
    errors,
    failing,
    from_source,
    packages,
    uv,
    warnings,
    with_gpus,
)

from mmsetup.build.patched import patched_wheel

pytestmark = pytest.mark.stack

PRINT_CONFIG = "from {} import Config; Config(dict(a=1)).pretty_text"
KEEP_AND_LOAD = """
import os, tempfile
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint, save_checkpoint
place = os.path.join(tempfile.mkdtemp(), "a.pth")
save_checkpoint({"message_hub": {"loss": HistoryBuffer([1.0], [1])}, "state_dict": {}}, place)
_load_checkpoint(place)
"""
EVALUATE = """
import numpy as np
from mmseg.core.evaluation import mean_iou
mean_iou([np.zeros((4, 4), int)], [np.zeros((4, 4), int)], 2, 255)
"""
CATEGORIES = """
import numpy
from mmdet.datasets import CustomDataset
data = CustomDataset.__new__(CustomDataset)
data.data_infos = [{"ann": {"labels": numpy.zeros(1, int)}}]
data.get_cat_ids(0)
"""
TRAIN_WRAPPED = """
import tempfile, torch
from mmcv.parallel import MMDistributedDataParallel
store = "file://" + tempfile.mktemp()
torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
MMDistributedDataParallel(torch.nn.Linear(2, 2))(torch.zeros(1, 2))
"""
SCATTER = """
import torch
from mmcv.parallel._functions import Scatter
Scatter.forward([0], torch.zeros(1))
"""
LOAD_WHOLE = """
import os, tempfile, numpy, torch
from mmcv.runner import load_checkpoint, save_checkpoint
model, place = torch.nn.Linear(2, 2), os.path.join(tempfile.mkdtemp(), "a.pth")
save_checkpoint(model, place, meta={"PALETTE": numpy.zeros((2, 3))})
load_checkpoint(model, place)
"""


@pytest.fixture
def first(stack_environment: Path, tmp_path: Path) -> Path:
    return copied(stack_environment, tmp_path / "env")


@pytest.fixture
def second(second_family: Path, tmp_path: Path) -> Path:
    return copied(second_family, tmp_path / "env")


@pytest.fixture
def third(third_family: Path, tmp_path: Path) -> Path:
    return copied(third_family, tmp_path / "env")


@pytest.fixture
def later(later_torch: Path, tmp_path: Path) -> Path:
    return copied(later_torch, tmp_path / "env")


@pytest.fixture
def with_mmengine(later: Path) -> Path:
    """mmengine alone on a torch that is newer than it: nothing of this needs mmcv."""
    uv("uninstall", "mmcv-full", "mmcls", "mmsegmentation", into=later)
    uv("install", "mmengine==0.10.7", "setuptools<82", "opencv-python-headless", into=later)
    assert failing(later, "import mmengine.runner") == ""
    return later


@pytest.fixture(scope="module")
def gated_wheel(mmsetup: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mmcv 2.2.0, which no release of mmsegmentation and mmdet accepts, with its operators."""
    folder = tmp_path_factory.mktemp("gated")
    words = ("--family", "mmcv", "--torch", "1.13.1", "--python", "3.10", "--output", folder)
    done = mmsetup("build", "mmcv==2.2.0", *words, cwd=folder)
    assert done.code == 0, done.err
    (wheel,) = folder.glob("mmcv-2.2.0*.whl")
    return wheel


@pytest.fixture
def mmengine_that_loads(tmp_path: Path) -> Path:
    """mmengine 0.10.5 with the patch for torch.load, so that it has one fault and not two."""
    words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "mmengine==0.10.5"]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=tmp_path, check=True, timeout=300)
    patches = [patch for patch in catalog().patches if patch.name == "load-whole-checkpoints-mmengine"]
    return patched_wheel(next(tmp_path.glob("mmengine-*.whl")), patches)


def test_an_mmcv_that_is_refused_although_its_operators_work(second, gated_wheel):
    uv("install", "--no-deps", gated_wheel, into=second)
    assert failing(second, "import mmcv.ops") == ""
    assert "MMCV==2.2.0 is used but incompatible" in failing(second, "import mmseg")
    assert errors(second) == ["MM401"]


def test_official_mmsegmentation_on_the_mmcv_of_the_fork(third):
    uv("uninstall", "onedl-mmsegmentation", into=third)
    uv("install", "--no-deps", "mmsegmentation==1.2.2", into=third)
    assert failing(third, "import mmcv.ops") == ""
    assert "is used but incompatible" in failing(third, "import mmseg")
    assert errors(third) == ["MM401"]


@pytest.mark.parametrize("name", ["ftfy", "regex"])
def test_a_requirement_that_is_declared_under_an_extra_alone(second, name):
    uv("uninstall", name, into=second)
    assert f"No module named '{name}'" in failing(second, "import mmseg.apis")
    assert [finding.id for finding in diagnosed(second).of("error")] == ["MM112"]


def test_mmcv_lite_of_another_generation_over_mmcv_full(first):
    uv("install", "--no-deps", "mmcv-lite==2.2.0", into=first)
    assert "No module named 'mmengine'" in failing(first, "import mmcv")
    assert errors(first) == ["MM102"]
    # Which of the two is left decides whether these are true.
    assert {"MM111", "MM401"} <= set(warnings(first))


def test_mmcv_over_mmcv_full(first):
    from_source("mmcv", "1.7.2", into=first)
    assert len(list(packages(first).glob("mmcv*-1.7.2*.dist-info"))) == 2
    assert errors(first) == ["MM102"]
    # Who takes one of them away again takes the files of the other.
    uv("uninstall", "mmcv", into=first)
    assert "No module named 'mmcv.ops'" in failing(first, "import mmcv.ops")
    assert errors(first) == ["MM106"]


def test_a_sibling_that_is_declared_and_absent(first):
    configured = "import mmseg.models, mmcls.models"
    assert failing(first, configured) == ""
    uv("uninstall", "mmcls", into=first)
    assert "No module named 'mmcls'" in failing(first, configured)
    assert [finding.id for finding in diagnosed(first).of("error")] == ["MM111"]


def test_mmcv_without_operators_where_they_are_needed(second):
    uv("uninstall", "mmcv", into=second)
    from_source("mmcv-lite", "2.1.0", into=second)
    assert "mmcv._ext" in failing(second, "import mmseg.apis")
    assert errors(second) == ["MM201"]


def test_a_yapf_that_mmengine_cannot_call(second):
    uv("install", "--no-deps", "mmengine==0.8.4", into=second)
    assert "unexpected keyword argument 'verify'" in failing(second, PRINT_CONFIG.format("mmengine"))
    assert errors(second) == ["MM402"]
    uv("install", "yapf==0.40.1", into=second)
    assert failing(second, PRINT_CONFIG.format("mmengine")) == ""
    assert errors(second) == []


def test_a_yapf_that_lacks_what_it_declares_after_the_text_of_its_licence(second):
    uv("install", "--no-deps", "yapf==0.40.2", into=second)
    assert "importlib_metadata" in failing(second, "import mmengine")
    assert errors(second) == ["MM111"]


def test_a_setuptools_whose_pkg_resources_gives_no_packaging(first):
    uv("install", "--no-deps", "setuptools==70.0.0", into=first)
    assert "cannot import name 'packaging' from 'pkg_resources'" in failing(first, "import mmcv")
    assert errors(first) == ["MM402"]


def test_openmim_brings_a_setuptools_that_python_312_cannot_import(third):
    uv("install", "openmim==0.3.9", into=third)
    assert "'pkgutil' has no attribute 'ImpImporter'" in failing(third, "import pkg_resources")
    assert "ImpImporter" in failing(third, "import mim")
    assert errors(third) == ["MM402"]
    assert {"MM151", "MM152"} <= set(warnings(third))


def test_openmim_without_pip_holds_others_back_and_the_stack_goes_on(first):
    new = "import requests; assert requests.__version__ > '2.28.2', 'old'"
    assert failing(first, new) == ""
    uv("install", "openmim==0.3.9", into=first)
    uv("uninstall", "pip", into=first)
    assert "AssertionError: old" in failing(first, new)
    assert "No module named 'pip'" in failing(first, "import mim.cli")
    assert failing(first, "import mmseg.apis, mmcv.ops") == ""
    assert errors(first) == []
    assert {"MM151", "MM152"} <= set(warnings(first))


def test_a_range_that_somebody_edited_hides_a_numpy_that_is_too_new(first):
    uv("install", "--no-deps", "mmsegmentation==0.11.0", "terminaltables", into=first)
    gate = packages(first) / "mmseg" / "__init__.py"
    text = gate.read_text()
    gate.unlink()
    gate.write_text(text.replace("MMCV_MAX = '1.3.0'", "MMCV_MAX = '1.8.0'"))
    assert gate.read_text() != text
    assert "module 'numpy' has no attribute 'float'" in failing(first, EVALUATE)
    assert errors(first) == ["MM402"]


def test_a_numpy_that_is_too_new_for_a_part_that_few_use(first):
    uv("install", "--no-deps", "mmdet==2.28.2", "terminaltables", "pycocotools", "scipy", into=first)
    assert "module 'numpy' has no attribute 'int'" in failing(first, CATEGORIES)
    assert failing(first, "import mmdet.apis") == ""
    assert errors(first) == []
    assert "MM402" in warnings(first)


def test_the_fork_needs_a_numpy_that_an_old_torch_cannot_use(second):
    uv("uninstall", "mmsegmentation", "mmdet", into=second)
    uv("install", "onedl-mmsegmentation==1.4.2", into=second)
    assert "Numpy is not available" in failing(second, "import torch; torch.zeros(1).numpy()")
    assert errors(second) == ["MM402"]


def test_matplotlib_that_was_compiled_for_numpy_1(later):
    uv("install", "--no-deps", "matplotlib==3.7.5", into=later)
    assert "numpy.core.multiarray failed to import" in failing(later, "import matplotlib.pyplot")
    assert errors(later) == ["MM124"]


def test_checkpoints_that_a_newer_torch_refuses_to_load(with_mmengine):
    assert "weights_only" in failing(with_mmengine, KEEP_AND_LOAD)
    assert errors(with_mmengine) == ["MM403"]
    uv("uninstall", "torchvision", into=with_mmengine)
    assert errors(with_mmengine) == ["MM403"]


def test_an_optimizer_that_is_registered_twice(with_mmengine, mmengine_that_loads):
    uv("install", "--no-deps", mmengine_that_loads, into=with_mmengine)
    assert failing(with_mmengine, KEEP_AND_LOAD) == ""
    assert errors(with_mmengine) == []
    uv("install", "transformers==4.46.3", into=with_mmengine)
    assert "Adafactor is already registered" in failing(with_mmengine, "import mmengine.optim")
    assert errors(with_mmengine) == ["MM403"]


def test_mmcv_1_on_a_torch_that_it_was_never_patched_for(later, tmp_path):
    (extension,) = (packages(later) / "mmcv").glob("_ext.*so")
    extension.rename(tmp_path / extension.name)
    uv("uninstall", "mmcv-full", into=later)
    # The patches change Python files alone, so that this is what an install of the unpatched source would be.
    from_source("mmcv-full", "1.7.2", into=later)
    (tmp_path / extension.name).rename(extension)
    assert "weights_only" in failing(later, LOAD_WHOLE)
    assert "_use_replicated_tensor_module" in failing(later, TRAIN_WRAPPED)
    assert "has no attribute 'type'" in failing(later, SCATTER)
    assert errors(later) == ["MM403"]
    found = {
        count: sorted(
            finding.evidence[0].partition(" ")[0]
            for finding in diagnosed(later, with_gpus(*["sm_86"] * count)).of("error")
            if finding.id == "MM403"
        )
        for count in range(3)
    }
    assert found == {
        0: ["weights-only"],
        1: ["mmcv1-stream", "weights-only"],
        2: ["mmcv1-ddp", "mmcv1-stream", "weights-only"],
    }
    assert failing(later, LOAD_WHOLE, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1") == ""
