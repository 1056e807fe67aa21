"""Which GPUs run which code."""

from __future__ import annotations

import pytest

from mmsetup.binary.architectures import runs_on


@pytest.mark.parametrize(
    ("architecture", "sass", "ptx", "runs"),
    [
        ("sm_86", ("sm_86",), (), True),
        ("sm_86", ("sm_80",), (), True),
        ("sm_80", ("sm_86",), (), False),
        ("sm_90", ("sm_86",), (), False),
        ("sm_90", ("sm_86",), ("sm_86",), True),
        ("sm_75", (), ("sm_86",), False),
        ("sm_120", ("sm_90",), (), False),
        ("sm_90a", ("sm_90",), (), True),
        ("sm_90", ("sm_90a",), (), False),
        ("sm_100", (), ("sm_90a",), False),
        ("sm_120", (), ("sm_90",), True),
        ("sm_86", (), (), False),
    ],
)
def test_code_runs_on_its_own_major_version_and_portable_code_on_anything_newer(
    architecture: str, sass: tuple[str, ...], ptx: tuple[str, ...], runs: bool
) -> None:
    assert runs_on(architecture, sass, ptx) is runs


def test_machine_code_does_not_pass_between_integrated_gpus_and_others() -> None:
    assert not runs_on("sm_87", ("sm_80", "sm_86"), ())
    assert not runs_on("sm_72", ("sm_70",), ())
    assert not runs_on("sm_89", ("sm_87",), ())
    assert runs_on("sm_87", ("sm_87",), ())
    assert runs_on("sm_87", (), ("sm_80",))
    assert runs_on("sm_86", ("sm_80",), ())
