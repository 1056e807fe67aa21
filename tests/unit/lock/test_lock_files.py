from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.pylock import Pylock

from mmsetup.errors import LockError
from mmsetup.lock import Lock, LockedBuild, LockedFile, LockedPackage, read, write
from mmsetup.lock.files import requirements_text
from mmsetup.lock.model import requirement_lines

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

FORMS = ("pylock.one.toml", "requirements.one.txt")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def wheel(name: str, version: str, tag: str = "py3-none-any") -> LockedFile:
    filename = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    return LockedFile(filename, sha256(filename), f"https://files.test/{filename.replace('+', '%2B')}", 1000)


def package(name: str, version: str, *tags: str, **more) -> LockedPackage:
    return LockedPackage(
        name, version, tuple(wheel(name, version, tag) for tag in tags or ("py3-none-any",)), **more
    )


SDIST = LockedPackage(
    "mmcv-full",
    "1.7.2",
    (LockedFile("mmcv-full-1.7.2.tar.gz", sha256("sdist"), "https://files.test/mmcv-full-1.7.2.tar.gz", 5),),
)
BUILT = Lock(
    name="one",
    family="mmcv-full",
    python="3.10",
    platform="linux-x86_64",
    variant="cu117",
    packages=(
        SDIST,
        package("numpy", "1.26.4", "cp310-cp310-manylinux_2_17_x86_64", "cp310-cp310-win_amd64"),
        package("tomli", "2.0.1", marker='python_version < "3.11"'),
        package("torch", "1.13.1+cpu", "cp310-cp310-linux_x86_64", direct=True),
    ),
    build=LockedBuild(
        "mmcv-full",
        "1.7.2",
        (package("ninja", "1.13.0"), package("setuptools", "80.9.0")),
        {"MMCV_WITH_OPS": "1", "ODD": 'a "quoted" \\ value'},
        with_cuda=True,
        architectures=("sm_86",),
    ),
    catalog_digest="abc",
)
PREBUILT = replace(
    BUILT, packages=(package("mmcv-full", "1.7.2", "cp310-cp310-manylinux1_x86_64", direct=True),), build=None
)


@pytest.mark.parametrize("lock", [BUILT, PREBUILT], ids=["built", "prebuilt"])
def test_both_forms_give_the_lock_back(lock: Lock, tmp_path: Path) -> None:
    first, second = write(lock, tmp_path / "new" / "folder")
    assert (first.name, second.name) == FORMS
    assert replace(read(first), build=None) == replace(lock, build=None)
    assert read(first).digest == read(second).digest == lock.digest
    slim = read(second)
    assert [(p.name, p.version, p.marker, p.direct) for p in slim.packages] == [
        (p.name, p.version, p.marker, p.direct) for p in lock.packages
    ]
    assert (slim.build is None) == (lock.build is None)
    if slim.build and lock.build:
        assert slim.build.environment == lock.build.environment
        assert requirement_lines(slim.build.requires) == requirement_lines(lock.build.requires)


@pytest.mark.parametrize("lock", [BUILT, PREBUILT], ids=["built", "prebuilt"])
def test_the_pylock_form_passes_the_standards_own_check(lock: Lock, tmp_path: Path) -> None:
    first, _ = write(lock, tmp_path)
    pylock = Pylock.from_dict(tomllib.loads(first.read_text()))
    pylock.validate()
    assert [str(package.name) for package in pylock.packages] == [package.name for package in lock.packages]
    assert {package.name: bool(package.archive) for package in pylock.packages} == {
        package.name: package.direct for package in lock.packages
    }


def test_the_requirements_form_is_what_pip_and_uv_read() -> None:
    lines = requirements_text(BUILT).splitlines()
    body = [line for line in lines if not line.startswith("#")]
    numpy = body.index("numpy==1.26.4 \\")
    assert body[numpy + 1 : numpy + 3] == [
        f"    --hash=sha256:{BUILT.packages[1].files[0].sha256} \\",
        f"    --hash=sha256:{BUILT.packages[1].files[1].sha256}",
    ]
    assert 'tomli==2.0.1 ; python_version < "3.11" \\' in body
    assert "torch @ https://files.test/torch-1.13.1%2Bcpu-cp310-cp310-linux_x86_64.whl \\" in body


@pytest.mark.parametrize(
    "change",
    [
        {"python": "3.11"},
        {"variant": "cpu"},
        {"build": None},
        {"build": replace(BUILT.build or LockedBuild("", "", ()), with_cuda=False)},
        {"packages": BUILT.packages[1:]},
        {"packages": (replace(SDIST, version="1.7.1"), *BUILT.packages[1:])},
        {
            "packages": (
                replace(SDIST, files=(replace(SDIST.files[0], sha256="0" * 64),)),
                *BUILT.packages[1:],
            )
        },
    ],
)
def test_the_digest_changes_with_everything_that_is_pinned(change: dict) -> None:
    assert replace(BUILT, **change).digest != BUILT.digest


