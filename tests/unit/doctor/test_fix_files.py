"""The files of distributions: which are whose, which are as recorded, and what goes with one of them."""

import base64
import hashlib
import zipfile

import pytest

from mmsetup.doctor.fix import files
from mmsetup.probe import environment


def digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def recorded(bare):
    """Install distributions whose RECORD has hashes, as every installer writes it."""

    def make(name: str, version: str, contents: dict[str, str]):
        info = bare.add(name, version, contents)
        rows = [f"{path},{digest(text)},{len(text)}\n" for path, text in contents.items()]
        (info / "RECORD").write_text("".join(rows) + f"{info.name}/RECORD,,\n{info.name}/METADATA,,\n")
        return info

    return make


@pytest.fixture
def here(bare):
    return lambda name: next(one for one in environment(bare.prefix).distributions if one.name == name)


def test_what_is_as_recorded_and_what_is_not(bare, recorded, here):
    recorded("one", "1", {"one/__init__.py": "", "one/a.py": "a = 1\n"})
    assert files.different(here("one")) == ()
    (bare.packages / "one" / "a.py").write_text("a = 2\n")
    (bare.packages / "one" / "__init__.py").unlink()
    assert [path.name for path in files.different(here("one"))] == ["__init__.py", "a.py"]


def test_a_distribution_goes_without_what_another_owns_too(bare, recorded, here):
    recorded("one", "1", {"shared/__init__.py": "", "shared/one.py": "1"})
    recorded("two", "2", {"shared/__init__.py": "", "shared/two.py": "2", "two/deep/er.py": ""})
    (bare.packages / "shared" / "__pycache__").mkdir()
    (bare.packages / "shared" / "__pycache__" / "two.cpython-310.pyc").write_text("")
    files.remove(here("two"), [here("one")], within=bare.prefix)
    left = sorted(str(path.relative_to(bare.packages)) for path in bare.packages.rglob("*") if path.is_file())
    assert [name for name in left if "info" not in name] == ["shared/__init__.py", "shared/one.py"]
    assert not (bare.packages / "two").exists()
    assert [one.name for one in environment(bare.prefix).distributions] == ["one"]
    assert files.different(here("one")) == ()


def test_a_record_that_names_files_elsewhere_removes_none_of_them(bare, recorded, here, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    info = recorded("one", "1", {"one/__init__.py": ""})
    with (info / "RECORD").open("a") as file:
        file.write(f"{precious},,\n../../../../precious.txt,,\n")
    files.remove(here("one"), [], within=bare.prefix)
    assert precious.read_text() == "mine"
    assert not info.exists()


def test_a_file_shared_with_a_copy_is_unlinked_and_not_emptied(bare, recorded, here, tmp_path):
    recorded("one", "1", {"one/a.py": "a = 1\n"})
    (tmp_path / "twin.py").hardlink_to(bare.packages / "one" / "a.py")
    files.remove(here("one"), [], within=bare.prefix)
    assert (tmp_path / "twin.py").read_text() == "a = 1\n"


def wheel(folder, contents: dict[str, str]):
    path = folder / "one-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
        archive.writestr(
            "one-1.dist-info/RECORD",
            "".join(f"{name},{digest(text)},{len(text)}\n" for name, text in contents.items()),
        )
    return path


@pytest.mark.parametrize(("content", "is_same"), [("a = 1\n", True), ("a = 2\n", False)])
def test_the_wheel_that_was_installed_is_found_again(recorded, here, tmp_path, content, is_same):
    info = recorded("one", "1", {"one/a.py": "a = 1\n"})
    made = wheel(tmp_path, {"one/a.py": content})
    (info / "direct_url.json").write_text(f'{{"url": "{made.as_uri()}", "archive_info": {{}}}}')
    assert files.wheel_of(here("one")) == (made if is_same else None)
    made.unlink()
    assert files.wheel_of(here("one")) is None


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', '{"url": "https://host/one-1-py3-none-any.whl"}'])
def test_a_wheel_that_is_not_told_of_is_none(recorded, here, text):
    (recorded("one", "1", {"one/a.py": ""}) / "direct_url.json").write_text(text)
    assert files.wheel_of(here("one")) is None
