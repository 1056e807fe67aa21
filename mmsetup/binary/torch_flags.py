"""Read which GPU architectures torch says that its kernels were compiled for.

``torch.cuda.get_arch_list()`` answers with a string that was compiled into ``libtorch_python.so``
(``TORCH_CUDA_ARCH_FLAGS`` in torch/csrc/cuda/Module.cpp): ``sm_37 sm_50 sm_60 sm_70``, with ``compute_70``
for PTX. The wheels of torch 1.6 to 2.15 on the default index have it, older ones do not. Where CUDA's own
static libraries are linked in, as in the wheels of CUDA 10 up to torch 1.12, nothing else tells torch's
kernels from theirs, which outnumber them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mmsetup.binary import elf
from mmsetup.binary.fatbin import Architectures, in_order

__all__ = ["BINDING", "stated"]

BINDING: Final = "libtorch_python.so"
"""The library of torch that has the list."""

_WORD = rb"(?:(?:sm|compute)_\d{2,3}[af]? ?)"
# Compilers put other constants right before it, without a null byte between: torch 2.8 has "ipc_h" there.
_LIST = re.compile(rb"(?:(?<=\0)" + _WORD + rb"{1,64}|" + _WORD + rb"{3,64})(?=\0)")
_MOST_BYTES = 1 << 28


def stated(library: Path) -> Architectures | None:
    """Give the list in the library at ``library``; nothing where it has none: no CUDA, or older than 1.6.

    Raises:
        IntegrityError: it is no ELF file, or contradicts itself.
    """
    offset, size = elf.read_sections(library).get(".rodata", (0, 0))
    with elf.mapped(library) as data:
        found = [match[0].split() for match in _LIST.finditer(data, offset, offset + min(size, _MOST_BYTES))]
    # A string of one architecture alone may stand there for other reasons; the list is the longest.
    listed = [word.decode() for word in max(found, key=len, default=[])]
    if not any(word.startswith("sm_") for word in listed):
        return None
    return Architectures(
        sass=in_order(word for word in listed if word.startswith("sm_")),
        ptx=in_order(word.replace("compute_", "sm_") for word in listed if word.startswith("compute_")),
    )
