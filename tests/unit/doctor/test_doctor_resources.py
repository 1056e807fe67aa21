"""MM511: shared memory for the workers of a DataLoader."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mmsetup.probe.machine import Container

MEGABYTE = 1 << 20


@pytest.fixture
def sized(monkeypatch):
    """Give the file system with the shared memory a size; one of a size cannot be made without being root."""

    def make(size, free):
        figures = SimpleNamespace(f_blocks=size, f_bavail=free, f_frsize=MEGABYTE)
        monkeypatch.setattr("mmsetup.doctor.checks.resources.os.statvfs", lambda _: figures)

    return make


def test_the_shared_memory_of_docker_is_too_little(site, examine, machine, sized):
    sized(64, 64)
    inside = replace(machine, container=Container("docker", "/.dockerenv"))
    (finding,) = examine(site, inside).findings
    assert (finding.id, finding.severity) == ("MM511", "warning")
    assert "has 67 MB free of 67 MB" in finding.message
    assert finding.remedy.startswith("docker run --shm-size=8g")
    (finding,) = examine(site).findings
    assert finding.remedy.startswith("mount -o remount")


def test_each_gpu_has_workers_of_its_own(site, examine, with_gpu, sized):
    sized(100, 100)
    one = with_gpu("sm_86")
    assert examine(site, one).findings == ()
    two = replace(one, gpus=one.gpus * 2)
    assert [finding.id for finding in examine(site, two).findings] == ["MM511"]


def test_shared_memory_that_is_full_is_told(site, examine, sized):
    sized(8000, 10)
    (finding,) = examine(site).findings
    assert finding.remedy.startswith("ls -l ")


def test_enough_of_it_is_nothing(site, examine, sized):
    sized(8000, 7000)
    assert examine(site).findings == ()


def test_none_at_all_is_a_warning(site, examine, monkeypatch, tmp_path):
    monkeypatch.setattr("mmsetup.doctor.context.SHARED_MEMORY", tmp_path / "gone")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM511", "warning")
