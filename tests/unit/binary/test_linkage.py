"""Extensions against the libraries that they were, or were not, compiled for."""

from __future__ import annotations

import pytest

from mmsetup.binary import elf
from mmsetup.binary.libraries import Loader, brought_by_torch, loader, provided
from mmsetup.binary.linkage import missing_libraries, missing_symbols
from mmsetup.errors import IntegrityError

TORCH = """
namespace c10 { struct Error { virtual ~Error(); int code(int) const; }; Error::~Error() {} int Error::code(int) const { return 1; } }
namespace at { int empty(long) { return 0; } }
extern "C" int THPVariableClass = 0;
"""
EXTENSION = """
namespace c10 { struct Error { virtual ~Error(); int code(int) const; }; }
namespace at { int empty(long); }
namespace other { int unknown(int); }
extern "C" int THPVariableClass;
struct Mine : c10::Error { };
int use() { Mine mine; return mine.code(1) + at::empty(2) + other::unknown(3) + THPVariableClass; }
"""


@pytest.fixture
def extension(library):
    return elf.read(library("_ext.so", EXTENSION))


@pytest.fixture
def torch_lib(library, tmp_path):
    def make(source):
        folder = tmp_path / "torch" / "lib"
        folder.mkdir(parents=True)
        library("libc10.so", source).rename(folder / "libc10.so")
        return folder

    return make


def test_nothing_is_missing_from_the_right_torch(extension, torch_lib):
    assert missing_symbols(extension, torch_lib(TORCH)) == frozenset()


def test_symbols_that_another_torch_lacks(extension, torch_lib):
    folder = torch_lib(TORCH.replace("code", "number").replace("THPVariableClass", "THPOther"))
    assert missing_symbols(extension, folder) == {"_ZNK3c105Error4codeEi", "THPVariableClass"}


def test_a_changed_signature_is_another_symbol(extension, torch_lib):
    assert missing_symbols(extension, torch_lib(TORCH.replace("empty(long)", "empty(long, bool)"))) == {
        "_ZN2at5emptyEl"
    }


def test_a_type_table_of_torch_counts(extension, torch_lib):
    folder = torch_lib(
        'namespace at { int empty(long) { return 0; } }\nextern "C" int THPVariableClass = 0;\n'
    )
    assert "_ZTIN3c105ErrorE" in missing_symbols(extension, folder)


def test_a_folder_without_libraries_is_refused(extension, tmp_path):
    with pytest.raises(IntegrityError, match="holds no library"):
        missing_symbols(extension, tmp_path / "nowhere")


NOWHERE = Loader((), {}, ())
CALLS = "int cuda(void);\nint f(void) { return cuda(); }\n"


@pytest.fixture
def runtime(library):
    """Compile a library under a file name and a soname of its own, and an extension that needs it."""

    def make(file, soname):
        return library(file, "int cuda(void) { return 1; }\n", f"-Wl,-soname,{soname}")

    return make


def needing(library, runtime):
    return elf.read(library("_ext.so", CALLS, str(runtime)))


def test_libraries_are_looked_for_in_the_folders(library, runtime, tmp_path):
    found = needing(library, runtime("libcudart.so.11.0", "libcudart.so.11.0"))
    assert missing_libraries(found, provided((tmp_path,)), NOWHERE) == ()
    elsewhere = provided((tmp_path / "elsewhere",))
    assert "libcudart.so.11.0" in missing_libraries(found, elsewhere, NOWHERE)


@pytest.mark.parametrize("file", ["libcudart-e409450e.so.11.0", "libcudart-1f2e3d4c5b6a.so.11.0.221"])
def test_a_loaded_library_satisfies_by_its_soname(library, runtime, tmp_path, file):
    found = needing(library, runtime(file, "libcudart.so.11.0"))
    assert found.needed[0] == "libcudart.so.11.0"
    assert missing_libraries(found, provided((tmp_path,)), loader({})) == ()
    assert missing_libraries(found, {}, loader({})) == ("libcudart.so.11.0",)


def test_a_soname_that_another_has_satisfies_nobody(library, runtime, tmp_path):
    found = needing(library, runtime("libcudart.so.11.0", "libcudart.so.11.0"))
    (tmp_path / "libcudart.so.11.0").unlink()
    runtime("libcudart-e409450e.so.10.1", "libcudart.so.10.1")
    assert missing_libraries(found, provided((tmp_path,)), loader({})) == ("libcudart.so.11.0",)


def test_torch_brings_its_own_libraries_and_those_of_nvidia(library, runtime, tmp_path):
    places = {"libcudart-e409450e.so.11.0": "torch/lib", "libcublas.so.11": "nvidia/cublas/lib"}
    for file, place in places.items():
        (tmp_path / place).mkdir(parents=True)
        library(file, "int x;\n", f"-Wl,-soname,{file}").rename(tmp_path / place / file)
    (tmp_path / "torch" / "lib" / "libnotes.so").write_text("GROUP ( libc.so.6 )")
    assert set(brought_by_torch(tmp_path / "torch")) == {*places, "libnotes.so"}


def test_a_library_of_this_machine_is_not_missing(library):
    found = elf.read(library("_ext.so", "int f(void) { return 1; }\n", "-Wl,--no-as-needed", "-lgomp"))
    assert "libgomp.so.1" in found.needed
    assert missing_libraries(found, {}) == ()
    assert "libgomp.so.1" in missing_libraries(found, {}, NOWHERE)
