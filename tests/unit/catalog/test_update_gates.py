"""The gates of released files, and what changed since they were written down."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from mmsetup.catalog import load, sums, update_gates
from mmsetup.catalog.update_gates import Member, differences, document, members, text, top_module
from mmsetup.errors import IntegrityError

SMALL = Path(__file__).parents[2] / "fixtures" / "catalog"
GATE = """
from packaging.version import parse
def digit_version(text):
    return parse(text).release
MMCV_MIN = '1.3.13'
MMCV_MAX = '{maximum}'
assert digit_version(MMCV_MIN) <= digit_version(mmcv.__version__) < digit_version(MMCV_MAX)
"""
MMSEG = Member("mmsegmentation", "mmseg", frozenset({Version("0.5.0"), Version("0.30.0")}))
MMDET = Member("mmdet", "mmdet", frozenset({Version("2.28.2")}))


def wheel(folder: Path, name: str, version: str, module: str, content: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}/__init__.py", content)
    return path


def sdist(folder: Path, name: str, version: str, module: str, content: str) -> Path:
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(f"{name}-{version}/{module}/__init__.py")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content.encode()))
    return path


def written() -> dict[str, Any]:
    return json.loads((SMALL / "gates.json").read_text())


def test_the_members_of_all_families_are_read_each_once() -> None:
    families = {
        "families": [
            {"members": [{"distribution": "mmdet", "module": "mmdet", "versions": ["2.28.2"]}]},
            {"members": [{"distribution": "mmdet", "module": "mmdet", "versions": ["3.3.0"]}]},
        ]
    }
    assert members(families) == (Member("mmdet", "mmdet", frozenset({Version("2.28.2"), Version("3.3.0")})),)


def test_wheels_and_source_distributions_are_read(tmp_path: Path) -> None:
    gated = GATE.format(maximum="1.8.0")
    read = [
        (MMSEG, Version("0.30.0"), wheel(tmp_path, "mmsegmentation", "0.30.0", "mmseg", gated)),
        (MMSEG, Version("0.5.0"), wheel(tmp_path, "mmsegmentation", "0.5.0", "mmseg", "x = 1\n")),
        (MMDET, Version("2.28.2"), sdist(tmp_path, "mmdet", "2.28.2", "mmdet", GATE.format(maximum="2"))),
    ]
    new = document(read, written())
    assert new["gates"][0] == written()["gates"][0]
    assert new["without"] == written()["without"]
    assert new["gates"][1]["source"] == "mmdet/__init__.py of the released source distribution"
    assert differences(written(), new) == [
        (
            "changed  mmdet 2.28.2: mmcv >=1.3.17 (unpadded; mmdet/__init__.py of the released wheel) -> "
            "mmcv >=1.3.13,<2 (padded; mmdet/__init__.py of the released source distribution)"
        )
    ]


def test_what_is_new_and_what_is_gone_is_told() -> None:
    old, new = written(), written()
    new["without"][0]["versions"] = ["0.4.0"]
    new["gates"].append({**new["gates"].pop(), "version": "2.28.3"})
    assert [line.partition(":")[0] for line in differences(old, new)] == [
        "gone     mmdet 2.28.2",
        "new      mmdet 2.28.3",
        "new      mmsegmentation 0.4.0",
        "gone     mmsegmentation 0.5.0",
    ]
    assert differences(old, written()) == []


def test_the_file_that_is_shipped_is_written_as_this_writes_it() -> None:
    shipped = (sums.DATA / "gates.json").read_text()
    assert text(json.loads(shipped)) == shipped


@pytest.mark.parametrize("make", [wheel, sdist])
def test_a_file_without_the_module_or_a_damaged_one_is_refused(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path, "mmdet", "2.28.2", "mmdet", "")
    with pytest.raises(IntegrityError, match=r"gives no mmseg/__init__\.py"):
        top_module(path, "mmseg")
    path.write_bytes(b"damaged")
    with pytest.raises(IntegrityError, match=path.name):
        top_module(path, "mmdet")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL, tmp_path / "data"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder from which pip takes all releases, and no index beside it."""
    folder = tmp_path / "released"
    folder.mkdir()
    wheel(folder, "mmsegmentation", "0.5.0", "mmseg", "x = 1\n")
    wheel(folder, "mmsegmentation", "0.30.0", "mmseg", GATE.format(maximum="1.8.0"))
    wheel(folder, "mmdet", "2.28.2", "mmdet", GATE.format(maximum="1.8.0"))
    for path in folder.iterdir():
        name, version, *_ = path.name.split("-")
        with zipfile.ZipFile(path, "a") as archive:
            info = f"{name}-{version}.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_difference_is_shown_and_not_written_unasked(
    data: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data), "--files", str(tmp_path / "kept")]
    before = (data / "gates.json").read_text()
    assert update_gates.main(words) == 1
    told = capsys.readouterr().out
    assert "3 releases read" in told
    assert "changed  mmdet 2.28.2: mmcv >=1.3.17 (unpadded" in told
    assert (data / "gates.json").read_text() == before
    shutil.rmtree(files)
    assert update_gates.main([*words, "--write"]) == 4
    assert "pip did not tell the releases of mmsegmentation" in capsys.readouterr().err
    assert (data / "gates.json").read_text() == before


def test_what_was_written_is_a_sound_catalogue(data: Path, files: Path, tmp_path: Path) -> None:
    words = ["--data", str(data), "--files", str(tmp_path / "kept")]
    assert update_gates.main([*words, "--write"]) == 0
    assert (data / "SHA256SUMS").read_text() == sums.text(data)
    gates = {gate.distribution: gate.range for gate in load(data).gates}
    assert gates == {"mmsegmentation": "mmcv >=1.3.13,<1.8.0", "mmdet": "mmcv >=1.3.13,<1.8.0"}
    assert update_gates.main(words) == 0


def test_the_sums_alone_are_renewed(data: Path) -> None:
    (data / "SHA256SUMS").unlink()
    (data / "gpus.json").write_text("{}")
    assert update_gates.main(["--sums", "--data", str(data)]) == 0
    assert (data / "SHA256SUMS").read_text() == sums.text(data)
