"""Archives that would cost more than they weigh."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile

import pytest

from mmsetup.binary.wheel import inspect
from mmsetup.errors import IntegrityError

NAME = "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"


def test_what_unpacks_to_a_hundred_times_its_size_is_refused(tmp_path):
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mmcv/zeros.bin", bytes(80 << 20))
    with pytest.raises(IntegrityError, match="more than 100 times its own size"):
        inspect(path)


def test_a_list_of_members_is_weighed_before_it_is_read(tmp_path):
    path = tmp_path / NAME
    listed = 200 << 20
    with path.open("wb") as file:
        file.truncate(listed)
        file.seek(0, 2)
        file.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, listed, 0, 0))
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="its list of members fills 209715200 bytes"):
        inspect(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_the_large_form_of_the_list_is_weighed_too(tmp_path):
    path = tmp_path / NAME
    large = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 9, 9, 1 << 40, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    path.write_bytes(large + locator + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 9, 9, 0xFFFFFFFF, 0, 0))
    with pytest.raises(IntegrityError, match=f"fills {1 << 40} bytes"):
        inspect(path)


@pytest.mark.parametrize("way", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_ways_of_compressing_that_wheels_do_not_use(tmp_path, way):
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w", way) as archive:
        archive.writestr("mmcv/__init__.py", b"")
    with pytest.raises(IntegrityError, match="in a way that wheels do not use"):
        inspect(path)
