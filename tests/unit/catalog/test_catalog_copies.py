"""Copies of the catalogue: signed by hash, proven, put in place in one step, and never in the way."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from werkzeug import Response

from mmsetup.catalog import load, mim, sums
from mmsetup.catalog.builds import keep_apart
from mmsetup.catalog.copies import Copy, forget_copy, kept_copy
from mmsetup.catalog.load import bundled_date, copy_in_use, folder_in_use, in_use
from mmsetup.catalog.update import update
from mmsetup.catalog.vendors import vendors
from mmsetup.errors import (
    CatalogError,
    IntegrityError,
    MmsetupError,
    NetworkError,
    RequestError,
    TargetError,
)
from mmsetup.files import sha256
from mmsetup.install.openmim import digest, page_below

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

SMALL = Path(__file__).parents[2] / "fixtures" / "catalog"
NEW, NEWER = "2100-01-01", "2100-01-02"
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state" / "catalog"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(date: str = NEW, name: str = "copy") -> Path:
        folder = Path(shutil.copytree(SMALL, tmp_path / name))
        for path in folder.glob("*.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "date": date}))
        sums.renew(folder)
        return folder

    return made


def served(server: HTTPServer, folder: Path, **instead: Response) -> str:
    for path in folder.iterdir():
        answer = instead.get(path.name) or Response(path.read_bytes())
        server.expect_request(f"/data/{path.name}").respond_with_response(answer)
    return server.url_for("/data/")


def refused(kind: type[MmsetupError], origin: object, **options: object) -> MmsetupError:
    """Try an update that must fail, and see that nothing of it stays."""
    before = kept_copy()
    with pytest.raises(kind) as caught:
        update(str(origin), **options)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert caught.value.remedy
    assert kept_copy() == before
    return caught.value


def test_a_newer_copy_is_used_from_then_on(make: Make, state: Path) -> None:
    origin = make()
    copy = update(str(origin))
    assert (copy.date, copy.origin, copy.sums) == (NEW, str(origin), sha256(origin / "SHA256SUMS"))
    shutil.rmtree(origin)
    catalog, used = in_use()
    assert used == copy == kept_copy()
    assert catalog == load() == load(copy.folder)
    assert (catalog.date, catalog.digest) == (NEW, copy.digest)
    assert copy.folder.parent == state


def test_coreutils_checks_a_copy(make: Make) -> None:
    copy = update(str(make()))
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=copy.folder, check=True)


def test_what_coreutils_writes_is_read(make: Make) -> None:
    origin = make()
    listed = subprocess.run(
        ["sha256sum", "--binary", *sums.FILES], cwd=origin, check=True, capture_output=True, text=True
    )
    (origin / "SHA256SUMS").write_text(listed.stdout)
    assert update(str(origin)).sums == sha256(origin / "SHA256SUMS")


def test_the_copy_before_is_removed(make: Make, state: Path) -> None:
    first = update(str(make()))
    second = update(str(make(NEWER, "newer")))
    assert not first.folder.exists()
    assert [path for path in state.iterdir() if path.is_dir()] == [second.folder]


def test_without_a_copy_nothing_is_written(state: Path) -> None:
    catalog, copy = in_use()
    assert copy is None
    assert catalog == load(sums.DATA)
    assert not state.parent.exists()


def test_the_copy_can_be_removed(make: Make, state: Path) -> None:
    assert forget_copy() is False
    update(str(make()))
    assert forget_copy() is True
    assert kept_copy() is None
    assert not [path for path in state.iterdir() if path.is_dir()]
    assert load() == load(sums.DATA)


def damage_file(copy: Copy) -> None:
    with (copy.folder / "gpus.json").open("a") as file:
        file.write("\n")


def damage_meaning(copy: Copy) -> None:
    (copy.folder / "gpus.json").write_text("[[")


def damage_folder(copy: Copy) -> None:
    shutil.rmtree(copy.folder)


def damage_record(copy: Copy) -> None:
    (copy.folder.parent / "copy.json").write_text("{")


def damage_place(copy: Copy) -> None:
    record = copy.folder.parent / "copy.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "folder": f"../{copy.folder.name}"}))


def age(copy: Copy) -> None:
    record = copy.folder.parent / "copy.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "date": bundled_date()}))


@pytest.mark.parametrize(
    "harm", [damage_file, damage_meaning, damage_folder, damage_record, damage_place, age]
)
def test_a_damaged_or_outdated_copy_is_left_alone_with_a_note(
    make: Make, harm: Callable[[Copy], None], caplog: pytest.LogCaptureFixture
) -> None:
    harm(update(str(make())))
    with caplog.at_level(logging.WARNING):
        catalog, copy = in_use()
    assert copy is None
    assert catalog == load(sums.DATA)
    (note,) = caplog.messages
    assert note.endswith("not used")
    assert folder_in_use() == sums.DATA


@pytest.mark.parametrize("harm", [damage_file, damage_meaning, damage_folder, damage_record, damage_place])
def test_a_damaged_copy_is_told_where_it_is_asked_for(make: Make, harm: Callable[[Copy], None]) -> None:
    harm(update(str(make())))
    with pytest.raises(CatalogError) as caught:
        copy_in_use()
    assert "mmsetup catalog update --bundled" in caught.value.remedy
    assert caught.value.evidence or "copy.json" in str(caught.value)


def test_an_outdated_copy_is_no_fault(make: Make) -> None:
    age(update(str(make())))
    assert copy_in_use() is None
    assert folder_in_use() == sums.DATA


def test_what_one_stage_alone_needs_comes_from_the_copy(make: Make) -> None:
    assert {jetpack.linux for jetpack in vendors().jetpacks} > {"32"}
    before = mim.mim()
    origin = make()
    for name, old, new in (
        ("openmim.toml", "openmim<=0.3.9", "openmim<=0.3.8"),
        ("builds.toml", ">=1.7", ">=1.8"),
    ):
        text = (origin / name).read_text()
        assert old in text
        (origin / name).write_text(text.replace(old, new))
    sums.renew(origin)
    copy = update(str(origin))
    assert folder_in_use() == copy.folder
    assert [jetpack.linux for jetpack in vendors().jetpacks] == ["32"]
    assert (before.requires[0], mim.mim().requires[0]) == ("openmim<=0.3.9", "openmim<=0.3.8")
    assert keep_apart("mmcv-full", "1.7.2") == ()
    assert page_below("cu117", "1.13.1") == "mmcv/dist/cu117/torch1.13.0/index.html"
    assert digest() == sha256(origin / "openmim.toml")
    forget_copy()
    assert mim.mim() == before
    assert keep_apart("mmcv-full", "1.7.2") != ()


def test_a_damaged_copy_can_be_replaced(make: Make) -> None:
    damage_file(update(str(make())))
    assert update(str(make(name="again"))) == in_use()[1]


@pytest.mark.parametrize("date", ["2001-01-01", NEW])
def test_a_copy_that_is_not_newer_is_refused(make: Make, date: str) -> None:
    update(str(make()))
    error = refused(RequestError, make(date, "other"))
    assert date in str(error)


def test_an_older_copy_is_taken_where_that_is_asked_for(make: Make) -> None:
    update(str(make(NEWER)))
    older = make(NEW, "older")
    assert "--allow-older" in refused(RequestError, older).remedy
    assert update(str(older), allow_older=True).date == NEW == load().date


def test_a_copy_that_would_never_be_used_is_refused_in_any_case(make: Make) -> None:
    error = refused(RequestError, make("2001-01-01"), allow_older=True)
    assert "it would never be used" in str(error)


def test_a_file_that_was_changed_is_refused(make: Make) -> None:
    origin = make()
    (origin / "gpus.json").write_text("{}")
    (origin / "gates.json").write_text("{}")
    error = refused(IntegrityError, origin)
    assert [line.partition(":")[0] for line in error.evidence] == ["gates.json", "gpus.json"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{hash}  README.md", "'README.md' is no file of a catalogue"),
        ("{hash}  ../gpus.json", "'../gpus.json' is no file of a catalogue"),
        ("{hash}  /etc/passwd", "'/etc/passwd' is no file of a catalogue"),
        ("{hash}  sub/gpus.json", "'sub/gpus.json' is no file of a catalogue"),
        ("{hash}  gpus.json", "gpus.json stands there twice"),
        ("\\{hash}  gpus.json", f"line {len(sums.FILES) + 1} is no sha256 and a file name"),
        ("abc  gpus.json", f"line {len(sums.FILES) + 1} is no sha256 and a file name"),
    ],
)
def test_sums_of_something_else_are_refused(make: Make, line: str, words: str) -> None:
    origin = make()
    with (origin / "SHA256SUMS").open("a") as file:
        file.write(line.format(hash="0" * 64) + "\n")
    assert any(words in fault for fault in refused(IntegrityError, origin).evidence)


def test_sums_that_lack_a_file_are_refused(make: Make) -> None:
    origin = make()
    listed = (origin / "SHA256SUMS").read_text().splitlines(keepends=True)
    (origin / "SHA256SUMS").write_text("".join(listed[1:]))
    assert refused(IntegrityError, origin).evidence == ("breaks.toml is not listed",)


def test_a_file_that_is_not_there_is_refused(make: Make) -> None:
    origin = make()
    (origin / "gpus.json").unlink()
    assert "gpus.json" in str(refused(IntegrityError, origin))
    (origin / "SHA256SUMS").unlink()
    assert "SHA256SUMS" in str(refused(IntegrityError, origin))


def test_a_file_that_is_too_large_is_refused(make: Make) -> None:
    origin = make()
    with (origin / "gpus.json").open("ab") as file:
        file.truncate(10_000_001)
    sums.renew(origin)
    assert "more than 10 MB" in str(refused(IntegrityError, origin))


def test_the_sums_can_be_pinned(make: Make) -> None:
    origin = make()
    pin = sha256(origin / "SHA256SUMS")
    assert pin in str(refused(IntegrityError, origin, sha256="0" * 64))
    assert "is no sha256" in str(refused(RequestError, origin, sha256="cafe"))
    assert update(str(origin), sha256=pin.upper()).sums == pin


def test_a_copy_with_a_fault_is_refused_and_every_fault_told(make: Make) -> None:
    origin = make()
    gates = json.loads((origin / "gates.json").read_text())
    gates["gates"][0]["version"] = "0.4.0"
    gates["gates"][1]["source"] = ""
    (origin / "gates.json").write_text(json.dumps(gates))
    sums.renew(origin)
    error = refused(CatalogError, origin)
    assert str(origin) in str(error)
    assert "gates.json: gates[1]: source is empty" in error.evidence
    assert "gates.json: nothing says whether mmsegmentation 0.30.0 has a gate" in error.evidence


def test_a_copy_that_only_a_thorough_search_finds_wrong_is_refused(make: Make) -> None:
    origin = make()
    wheels = json.loads((origin / "wheels.json").read_text())
    wheels["groups"][0]["variant"] = "cu118"
    (origin / "wheels.json").write_text(json.dumps(wheels))
    sums.renew(origin)
    load(origin)
    refused(CatalogError, origin)


@pytest.mark.parametrize("origin", ["no/such/folder", "ftp://example.org/data", "http://", "https://[/x"])
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    refused(RequestError, origin, sha256="0" * 64)


def test_a_copy_comes_over_http_with_its_sha256_alone(make: Make, httpserver: HTTPServer) -> None:
    origin = make()
    address = served(httpserver, origin)
    assert "--sha256" in refused(RequestError, address).remedy
    assert httpserver.log == []
    copy = update(address, sha256=sha256(origin / "SHA256SUMS"))
    assert copy.origin == address
    assert load(copy.folder) == load(origin)


def test_credentials_and_queries_are_sent_and_not_kept(make: Make, httpserver: HTTPServer) -> None:
    origin = make()
    address = served(httpserver, origin).rstrip("/") + "?key=secret1"
    address = address.replace("http://", "http://user:secret2@")
    copy = update(address, sha256=sha256(origin / "SHA256SUMS"))
    for request, _ in httpserver.log:
        assert request.args["key"] == "secret1"
        assert request.authorization is not None
        assert request.authorization.password == "secret2"
    assert "secret" not in (copy.folder.parent / "copy.json").read_text()


def test_a_host_that_does_not_answer_is_named_with_the_reason(make: Make) -> None:
    error = refused(NetworkError, "http://user:secret@127.0.0.1:9/data", sha256="0" * 64)
    assert "127.0.0.1" in str(error)
    assert "refused" in str(error)
    assert "secret" not in str(error)


def test_a_file_that_the_host_does_not_have(make: Make, httpserver: HTTPServer) -> None:
    origin = make()
    address = served(httpserver, origin, **{"gpus.json": Response("no", status=404)})
    error = refused(NetworkError, address, sha256=sha256(origin / "SHA256SUMS"))
    assert "HTTP 404" in str(error)


@pytest.mark.parametrize("size", [10_000_001, 20_000_000])
def test_a_host_that_sends_too_much(make: Make, httpserver: HTTPServer, size: int) -> None:
    origin = make()
    address = served(httpserver, origin, **{"gpus.json": Response(b"x" * size)})
    error = refused(IntegrityError, address, sha256=sha256(origin / "SHA256SUMS"))
    assert "more than 10 MB" in str(error)


def test_a_state_folder_that_cannot_be_written(make: Make, state: Path) -> None:
    state.parent.write_text("a file")
    assert "MMSETUP_STATE_DIR" in refused(TargetError, make()).remedy
    assert load() == load(sums.DATA)


def test_an_update_that_is_cut_short_leaves_the_copy_before(
    make: Make, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, newer = update(str(make())), make(NEWER, "newer")
    real = shutil.copyfile

    def full(source: Path, target: Path) -> object:
        if Path(source).name == "families.toml":
            raise OSError(28, "No space left on device", os.fspath(target))
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(MmsetupError) as caught:
        update(str(newer))
    assert caught.value.exit_code == 8
    assert in_use()[1] == before
    assert [path for path in state.iterdir() if path.is_dir()] == [before.folder]
