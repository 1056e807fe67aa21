"""The driver and its GPUs: through the real pynvml and a stand-in library, through files, through nvidia-smi."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.probe import driver_files, nvidia_smi
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Driver, Gpu
from mmsetup.probe.nvidia import merge
from mmsetup.probe.nvml import Nvidia

GIB = 1 << 30
RTX = f"NVIDIA GeForce RTX 3090|8|6|{24 * GIB}|GPU-aaa|0"
V100 = f"Tesla V100-SXM2-16GB|7|0|{16 * GIB}|GPU-bbb|0"
H100 = f"NVIDIA H100 80GB HBM3|9|0|{80 * GIB}|GPU-ccc|0"
A100 = f"NVIDIA A100-SXM4-40GB|8|0|{40 * GIB}|GPU-ddd|1"
KERNEL_FILES = {
    "/sys/module/nvidia/version": "535.104.05\n",
    "/proc/driver/nvidia/gpus/0000:01:00.0/information": (
        "Model: \t\t NVIDIA GeForce RTX 3090\nIRQ:   \t\t 91\nGPU UUID: \t GPU-aaa\n"
    ),
}
SMI_ROWS = (
    "0, NVIDIA GeForce RTX 3090, GPU-aaa, 24576, 535.104.05, 8.6",
    "1, Tesla V100-SXM2-16GB, GPU-bbb, [N/A], 535.104.05, 7.0",
)

Ask = Callable[..., dict[str, Any]]


def test_machine_without_a_driver_is_no_news(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(library="")
    assert (answer["driver"], answer["gpus"], answer["notes"]) == (None, [], [])


def test_driver_without_gpus(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020")
    assert answer["driver"] == {"version": "535.104.05", "cuda": "12.2", "source": "nvml"}
    assert (answer["gpus"], answer["notes"]) == ([], [])


def test_one_gpu(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020", GPUS=RTX)
    assert answer["gpus"] == [
        {
            "index": 0,
            "name": "NVIDIA GeForce RTX 3090",
            "architecture": "sm_86",
            "memory_bytes": 24 * GIB,
            "uuid": "GPU-aaa",
            "mig": "",
        }
    ]
    assert answer["notes"] == []


def test_several_gpus_of_different_kinds(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(DRIVER="570.86.10", CUDA="12080", GPUS=f"{RTX};{V100};{H100}")
    found = [(gpu["index"], gpu["architecture"], gpu["uuid"]) for gpu in answer["gpus"]]
    assert found == [(0, "sm_86", "GPU-aaa"), (1, "sm_70", "GPU-bbb"), (2, "sm_90", "GPU-ccc")]
    assert answer["driver"]["cuda"] == "12.8"


def test_compute_capability_of_three_digits(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(DRIVER="580.1", CUDA="13000", GPUS=f"NVIDIA RTX PRO 6000|12|0|{96 * GIB}|GPU-e|0")
    assert answer["gpus"][0]["architecture"] == "sm_120"
    assert answer["driver"]["cuda"] == "13.0"


def test_mig_slices_stand_in_place_of_their_gpu(ask_nvidia: Ask) -> None:
    named = f"0|0|NVIDIA A100-SXM4-40GB MIG 3g.20gb|{20 * GIB}|MIG-1|3|3"
    unnamed = f"0|2|NVIDIA A100-SXM4-40GB|{4864 << 20}|MIG-2|1|1"
    shared = f"0|3|NVIDIA A100-SXM4-40GB|{9728 << 20}|MIG-3|2|1"
    answer = ask_nvidia(
        DRIVER="535.104.05", CUDA="12020", GPUS=f"{A100};{RTX}", SLICES=f"{named};{unnamed};{shared}"
    )
    found = [(gpu["index"], gpu["mig"], gpu["architecture"], gpu["uuid"]) for gpu in answer["gpus"]]
    assert found == [
        (0, "3g.20gb", "sm_80", "MIG-1"),
        (0, "1g.5gb", "sm_80", "MIG-2"),
        (0, "1c.2g.10gb", "sm_80", "MIG-3"),
        (1, "", "sm_86", "GPU-aaa"),
    ]
    assert answer["notes"] == []


def test_mig_mode_without_slices_leaves_no_gpu(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020", GPUS=A100)
    assert answer["gpus"] == []
    assert "has no slices" in answer["notes"][0]


def test_slice_that_fails_is_a_note(ask_nvidia: Ask) -> None:
    one = f"0|0|NVIDIA A100-SXM4-40GB MIG 1g.5gb|{5 * GIB}|MIG-1|1|1"
    fail = "nvmlDeviceGetMigDeviceHandleByIndex@0=999"
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020", GPUS=A100, SLICES=one, FAIL=fail)
    assert answer["gpus"] == []
    assert any("MIG slice 0 of GPU 0" in note and "999" in note for note in answer["notes"])


@pytest.mark.parametrize("code", [4, 9, 18, 999])
def test_library_that_cannot_start_is_a_note(ask_nvidia: Ask, code: int) -> None:
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020", GPUS=RTX, FAIL=f"nvmlInitWithFlags={code}")
    assert (answer["driver"], answer["gpus"]) == (None, [])
    assert len(answer["notes"]) == 1
    assert f"(code {code})" in answer["notes"][0]


def test_kernel_files_stand_behind_a_library_that_does_not_fit_the_driver(
    ask_nvidia: Ask, tree: Callable[..., Host]
) -> None:
    host = tree(KERNEL_FILES)
    answer = ask_nvidia(root=host.root, DRIVER="550.54.14", FAIL="nvmlInitWithFlags=18")
    assert answer["driver"] == {"version": "535.104.05", "cuda": "", "source": "/sys"}
    assert [(gpu["name"], gpu["architecture"]) for gpu in answer["gpus"]] == [("NVIDIA GeForce RTX 3090", "")]
    assert "code 18" in answer["notes"][0]


@pytest.mark.parametrize(
    "function",
    ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUUID"],
)
def test_gpu_that_is_lost_does_not_hide_the_others(ask_nvidia: Ask, function: str) -> None:
    answer = ask_nvidia(
        DRIVER="535.104.05", CUDA="12020", GPUS=f"{RTX};{V100};{H100}", FAIL=f"{function}@1=15"
    )
    assert [gpu["index"] for gpu in answer["gpus"]] == [0, 2]
    assert len(answer["notes"]) == 1
    assert "GPU 1" in answer["notes"][0]
    assert "lost" in answer["notes"][0].lower()


def test_gpu_that_hides_one_fact_is_kept(ask_nvidia: Ask) -> None:
    fail = "nvmlDeviceGetMemoryInfo=3;nvmlDeviceGetCudaComputeCapability=999"
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020", GPUS=RTX, FAIL=fail)
    assert [(gpu["name"], gpu["memory_bytes"], gpu["architecture"]) for gpu in answer["gpus"]] == [
        ("NVIDIA GeForce RTX 3090", 0, "")
    ]
    assert len(answer["notes"]) == 2


def test_old_driver_without_the_second_form_of_the_call(ask_nvidia: Ask) -> None:
    answer = ask_nvidia(library="old", DRIVER="396.37", CUDA="9020", GPUS=V100)
    assert answer["driver"] == {"version": "396.37", "cuda": "9.2", "source": "nvml"}
    assert answer["gpus"][0]["architecture"] == "sm_70"
    assert answer["notes"] == []


def test_cuda_version_that_nobody_tells_is_empty(ask_nvidia: Ask) -> None:
    fail = "nvmlSystemGetCudaDriverVersion_v2=12;nvmlSystemGetCudaDriverVersion=999"
    answer = ask_nvidia(DRIVER="535.104.05", CUDA="12020", GPUS=RTX, FAIL=fail)
    assert answer["driver"] == {"version": "535.104.05", "cuda": "", "source": "nvml"}
    assert len(answer["notes"]) == 1


@pytest.mark.parametrize("folder", ["usr/lib/wsl/lib", "usr/local/nvidia/lib64"])
def test_library_outside_of_the_library_path(
    ask_nvidia: Ask, stand_ins: Mapping[str, Path], tmp_path: Path, folder: str
) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "libnvidia-ml.so.1").symlink_to(stand_ins["current"] / "libnvidia-ml.so.1")
    answer = ask_nvidia(library="", DRIVER="551.23", CUDA="12040", GPUS=RTX)
    assert answer["driver"] == {"version": "551.23", "cuda": "12.4", "source": "nvml"}


def test_version_in_proc_of_both_kernel_modules(tree: Callable[..., Host]) -> None:
    closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
    opened = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (root)\n"
    for text, version in ((closed, "535.104.05"), (opened, "580.82.07")):
        found = driver_files.read(tree({"/proc/driver/nvidia/version": text}))
        assert found.driver == Driver(version, "", "/proc")


def test_uuid_that_the_kernel_does_not_know_yet_is_empty(tree: Callable[..., Host]) -> None:
    name = "/proc/driver/nvidia/gpus/0000:01:00.0/information"
    found = driver_files.read(tree({name: "Model: Tesla T4\nGPU UUID: GPU-????????-????\n"}))
    assert found.gpus == (Gpu(0, "Tesla T4", "", 0, ""),)


def test_device_on_the_bus_without_a_driver(ask_nvidia: Ask, tree: Callable[..., Host]) -> None:
    device = "/sys/bus/pci/devices/0000:01:00.0"
    host = tree({f"{device}/vendor": "0x10de\n", f"{device}/class": "0x030000\n"})
    answer = ask_nvidia(library="", root=host.root)
    assert answer["notes"] == ["an NVIDIA device is on the PCI bus, but no NVIDIA driver is loaded"]


def test_driver_whose_library_is_out_of_reach(ask_nvidia: Ask, tree: Callable[..., Host]) -> None:
    answer = ask_nvidia(library="", root=tree(KERNEL_FILES).root)
    assert answer["driver"]["source"] == "/sys"
    assert "libnvidia-ml.so.1 cannot be found" in answer["notes"][0]


def test_nvidia_smi_stands_behind_the_files(
    ask_nvidia: Ask, tree: Callable[..., Host], program: Callable[..., Path], tmp_path: Path
) -> None:
    lines = [f"echo '{row}'" for row in SMI_ROWS]
    program(
        tmp_path / "bin" / "nvidia-smi",
        'case "$1" in',
        *("--query*)", *lines, ";;"),
        "*) echo '| NVIDIA-SMI 535.104.05   Driver Version: 535.104.05   CUDA Version: 12.2     |' ;;",
        "esac",
    )
    answer = ask_nvidia(library="", root=tree(KERNEL_FILES).root, path=str(tmp_path / "bin"))
    assert answer["driver"] == {"version": "535.104.05", "cuda": "12.2", "source": "/sys"}
    assert [(gpu["architecture"], gpu["memory_bytes"]) for gpu in answer["gpus"]] == [
        ("sm_86", 24 * GIB),
        ("sm_70", 0),
    ]


def test_old_nvidia_smi_without_compute_capability(program: Callable[..., Path], tmp_path: Path) -> None:
    program(
        tmp_path / "bin" / "nvidia-smi",
        'case "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; esac',
        "echo '0, Tesla K80, GPU-f, 11441, 418.87.00'",
    )
    found = nvidia_smi.read(Host(tmp_path, {"PATH": str(tmp_path / "bin")}))
    assert found.driver == Driver("418.87.00", "", "nvidia-smi")
    assert found.gpus == (Gpu(0, "Tesla K80", "", 11441 << 20, "GPU-f"),)


def test_nvidia_smi_that_fails_or_hangs_is_a_note(
    program: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia_smi, "_SECONDS", 0.2)
    host = Host(tmp_path, {"PATH": str(tmp_path / "bin")})
    program(tmp_path / "bin" / "nvidia-smi", "echo 'Failed to initialize NVML' >&2", "exit 255")
    assert nvidia_smi.read(host).notes == ("nvidia-smi cannot be used: Failed to initialize NVML",)
    program(tmp_path / "bin" / "nvidia-smi", "exec sleep 30")
    assert "ran past 0.2 s" in nvidia_smi.read(host).notes[0]


def test_nvidia_smi_of_wsl_is_found_off_the_search_path(program: Callable[..., Path], tmp_path: Path) -> None:
    place = program(tmp_path / "usr/lib/wsl/lib/nvidia-smi", "exit 0")
    assert nvidia_smi.find(Host(tmp_path, {"PATH": ""})) == place


def test_merge_completes_the_first_driver_only_from_the_same_version() -> None:
    gpu = Gpu(0, "A", "sm_80", 1)
    files = Nvidia(Driver("535.1", "", "/sys"), (Gpu(0, "A", "", 0),))
    same = Nvidia(Driver("535.1", "12.2", "nvidia-smi"), (gpu,))
    other = Nvidia(Driver("550.1", "12.4", "nvidia-smi"))
    assert merge((files, same)).driver == Driver("535.1", "12.2", "/sys")
    assert merge((files, same)).gpus == (gpu,)
    assert merge((files, other)).driver == Driver("535.1", "", "/sys")


@given(st.lists(st.lists(st.text(max_size=12), max_size=8), max_size=4))
def test_rows_of_any_shape_are_read(rows: list[list[str]]) -> None:
    version, gpus = nvidia_smi.parse_rows(rows)
    assert len(gpus) <= len(rows)
    assert version == "" or version[0].isdigit()
