"""The doctor as a user who may not read or write everything.

The superuser gives up what lets him pass every mode, so that as root and as anybody else the same is closed.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from project_tree import CONFIG, furnish, write

Run = Callable[..., subprocess.CompletedProcess[str]]
_RIGHTS = "-dac_override,-dac_read_search,-fowner"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run mmsetup in ``tmp_path``; variables are given by name."""
    before: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv, and root may read everything")
        before = ["setpriv", "--bounding-set", _RIGHTS, "--inh-caps", "-all"]

    def mmsetup(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, sys.executable, "-m", "mmsetup", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **variables},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return mmsetup


@pytest.fixture
def closed():
    """Take rights away, and give them back in the end, or nobody could delete what the test made."""
    changed: list[tuple[Path, int]] = []

    def close(path: Path, mode: int = 0) -> Path:
        changed.append((path, path.stat().st_mode))
        path.chmod(mode)
        return path

    yield close
    for path, mode in reversed(changed):
        path.chmod(mode)


@pytest.mark.parametrize(
    "words",
    [
        ("doctor", "--env"),
        ("doctor", "--fix", "--yes", "--env"),
        ("doctor", "--deep", "--env"),
        ("probe", "--env"),
        ("smoke", "--env"),
        ("inspect",),
    ],
)
@pytest.mark.parametrize("part", ["", "lib", "site-packages"])
def test_a_folder_that_is_closed_is_an_error_with_its_own_code(site, run, closed, words, part):
    folder = site.packages if part == "site-packages" else site.prefix / part
    closed(folder)
    done = run(*words, site.prefix)
    if words == ("inspect",) and part:
        # It looks for files, and says which it was given none of.
        assert done.returncode in {2, 7}
    else:
        assert done.returncode == 7, done.stderr
    assert "error: " in done.stderr
    assert "try: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_owner_of_a_closed_environment_is_told(site, run, closed):
    closed(site.prefix)
    done = run("doctor", "--env", site.prefix, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (7, 7)
    assert f"belongs to user {os.geteuid()} and has the mode 000" in document["message"]
    assert document["remedy"] == f"chmod u+rwx {site.prefix}"


def test_code_that_is_closed_is_one_finding(site, run, closed):
    before = json.loads(run("doctor", "--env", site.prefix, "--json").stdout)
    closed(site.packages / "mmseg")
    closed(site.packages / "torch" / "__init__.py")
    done = run("doctor", "--env", site.prefix, "--json")
    document = json.loads(done.stdout)
    new = [one for one in document["findings"] if one not in before["findings"]]
    assert [(one["id"], one["severity"]) for one in new] == [("MM107", "error")]
    (found,) = new
    assert [text.partition(":")[0] for text in found["evidence"]] == [
        str(site.packages / "mmseg"),
        str(site.packages / "torch" / "__init__.py"),
    ]
    assert found["remedy"] == f"chmod -R a+rX {site.prefix}"
    assert done.returncode == 1


def test_what_only_begins_like_a_closed_path_is_told(site, run, closed):
    site.change("mmsegmentation", "0.30.0", requires=["a-package-that-is-not-here"])
    closed(site.packages / "mmseg")
    document = json.loads(run("doctor", "--env", site.prefix, "--json", "--select", "MM107,MM111").stdout)
    assert {one["id"] for one in document["findings"]} == {"MM107", "MM111"}


def test_metadata_that_is_closed_is_a_warning(site, run, closed):
    folder = site.add("somebody", "1.0", {"somebody.py": ""})
    closed(folder / "METADATA")
    closed(folder / "RECORD")
    document = json.loads(run("doctor", "--env", site.prefix, "--json", "--select", "MM104,MM107").stdout)
    assert [(one["id"], one["severity"]) for one in document["findings"]] == [("MM107", "warning")]


def test_a_link_to_nothing_is_not_closed(site, run):
    (site.packages / "gone.py").symlink_to(site.prefix / "nowhere")
    document = json.loads(run("doctor", "--env", site.prefix, "--json", "--select", "MM107").stdout)
    assert document["findings"] == []


def test_nothing_has_to_be_written(site, run, closed, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    closed(home, 0o500)
    closed(site.packages, 0o500)
    elsewhere = {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_STATE_HOME": "", "TMPDIR": str(home)}
    elsewhere |= {"MMSETUP_CACHE_DIR": "", "MMSETUP_STATE_DIR": ""}
    done = run("doctor", "--env", site.prefix, "--json", **elsewhere)
    assert done.returncode in {0, 1}, done.stderr
    assert "MM001" not in [one["id"] for one in json.loads(done.stdout)["findings"]]
    assert list(home.iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_nothing(site, run, closed, tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    closed(folder, 0o500)
    done = run("doctor", "--env", site.prefix, "--junit", folder / "x.xml")
    assert done.returncode == 7
    assert "cannot write to" in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("part", ["mmseg", "mmseg/models", "mmseg/models/__init__.py", "mmcv", "mmcv/runner"])
def test_a_project_is_not_blamed_for_packages_that_are_closed(site, run, closed, tmp_path, part):
    furnish(site)
    write(tmp_path, {"p/c.py": CONFIG, "p/t.py": "import mmseg.models\nimport mmcv.runner\n"})
    closed(site.packages / part)
    words = ("--project", "p", "--env", site.prefix, "--select", "MM107,MM8", "--ignore", "MM821")
    done = run("doctor", *words, "--offline", "--json")
    errors = [one["id"] for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]
    assert errors == ["MM107"]


def test_what_sudo_pip_left_behind_is_not_half_mended(site, run, closed):
    """Root's folders could be exchanged as a part of the environment, and the old one never removed."""
    site.add("mmsegmentation-addon", "1.0", {"addon/__init__.py": ""}, requires=["numpy>=99"])
    closed(site.packages / "addon", 0o500)
    remedy = f"chmod -R u+rwX {site.prefix}"
    if os.geteuid() == 0:
        os.chown(site.packages / "addon", pwd.getpwnam("nobody").pw_uid, -1)
        remedy = f"sudo chown -R --reference={site.prefix} {site.prefix}"
    done = run("doctor", "--env", site.prefix, "--fix", "--yes")
    assert done.returncode == 7, done.stderr
    assert "this user may not write to it" in done.stderr
    assert remedy in done.stderr
    assert list(site.prefix.parent.glob(f"{site.prefix.name}.mmsetup*")) == []


def test_what_is_ones_own_and_cannot_be_written_needs_no_other_user(site, run, closed):
    site.add("mmsegmentation-addon", "1.0", {"addon/__init__.py": ""}, requires=["numpy>=99"])
    closed(site.packages / "addon", 0o500)
    done = run("doctor", "--env", site.prefix, "--fix", "--yes")
    assert done.returncode == 7, done.stderr
    assert f"chmod -R u+rwX {site.prefix}" in done.stderr
    assert "chown" not in done.stderr


def test_a_file_of_a_project_that_may_not_be_read(run, closed, tmp_path):
    (tmp_path / "own").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "own" / name).write_text("x = 1\n")
    closed(tmp_path / "own" / "a.py")
    done = run("doctor", "--project", "own", "--json", VIRTUAL_ENV="")
    assert done.returncode == 0, done.stderr
    assert "1 files that cannot be read" in json.loads(done.stdout)["findings"][0]["evidence"]


@pytest.mark.parametrize("part", ["data", "data/images"])
def test_data_of_a_project_where_this_user_may_not_look_is_not_here(tmp_path, run, closed, part):
    write(tmp_path, {"p/c.py": CONFIG, "p/data/images/a.jpg": b"", "p/data/masks/a.png": b""})
    closed(tmp_path / "p" / part)
    done = run("doctor", "--project", "p", "--select", "MM84", "--json", VIRTUAL_ENV="")
    findings = {one["id"]: one["severity"] for one in json.loads(done.stdout)["findings"]}
    assert findings == ({"MM841": "warning"} if part == "data" else {})
