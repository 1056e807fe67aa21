"""Which links of a page are taken, passed over, and refused."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.catalog.addresses import printable, shown
from mmsetup.catalog.html_page import listing_of_html
from mmsetup.catalog.links import IndexFile, Links, Listing, is_file_address
from mmsetup.catalog.pages import files_of

BASE = "https://index.test/mmcv/dist/cu117/torch1.13.0/index.html"
WHEEL = "mmcv_full-1.7.1-cp310-cp310-manylinux1_x86_64.whl"
GOOD = f'<a href="{WHEEL}">x</a>'


def linked(href: str, page: str = BASE) -> Listing:
    return listing_of_html(f'<a href="{href}">x</a><a href="{page}/../good.tar.gz">y</a>', page)


def test_flat_pages_with_relative_links_and_quoted_names() -> None:
    html = (
        f'<a href="../torch1.13.0/{WHEEL}">a</a>'
        '<a href="torch-1.13.1%2Bcu117-cp310-cp310-linux_x86_64.whl#sha256=' + "AB" * 32 + '">b</a>'
        '<a href="/mmcv-full-1.7.1.tar.gz#md5=1">c</a><a href="index.html">d</a><a>e</a>'
    )
    assert files_of(html, BASE) == (
        IndexFile(WHEEL, f"https://index.test/mmcv/dist/cu117/torch1.13.0/{WHEEL}"),
        IndexFile(
            "torch-1.13.1+cu117-cp310-cp310-linux_x86_64.whl",
            "https://index.test/mmcv/dist/cu117/torch1.13.0/torch-1.13.1%2Bcu117-cp310-cp310-linux_x86_64.whl",
            "ab" * 32,
        ),
        IndexFile("mmcv-full-1.7.1.tar.gz", "https://index.test/mmcv-full-1.7.1.tar.gz"),
    )


@pytest.mark.parametrize("folder", ["torch1.13", "torch1.13.0"])
def test_both_spellings_of_a_torch_folder(folder: str) -> None:
    (file,) = files_of(f'<a href="../{folder}/{WHEEL}">x</a>', f"https://index.test/cpu/{folder}/index.html")
    assert file.url == f"https://index.test/cpu/{folder}/{WHEEL}"


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("https://files.test/x/", f"https://files.test/x/{WHEEL}"),
        ("/files/", f"https://index.test/files/{WHEEL}"),
        ("../torch1.13/", f"https://index.test/mmcv/dist/cu117/torch1.13/{WHEEL}"),
    ],
)
def test_a_base_element_moves_the_links(base: str, address: str) -> None:
    (file,) = files_of(f'<base href="{base}"><base href="https://second.test/">{GOOD}', BASE)
    assert file.url == address


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        (f"file:///etc/{WHEEL}", "file: is no address of the web"),
        ("file:///etc/passwd", "file: is no address of the web"),
        (f"javascript:alert('{WHEEL}')", "javascript: is no address of the web"),
        (" JavaScript:void(0)", "javascript: is no address of the web"),
        ("data:application/zip;base64,UEsDBA==", "data: is no address of the web"),
        (f"ftp://index.test/{WHEEL}", "ftp: is no address of the web"),
        (f"http://index.test/{WHEEL}", "it leads from https to http"),
        (f"..%2F..%2F{WHEEL}", "a file name that leads to another folder"),
        (f"..%5C{WHEEL}", "a file name that leads to another folder"),
        (f"..\\{WHEEL}", "a file name that leads to another folder"),
        (f"%2e%2E/{WHEEL}", "a file name that leads to another folder"),
        (f"..%252F{WHEEL}", "no name of a wheel or source archive"),
        (f"../../../../../{WHEEL}", "it climbs above the root of its host"),
        (f"../../../../../mmcv/dist/{WHEEL}", "it climbs above the root of its host"),
        (f"x/..//../../../../../{WHEEL}", "it climbs above the root of its host"),
        (f"/../{WHEEL}", "it climbs above the root of its host"),
        (f"/x/../../{WHEEL}", "it climbs above the root of its host"),
        (f"//index.test/../{WHEEL}", "it climbs above the root of its host"),
        (f"https://files.test/../{WHEEL}", "it climbs above the root of its host"),
        (f"https://[broken/{WHEEL}", "no address"),
        (f"https:///{WHEEL}", "it names no host"),
        (f"//{WHEEL}", "it names no host"),
        (f"https://a b/{WHEEL}", "it names no host"),
        (f"https://host:port/{WHEEL}", "it names no host"),
        (f"https://name:secret@evil.test/{WHEEL}", "it holds a user name"),
        (f"--index-url%20x-{WHEEL}", "no name of a wheel or source archive"),
        ("%s.whl" % ("x" * 252), "a file name of 256 characters"),
        ("%s/a.whl" % ("x" * 5000), "an address of 5006 characters"),
        ("a%0Ab.whl", "a control character"),
        ("a&#10;b.whl", "a control character"),
        ("a\tb.whl", "a control character"),
        (f"%1b[2J/{WHEEL}", "a control character"),
        ("a%00.whl", "a control character"),
        ("é.whl", "no name of a wheel or source archive"),
    ],
)
def test_links_that_no_index_needs_are_refused_and_counted(href: str, reason: str) -> None:
    listing = linked(href)
    assert [file.filename for file in listing.files] == ["good.tar.gz"]
    assert listing.refused == 1
    (told,) = listing.refusals
    assert told.endswith(f": {reason}")
    assert told.isprintable()
    assert len(told) < 200
    assert "secret" not in told


@pytest.mark.parametrize(
    "href",
    [
        "../",
        "/",
        "?C=N;O=D",
        "#top",
        "picture.png",
        "../../../../../etc/passwd",
        "mmcv.tar.bz2",
        "mmcv.zip",
        f"{WHEEL}.metadata",
        "mailto:someone@index.test",
        "http://index.test/about.html",
        f"search?file={WHEEL}",
        f"#{WHEEL}",
    ],
)
def test_harmless_links_to_other_things_are_passed_over(href: str) -> None:
    listing = linked(href)
    assert [file.filename for file in listing.files] == ["good.tar.gz"]
    assert (listing.refused, listing.refusals) == (0, ())


def test_a_page_asked_over_http_may_link_to_either() -> None:
    assert linked(f"http://index.test/{WHEEL}", "http://index.test/mmcv/").refused == 0
    assert linked(f"https://index.test/{WHEEL}", "http://index.test/mmcv/").refused == 0


def test_a_link_may_climb_as_far_as_the_root() -> None:
    listing = linked(f"../../../../{WHEEL}")
    assert listing.files[0].url == f"https://index.test/{WHEEL}"
    assert listing.refused == 0


def test_a_base_element_is_no_way_around() -> None:
    for base in ("http://index.test/", "file:///etc/", "javascript:", "//name:secret@evil.test/", "../" * 5):
        listing = listing_of_html(f'<base href="{base}">{GOOD}', BASE)
        assert (listing.files, listing.refused) == ((), 1)


def test_of_many_refusals_the_first_few_are_told() -> None:
    listing = listing_of_html("".join(f'<a href="file:///{n}.whl">x</a>' for n in range(1000)) + GOOD, BASE)
    assert len(listing.files) == 1
    assert listing.refused == 1000
    assert len(listing.refusals) == 5


def test_nothing_in_an_address_can_be_read_as_something_else_in_a_requirements_file() -> None:
    (file,) = files_of(f'<a href="a b/${{HOME}}/;python/{WHEEL}?x=${{y}} z">x</a>', BASE)
    assert urlsplit(file.url).path.endswith(f"/a%20b/%24%7BHOME%7D/;python/{WHEEL}")
    assert not set(file.url) & set(" ${}\t\n#")


def test_a_hash_that_is_none_is_not_taken() -> None:
    (file,) = files_of(f'<a href="{WHEEL}#sha256=abc">x</a>', BASE)
    assert file.sha256 == ""


def test_a_file_listed_twice_counts_once_and_two_hashes_are_a_contradiction() -> None:
    hashed = [f'<a href="{WHEEL}#sha256={digit * 64}">x</a>' for digit in "aab"]
    listing = listing_of_html("".join(hashed), BASE)
    assert [file.sha256 for file in listing.files] == ["a" * 64]
    assert listing.refusals == (f"{WHEEL}: it is listed with two different hashes",)


def test_what_a_page_says_of_pythons_and_withdrawn_files_is_kept() -> None:
    html = (
        f'<a href="a.whl" data-requires-python="&gt;=3.7, &lt;3.12">a</a><a href="b.whl" data-yanked>b</a>'
        f'<a href="c.whl" data-requires-python="whatever" data-yanked="broken">c</a>{GOOD}'
    )
    assert [(file.requires_python, file.yanked) for file in files_of(html, BASE)] == [
        (">=3.7, <3.12", False),
        ("", True),
        ("", True),
        ("", False),
    ]


@given(st.text(max_size=400))
def test_any_text_is_read_without_a_failure(text: str) -> None:
    for file in files_of(f"{text}<a href='{text}.whl'>{text}</a>", BASE):
        assert file.url.startswith("https://")
        assert "/" not in file.filename


PIECES = ["%2f", "%2e", "..", "/", "\\", ":", "@", "//", "http:", "file:", "#", "?", "%0a", "a", ".whl", " "]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.sampled_from(["http", "https"]))
def test_no_address_or_name_leaves_the_web_or_the_folder(link: str, scheme: str) -> None:
    links = Links(f"{scheme}://index.test/a/b/")
    links.add(f"{link}{WHEEL}")
    for file in links.listing().files:
        assert is_file_address(file.url)
        parts = urlsplit(file.url)
        assert parts.scheme in ({"https"} if scheme == "https" else {"http", "https"})
        assert parts.hostname
        assert "@" not in parts.netloc
        assert unquote(parts.path.rpartition("/")[2]) == file.filename
        assert not {"..", "."} & set(parts.path.split("/"))


@given(st.text())
def test_foreign_text_is_shown_in_one_line_that_steers_no_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 80


@given(
    st.text(), st.sampled_from(["https://u:{}@host/x", "u:{}@host", "http://u:{}@[broken", "//u:{}@h:port/"])
)
def test_no_password_is_shown_however_it_is_written(noise: str, form: str) -> None:
    secret = f"sesame{noise.replace('@', '')}sesame"
    told = shown(form.format(secret))
    assert "sesame" not in told
    assert told.isprintable()
