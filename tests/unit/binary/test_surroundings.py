"""What a file is held against: an environment, a torch of the catalogue, GPUs, or nothing."""

from __future__ import annotations

import platform

import pytest

from mmsetup.binary.surroundings import AskedGpu, Surroundings, asked_gpus, of_label, of_release, surroundings
from mmsetup.catalog import load
from mmsetup.errors import RequestError


def no_machine():
    raise AssertionError("the machine was looked at")


def asked(**more):
    return surroundings(load, None, no_machine, **more)


@pytest.fixture(autouse=True)
def _on_the_platform_with_wheels(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_nothing_for_nothing():
    assert surroundings(no_machine, None, no_machine) is None


def test_a_release_and_its_variant():
    found = asked(torch="1.13.1", cuda="11.6", gpus=(AskedGpu("RTX 3090", "sm_86"),))
    assert found is not None
    assert (found.torch, found.variant, found.runtime) == ("1.13.1", "cu116", "libcudart.so.11.0")
    assert "3.10" in found.pythons
    assert "sm_86" in found.sass
    assert found.mend == "mmsetup plan --torch 1.13.1 --cuda cu116 --gpu sm_86"
    assert found.brought is None


def test_a_series_is_its_newest_release_and_the_variant_that_of_the_default_index():
    found = asked(torch="1.12")
    assert found is not None
    assert (found.torch, found.variant) == ("1.12.1", "cu102")


def test_the_build_without_cuda():
    found = asked(torch="2.1.2", cuda="cpu")
    assert found is not None
    assert (found.variant, found.runtime, found.sass) == ("cpu", "", ())


@pytest.mark.parametrize(
    ("torch", "cuda", "message"),
    [
        ("nonsense", "", "is no version"),
        ("0.1", "", "does not know torch 0.1"),
        ("1.13.1", "cu130", "has no variant cu130; it has cu117"),
        ("", "cu117", "--cuda is a variant of --torch"),
    ],
)
def test_what_the_catalogue_does_not_know(torch, cuda, message):
    with pytest.raises(RequestError, match=message) as caught:
        asked(torch=torch, cuda=cuda)
    assert caught.value.remedy.startswith("mmsetup inspect PATH --torch ")


def test_a_processor_without_wheels(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "sparc")
    with pytest.raises(RequestError, match="no wheels for linux-sparc"):
        asked(torch="2.1.2")


def test_gpus_alone():
    gpus = asked_gpus(["RTX 4090", "sm_75"], load)
    assert gpus == (AskedGpu("GeForce RTX 4090", "sm_89"), AskedGpu("sm_75", "sm_75"))
    found = asked(gpus=gpus)
    assert found is not None
    assert (found.gpus, found.torch, found.mend) == (gpus, "", "mmsetup plan --gpu sm_89 --gpu sm_75")
    assert asked_gpus(None, no_machine) is None


def test_the_architectures_of_a_release_are_those_of_the_variant():
    (release,) = (one for one in load().torch if str(one.version) == "1.13.1")
    assert of_release(release, "cu117", ()).sass == release.architectures["linux-x86_64", "cu117"].sass


GPU = AskedGpu("sm_86", "sm_86")


def test_a_version_names_the_torch_that_its_wheel_is_held_against():
    found = of_label("1.7.2+pt1.13.1cu117", load, Surroundings("GPUs", gpus=(GPU,)))
    assert found is not None
    assert (found.torch, found.variant, found.gpus) == ("1.13.1", "cu117", (GPU,))


@pytest.mark.parametrize("version", ["1.7.2", "1.7.2+cu117", "1.7.2+pt0.1.0cpu", "1.7.2+pt1.13.1cu130"])
def test_a_version_that_names_no_torch_of_the_catalogue_tells_nothing(version):
    asked = Surroundings("GPUs", gpus=(GPU,))
    assert of_label(version, load, asked) is asked
    assert of_label(version, load) is None


@pytest.mark.parametrize(
    "asked", [Surroundings("a torch", torch="2.1.2"), Surroundings("x", pythons=("3.10",))]
)
def test_what_was_asked_for_comes_before_what_a_version_names(asked):
    assert of_label("1.7.2+pt1.13.1cu117", load, asked) is asked
