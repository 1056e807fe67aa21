"""Wheels that tell where they belong: the name, the platform, the recipe, and the same bytes each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from mmsetup.binary import wheel as opened
from mmsetup.binary.wheel import Expected, WheelFacts
from mmsetup.build.label import RECIPE_FILE, label, local_part, platform
from mmsetup.build.recipe import Recipe, key
from mmsetup.errors import IntegrityError, RequestError
from mmsetup.farm.pairs import Pair, pair_of

OPS = "mmcv/_ext.cpython-310-x86_64-linux-gnu.so"
TORCH = ("libc10.so", "libtorch_cpu.so", "libtorch_python.so")
LABELLED = "mmcv_full-1.7.2+pt1.13.1cpu-cp310-cp310-manylinux_2_17_x86_64.whl"
INFO = "mmcv_full-1.7.2+pt1.13.1cpu.dist-info"


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Compile a library that needs torch, and of the C library a symbol of version 2.14."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "empty.c").write_text("")
    for name in TORCH:
        words = ["cc", "-shared", "empty.c", f"-Wl,-soname,{name}", "-o", name]
        subprocess.run(words, cwd=folder, check=True)
    (folder / "ext.c").write_text(
        '__asm__(".symver memcpy, memcpy@GLIBC_2.14");\n'
        "void *memcpy(void *, const void *, unsigned long);\n"
        "void *PyInit__ext(char *a, char *b, long n) { return memcpy(a, b, n); }\n"
    )
    words = [
        "cc",
        "-shared",
        "-fPIC",
        "-fno-builtin",
        "ext.c",
        "-Wl,--no-as-needed",
        *(f"./{n}" for n in TORCH),
    ]
    subprocess.run([*words, "-o", "ext.so"], cwd=folder, check=True)
    return (folder / "ext.so").read_bytes()


@pytest.fixture
def built(tmp_path: Path, extension: bytes) -> Callable[..., Path]:
    """Write a wheel as setup.py makes it."""

    def make(
        files: Mapping[str, bytes] | None = None,
        *,
        name: str = "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl",
        when: tuple[int, ...] = (2026, 11, 22, 3, 0, 0),
        mode: int = 0o100600,
        backwards: bool = False,
    ) -> Path:
        info = "mmcv_full-1.7.2.dist-info"
        contents = {
            "mmcv/__init__.py": b"",
            "mmcv/version.py": b"__version__ = '1.7.2'\n",
            OPS: extension,
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2\nRequires-Dist: addict\n"
            b"\nMMCV\nVersion: what people ask for\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-cp310-linux_x86_64\n\n",
            f"{info}/licenses/LICENSE": b"Apache\n",
            **(files or {}),
        }
        rows = [f"{path},sha256={digest(content)},{len(content)}" for path, content in contents.items()]
        contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
        (tmp_path / "dist").mkdir(exist_ok=True)
        path = tmp_path / "dist" / name
        with zipfile.ZipFile(path, "w") as archive:
            for member in sorted(contents, reverse=backwards):
                told = zipfile.ZipInfo(member, when)
                told.external_attr = (mode | (0o111 if member.endswith((".so", ".sh")) else 0)) << 16
                archive.writestr(told, contents[member])
        return path

    return make


@pytest.fixture
def finish(recipe: Recipe, tmp_path: Path) -> Callable[..., Path]:
    """Label a wheel."""

    def make(path: Path, *, place: str = "out", brought: tuple[str, ...] = TORCH, **changes: object) -> Path:
        (tmp_path / place).mkdir(exist_ok=True)
        made = replace(recipe, **{"local": "pt1.13.1cpu", **changes})
        return label(path, opened.inspect(path), made, tmp_path / place, brought=brought)

    return make


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_the_name_tells_the_pair_and_the_platform_and_the_package_is_as_it_was(built, finish) -> None:
    source = built()
    made = finish(source)
    assert made.name == LABELLED
    facts = opened.inspect(made, expect=Expected("mmcv-full", "1.7.2+pt1.13.1cpu"))
    assert facts.tags == ("cp310-cp310-manylinux_2_17_x86_64",)
    assert facts.requires == ("addict",)
    before, after = members(source), members(made)
    assert {name: content for name, content in after.items() if name.startswith("mmcv/")} == {
        name: content for name, content in before.items() if name.startswith("mmcv/")
    }
    assert {name for name in after if not name.startswith("mmcv/")} == {
        f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE", RECIPE_FILE)
    }
    assert b"\nTag: cp310-cp310-manylinux_2_17_x86_64\n" in after[f"{INFO}/WHEEL"]
    metadata = after[f"{INFO}/METADATA"].decode()
    assert metadata.count("Version: 1.7.2+pt1.13.1cpu\n") == 1
    assert metadata.endswith("\nVersion: what people ask for\n"), "the description is not touched"


def test_record_lists_every_file_with_its_hash_and_size_and_comes_last(built, finish) -> None:
    found = members(finish(built()))
    assert list(found)[-1] == f"{INFO}/RECORD"
    rows = list(csv.reader(io.StringIO(found[f"{INFO}/RECORD"].decode())))
    assert rows.pop() == [f"{INFO}/RECORD", "", ""]
    assert rows == [
        [name, f"sha256={digest(content)}", str(len(content))]
        for name, content in found.items()
        if name != f"{INFO}/RECORD"
    ]


def test_the_same_input_gives_the_same_bytes(built, finish) -> None:
    first = finish(built({"mmcv/tool.sh": b"#!/bin/sh\n"})).read_bytes()
    later = built({"mmcv/tool.sh": b"#!/bin/sh\n"}, when=(2030, 1, 2, 3, 4, 6), mode=0o100664, backwards=True)
    second = finish(later, place="again").read_bytes()
    assert first == second


def test_who_may_run_what_stays_and_nothing_else_of_the_machine(built, finish) -> None:
    with zipfile.ZipFile(finish(built({"mmcv/tool.sh": b"#!/bin/sh\n"}))) as archive:
        infos = archive.infolist()
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    runs = {"mmcv/tool.sh", OPS}
    assert modes == {name: 0o100755 if name in runs else 0o100644 for name in modes}


def test_without_a_local_part_the_version_stays_and_the_recipe_tells_the_pair(built, finish) -> None:
    made = finish(built(), local="")
    assert made.name == "mmcv_full-1.7.2-cp310-cp310-manylinux_2_17_x86_64.whl"
    assert opened.inspect(made).version == "1.7.2"
    assert pair_of(made) == Pair(1, 13, "cpu")


def test_the_recipe_tells_what_the_wheel_is_made_of(built, finish, recipe: Recipe) -> None:
    made = finish(built())
    told = json.loads(members(made)[f"{INFO}/{RECIPE_FILE}"])
    assert told["schema"] == "mmsetup.recipe/1"
    assert (told["recipe"]["torch"], told["recipe"]["variant"]) == ("1.13.1", "cpu")
    assert told["key"] == key(replace(recipe, local="pt1.13.1cpu"))
    assert (told["version"], told["tag"]) == ("1.7.2+pt1.13.1cpu", "cp310-cp310-manylinux_2_17_x86_64")
    assert told["needs"] == {"glibc": "2.14", "glibcxx": "", "cxxabi": ""}
    assert set(TORCH) < set(told["libraries"])
    assert pair_of(made) == Pair(1, 13, "cpu")


@pytest.mark.parametrize("address", ["https://me:secret@host/whl/{}#sha256=00", "file:///home/me/{}"])
def test_the_recipe_tells_nothing_of_where_files_came_from(built, finish, address: str) -> None:
    name = "torch-1.13.1%2Bcpu-cp310-cp310-linux_x86_64.whl"
    made = finish(built(), requirements=(f"torch @ {address.format(name)} --hash=sha256:00", "wheel==0.45.0"))
    text = members(made)[f"{INFO}/{RECIPE_FILE}"].decode()
    assert json.loads(text)["recipe"]["requirements"] == [f"torch @ {name} --hash=sha256:00", "wheel==0.45.0"]
    assert not [word for word in ("secret", "/home", "host", os.fspath(made.parent)) if word in text]


def test_data_beside_the_package_is_renamed_with_it(built, finish) -> None:
    made = finish(built({"mmcv_full-1.7.2.data/scripts/tool": b"#!python\n"}))
    assert "mmcv_full-1.7.2+pt1.13.1cpu.data/scripts/tool" in members(made)
    opened.inspect(made)


def test_what_is_no_wheel_any_more_is_refused(built, finish, recipe: Recipe, tmp_path: Path) -> None:
    path = built()
    facts = opened.inspect(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(IntegrityError, match="not a usable wheel"):
        label(path, facts, recipe, tmp_path, brought=())
    with pytest.raises(IntegrityError, match="not a usable wheel"):
        finish(path)


@pytest.fixture
def facts(built) -> WheelFacts:
    return opened.inspect(built())


def needing(facts: WheelFacts, *libraries: str, **versions: str) -> WheelFacts:
    """Give the facts of a wheel whose extension needs other libraries and symbol versions."""
    (one,) = facts.extensions
    wanted = {"libc.so.6": tuple(f"{kind}_{version}" for kind, version in versions.items())}
    elf = replace(one.elf, needed=(*TORCH, "libc.so.6", *libraries), versions_needed=MappingProxyType(wanted))
    return replace(facts, extensions=(replace(one, elf=elf),))


@pytest.mark.parametrize(
    ("versions", "tag"),
    [
        ({}, "manylinux_2_5"),
        ({"GLIBC": "2.17"}, "manylinux_2_17"),
        ({"GLIBC": "2.28"}, "manylinux_2_28"),
        # What gcc 12 makes on Debian 12: the C++ library decides, which came into systems with glibc 2.34.
        ({"GLIBC": "2.32", "GLIBCXX": "3.4.29", "CXXABI": "1.3.13"}, "manylinux_2_34"),
        ({"GLIBC": "2.99"}, "linux"),
    ],
)
def test_the_platform_is_that_of_the_symbols(facts, versions, tag) -> None:
    assert platform(needing(facts, **versions), TORCH, "glibc 2.36") == f"{tag}_x86_64"


@pytest.mark.parametrize("libc", ["glibc 2.33", "musl 1.2", ""])
def test_a_tag_that_the_machine_itself_would_refuse_is_none(facts, libc: str) -> None:
    found = needing(facts, GLIBC="2.32", GLIBCXX="3.4.29")
    assert platform(found, TORCH, libc) == "linux_x86_64"


def test_a_library_that_neither_torch_nor_every_system_brings_is_no_manylinux(facts) -> None:
    assert platform(needing(facts, "libgomp.so.1"), TORCH, "glibc 2.36") == "linux_x86_64"
    assert platform(needing(facts, "libcudart.so.13"), TORCH, "glibc 2.36") == "linux_x86_64"
    brought = {*TORCH, "libcudart.so.13"}
    assert platform(needing(facts, "libcudart.so.13"), brought, "glibc 2.36") == "manylinux_2_5_x86_64"
    assert platform(needing(facts), (), "glibc 2.36") == "linux_x86_64"


@pytest.mark.parametrize(
    ("asked", "local"),
    [
        (None, "pt1.13.1cpu"),
        ("none", ""),
        ("None", ""),
        ("Our-2", "our.2"),
        ("pt1.13cpu", "pt1.13cpu"),
        ("site.pt1.13.1cpu", "site.pt1.13.1cpu"),
    ],
)
def test_the_local_part_is_the_pair_unless_told_otherwise(asked: str | None, local: str) -> None:
    assert local_part(asked, "1.13.1", "cpu") == local


def test_without_a_torch_there_is_no_pair_to_name() -> None:
    assert local_part(None, "", "cpu") == ""


@pytest.mark.parametrize("asked", ["", "a b", "+a", "a..b", "a/b", "é", "1.7.2+x", "-a", "a" * 65])
def test_what_is_no_local_part_is_refused(asked: str) -> None:
    with pytest.raises(RequestError, match="is no local version part") as caught:
        local_part(asked, "1.13.1", "cpu")
    assert caught.value.remedy == "mmsetup build --local-version pt1.13.1cpu  # or: none"


@pytest.mark.parametrize("asked", ["pt1.13.1cu117", "pt1.13.0cpu", "pt2.1cpu", "x.torch1.1.cpu"])
def test_a_local_part_that_names_another_pair_is_refused(asked: str) -> None:
    with pytest.raises(RequestError, match="and the wheel is for torch") as caught:
        local_part(asked, "1.13.1", "cpu")
    assert "1.13.1 cpu" in str(caught.value)
