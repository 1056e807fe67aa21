from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from mmsetup.catalog import sums, update_torch
from mmsetup.catalog.update_torch import Partner, default_index, differences, offers, text, updated

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer


def wheels(name: str, version: str, pythons: str, *platforms: str) -> list[str]:
    return [
        f"{name}-{version}-{tag}-{platform}.whl"
        for python in pythons.split()
        for tag in [f"cp3{python}-cp3{python}{'m' if int(python) < 8 else ''}"]
        for platform in platforms
    ]


def release(version: str = "2.0.1", torchvision: str = "0.15.2", **platforms: Any) -> dict[str, Any]:
    return {
        "version": version,
        "torchvision": torchvision,
        "platforms": {name.replace("__", "-"): held for name, held in platforms.items()},
        "architectures": {"linux-x86_64": {"cu117": {"sass": ["sm_37"]}}},
        "sources": {"variants": "a page"},
    }


def linux(pythons: str, glibc: str = "2.17", variant: str = "cu117") -> dict[str, Any]:
    return {
        "pythons": [f"3.{python}" for python in pythons.split()],
        "default_variant": variant,
        "index_variants": [variant, "cpu"],
        "glibc": glibc,
    }


def macs_only(release: str, platform: str, python: str) -> Partner:
    assert platform.startswith("macos"), f"nobody needs to know of {release} {platform} {python}"
    return Partner("0.15.2", "cpu")


def changes(document: dict[str, Any], files: list[str]) -> list[str]:
    torch = offers(file for file in files if file.startswith("torch-"))
    torchvision = offers(file for file in files if file.startswith("torchvision-"))
    return differences(document, updated(document, torch, torchvision, macs_only))


@pytest.mark.parametrize(
    ("tag", "platform", "python", "glibc"),
    [
        ("cp310-cp310-manylinux1_x86_64", "linux-x86_64", "3.10", "2.5"),
        ("cp310-cp310-manylinux2010_x86_64", "linux-x86_64", "3.10", "2.12"),
        ("cp310-cp310-manylinux2014_aarch64", "linux-aarch64", "3.10", "2.17"),
        ("cp310-cp310-manylinux_2_28_x86_64", "linux-x86_64", "3.10", "2.28"),
        ("cp310-cp310-manylinux_2_17_x86_64.manylinux_2_5_x86_64", "linux-x86_64", "3.10", "2.5"),
        ("cp310-cp310-linux_x86_64", "linux-x86_64", "3.10", ""),
        ("cp37-cp37m-win_amd64", "windows-x86_64", "3.7", ""),
        ("cp310-none-macosx_11_0_arm64", "macos-arm64", "3.10", ""),
        ("py3-none-macosx_14_0_x86_64", "macos-x86_64", "3.14", ""),
        ("cp39-abi3-win_amd64", "windows-x86_64", "3.10", ""),
        ("py3-none-any", "linux-aarch64", "3.6", ""),
    ],
)
def test_what_a_tag_offers(tag: str, platform: str, python: str, glibc: str) -> None:
    assert offers([f"torch-2.0.1-{tag}.whl"])[Version("2.0.1")][platform].asks(python) == glibc


@pytest.mark.parametrize(
    "tag",
    [
        "cp313-cp313t-win_amd64",
        "cp38-cp38m-win_amd64",
        "pp310-pypy310_pp73-win_amd64",
        "cp27-cp27mu-manylinux1_x86_64",
        "cp310-cp310-musllinux_1_2_x86_64",
        "cp310-cp310-manylinux_2_28_s390x",
        "cp310-cp310-win_arm64",
        "cp310-cp310-ios_13_0_arm64_iphoneos",
    ],
)
def test_what_does_not_count(tag: str) -> None:
    assert offers([f"torch-2.0.1-{tag}.whl", "torch-2.0.1.tar.gz", "torch.whl"]) == {}


def test_a_universal_wheel_is_for_both_kinds_of_macs() -> None:
    found = offers(["torch-2.0.1-cp310-cp310-macosx_11_0_universal2.whl"])[Version("2.0.1")]
    assert sorted(found) == ["macos-arm64", "macos-x86_64"]


