"""Wheels that are whole, cut, forged, or something else."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsetup.binary.wheel import Expected, inspect
from mmsetup.errors import IntegrityError, TargetError

INFO = "mmcv_full-1.7.2.dist-info"
MEMBER = "mmcv/_ext.cpython-310-x86_64-linux-gnu.so"


@pytest.fixture
def extension(library) -> bytes:
    return library(
        "_ext.so", "int puts(const char *);\nint PyInit__ext(void) { return puts(0); }\n"
    ).read_bytes()


def test_what_a_whole_wheel_says(wheel, extension):
    path = wheel({"mmcv/__init__.py": b"", MEMBER: extension})
    facts = inspect(path, expect=Expected("mmcv_full", "1.7.2"))
    assert (facts.distribution, facts.version) == ("mmcv-full", "1.7.2")
    assert facts.tags == ("cp310-cp310-linux_x86_64",)
    assert facts.top_level == ("mmcv",)
    assert facts.requires == ("addict", "numpy")
    assert facts.size == path.stat().st_size
    assert facts.has_ops
    assert facts.ops.module == "mmcv._ext"
    assert facts.ops.size == len(extension)
    assert "puts" in facts.ops.elf.undefined
    assert facts.ops.architectures.sass == ()


def test_a_temporary_folder_that_is_not_there_is_no_fault_of_the_wheel(
    wheel, extension, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(TargetError, match=r"cannot write to .*absent") as caught:
        inspect(wheel({MEMBER: extension}))
    assert caught.value.remedy.startswith("export TMPDIR=")


def test_a_wheel_without_operators(wheel):
    facts = inspect(wheel({"mmcv/__init__.py": b"", "mmcv/_ext_notes.py": b""}))
    assert not facts.has_ops
    assert facts.extensions == ()


@pytest.mark.parametrize("version", ["1.7.2", "1.7.2+pt1.13.1cpu"])
def test_a_local_part_that_nobody_asked_for_is_no_other_version(wheel, version):
    made = wheel(
        {},
        name="mmcv_full-1.7.2+pt1.13.1cpu-cp310-cp310-linux_x86_64.whl",
        metadata="Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2+pt1.13.1cpu\n",
        info="mmcv_full-1.7.2+pt1.13.1cpu.dist-info",
    )
    assert inspect(made, expect=Expected("mmcv-full", version)).version == "1.7.2+pt1.13.1cpu"


@pytest.mark.parametrize(
    "expected",
    [Expected("mmcv", "1.7.2"), Expected("mmcv-full", "1.7.1"), Expected("mmcv-full", "1.7.2+pt1.13.1cpu")],
)
def test_another_wheel_than_expected(wheel, expected):
    with pytest.raises(IntegrityError, match=re.escape(f"not {expected.distribution} {expected.version}")):
        inspect(wheel({}), expect=expected)


def test_a_file_that_record_knows_otherwise(wheel):
    row = f"mmcv/a.py,sha256={'A' * 43},1"
    with pytest.raises(IntegrityError, match="not what RECORD says"):
        inspect(wheel({"mmcv/a.py": b"x"}, record={"mmcv/a.py": row}))


@pytest.mark.parametrize("row", ["mmcv/a.py,,1", "mmcv/a.py,md5=AAAA,1"])
def test_a_file_without_a_good_hash(wheel, row):
    with pytest.raises(IntegrityError, match="no sha256"):
        inspect(wheel({"mmcv/a.py": b"x"}, record={"mmcv/a.py": row}))


def test_a_file_that_record_does_not_know(wheel):
    with pytest.raises(IntegrityError, match=r"RECORD does not know 'mmcv/a\.py'"):
        inspect(wheel({"mmcv/a.py": b"x"}, record={"mmcv/a.py": None}))


def test_a_recorded_file_that_is_not_there(wheel):
    with pytest.raises(IntegrityError, match="in RECORD but not in the wheel"):
        inspect(wheel({}, record={"mmcv/b.py": "mmcv/b.py,sha256=abc,3"}))


@pytest.mark.parametrize("name", ["../outside.py", "/etc/outside", "mmcv/../../x", "mmcv\\..\\x", "C:/x"])
def test_paths_that_lead_outside(wheel, name, tmp_path):
    with pytest.raises(IntegrityError, match="outside itself"):
        inspect(wheel({name: b"x"}))
    assert not (tmp_path.parent / "outside.py").exists()


def test_links_and_doubles_are_refused(wheel):
    path = wheel({"mmcv/a.py": b"x"})
    link = zipfile.ZipInfo("mmcv/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(IntegrityError, match="holds a link"):
        inspect(path)
    path = wheel({"mmcv/a.py": b"x"})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mmcv/a.py", b"y")
    with pytest.raises(IntegrityError, match="twice"):
        inspect(path)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"metadata": None}, "has no"),
        ({"metadata": "Name: other\nVersion: 1.7.2\n"}, "its metadata says other"),
        ({"metadata": "Name: mmcv-full\nVersion: one\n"}, "its metadata says"),
        ({"info": "unnamed"}, r"0 \.dist-info folders"),
        ({"name": "mmcv_full.whl"}, "wheel filename"),
    ],
)
def test_metadata_that_is_missing_or_wrong(wheel, options, complaint):
    with pytest.raises(IntegrityError, match=f"(?i){complaint}"):
        inspect(wheel({"mmcv/a.py": b"x"}, **options))


def test_an_extension_that_is_no_library(wheel):
    with pytest.raises(IntegrityError, match="not a 64-bit"):
        inspect(wheel({MEMBER: b"not a library"}))


def test_absent_and_other_files(tmp_path):
    path = tmp_path / "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
    with pytest.raises(IntegrityError, match="No such file"):
        inspect(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(IntegrityError, match="not a zip"):
        inspect(path)


def test_every_truncation_is_refused(wheel, extension):
    path = wheel({"mmcv/__init__.py": b"", MEMBER: extension})
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            inspect(path)


def test_nothing_is_left_in_the_temporary_folder(wheel, extension, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    inspect(wheel({MEMBER: extension}))
    assert list(scratch.iterdir()) == []


@settings(max_examples=100, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_wheels_give_the_same_facts_or_the_right_error(wheel, extension, tmp_path, data):
    path = wheel({"mmcv/__init__.py": b"", MEMBER: extension})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mutated = folder / path.name
    mutated.write_bytes(content)
    try:
        facts = inspect(mutated)
    except IntegrityError:
        return
    assert facts.distribution == "mmcv-full"
