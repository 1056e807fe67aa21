from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mmsetup.catalog
from mmsetup.catalog.gpus import GpuModel, architecture_of, gpu_model
from mmsetup.errors import RequestError

DATA = Path(mmsetup.catalog.__file__).with_name("data") / "gpus.json"
MODELS = tuple(gpu_model(entry) for entry in json.loads(DATA.read_text())["gpus"])
ENTRY = {
    "name": "GeForce RTX 4090",
    "architecture": "sm_89",
    "kind": "geforce",
    "certainty": "memory",
    "source": "somewhere",
}


def refusal(asked: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        architecture_of(asked, MODELS)
    assert caught.value.remedy.startswith("mmsetup plan --gpu ")
    return caught.value


@pytest.mark.parametrize(
    ("asked", "architecture"),
    [
        ("sm_90", "sm_90"),
        ("sm90", "sm_90"),
        ("9.0", "sm_90"),
        ("90", "sm_90"),
        (" SM_90a ", "sm_90"),
        ("compute_86", "sm_86"),
        ("sm_120", "sm_120"),
        ("12.0", "sm_120"),
        ("120", "sm_120"),
        ("sm_100f", "sm_100"),
    ],
)
def test_an_architecture_in_any_spelling(asked: str, architecture: str) -> None:
    assert architecture_of(asked, MODELS) == (architecture, None)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("RTX 4090", "GeForce RTX 4090"),
        ("rtx4090", "GeForce RTX 4090"),
        ("4090", "GeForce RTX 4090"),
        ("970", "GeForce GTX 970"),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "GeForce RTX 4090"),
        ("RTX-4070-Ti-SUPER", "GeForce RTX 4070 Ti SUPER"),
        ("rtx4070tisuper", "GeForce RTX 4070 Ti SUPER"),
        ("RTX 3070Ti", "GeForce RTX 3070 Ti"),
        ("geforce_rtx_3070", "GeForce RTX 3070"),
        ("GeForce RTX 3060 Laptop GPU", "GeForce RTX 3060"),
        ("GeForce GTX 1060 6GB", "GeForce GTX 1060"),
        ("GeForce GTX 1080 with Max-Q Design", "GeForce GTX 1080"),
        ("gtx1080ti", "GeForce GTX 1080 Ti"),
        ("H100", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100"),
        ("NVIDIA H100 NVL", "H100"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla V100S-PCIE-32GB", "V100S"),
        ("V100", "V100"),
        ("A100-SXM4-40GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "A100"),
        ("Tesla T4", "T4"),
        ("GRID T4-16Q", "T4"),
        ("K80", "Tesla K80"),
        ("Tesla P100-PCIE-16GB", "Tesla P100"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("A6000", "RTX A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("RTX 4000 SFF Ada Generation", "RTX 4000 Ada"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("Quadro RTX 8000", "Quadro RTX 8000"),
        ("RTX 8000", "Quadro RTX 8000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell"),
        ("RTX PRO 6000", "RTX PRO 6000 Blackwell"),
        ("NVIDIA TITAN RTX", "TITAN RTX"),
        ("titanrtx", "TITAN RTX"),
        ("Titan Xp", "TITAN Xp"),
        ("TITAN X (Pascal)", "TITAN X (Pascal)"),
        ("GeForce GTX TITAN X", "GeForce GTX TITAN X"),
        ("NVIDIA GB10", "GB10 (DGX Spark)"),
        ("DGX Spark", "GB10 (DGX Spark)"),
        ("Jetson Nano", "Jetson Nano"),
        ("Jetson Orin Nano Developer Kit", "Jetson Orin Nano"),
        ("GeForce GT 1030", "GeForce GT 1030"),
    ],
)
def test_a_name_as_it_is_printed_and_as_it_is_typed(asked: str, name: str) -> None:
    architecture, model = architecture_of(asked, MODELS)
    assert model is not None
    assert (model.name, model.architecture) == (name, architecture)


@pytest.mark.parametrize("asked", ["Orin", "Orin (nvgpu)", "Jetson Orin"])
def test_several_names_of_one_architecture_are_no_question(asked: str) -> None:
    assert architecture_of(asked, MODELS)[0] == "sm_87"


@pytest.mark.parametrize(
    ("asked", "both"),
    [
        ("RTX 6000", ("Quadro RTX 6000 (sm_75)", "RTX 6000 Ada (sm_89)")),
        ("RTX 5000", ("Quadro RTX 5000 (sm_75)", "RTX 5000 Ada (sm_89)")),
        ("Titan X", ("TITAN X (Pascal) (sm_61)", "GeForce GTX TITAN X (sm_52)")),
    ],
)
def test_a_name_of_several_architectures_is_refused_with_all_of_them(
    asked: str, both: tuple[str, ...]
) -> None:
    error = refusal(asked)
    assert all(name in str(error) for name in both)
    assert str(error).count("(sm_") == len(both)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("RTX 4095", "RTX 4090"),
        ("GTX 4090", "GeForce RTX 4090"),
        ("A6000 Ada", "RTX 6000 Ada"),
        ("H10O", "H100"),
        ("Titan", "TITAN"),
        ("RTX A600", "RTX A6000"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(asked: str, near: str) -> None:
    error = refusal(asked)
    assert "is known; nearest: " in str(error)
    assert near in str(error)


@pytest.mark.parametrize(
    "asked", ["", "  ", "NVIDIA", "GeForce RTX", "80GB", "gpu", "zzzzzzzz", "x" * 100_000]
)
def test_what_names_no_gpu_is_refused(asked: str) -> None:
    error = refusal(asked)
    assert "is known" in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("asked", ["sm_77", "77", "7.7", "sm_200", "compute_10"])
def test_an_architecture_that_no_gpu_has_is_refused_with_the_known_ones(asked: str) -> None:
    error = refusal(asked)
    assert "no known GPU has the architecture" in str(error)
    assert "sm_75, sm_80, sm_86" in str(error)


def test_the_remedy_of_an_unknown_architecture_is_the_nearest() -> None:
    assert refusal("sm_77").remedy == "mmsetup plan --gpu sm_75"


@pytest.mark.parametrize("asked", ["sm_9x", "sm_", "sm_9", "compute_9000", "sm_90b", "9.99"])
def test_a_malformed_architecture_is_refused(asked: str) -> None:
    assert "this is no architecture of a GPU" in str(refusal(asked))


@given(st.text(max_size=40))
@example("²")
@example("sm_²")
@example("\u0669.\u0660")
def test_no_text_raises_anything_else(asked: str) -> None:
    try:
        architecture, model = architecture_of(asked, MODELS)
    except RequestError:
        return
    assert architecture in {known.architecture for known in MODELS}
    assert model is None or model.architecture == architecture


@given(
    st.sampled_from(MODELS),
    st.sampled_from(["{}", "NVIDIA {}", "{} Laptop GPU", "{}-16GB", "nvidia-{}", "{} 80GB HBM3"]),
    st.sampled_from([str, str.lower, str.upper]),
)
def test_every_listed_name_finds_itself_in_any_dress(model: GpuModel, dress: str, case: type[str]) -> None:
    assert architecture_of(case(dress.format(model.name)), MODELS) == (model.architecture, model)


def test_no_gpu_stands_in_the_list_twice() -> None:
    names = [model.name.lower() for model in MODELS]
    assert len(names) == len(set(names)) > 150
    assert {model.kind for model in MODELS} == {"geforce", "professional", "datacenter", "jetson"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"architecture": "8.9"}, "is not written as sm_89"),
        ({"kind": "gaming"}, "kind 'gaming' is none of"),
        ({"certainty": "sure"}, "certainty 'sure' is none of"),
        ({"source": " "}, "source is empty"),
        ({"name": 4090}, "name is empty"),
    ],
)
def test_a_fault_of_an_entry_is_told(change: dict[str, object], fault: str) -> None:
    assert gpu_model(ENTRY).architecture == "sm_89"
    with pytest.raises(ValueError, match=fault):
        gpu_model(ENTRY | change)


@pytest.mark.parametrize("key", list(ENTRY))
def test_an_entry_that_lacks_a_key_is_told(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        gpu_model({name: value for name, value in ENTRY.items() if name != key})
