"""The table that is shown before openmim is put into an environment."""

from __future__ import annotations

import io

from rich.console import Console

from mmsetup.install.changes import Limit, changes
from mmsetup.install.openmim import Company
from mmsetup.install.via_mim import MimRun
from mmsetup.render.changes import show_changes, show_mim


def shown(company: Company, width: int = 60) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    show_changes(company, console)
    return console.file.getvalue().splitlines()


def test_each_package_is_a_line_and_each_caution_another() -> None:
    limit = Limit("setuptools>=66.1.1,<82", "it uses pkgutil[old]")
    rows = changes(
        {"setuptools": "84.2.1", "requests": "2.34.2"},
        {"setuptools": "60.2.0", "requests": "2.28.2", "openmim": "0.3.9", "oss2": "2.17"},
        {"setuptools": "81.0.0", "openmim": "0.3.9"},
        [limit],
    )
    lines = [" ".join(line.split()) for line in shown(Company((), rows))]
    assert lines == [
        "package lock openmim alone here",
        "setuptools 84.2.1 60.2.0 81.0.0 changed while mim works, then put back",
        "requests 2.34.2 2.28.2 2.34.2 stays as locked",
        "openmim - 0.3.9 0.3.9 new",
        "oss2 - 2.17 - not needed, left out",
        "caution: openmim works for this install alone: not with the locked setuptools 84.2.1",
        "caution: setuptools 60.2.0 violates setuptools>=66.1.1,<82: it uses pkgutil[old]",
    ]


def test_that_a_plain_install_is_not_known_is_said() -> None:
    rows = changes({}, {}, {"openmim": "0.3.9"})
    lines = [" ".join(line.split()) for line in shown(Company((), rows, unknown="no network [1]"))]
    assert lines[0] == "what openmim alone would change is not known: no network [1]"
    assert lines[-1] == "openmim - ? 0.3.9 new"


def test_what_mim_installed_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=40)
    run = MimRun("0.3.9", "26.3", "page", ("mmcv-full==1.7.2", "mmsegmentation==0.30.0"), {}, ())
    show_mim(run, console)
    assert console.file.getvalue() == (
        "openmim 0.3.9 with pip 26.3 installed mmcv-full==1.7.2, mmsegmentation==0.30.0\n"
    )