def test_an_abi3_wheel_is_not_for_older_pythons() -> None:
    found = offers(["torch-2.0.1-cp39-abi3-win_amd64.whl"])[Version("2.0.1")]
    assert found["windows-x86_64"].asks("3.8") is None


def test_no_difference() -> None:
    document = {"releases": [release(linux__x86_64=linux("8 9"))]}
    files = wheels("torch", "2.0.1", "8 9 10", "manylinux2014_x86_64")
    files += wheels("torchvision", "0.15.2", "7 8 9", "manylinux1_x86_64")
    assert changes({"releases": [release(linux__x86_64=linux("8 9"))]}, files) == []
    assert updated(document, offers(files[:3]), offers(files[3:]), macs_only) == document


def test_pythons_come_and_go_and_the_libc_rises() -> None:
    document = {"releases": [release(linux__x86_64=linux("8 9"), windows__x86_64=linux("8", "", "cpu"))]}
    files = wheels("torch", "2.0.1", "9 10", "manylinux_2_28_x86_64")
    files += wheels("torchvision", "0.15.2", "9 10", "manylinux2014_x86_64", "macosx_11_0_arm64")
    files += wheels("torch", "2.0.1", "10", "macosx_11_0_arm64", "manylinux2014_aarch64")
    assert changes(document, files) == [
        "2.0.1 linux-x86_64 pythons: - 3.8 + 3.10",
        "2.0.1 linux-x86_64 glibc: 2.17 -> 2.28",
        "2.0.1 windows-x86_64: gone",
        "2.0.1 macos-arm64: new",
        "2.0.1 macos-arm64 pythons: + 3.10",
    ]


def test_what_the_index_does_not_tell_is_kept() -> None:
    document = {"about": "x", "releases": [release(linux__x86_64=linux("8"))]}
    torch = offers(wheels("torch", "2.0.1", "8 9", "manylinux2014_x86_64", "macosx_11_0_arm64"))
    torchvision = offers(wheels("torchvision", "0.15.2", "8 9", "manylinux1_x86_64", "macosx_11_0_arm64"))
    new = updated(document, torch, torchvision, macs_only)
    assert new == {
        "about": "x",
        "releases": [
            release(
                linux__x86_64=linux("8 9"),
                macos__arm64={
                    "pythons": ["3.8", "3.9"],
                    "default_variant": "cpu",
                    "index_variants": ["cpu"],
                },
            )
        ],
    }
    assert document["releases"] == [release(linux__x86_64=linux("8"))]


def test_a_new_release_is_marked_as_unknown() -> None:
    document = {"releases": [release(linux__x86_64=linux("8"))]}
    torch = offers(
        [
            *wheels("torch", "2.0.1", "8", "manylinux2014_x86_64"),
            *wheels("torch", "2.1.0", "9 10 11", "manylinux_2_28_x86_64", "win_amd64"),
            *wheels("torch", "1.0.0", "7", "manylinux1_x86_64"),
            *wheels("torch", "2.2.0rc1", "11", "manylinux_2_28_x86_64"),
            *wheels("torch", "2.3.0", "12", "manylinux_2_28_x86_64"),
        ]
    )
    torchvision = offers(
        [
            *wheels("torchvision", "0.15.2", "8", "manylinux2014_x86_64"),
            *wheels("torchvision", "0.16.0", "10 11", "manylinux2014_x86_64", "win_amd64"),
        ]
    )
    asked: list[tuple[str, str, str]] = []

    def find(release: str, platform: str, python: str) -> Partner | None:
        asked.append((release, platform, python))
        if release == "2.3.0":
            return None
        return Partner("0.16.0", "cu121" if platform.startswith("linux") else "cpu")

    new = updated(document, torch, torchvision, find)
    assert set(asked) == {
        ("2.1.0", "linux-x86_64", "3.10"),
        ("2.1.0", "windows-x86_64", "3.10"),
        ("2.3.0", "linux-x86_64", "3.12"),
    }
    assert [entry["version"] for entry in new["releases"]] == ["2.0.1", "2.1.0"]
    found = new["releases"][1]
    assert found["torchvision"] == "0.16.0"
    assert found["architectures"] == {}
    assert found["platforms"]["linux-x86_64"] == {
        "pythons": ["3.10", "3.11"],
        "default_variant": "cu121",
        "index_variants": ["cu121"],
        "glibc": "2.28",
    }
    assert found["platforms"]["windows-x86_64"]["default_variant"] == "cpu"
    assert "not known" in found["sources"]["architectures"]
    assert differences(document, new)[:2] == [
        "2.1.0: new, with torchvision 0.16.0",
        "2.1.0 linux-x86_64: new",
    ]


