"""What an environment holds against what was installed into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsetup.install.contents import changed_files, edited_modules, missing_packages, recorded_ops


def test_a_missing_package_and_an_interpreter_that_leads_nowhere_are_noticed(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.10" / "site-packages"
    (site / "Foo_Bar-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "away")
    noticed = missing_packages(tmp_path, {"foo-bar": "1.0", "gone": "2"})
    assert len(noticed) == 2
    assert "leads nowhere" in noticed[0]
    assert noticed[1].startswith("gone 2")
    (tmp_path / "away").write_text("")
    assert missing_packages(tmp_path, {"foo-bar": "1.0"}) == ()
    assert missing_packages(tmp_path, {"foo-bar": "1.1"}) != ()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "python3.10" / "site-packages"
    (folder / "mmcv").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    return folder


def installed(site: Path, distribution: str, files: dict[str, str], *, rows: str = "") -> Path:
    """Put files and their RECORD into site-packages, with the contents as hashes."""
    record = site / f"{distribution}.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text(rows + "".join(f'"{name}",sha256={text},{len(text)}\n' for name, text in files.items()))
    for name, text in files.items():
        (site / name).write_text(text)
    return record


def test_a_recorded_file_that_is_gone_is_noticed(site: Path, tmp_path: Path) -> None:
    rows = "mmcv/__pycache__/ops.pyc,,\nmmcv_full-1.7.2.dist-info/RECORD,,\n"
    record = installed(site, "mmcv_full-1.7.2", {"mmcv/_ext.so": "abc", "mmcv/a, b.py": "x"}, rows=rows)
    assert changed_files(tmp_path, {}) == ()
    for name in ("_ext.so", "a, b.py"):
        (site / "mmcv" / name).unlink()
    assert changed_files(tmp_path, {}) == (f"{site}/mmcv/_ext.so is gone", f"{site}/mmcv/a, b.py is gone")
    record.write_bytes(b"\xff")
    assert changed_files(tmp_path, {}) == (f"{record} cannot be read",)


def test_a_record_that_names_no_file_is_survived(site: Path, tmp_path: Path) -> None:
    installed(site, "mmcv_full-1.7.2", {}, rows="mmcv/\0.py,sha256=ab,2\n")
    (words,) = changed_files(tmp_path, {})
    assert "null" in words
    assert edited_modules(tmp_path) == {}


def test_a_damaged_library_is_noticed_and_an_edited_module_stays_the_users(
    site: Path, tmp_path: Path
) -> None:
    installed(site, "mmcv_full-1.7.2", {"mmcv/_ext.so": "abc", "mmcv/utils.py": "x"})
    (site / "mmcv" / "utils.py").write_text("x = 'edited'")
    assert changed_files(tmp_path, {}) == ()
    assert edited_modules(tmp_path) == {f"{site}/mmcv/utils.py": "mmcv-full"}
    (site / "mmcv" / "utils.py").write_text("")
    assert changed_files(tmp_path, {}) == (f"{site}/mmcv/utils.py has 0 bytes instead of 1",)
    (site / "mmcv" / "utils.py").write_text("x")
    (site / "mmcv" / "_ext.so").write_text("ab")
    assert changed_files(tmp_path, {}) == (f"{site}/mmcv/_ext.so has 2 bytes instead of 3",)


def test_operators_of_another_build_are_noticed(site: Path, tmp_path: Path) -> None:
    installed(site, "mmcv_full-1.7.2", {"mmcv/_ext.cpython-310-x86_64-linux-gnu.so": "abc"})
    recorded = recorded_ops(tmp_path)
    assert recorded == {"mmcv/_ext.cpython-310-x86_64-linux-gnu.so": "sha256=abc"}
    assert changed_files(tmp_path, recorded) == ()
    assert changed_files(tmp_path, dict.fromkeys(recorded, "sha256=abd")) == (
        "mmcv._ext is of another build",
    )


def test_a_second_distribution_over_mmcv_is_noticed_and_one_over_another_is_not(
    site: Path, tmp_path: Path
) -> None:
    (site / "cv2").mkdir()
    for name, text in (("mmcv_full-1.7.2", "ab"), ("mmcv-2.1.0", "cd")):
        installed(site, name, {"mmcv/utils.py": text})
    for name, text in (("opencv_python-4.9", "abc"), ("opencv_python_headless-4.9", "abcd")):
        installed(site, name, {"cv2/cv2.so": text})
    (words,) = changed_files(tmp_path, {})
    assert words == f"{site}/mmcv/utils.py is that of mmcv-2.1.0 and of mmcv_full-1.7.2"


def test_a_wheel_that_names_its_torch_is_the_version_of_the_lock(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("")
    built = tmp_path / "lib" / "python3.10" / "site-packages" / "mmcv_full-1.7.2+pt1.13.1cpu.dist-info"
    built.mkdir(parents=True)
    assert missing_packages(tmp_path, {"mmcv-full": "1.7.2"}) == ()
    assert missing_packages(tmp_path, {"mmcv-full": "1.7.2+pt1.13.1cpu"}) == ()
    (line,) = missing_packages(tmp_path, {"mmcv-full": "1.7.2+pt1.13.1cu117"})
    assert line == "mmcv-full 1.7.2+pt1.13.1cu117 (there is 1.7.2+pt1.13.1cpu)"
