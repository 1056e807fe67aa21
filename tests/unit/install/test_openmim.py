"""What is known of openmim, and the files that mim is given."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from mmsetup.errors import NetworkError, RequestError
from mmsetup.files import sha256
from mmsetup.install.openmim import Company, digest, installs, page_below
from mmsetup.install.via_mim import different_files, gather, write_page
from mmsetup.lock import Lock, LockedFile, LockedPackage
from mmsetup.progress import Silent


def locked(*names: str, url: str = "") -> Lock:
    packages = tuple(
        LockedPackage(name, "1.0", (LockedFile(f"{name}-1.0-py3-none-any.whl", "ab" * 32, url),))
        for name in names
    )
    return Lock("default", "mmcv-full", "3.10", "linux-x86_64", "cu117", packages, None, "digest")


def test_mim_installs_what_it_knows_the_ops_first() -> None:
    lock = locked("addict", "mmdet", "mmcv-full", "mmsegmentation", "torch")
    assert installs(lock, "mmcv-full") == ("mmcv-full", "mmdet", "mmsegmentation")


def test_ops_that_openmim_does_not_know_are_refused() -> None:
    with pytest.raises(RequestError, match=r"cannot install onedl-mmcv: it knows mmcv-full") as caught:
        installs(locked("onedl-mmcv"), "onedl-mmcv")
    assert caught.value.exit_code == 2
    assert "without --via mim" in caught.value.remedy


@pytest.mark.parametrize(
    ("variant", "torch", "page"),
    [
        ("cu117", "1.13.1", "mmcv/dist/cu117/torch1.13.0/index.html"),
        ("cpu", "2.1.2+cpu", "mmcv/dist/cpu/torch2.1.0/index.html"),
    ],
)
def test_the_page_is_the_one_that_mim_works_out_itself(variant: str, torch: str, page: str) -> None:
    assert page_below(variant, torch) == page


def test_what_is_known_has_a_digest() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", digest())


def test_the_company_tells_versions() -> None:
    company = Company((LockedPackage("pip", "26.3", ()),), ())
    assert (company.version("pip"), company.version("openmim")) == ("26.3", "")


def test_without_a_network_what_mim_needs_beside_the_ops_must_be_there(tmp_path: Path) -> None:
    lock = locked(
        "mmcv-full", "mmsegmentation", url="https://example.invalid/mmsegmentation-1.0-py3-none-any.whl"
    )
    with pytest.raises(NetworkError, match="is not in the cache, and the network was excluded"):
        gather(
            lock, {"mmcv-full": tmp_path}, Company((), ()), tmp_path, Silent(), ops="mmcv-full", offline=True
        )


def test_mim_is_given_the_ops_that_were_checked_and_the_locked_file_of_the_rest(tmp_path: Path) -> None:
    pure = tmp_path / "mmsegmentation-1.0-py3-none-any.whl"
    pure.write_bytes(b"a wheel")
    packages = (
        LockedPackage("mmcv-full", "1.0", (LockedFile("mmcv-full.tar.gz", "cd" * 32),)),
        LockedPackage("mmsegmentation", "1.0", (LockedFile(pure.name, sha256(pure), pure.as_uri()),)),
    )
    lock = Lock("default", "mmcv-full", "3.10", "linux-x86_64", "cu117", packages, None, "digest")
    built = tmp_path / "built.whl"
    errand = gather(
        lock, {"mmcv-full": built}, Company((), ()), tmp_path, Silent(), ops="mmcv-full", offline=True
    )
    assert list(errand.wheels) == ["mmcv-full", "mmsegmentation"]
    assert errand.wheels["mmcv-full"] == built
    assert errand.wheels["mmsegmentation"].read_bytes() == b"a wheel"


def test_the_page_names_each_file_with_its_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "a folder" / "mmcv_full-1.7.2+x<y-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"wheel")
    text = write_page(tmp_path / "mmcv" / "dist" / "index.html", [wheel]).read_text()
    assert text.count("<a ") == 1
    assert f'/a%20folder/mmcv_full-1.7.2%2Bx%3Cy-py3-none-any.whl#sha256={sha256(wheel)}"' in text
    assert ">mmcv_full-1.7.2+x&lt;y-py3-none-any.whl</a>" in text


def test_a_file_that_is_not_the_wheel_s_is_noticed(tmp_path: Path) -> None:
    wheel, site = tmp_path / "w.whl", tmp_path / "site"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mmcv/_ext.so", "compiled")
        archive.writestr("mmcv/__init__.py", "")
        archive.writestr("mmcv-1.dist-info/RECORD", "of the wheel")
        archive.writestr("mmcv-1.data/scripts/tool", "elsewhere")
        archive.writestr("mmcv/empty/", "")
    (site / "mmcv").mkdir(parents=True)
    (site / "mmcv" / "_ext.so").write_text("compiled")
    assert different_files(wheel, site) == ("mmcv/__init__.py",)
    (site / "mmcv" / "__init__.py").touch()
    assert different_files(wheel, site) == ()
    (site / "mmcv" / "_ext.so").write_text("Compiled")
    assert different_files(wheel, site) == ("mmcv/_ext.so",)
