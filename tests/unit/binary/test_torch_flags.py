"""What torch says of its own kernels, in stand-ins that the machine's compiler makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmsetup.binary.fatbin import Architectures
from mmsetup.binary.torch_flags import stated
from mmsetup.errors import IntegrityError
from mmsetup.probe import torch_files

SASS = 2
OLD = "sm_37 sm_50 sm_60 sm_70"


def saying(words: str) -> str:
    return f'const char *flags(void) {{ return "{words}"; }}\n'


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (OLD, Architectures(("sm_37", "sm_50", "sm_60", "sm_70"), ())),
        ("sm_120 sm_90 sm_90a compute_120", Architectures(("sm_90", "sm_90a", "sm_120"), ("sm_120",))),
        ("sm_86", Architectures(("sm_86",), ())),
        ("sm_", None),
        ("", None),
        ("needs sm_70 or newer", None),
        ("compute_70", None),
    ],
)
def test_the_list_that_is_compiled_in(library, words, wanted):
    assert stated(library("libtorch_python.so", saying(words))) == wanted


def test_the_list_behind_other_constants(gpu_library, library):
    source = '__asm__(".section .rodata\\n.ascii \\"ipc_hsm_70 sm_75 sm_80\\\\0\\"\\n.text\\n");\n'
    assert stated(library("libtorch_python.so", source)) == Architectures(("sm_70", "sm_75", "sm_80"), ())


def test_what_is_no_library_is_refused(tmp_path):
    (tmp_path / "libtorch_python.so").write_text("GROUP ( )")
    with pytest.raises(IntegrityError, match="not a 64-bit"):
        stated(tmp_path / "libtorch_python.so")


@pytest.fixture
def torch(tmp_path: Path, gpu_library, fat_binary) -> Path:
    """A torch whose own kernels are outnumbered by those of the libraries that were linked in."""
    own = fat_binary(*((SASS, number, 0) for number in (37, 50, 60, 70)))
    linked = fat_binary(*((SASS, number, 0) for number in (35, 50, 60, 70, 75)))
    package = tmp_path / "site-packages" / "torch"
    (package / "lib").mkdir(parents=True)
    (package / "version.py").write_text("__version__ = '1.11.0'\ncuda = '10.2'\n")
    shutil.copy(gpu_library(own + linked * 2), package / "lib" / "libtorch_cuda_cu.so")
    return package


def test_torch_is_believed_before_its_libraries_are_counted(torch, library):
    facts, notes = torch_files.read([torch.parent])
    assert facts is not None
    assert facts.sass == ("sm_35", "sm_50", "sm_60", "sm_70", "sm_75")
    shutil.copy(library("libtorch_python.so", saying(OLD)), torch / "lib")
    facts, notes = torch_files.read([torch.parent])
    assert facts is not None
    assert facts.sass == ("sm_37", "sm_50", "sm_60", "sm_70")
    assert notes == ()


def test_the_one_library_of_torch_before_1_5(torch):
    (torch / "lib" / "libtorch_cuda_cu.so").rename(torch / "lib" / "libtorch.so")
    facts, _ = torch_files.read([torch.parent])
    assert facts is not None
    assert facts.sass == ("sm_35", "sm_50", "sm_60", "sm_70", "sm_75")
