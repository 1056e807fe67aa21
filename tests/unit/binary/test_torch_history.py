"""In which releases of torch symbols were: the table, and the words for it."""

from __future__ import annotations

import json
import zipfile

from packaging.version import Version

from mmsetup.binary.torch_history import History, history
from mmsetup.binary.update_torch_history import main, table

SMALL = History(
    ("1.9", "1.10", "1.11", "2.0"),
    {
        "old": frozenset({0, 1}),
        "new": frozenset({2, 3}),
        "middle": frozenset({1, 2}),
        "gone and back": frozenset({0, 3}),
        "newest": frozenset({3}),
    },
)


def test_the_releases_that_have_all_of_them():
    assert SMALL.fitting({"old", "middle", "never seen"}) == ("1.10",)
    assert SMALL.fitting({"old", "new"}) == ()
    assert SMALL.fitting({"never seen"}) == ()


def test_what_a_release_lacks():
    assert SMALL.lacking(["new", "old", "middle", "never seen"], "1.9.1") == ("middle", "new")
    assert SMALL.lacking(["new"], "3.0") == ()


def test_releases_in_words():
    assert SMALL.told("old") == "torch 1.9 to 1.10"
    assert SMALL.told("new") == "torch 1.11 and newer"
    assert SMALL.told("newest") == "torch 2.0"
    assert SMALL.told("gone and back") == "torch 1.9 and torch 2.0"
    assert SMALL.told("never seen") == ""


def test_the_table_knows_a_change_that_is_written_down():
    """c10::cuda::CUDACachingAllocator::recordStream left with the allocator interface of torch 2.0."""
    stream = "_ZN3c104cuda20CUDACachingAllocator12recordStreamERKNS_7DataPtrENS0_10CUDAStreamE"
    assert history().told(stream) == "torch 1.5 to 1.13"
    assert history().lacking([stream], "2.0.1") == (stream,)


def test_every_entry_of_the_table_is_of_use():
    found = history()
    everywhere = frozenset(range(len(found.releases)))
    assert len(found.places) > 400
    assert all(places and places < everywhere for places in found.places.values())
    assert list(found.releases) == sorted(found.releases, key=lambda one: tuple(map(int, one.split("."))))


def test_only_what_came_or_went_is_in_the_table():
    exported = {
        Version("2.0.1"): frozenset({"always", "new"}),
        Version("1.9.1"): frozenset({"always", "old", "back"}),
        Version("1.10.0"): frozenset({"always", "old", "unused"}),
        Version("2.1.0"): frozenset({"always", "new", "back"}),
    }
    releases, symbols = table(exported, ["new", "always", "old", "never", "back", "new"])
    assert releases == ("1.9", "1.10", "2.0", "2.1")
    assert symbols == {"0,3": ["back"], "0-1": ["old"], "2-3": ["new"]}


def test_the_table_is_made_of_wheels_and_libraries(library, tmp_path):
    lost, kept = "_ZN2at4lostEv", "_ZN2at4keptEv"
    for version, names in (("1.13.1", (lost, kept)), ("2.0.1", (kept,))):
        source = "".join(f"int {name}(void) {{ return 1; }}\n" for name in names)
        with zipfile.ZipFile(tmp_path / f"torch-{version}-cp310-cp310-linux_x86_64.whl", "w") as archive:
            archive.write(library("libtorch_cpu.so", source), "torch/lib/libtorch_cpu.so")
            archive.writestr("torch/lib/libcudart.so.11.0", "not looked at")
    calls = f"extern int {lost}(void), {kept}(void), of_others(void);\n"
    user = library("user.so", calls + f"int f(void) {{ return {lost}() + {kept}() + of_others(); }}\n")
    main([*map(str, tmp_path.glob("*.whl")), str(user), "--output", str(tmp_path / "made.json")])
    made = json.loads((tmp_path / "made.json").read_text())
    assert (made["releases"], made["symbols"]) == (["1.13", "2.0"], {"0": [lost]})
