"""``mmsetup build SPEC``: what is no specification of ops is refused before anything is planned."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsetup.cli import app
from mmsetup.errors import MmsetupError, RequestError, TargetError

LOCKFILES = Path(__file__).parents[3] / "lockfiles"


def refused(kind: type[Exception], *words: str) -> Exception:
    with pytest.raises(kind) as caught:
        CliRunner().invoke(app, ["build", *words], catch_exceptions=False, standalone_mode=False)
    return caught.value


@pytest.mark.parametrize("spec", ["numpy", "mmcv-ful==1.7.2", "==1.7.2", "-", "mmcv full"])
def test_what_names_no_ops(spec: str) -> None:
    error = refused(RequestError, "--", spec)
    assert str(error) == f"{spec!r} names no compiled ops; these can be built: mmcv-full, mmcv, onedl-mmcv"


@pytest.mark.parametrize(
    "spec",
    ["mmcv-full[all]==1.7.2", "mmcv_full ==1.7.2; python_version<'3'", "MMCV.full[all]==1.7.2"],
)
def test_what_says_more_than_a_version(spec: str) -> None:
    error = refused(RequestError, spec)
    assert str(error) == f"{spec!r} says more than which version is built"
    assert getattr(error, "remedy", "") == "mmsetup build mmcv-full==1.7.2"


def test_an_address_is_no_version() -> None:
    error = refused(RequestError, "mmcv-full @ https://host.example/mmcv-full.tar.gz")
    assert getattr(error, "remedy", "") == "mmsetup build mmcv-full"


def test_another_family_beside_it() -> None:
    error = refused(RequestError, "mmcv==2.2.0", "--family", "mmcv-full")
    assert str(error) == "mmcv is of family mmcv, and --family says mmcv-full"


def test_a_folder_that_takes_no_wheel_is_told_before_the_plan(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused(TargetError, "mmcv-full==1.7.2", "--offline", "--output", str(tmp_path / "file"))
    assert str(error).endswith("file is no folder")


def test_a_gpu_that_a_lock_does_not_build_for_is_refused() -> None:
    lock = str(LOCKFILES / "requirements.mmcv-full-py310.txt")
    error = refused(RequestError, "--lock", lock, "--gpu", "H100", "--offline")
    assert str(error) == "the lock builds for the CPU alone, and --gpu H100 asks for sm_90"
    assert getattr(error, "remedy", "") == "mmsetup lock --gpu H100"
    lock = str(LOCKFILES / "requirements.mmcv-full-cu130-py311.txt")
    error = refused(RequestError, "--lock", lock, "--gpu", "sm_90", "--gpu", "sm_86", "--offline")
    assert (
        str(error) == "the lock builds for sm_90, sm_120, and --gpu sm_90 --gpu sm_86 asks for sm_90, sm_86"
    )


def test_what_the_projects_table_says_of_installs_is_not_said_of_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.mmsetup]\nbuild = false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    # Without a compiler it ends there at the latest.
    assert "neither a build nor" not in str(refused(MmsetupError, "mmcv-full==1.7.2", "--offline"))
    error = refused(RequestError, "mmcv-full==1.7.2", "--no-build")
    assert "neither a build nor a prebuilt wheel" in str(error)
