"""Markdown for issues: folded, harmless to its reader, and without what is private."""

from pathlib import Path

import pytest

from mmsetup.doctor.model import Diagnosis, Finding, Part
from mmsetup.probe.machine import Cpu, Disk, Driver, Gpu, Libc, Machine, Memory, OperatingSystem
from mmsetup.render.diagnosis_markdown import markdown
from mmsetup.render.scrub import Scrubber


@pytest.fixture
def machine() -> Machine:
    return Machine(
        os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
        libc=Libc("glibc", "2.36"),
        cpu=Cpu("x86_64", "", 2, 2),
        memory=Memory(1, 1),
        disk=Disk(Path("/"), 1),
        container=None,
        driver=Driver("535.104.05", "12.2", "nvml"),
        gpus=(Gpu(0, "NVIDIA A100", "sm_80", 1),),
        toolkits=(),
        compilers=(),
        interpreters=(),
    )


@pytest.fixture
def written(machine):
    def write(*findings: Finding, prefix="/home/alice/env") -> str:
        parts = (Part("torch", "1.13.1"), Part("mmcv-full", "1.7.2", ("cuda-13",)))
        diagnosis = Diagnosis(Path(prefix), "3.10.1", "mmcv-full", parts, ("MM101",), findings)
        scrubber = Scrubber(homes=("/home/alice",), users=("alice",), hosts=("gpu-07",))
        return markdown(diagnosis, machine, scrubber, summary="1 error")

    return write


def finding(message="wrong", evidence=("seen",), remedy="mend") -> Finding:
    return Finding("MM201", "error", "A title", message, evidence, remedy)


def test_the_versions_are_a_table(written):
    text = written()
    for row in (
        "| torch | 1.13.1 |",
        "| mmcv-full | 1.7.2 (patched: cuda-13) |",
        "| Python | 3.10.1 |",
        "| glibc | 2.36 |",
        "| NVIDIA driver | 535.104.05 (CUDA 12.2) |",
        "| GPU 0 | NVIDIA A100 sm\\_80 |",
        "| environment | \\~/env |",
    ):
        assert row in text.splitlines()


def test_every_finding_is_folded_with_its_evidence_and_remedy(written):
    text = written(finding(), finding("other"))
    assert text.count("<details>") == text.count("</details>") == 3
    assert "<summary>🔴 error MM201: wrong</summary>" in text
    assert "```text\nseen\n```" in text
    assert "```text\nmend\n```" in text


def test_what_is_private_is_nowhere(written):
    text = written(
        finding(
            "alice has /home/alice/x",
            ("https://alice:geheim@host/simple", "/home/bob/y on gpu-07", "HF_TOKEN=geheim"),
            "PIP_INDEX_URL=https://u:geheim@h/ pip install --target /home/alice/z",
        )
    )
    for private in ("alice", "geheim", "bob", "gpu-07"):
        assert private not in text


def test_nothing_in_a_finding_is_markup(written):
    text = written(finding("</summary><script> @octocat | `x` *b*", ("````", "</details>", "```sh")))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "@octocat" not in text
    (fence,) = {line for line in text.splitlines() if line.startswith("`````")} - {"`````text"}
    assert fence == "`````"
    head = text.split("<summary>")[1].split("</summary>")[0]
    assert "\n" not in head