def test_the_digest_does_not_depend_on_names_and_places() -> None:
    moved = replace(SDIST, files=(replace(SDIST.files[0], url="https://mirror.test/x.tar.gz", size=0),))
    other = replace(BUILT, name="two", catalog_digest="def", packages=(moved, *BUILT.packages[1:]))
    assert other.digest == BUILT.digest


def test_the_size_of_a_download_counts_one_file_of_each_package() -> None:
    assert BUILT.download_bytes == 5 + 3 * 1000


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4})?", fullmatch=True),
            st.from_regex(r"[1-9][0-9]?(\.[1-9][0-9]?){0,3}(\.post1)?", fullmatch=True),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda drawn: drawn[0],
    ),
    st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(max_size=20), max_size=3),
)
def test_any_lock_comes_back_with_the_same_digest(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str, bool]], variables: dict[str, str]
) -> None:
    build = replace(BUILT.build or LockedBuild("", "", ()), environment=variables)
    packages = tuple(package(name, version, direct=direct) for name, version, direct in drawn)
    lock = replace(BUILT, packages=packages, build=build)
    for path in write(lock, tmp_path_factory.mktemp("drawn")):
        assert read(path).digest == lock.digest


@pytest.mark.parametrize("name", ["", "a.b", "../x", "a/b", "-a", "a b", "ä"])
def test_a_name_that_a_lockfile_cannot_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="cannot name a lockfile"):
        write(replace(BUILT, name=name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LockError, match="cannot be written to") as caught:
        write(BUILT, tmp_path / "file")
    assert caught.value.exit_code == 5
    assert caught.value.remedy


@pytest.mark.parametrize("failing", [1, 2])
def test_a_disk_that_runs_full_leaves_the_old_files_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write(PREBUILT, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real, calls = Path.write_text, []

    def full(path: Path, text: str, **options) -> int:
        calls.append(path)
        if len(calls) == failing:
            real(path, text[:100], **options)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(LockError, match="No space left on device"):
        write(BUILT, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('family = "mmcv-full"', "", "lacks 'family'"),
        ("schema = 1", "schema = 2", "another version of it"),
        ("with-cuda = true", "", "build table lacks 'with-cuda'"),
        ("ninja==1.13.0 ", "ninja ", "ninja is not pinned to one version"),
        (f" --hash=sha256:{wheel('ninja', '1.13.0').sha256}", "", "ninja has no sha256"),
        ('name = "one"', 'name = "one', "no "),
    ],
)
def test_a_lockfile_that_was_changed_is_not_trusted(
    tmp_path: Path, form: str, old: str, new: str, words: str
) -> None:
    write(BUILT, tmp_path)
    path = tmp_path / form
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(LockError, match=words) as caught:
        read(path)
    assert caught.value.remedy


def test_a_hash_that_was_taken_out_is_missed(tmp_path: Path) -> None:
    first, second = write(BUILT, tmp_path)
    torch = BUILT.package("torch").files[0].sha256
    second.write_text(second.read_text().replace(f"    --hash=sha256:{torch}", ""))
    with pytest.raises(LockError, match="torch has no sha256"):
        read(second)
    first.write_text(first.read_text().replace(f'sha256 = "{torch}"', 'md5 = "abc"'))
    with pytest.raises(LockError, match=r"torch 1\.13\.1\+cpu is locked without a file that has a sha256"):
        read(first)


FOREIGN = """lock-version = "1.0"
created-by = "another tool"
[[packages]]
name = "six"
version = "1.17.0"
wheels = [{ url = "https://files.test/six-1.17.0-py3-none-any.whl", hashes = { sha256 = "%s" } }]
"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("pylock.a.toml", FOREIGN % ("0" * 64), "was not written by mmsetup"),
        ("pylock.a.toml", FOREIGN % ("0" * 64) + '[tool]\nmmsetup = "no table"\n', "malformed"),
        ("pylock.a.toml", "lock-version = '9'\n", "no valid pylock file"),
        ("pylock.a.toml", "\0", "no valid pylock file"),
        ("r.txt", f"six==1.17.0 --hash=sha256:{'0' * 64}\n", "was not written by mmsetup"),
        ("r.txt", "\xff\xfe", "was not written by mmsetup|no requirement"),
        ("r.txt", "# /// mmsetup\n# broken =\n# ///\n", "no lockfile"),
        ("r.txt", "# /// mmsetup\n# schema = 1\n# ///\n--index-url https://x.test\n", "is no requirement"),
        ("r.txt", f"x @ https://x.test/y.whl --hash=sha256:{'0' * 64}\n", "x is not pinned"),
    ],
)
def test_what_mmsetup_did_not_write(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LockError, match=words):
        read(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_lockfile_that_is_not_there_or_no_text(tmp_path: Path, form: str) -> None:
    with pytest.raises(LockError, match="cannot be read: No such file or directory"):
        read(tmp_path / form)
    (tmp_path / form).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LockError):
        read(tmp_path / form)
