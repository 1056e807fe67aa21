"""What must never stand in a file of the project, and what the README promises."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mmsetup import errors
from mmsetup.cli.output import CLOSED_PIPE
from mmsetup.doctor.diagnose import every_check

ROOT = Path(__file__).parents[2]
# Spelled so that this file does not hold them itself.
REGISTRIES = re.compile(
    r"(py[p]i\.org|python[h]osted\.org|(deb|security|ftp|snapshot)\.de[b]ian\.org|registry\.n[p]mjs\.org)",
    re.IGNORECASE,
)
HOMES = re.compile(r"(?<![\w.])/(work|root|farm)/")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("unwanted", [REGISTRIES, HOMES], ids=["registries", "homes"])
def test_no_file_names_a_registry_or_a_home_folder(unwanted: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:100]}"
        for path in tracked()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if unwanted.search(line)
    ]
    assert found == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert REGISTRIES.search("https://py" + "pi.org/simple")
    assert HOMES.search("see /ro" + "ot/x")


def test_no_lock_of_the_package_manager_is_kept() -> None:
    assert [path.name for path in tracked() if path.name == "uv.lock"] == []


def test_the_readme_lists_every_exit_code() -> None:
    listed = dict(
        re.findall(r"^\| (\d+) \| `(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    codes = {
        str(getattr(errors, name).exit_code): name
        for name in errors.__all__
        if name not in {"MmsetupError", "FULL"}
    }
    assert listed == codes


def test_the_readme_lists_the_exit_codes_of_no_error() -> None:
    rows = re.findall(r"^\| (\d+) \| \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == ["0", str(CLOSED_PIPE)]


CHECKS = {one.id: one for one in every_check()}
# The end of a range is the id of no check: "MM201 to MM299".
RANGE = re.compile(r"\bto `?MM\d99\b")


def ids_in(text: str) -> set[str]:
    return set(re.findall(r"\bMM\d{3}\b", RANGE.sub("", text)))


@pytest.mark.parametrize("name", ["README.md", "docs/doctor.md", "docs/causes.md"])
def test_each_id_in_the_documents_is_that_of_a_check(name: str):
    ids = ids_in((ROOT / name).read_text(encoding="utf-8"))
    assert ids
    assert ids <= CHECKS.keys()


@pytest.mark.parametrize("one", CHECKS.values(), ids=CHECKS)
def test_a_check_names_no_check_that_is_not_there(one):
    assert ids_in(f"{one.title} {one.cause} {one.looks_at} {one.remedy}") <= CHECKS.keys()


def test_the_readme_names_every_check():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = ids_in(text)
    for first, last in re.findall(r"^\| MM(\d{3}) . MM(\d{3}) \|", text, re.MULTILINE):
        named |= {f"MM{number}" for number in range(int(first), int(last) + 1)}
    assert CHECKS.keys() - named == set()


def test_what_runs_on_request_has_a_row_in_the_document_of_the_doctor():
    """The checks of --deep, --project and --fleet; all others are told by the README in groups."""
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(MM\d{3})` \|", text, re.MULTILINE)
    assert sorted(rows) == [number for number in sorted(CHECKS) if number >= "MM7"]


def test_each_test_in_the_table_of_causes_is_there():
    named = set(re.findall(r"\btest_\w+", (ROOT / "docs" / "causes.md").read_text(encoding="utf-8")))
    assert named
    assert named <= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
