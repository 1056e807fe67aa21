"""In which releases of torch symbols were: the table, and the words for it."""

from __future__ import annotations

from mmsetup.binary.torch_history import History, history

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
