"""Extensions against the libraries that they were, or were not, compiled for."""

from __future__ import annotations

import pytest

from mmsetup.binary import elf
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


def test_libraries_are_looked_for_in_the_folders(library, tmp_path):
    needed = library("libcudart.so.11.0", "int cuda(void) { return 1; }\n", "-Wl,-soname,libcudart.so.11.0")
    found = elf.read(library("_ext.so", "int cuda(void);\nint f(void) { return cuda(); }\n", str(needed)))
    assert missing_libraries(found, [tmp_path]) == ()
    assert missing_libraries(found, [tmp_path / "elsewhere"]) == ("libcudart.so.11.0",)
