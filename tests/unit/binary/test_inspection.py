"""What is told of wheels, libraries and folders of them; environments are told of beside the doctor's."""

from __future__ import annotations

import pytest

from mmsetup.binary.floors import Floor
from mmsetup.binary.inspection import inspect, places
from mmsetup.binary.operators import Operators
from mmsetup.binary.torch_history import history
from mmsetup.errors import IntegrityError, RequestError

SASS = 2
OPS = b"ext_module = ext_loader.load_ext('_ext', ['nms', 'upfirdn2d'])\n"
MEMBER = "mmcv/_ext.cpython-310-x86_64-linux-gnu.so"
OF_113 = "_ZN3c104cuda29c10_cuda_check_implementationERKSsS2_ib"


def extension(library, *, calls=(), name="_ext.so"):
    names = "".join(f"extern int {one}(void); " for one in calls)
    body = " + ".join(f"{one}()" for one in calls) or "0"
    return library(name, f'{names}\nconst char *text = "nms";\nint _Z3nmsv(void) {{ return {body}; }}\n')


def test_a_wheel(wheel, library):
    built = extension(library, calls=[OF_113, "puts"]).read_bytes()
    found = inspect(wheel({MEMBER: built, "mmcv/ops/nms.py": OPS}))
    assert found.kind == "wheel"
    assert found.label is not None
    assert (found.label.distribution, found.label.version) == ("mmcv-full", "1.7.2")
    assert found.operators == Operators(("nms",), ("upfirdn2d",), compared=True)
    (one,) = found.libraries
    assert (one.name, one.python, one.size) == (MEMBER, "cp310", len(built))
    assert one.torch_symbols == (OF_113,)
    assert found.fitting_torch == ("1.13",)
    assert found.manylinux == "manylinux_2_5_x86_64"


def test_what_a_wheel_brings_itself_is_not_left_to_be_found(wheel, library):
    provider = library("libown.so", f"int {OF_113}(void) {{ return 1; }}\n", "-Wl,-soname,libown.so.5")
    user = extension(library, calls=[OF_113])
    found = inspect(
        wheel({MEMBER: user.read_bytes(), "mmcv_full.libs/libown-12.so.5": provider.read_bytes()})
    )
    assert [one.name for one in found.libraries] == [MEMBER, "mmcv_full.libs/libown-12.so.5"]
    assert found.libraries[1].names == {"libown-12.so.5", "libown.so.5"}
    assert found.fitting_torch == ()


def test_a_library(gpu_library, fat_binary):
    found = inspect(gpu_library(fat_binary((SASS, 80, 0))))
    assert (found.kind, found.label, found.operators) == ("library", None, None)
    (one,) = found.libraries
    assert one.code.architectures.sass == ("sm_80",)
    assert one.python == ""


def test_the_extension_in_its_package_is_compared_with_the_ops_beside_it(library, tmp_path):
    package = tmp_path / "mmcv"
    (package / "ops").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "ops" / "nms.py").write_bytes(OPS)
    moved = extension(library).rename(package / "_ext.cpython-313t-x86_64-linux-gnu.so")
    (one,) = inspect(moved).libraries
    assert one.python == "cp313t"
    assert one.operators == Operators(("nms",), ("upfirdn2d",), compared=True)


def test_the_extension_on_its_own_and_that_of_another_package(library, tmp_path):
    path = extension(library)
    assert inspect(path).operators == Operators(("nms",), (), compared=False)
    (tmp_path / "__init__.py").touch()
    assert inspect(path).operators is None


def test_the_floor_of_all_libraries(library, tmp_path):
    one = library(
        "libfloor.so", "#include <math.h>\ndouble f(double x) { return exp(x); }\n", "-lm", "-fno-builtin"
    )
    found = inspect(one)
    assert found.floor.glibc == max(
        (
            version.partition("_")[2]
            for names in found.libraries[0].elf.versions_needed.values()
            for version in names
        ),
        key=lambda text: [int(part) for part in text.split(".")],
    )
    assert found.floor != Floor()


def test_a_folder_stands_for_what_is_in_it(wheel, library, tmp_path):
    made = wheel({"mmcv/__init__.py": b""})
    built = library("libx.so.1", "int x;\n")
    (tmp_path / "libx.so").symlink_to(built)
    (tmp_path / "notes.txt").touch()
    assert places([tmp_path, made]) == (built, made)


def test_paths_that_are_nothing_to_inspect(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RequestError, match="does not exist"):
        places([tmp_path / "absent.whl"])
    with pytest.raises(RequestError, match="neither a wheel nor a library, and is no environment"):
        places([tmp_path])
    with pytest.raises(RequestError, match="neither a wheel"):
        inspect(tmp_path / "notes.txt")


def test_damaged_files(tmp_path):
    (tmp_path / "libcut.so").write_bytes(b"\x7fELF\2\1")
    with pytest.raises(IntegrityError, match=r"libcut\.so is damaged"):
        inspect(tmp_path / "libcut.so")


def test_the_symbol_of_the_tests_is_in_the_table():
    assert history().told(OF_113) == "torch 1.13"