def test_the_partner_and_the_variant_are_read_from_what_was_resolved() -> None:
    resolved = "cuda-toolkit==13.2.2\nnvidia-cuda-runtime==13.2.86\ntorch==2.15.0\ntorchvision==0.29.2\n"
    assert update_torch._partner(resolved) == Partner("0.29.2", "cu132")
    assert update_torch._partner("nvidia-cuda-runtime-cu12==12.8.90\ntorchvision==0.23.0").variant == "cu128"
    assert update_torch._partner("torch==2.15.0\ntorchvision==0.29.2\n") == Partner("0.29.2", "cpu")


def test_lists_of_strings_stay_on_one_line() -> None:
    written = text({"a": ["3.8", "3.9"], "b": [{"c": []}], "d": [1, 2]})
    assert '"a": ["3.8", "3.9"]' in written
    assert json.loads(written) == {"a": ["3.8", "3.9"], "b": [{"c": []}], "d": [1, 2]}


@pytest.fixture
def index(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", httpserver.url_for("/simple/"))
    return httpserver


def serve(index: HTTPServer, name: str, files: list[str]) -> None:
    page = "".join(f'<a href="../files/{file}">{file}</a>' for file in files)
    index.expect_request(f"/simple/{name}/").respond_with_data(page, content_type="text/html")


def test_the_whole_way_from_an_index_to_the_file(
    index: HTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(index, "torch", wheels("torch", "2.0.1", "8 9", "manylinux2014_x86_64"))
    serve(index, "torchvision", wheels("torchvision", "0.15.2", "8 9", "manylinux2014_x86_64"))
    file = tmp_path / "torch.json"
    file.write_text(text({"date": "2020-01-01", "releases": [release(linux__x86_64=linux("8"))]}), "utf-8")
    before = file.read_bytes()
    assert update_torch.main(["--data", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "2.0.1 linux-x86_64 pythons: + 3.9\n"
    assert file.read_bytes() == before
    assert update_torch.main(["--data", str(tmp_path), "--write"]) == 0
    written = json.loads(file.read_text("utf-8"))
    assert written["releases"] == [release(linux__x86_64=linux("8 9"))]
    assert written["date"] > "2020-01-01"
    capsys.readouterr()
    assert update_torch.main(["--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_an_index_that_refuses(index: HTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index.expect_request("/simple/torch/").respond_with_data("no", status=403)
    index.expect_request("/simple/torchvision/").respond_with_data("no", status=403)
    file = tmp_path / "torch.json"
    file.write_text(text({"releases": [release(linux__x86_64=linux("8"))]}), "utf-8")
    assert update_torch.main(["--data", str(tmp_path)]) == 4
    assert "files of torch: HTTP 403" in capsys.readouterr().err


def test_the_index_is_the_one_that_uv_or_pip_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.test/simple/")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    assert default_index() == "https://pip.test/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "own=https://uv.test/simple?a=b")
    assert default_index() == "https://uv.test/simple?a=b"
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", "nul" if sys.platform == "win32" else "/dev/null")
    assert default_index().startswith("https://")


def test_the_kept_file_is_laid_out_as_it_would_be_written() -> None:
    kept = (sums.DATA / "torch.json").read_text("utf-8")
    assert text(json.loads(kept)) == kept
