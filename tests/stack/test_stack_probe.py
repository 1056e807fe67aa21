"""What is read from the files of a real torch is what that torch says of itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from mmsetup.probe import environment, probe

pytestmark = pytest.mark.stack

SAY = """
import json, torch
flags = torch._C._cuda_getArchFlags() if torch.version.cuda else ""
print(json.dumps([torch.__version__, torch.version.cuda or "", torch._C._GLIBCXX_USE_CXX11_ABI, flags or ""]))
"""


@pytest.mark.parametrize(
    ("python", "torch", "numpy"), [("3.10", "1.13.1", "1.26.4"), ("3.11", "2.13.0", "2.2.6")]
)
def test_torch_from_outside_and_from_inside(tmp_path: Path, python: str, torch: str, numpy: str) -> None:
    uv = find_uv_bin()
    present = {one.minor: str(one.path) for one in probe().interpreters}
    folder = tmp_path / "env"
    subprocess.run([uv, "venv", "--quiet", "--python", present.get(python, python), folder], check=True)
    wanted = [f"torch=={torch}", f"numpy=={numpy}", "setuptools<81"]
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *wanted], check=True
    )
    said = subprocess.run([folder / "bin" / "python", "-c", SAY], capture_output=True, text=True, check=True)
    version, cuda, abi, flags = json.loads(said.stdout)
    found = environment(folder).torch
    assert found is not None
    assert (found.version, found.cuda, found.cxx11_abi) == (version, cuda, abi)
    assert [*found.sass, *found.ptx] == [flag.replace("compute_", "sm_") for flag in flags.split()]
