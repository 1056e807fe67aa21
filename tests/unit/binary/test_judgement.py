"""Whether compiled files run: each reason why not, and the ways in which they do."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.binary.inspection import Inspection, WheelLabel, inspect
from mmsetup.binary.judgement import COMPILES, FAILS, RUNS, Verdict, judge
from mmsetup.binary.libraries import brought_by_torch, loader
from mmsetup.binary.surroundings import AskedGpu, Surroundings
from mmsetup.errors import IntegrityError

SASS, PTX = 2, 1
HERE = platform.machine()
CHECK = "_ZN3c106detail14torchCheckFailEv"
OF_113 = "_ZN3c104cuda29c10_cuda_check_implementationERKSsS2_ib"
MEMBER = "mmcv/_ext.cpython-310-x86_64-linux-gnu.so"


@pytest.fixture
def torch(library, tmp_path) -> Path:
    """A torch that exports one symbol and brings the runtime of CUDA 11."""
    folder = tmp_path / "site" / "torch" / "lib"
    folder.mkdir(parents=True)
    for name, soname, body in (
        ("libc10.so", "libc10.so", f"int {CHECK}(void) {{ return 1; }}"),
        ("libtorch_python.so", "libtorch_python.so", "int x;"),
        ("libcudart-e4.so.11.0", "libcudart.so.11.0", "int y;"),
    ):
        library(name, body + "\n", f"-Wl,-soname,{soname}").rename(folder / name)
    return folder.parent


@pytest.fixture
def around(torch) -> Surroundings:
    return Surroundings(
        name="torch 1.13.1 of env",
        pythons=("3.10",),
        processor=HERE,
        glibc="2.99",
        torch="1.13.1",
        variant="cu117",
        libraries=torch / "lib",
        brought=brought_by_torch(torch),
        system=loader(),
        mend="mmsetup install --env env",
    )


@pytest.fixture
def extension(library, tmp_path):
    """Compile an extension that calls and needs what it is told to."""

    def make(*, calls=(), needs=(), name="_ext.so", extra="") -> Inspection:
        stubs = [str(library(stub, "", f"-Wl,-soname,{stub}")) for stub in needs]
        names = "".join(f"extern int {one}(void); " for one in calls)
        body = " + ".join(f"{one}()" for one in calls) or "0"
        options = ("-Wl,--no-as-needed", *stubs)
        return inspect(library(name, f"{extra}{names}\nint entry(void) {{ return {body}; }}\n", *options))

    return make


def reasons(found, around):
    return [(reason.kind, reason.message) for reason in verdict_of(found, around).reasons]


def verdict_of(found, around) -> Verdict:
    verdict = judge(found, around)
    assert verdict is not None
    return verdict


def test_where_nothing_is_compiled_there_is_nothing_to_say(around):
    assert judge(Inspection(Path("env"), "environment", ()), around) is None


def test_what_fits_runs(extension, around):
    verdict = verdict_of(extension(calls=[CHECK], needs=["libc10.so", "libcudart.so.11.0"]), around)
    assert (verdict.outcome, verdict.reasons, verdict.remedy) == (RUNS, (), "")
    assert verdict.is_good


def test_a_symbol_of_another_torch_and_where_it_was(extension, around):
    around = replace(around, torch="2.0.1", name="torch 2.0.1 of env")
    verdict = verdict_of(extension(calls=[CHECK, OF_113]), around)
    assert verdict.outcome == FAILS
    (reason,) = verdict.reasons
    assert (reason.kind, reason.message) == (
        "torch",
        "_ext.so needs a name that torch 2.0.1 of env does not have",
    )
    assert reason.evidence == (f"missing: {OF_113} (in torch 1.13)", "its symbols are those of torch 1.13")
    assert verdict.remedy == "mmsetup install --env env"


def test_the_catalogue_alone_knows_the_same_by_history(extension):
    catalogued = Surroundings(name="torch 2.0.1", torch="2.0.1", variant="cu118", runtime="libcudart.so.11.0")
    assert [kind for kind, _ in reasons(extension(calls=[OF_113]), catalogued)] == ["torch"]
    assert reasons(extension(calls=[OF_113]), replace(catalogued, torch="1.13.1")) == []
    assert reasons(extension(calls=["_ZN2at12never_knownEv"]), catalogued) == []


def test_a_runtime_that_this_torch_does_not_bring(extension, around):
    ((kind, message),) = reasons(extension(needs=["libcudart.so.9.9"]), around)
    assert (kind, message) == ("cuda", "it needs libcudart.so.9.9, which torch 1.13.1 of env does not bring")
    catalogued = Surroundings(
        name="torch 1.12.1 cu102", torch="1.12.1", variant="cu102", runtime="libcudart.so.10.2"
    )
    ((kind, message),) = reasons(extension(needs=["libcudart.so.11.0"]), catalogued)
    assert message == "it needs libcudart.so.11.0, and torch 1.12.1 cu102 brings libcudart.so.10.2"
    ((kind, message),) = reasons(
        extension(needs=["libcudart.so.11.0"]), replace(catalogued, variant="cpu", runtime="")
    )
    assert message.endswith("brings no CUDA")


def test_a_library_of_another_torch_and_one_that_is_nowhere(extension, around):
    found = reasons(extension(needs=["libtorch_cuda_cu.so", "libnowhere.so.3", "libcuda.so.1"]), around)
    assert found == [
        ("torch", "it needs libtorch_cuda_cu.so, which torch 1.13.1 of env does not have"),
        ("library", "it needs libnowhere.so.3, which is nowhere"),
    ]


def test_a_library_beside_it_is_found_by_its_own_path(library, around):
    library("libown.so.3", "int own(void) { return 1; }\n", "-Wl,-soname,libown.so.3")
    path = library("libuser.so", "int x;\n", "-Wl,--no-as-needed", "./libown.so.3")
    assert [kind for kind, _ in reasons(inspect(path), around)] == ["library"]
    path = library("libuser.so", "int x;\n", "-Wl,--no-as-needed", "./libown.so.3", "-Wl,-rpath,$ORIGIN")
    assert reasons(inspect(path), around) == []


def test_a_c_library_that_is_too_old(extension, around):
    found = extension(calls=["puts"])
    ((kind, message),) = reasons(found, replace(around, glibc="2.1"))
    assert kind == "glibc"
    assert message == f"it needs glibc {found.floor.glibc}, and there is 2.1"


def test_a_cpp_library_that_is_too_old(extension, around, library, tmp_path):
    """The file needs a version of libstdc++ that the one which the loader finds does not define."""
    (tmp_path / "map").write_text("GLIBCXX_9.9 { global: newer; };\n")
    soname = "-Wl,-soname,libstdc++.so.6"
    newer = library("libstdc++.so.6", "int newer(void) { return 1; }\n", soname, "-Wl,--version-script=map")
    user = library("libuser.so", "extern int newer(void); int f(void) { return newer(); }\n", str(newer))
    ((kind, message),) = reasons(inspect(user), around)
    assert (kind, message) == ("libstdc++", "it needs GLIBCXX_9.9 of libstdc++.so.6")
    with_it = replace(around, system=replace(loader(), first=(tmp_path,)))
    assert reasons(inspect(user), with_it) == []


def test_another_processor(extension, around):
    assert reasons(extension(), replace(around, processor="sparc")) == [
        ("processor", f"it is for {HERE}, and there is sparc")
    ]


def labelled(*tags: str) -> Inspection:
    return Inspection(Path("x.whl"), "wheel", (), WheelLabel("mmcv", "2.1.0", tags, "", ""))


@pytest.mark.parametrize(
    ("tag", "python", "fits"),
    [
        ("cp310-cp310", "3.10", True),
        ("cp310-cp310", "3.11", False),
        ("cp37-abi3", "3.13", True),
        ("cp37-abi3", "3.13t", False),
        ("cp311-abi3", "3.10", False),
        ("py3-none", "3.14", True),
        ("py3-none", "3.13t", True),
        ("py2-none", "3.10", False),
        ("cp313-cp313t", "3.13t", True),
        ("cp313-cp313t", "3.13", False),
        ("cp313-cp313", "3.13t", False),
        ("cp37-cp37m", "3.7", True),
        ("pp39-pypy39_pp73", "3.9", False),
    ],
)
def test_the_tag_of_the_interpreter(tag, python, fits):
    found = reasons(labelled(f"{tag}-linux_x86_64"), Surroundings(name="there", pythons=(python,)))
    assert found == ([] if fits else [("python", f"it is for {tag}, and there is Python {python}")])


def test_one_tag_of_several_is_enough():
    tags = ("cp39-cp39-linux_x86_64", "cp310-cp310-linux_x86_64")
    assert reasons(labelled(*tags), Surroundings(name="there", pythons=("3.10",))) == []


def test_the_c_library_in_the_tag():
    there = Surroundings(name="there", glibc="2.27")
    assert reasons(labelled("py3-none-manylinux_2_28_x86_64"), there) == [
        ("glibc", "its tag asks for glibc 2.28, and there is 2.27")
    ]
    both = ("py3-none-manylinux_2_28_x86_64", "py3-none-manylinux2014_x86_64")
    assert reasons(labelled(*both), there) == []


def test_the_file_name_of_an_extension(extension, around):
    found = extension(name="_ext.cpython-39-x86_64-linux-gnu.so")
    assert [kind for kind, _ in reasons(found, around)] == ["python"]
    assert reasons(extension(name="_ext.abi3.so"), around) == []


@pytest.fixture
def gpu_extension(gpu_library, fat_binary):
    return inspect(gpu_library(fat_binary((SASS, 70, 0), (SASS, 86, 0), (PTX, 86, 0))))


@pytest.mark.parametrize(
    ("architecture", "outcome"),
    [("sm_70", RUNS), ("sm_89", RUNS), ("sm_90", COMPILES), ("sm_61", FAILS), ("sm_80", FAILS)],
)
def test_a_gpu(gpu_extension, architecture, outcome):
    verdict = verdict_of(gpu_extension, Surroundings(name="there", gpus=(AskedGpu("a GPU", architecture),)))
    assert verdict.outcome == outcome
    assert [answer.outcome for answer in verdict.gpus] == [outcome]
    assert verdict.is_good is (outcome != FAILS)


def test_the_worst_of_several_gpus_counts(gpu_extension):
    gpus = tuple(AskedGpu(one, one) for one in ("sm_70", "sm_90"))
    verdict = verdict_of(gpu_extension, Surroundings(name="there", gpus=gpus))
    assert [answer.outcome for answer in verdict.gpus] == [RUNS, COMPILES]
    assert verdict.outcome == COMPILES


def test_a_gpu_that_torch_itself_has_no_code_for(gpu_extension):
    gpus = (AskedGpu("RTX 5090", "sm_120"),)
    verdict = verdict_of(
        gpu_extension, Surroundings(name="torch 1.13.1", sass=("sm_86",), gpus=gpus, mend="unused")
    )
    (reason,) = verdict.reasons
    assert reason.message == "torch 1.13.1 itself has no code for RTX 5090 (sm_120)"
    assert verdict.remedy == "mmsetup plan --gpu sm_120"


def test_in_a_wheel_of_torch_its_own_list_counts(wheel, library, gpu_library, fat_binary):
    """The libraries that are linked in have code for sm_75, torch has not; for sm_37 it is the other way."""
    binding = library("libtorch_python.so", 'const char *f = "sm_37 sm_50 sm_60 sm_70 compute_70";\n')
    linked = gpu_library(fat_binary((SASS, 75, 0), (SASS, 50, 0)), "libtorch_cuda.so")
    found = inspect(
        wheel(
            {
                "torch/lib/libtorch_python.so": binding.read_bytes(),
                "torch/lib/libtorch_cuda.so": linked.read_bytes(),
            }
        )
    )
    gpus = tuple(AskedGpu(one, one) for one in ("sm_37", "sm_35", "sm_90"))
    verdict = verdict_of(found, Surroundings(name="there", gpus=gpus))
    assert [answer.outcome for answer in verdict.gpus] == [RUNS, FAILS, COMPILES]
    (reason,) = verdict.reasons
    assert reason.evidence == ("torch/lib/libtorch_cuda.so: sm_37, sm_50, sm_60, sm_70, sm_70 (PTX)",)


def test_operators_for_the_cpu_alone(extension):
    found = extension(extra='const char *text = "nms"; int _Z3nmsv(void) { return 1; }\n')
    assert found.operators is not None
    there = Surroundings(name="there", gpus=(AskedGpu("H100", "sm_90"),))
    assert reasons(found, there) == [
        ("gpu", "its operators were compiled for the CPU alone, and not for H100 (sm_90)")
    ]
    assert verdict_of(extension(name="libother.so"), there).outcome == RUNS


def test_a_torch_that_cannot_be_read_is_no_verdict(extension, around, torch):
    (torch / "lib" / "libc10.so").write_text("cut")
    with pytest.raises(IntegrityError):
        verdict_of(extension(calls=[CHECK]), around)
