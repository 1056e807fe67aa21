"""The pages: what readers of such pages make of them, and that one input gives one output."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.binary.fatbin import Architectures
from mmsetup.catalog import load
from mmsetup.catalog.listing import listing_of
from mmsetup.farm import FarmWheel
from mmsetup.farm.pages import cautions, is_ours, pages
from mmsetup.farm.pairs import Pair

BASE = "https://host/some/where/"
CU117, CU118 = Pair(1, 13, "cu117"), Pair(2, 0, "cu118")
TYPES = {".html": "text/html", ".v1_json": "application/vnd.pypi.simple.v1+json"}


def made(
    place: str = "wheels",
    pair: Pair = CU117,
    version: str = "1.7.2",
    *,
    distribution: str = "mmcv-full",
    python: str = "",
    sha256: str = "ab" * 32,
    sass: tuple[str, ...] = ("sm_90",),
) -> FarmWheel:
    name = f"{distribution.replace('-', '_')}-{version}-cp310-cp310-linux_x86_64.whl"
    path = PurePosixPath(place, name)
    return FarmWheel(path, pair, distribution, version, python, sha256, 1000, Architectures(sass, ()))


def read(content, path: str):
    found = content[PurePosixPath(path)]
    return listing_of(found, TYPES[PurePosixPath(path).suffix], urljoin(BASE, path))


def test_which_pages_there_are():
    assert sorted(map(str, pages([made()]))) == [
        "cu117-torch1130/simple/index.html",
        "cu117-torch1130/simple/index.v1_json",
        "cu117-torch1130/simple/mmcv-full/index.html",
        "cu117-torch1130/simple/mmcv-full/index.v1_json",
        "mmcv/dist/cu117/torch1.13.0/index.html",
        "mmcv/dist/cu117/torch1.13/index.html",
        "simple/index.html",
        "simple/index.v1_json",
        "simple/mmcv-full/index.html",
        "simple/mmcv-full/index.v1_json",
    ]


@pytest.mark.parametrize(
    ("source", "distribution"), [("openmmlab", "mmcv-full"), ("openmmlab", "mmcv"), ("onedl", "onedl-mmcv")]
)
@pytest.mark.parametrize("pair", [CU117, Pair(2, 10, "cu130"), Pair(2, 1, "cpu")])
def test_the_pages_are_where_mirrors_are_read(source, distribution, pair):
    filled = {
        "base": "",
        "variant": pair.variant,
        "torch": f"{pair.series}.0",
        "series": pair.series,
        "digits": f"{pair.major}{pair.minor}0",
        "distribution": distribution,
    }
    content = pages([made(pair=pair, distribution=distribution)])
    for page in load().source(source).pages:
        address = page.format(**filled).removeprefix("/")
        path = f"{address}index.html" if address.endswith("/") else address
        assert len(read(content, path).files) == 1


@pytest.mark.parametrize(
    "place",
    ["wheels", "cu117/torch1.13.0", "mmcv/dist/cu117/torch1.13.0", ".", "simple", "a b/c#d/e?f/g%h/ä/<&\"'>"],
)
def test_every_page_leads_to_the_wheel_with_its_hash_and_python(place):
    one = made(
        place, python='>=3.7,<4; "&"' if place == "." else ">=3.7, !=3.8.*", version="1.7.2+pt1.13.1cu117"
    )
    content = pages([one])
    lists = [path for path in content if path.name.startswith("index") and path.parent.name != "simple"]
    assert len(lists) == 6
    for path in lists:
        listing = read(content, str(path))
        assert listing.refusals == ()
        (file,) = listing.files
        assert unquote(file.url) == urljoin(BASE, "") + str(one.path)
        assert file.url.isascii()
        assert "+" not in file.url
        assert file.sha256 == one.sha256
        assert file.requires_python == (">=3.7, !=3.8.*" if place != "." else "")


def test_links_of_the_alias_point_into_the_folder_beside_it():
    content = pages([made("mmcv/dist/cu117/torch1.13.0")])
    alias = content[PurePosixPath("mmcv/dist/cu117/torch1.13/index.html")].decode()
    assert 'href="../torch1.13.0/mmcv_full-1.7.2-' in alias


def test_what_metadata_says_stays_text():
    content = pages([made(python='"><script>alert(1)</script>')])
    for path, page in content.items():
        if path.suffix == ".html":
            assert b"<script" not in page


def test_the_json_is_that_of_the_specification():
    content = pages(
        [made(python=">=3.7"), made(version="1.10.0"), made(distribution="mmcv", version="2.1.0")]
    )
    root = json.loads(content[PurePosixPath("simple/index.v1_json")])
    assert root["meta"]["api-version"] == "1.1"
    assert {project["name"] for project in root["projects"]} == {"mmcv-full", "mmcv"}
    page = json.loads(content[PurePosixPath("simple/mmcv-full/index.v1_json")])
    assert (page["name"], page["versions"]) == ("mmcv-full", ["1.7.2", "1.10.0"])
    assert page["files"][0] == {
        "filename": "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl",
        "url": "../../wheels/mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl",
        "hashes": {"sha256": "ab" * 32},
        "size": 1000,
        "requires-python": ">=3.7",
    }


def test_one_name_for_two_pairs_is_on_the_pages_of_the_pairs_alone():
    wheels = [made("a", CU117, sha256="aa" * 32), made("b", CU118, sha256="bb" * 32), made(version="1.7.1")]
    content = pages(wheels)
    assert [file.filename.split("-")[1] for file in read(content, "simple/mmcv-full/index.html").files] == [
        "1.7.1"
    ]
    for pair, digest in (("cu117/torch1.13.0", "aa" * 32), ("cu118/torch2.0.0", "bb" * 32)):
        files = read(content, f"mmcv/dist/{pair}/index.html").files
        assert next(file.sha256 for file in files if "-1.7.2-" in file.filename) == digest
    (first, *_) = cautions(wheels)
    assert "is there for torch 1.13 cu117, torch 2.0 cu118: simple/ leaves it out" in first


def test_one_file_for_two_pairs_is_listed_by_all():
    content = pages([made("a", CU117), made("b", CU118)])
    for path in ("simple/mmcv-full/index.html", "cu118-torch200/simple/mmcv-full/index.html"):
        assert len(read(content, path).files) == 1


def test_what_clients_should_know_is_said():
    local = made("b", CU118, "1.7.2+pt2.0.1cu118")
    assert cautions([made()]) == ()
    (unclear,) = cautions([made("a"), local])
    assert "in simple/ nothing tells which torch mmcv_full-1.7.2-" in unclear
    assert unclear.endswith("clients of cu117-torch1130/simple cannot mistake it")
    assert cautions([made("a", version="1.7.2+mine"), local]) != (), "not every local part names a pair"
    (bare,) = cautions([made(sass=()), made("b", sass=(), version="1.7.1+pt1.13.1cu117")])
    assert bare.endswith("(and 1 more) holds no code for any GPU, and is for torch 1.13 cu117")
    assert cautions([made(pair=Pair(1, 13, "cpu"), sass=())]) == ()


def test_all_pages_are_told_apart_from_those_of_others():
    assert all(is_ours(content[:4096]) for content in pages([made()]).values())
    assert not is_ours(b'<html><a href="x.whl">x.whl</a></html>')


@given(st.permutations(range(6)))
def test_the_order_of_the_wheels_does_not_matter(order):
    wheels = [
        made("a", CU117),
        made("a", CU118, "1.7.1"),
        made("b", CU117, "1.7.0"),
        made("b", CU117, "2.0.0", distribution="mmcv"),
        made("b", CU118, "2.0.1", distribution="mmcv"),
        made("c", CU118, "2.1.0", distribution="mmcv"),
    ]
    wanted, got = pages(wheels), pages([wheels[number] for number in order])
    assert list(wanted.items()) == list(got.items())
    assert cautions(wheels) == cautions([wheels[number] for number in order])


def test_nothing_of_this_day_or_machine_is_in_a_page():
    text = b"".join(pages([made()]).values()).decode()
    assert not re.search(r"20\d\d-|\d\d:\d\d", text)
