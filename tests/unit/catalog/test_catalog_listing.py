"""Pages by what their sender says they are, and what is no index at all."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.catalog.links import IndexFile, Listing, NoIndexError
from mmsetup.catalog.listing import listing_of

PAGE = "https://index.test/simple/mmcv/"
WHEEL = "mmcv-2.1.0-cp310-cp310-manylinux1_x86_64.whl"
JSON = "application/vnd.pypi.simple.v1+json"
LOGIN = (
    "<html><head><title> Sign in &ndash;\n Contoso </title></head><body><h1>Welcome</h1>"
    "<form action='/login'><input name=user><input type=password></form></body></html>"
)


def of_json(*files: object, version: object = "1.1") -> bytes:
    return json.dumps({"meta": {"api-version": version}, "name": "mmcv", "files": files}).encode()


def test_a_simple_page_in_html() -> None:
    html = (
        '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.3"><title>Links for mmcv'
        f"</title></head><body><h1>Links for mmcv</h1><a href='../../files/{WHEEL}#sha256={'a' * 64}' "
        'data-requires-python="&gt;=3.7" data-yanked="no ops">x</a><br/></body></html>'
    )
    for kind in ("text/html; charset=UTF-8", "application/vnd.pypi.simple.v1+html", ""):
        assert listing_of(html.encode(), kind, PAGE) == Listing(
            (IndexFile(WHEEL, f"https://index.test/files/{WHEEL}", "a" * 64, ">=3.7", yanked=True),)
        )


def test_a_simple_page_in_json() -> None:
    body = of_json(
        {"filename": WHEEL, "url": f"../../files/{WHEEL}", "hashes": {"sha256": "A" * 64, "md5": "x"}},
        {
            "filename": "mmcv-2.1.0.tar.gz",
            "url": "https://files.test/mmcv-2.1.0.tar.gz",
            "hashes": {},
            "requires-python": ">=3.7",
            "yanked": "no ops",
        },
        {"filename": "mmcv-2.1.0.zip", "url": "mmcv-2.1.0.zip", "hashes": {}},
        {"filename": "b.whl", "url": "b.whl", "hashes": {}, "yanked": False, "size": 12},
    )
    for kind in (JSON, "application/json"):
        assert listing_of(body, kind, PAGE) == Listing(
            (
                IndexFile(WHEEL, f"https://index.test/files/{WHEEL}", "a" * 64),
                IndexFile(
                    "mmcv-2.1.0.tar.gz", "https://files.test/mmcv-2.1.0.tar.gz", "", ">=3.7", yanked=True
                ),
                IndexFile("b.whl", "https://index.test/simple/mmcv/b.whl"),
            )
        )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("text", "files[1]: no file name and address"),
        ({"filename": WHEEL}, "files[1]: no file name and address"),
        ({"filename": 3, "url": WHEEL}, "files[1]: no file name and address"),
        ({"filename": WHEEL, "url": "other.whl"}, f"{WHEEL}: its address ends in another name"),
        ({"filename": f"../{WHEEL}", "url": WHEEL}, f"../{WHEEL}: its address ends in another name"),
        ({"filename": WHEEL, "url": f"file:///{WHEEL}"}, f"{WHEEL}: file: is no address of the web"),
        ({"filename": WHEEL, "url": f"http://h/{WHEEL}"}, f"{WHEEL}: it leads from https to http"),
        ({"filename": "\ud800.whl", "url": "\ud800.whl"}, "?.whl: a control character"),
    ],
)
def test_an_entry_that_is_none_is_refused_and_the_others_count(entry: object, reason: str) -> None:
    listing = listing_of(of_json({"filename": "a.whl", "url": "a.whl"}, entry), JSON, PAGE)
    assert [file.filename for file in listing.files] == ["a.whl"]
    assert (listing.refused, listing.refusals) == (1, (reason,))


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (LOGIN, "text/html", "what answered is no wheel index (title: Sign in \N{EN DASH} Contoso)"),
        ("<script src=x.js></script><div id=root></div>", "text/html", "(a page of scripts or forms)"),
        ("<meta http-equiv=Refresh content='0;url=/login'>", "text/html", "(a page of scripts or forms)"),
        ("<p>Your device is not registered.</p>", "text/html", "(it says: Your device is not registered.)"),
        ("<a href='/help'>Help</a> is <b>here</b>", "text/html", "(it says: is here)"),
        ("please log in", "text/plain", "(it says: please log in)"),
        ("<title>\x1b[2JBoo</title><p>x", "text/html", "(title: ?[2JBoo)"),
        ("\x89PNG", "image/png", "what answered is no wheel index (it is image/png)"),
        ("{}", "application/json", "(JSON without api-version and files)"),
        ('{"message": "log in"}', JSON, "(JSON without api-version and files)"),
        ('{"meta": {"api-version": 1}, "files": []}', JSON, "(JSON without api-version and files)"),
        ("[1, 2]", JSON, "(JSON without api-version and files)"),
        (LOGIN, JSON, "the page is not the JSON that it should be"),
        (
            '{"meta": {"api-version": "2.0"}, "files": []}',
            JSON,
            "an index of version 2.0, which is not known",
        ),
        (
            "<meta name='pypi:repository-version' content='2.0'><a href=a.whl>x</a>",
            "text/html",
            "an index of version 2.0, which is not known",
        ),
    ],
)
def test_what_is_no_index_is_told_by_what_it_is(body: str, kind: str, words: str) -> None:
    with pytest.raises(NoIndexError) as caught:
        listing_of(body.encode(), kind, PAGE)
    assert str(caught.value).endswith(words)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        "<!DOCTYPE html>\n<html>\n<body>\n</body>\n</html>\n",
        "<html><head><title>mmcv</title></head><body></body></html>",
        "<html><body><a href='../'>../</a><br></body></html>",
        "<h1>Links for mmcv-full</h1>",
        "<title>Simple index</title><a href='/simple/mmcv/'>mmcv</a> and more",
        "<title>Index of /mmcv</title><h1>Index of /mmcv</h1><pre><a href='../'>../</a> 2024-01-01 -</pre>",
        "<h1>Directory listing for /</h1><hr><script>sort()</script>",
        "<meta name='pypi:repository-version' content='1.0'>nothing here yet",
        "<p>sources</p><a href='mmcv-1.0.zip'>mmcv-1.0.zip</a>",
        "<!-- a comment of many words --><style>p { margin: 0 }</style>",
    ],
)
def test_an_index_that_lists_nothing_is_an_index(body: str) -> None:
    assert listing_of(body.encode(), "text/html", PAGE) == Listing()


def test_a_json_page_without_files_is_an_index() -> None:
    assert listing_of(of_json(), JSON, PAGE) == Listing()


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
def test_stores_that_do_not_know_the_type_of_a_page(kind: str) -> None:
    assert len(listing_of(f"<a href={WHEEL}>x</a>".encode(), kind, PAGE).files) == 1


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"<a href=\xff.whl>", "text/html", "the page is not the utf-8 text that it should be (byte 8)"),
        (b"<a href=\xe9.whl>", "text/html; charset=utf-8", "not the utf-8 text"),
        (b"<a href=\xe9.whl>", "text/html; charset=ascii", "not the ascii text"),
        ("<a href=x.whl>".encode("utf-16"), "text/html", "not the utf-8 text"),
        ("<a href=x.whl>".encode("utf-16-le"), "text/html", "the page holds NUL"),
        (b"+ADw-a href=x.whl+AD4-", "text/html; charset=utf-7", "the page is in utf-7, an encoding"),
        (b"<a href=x.whl>", "text/html; charset=rot13", "the page is in rot13, an encoding"),
        (b"<a href=x.whl>", "text/html; charset=\x1b[2J", "an encoding that no index uses"),
        (b"\x1f\x8b\x08\x00\x00", "text/html", "not the utf-8 text"),
        (b'{"meta": "\xff"}', JSON, "not the utf-8 text"),
    ],
)
def test_bytes_that_are_not_what_their_sender_says_are_refused(body: bytes, kind: str, words: str) -> None:
    with pytest.raises(NoIndexError) as caught:
        listing_of(body, kind, PAGE)
    assert words in str(caught.value)


def test_encodings_that_are_told_and_true_are_read() -> None:
    body = f"<p>é<a href={WHEEL}>x</a>"
    for charset in ("utf-8", "UTF-8", "iso-8859-1", '"latin1"', "windows-1252"):
        encoded = body.encode(charset.strip('"'))
        assert len(listing_of(encoded, f"text/html; charset={charset}", PAGE).files) == 1
    assert len(listing_of(b"\xef\xbb\xbf" + body.encode(), "text/html", PAGE).files) == 1


@pytest.mark.parametrize(
    "html",
    [
        f"<!-- <a href={WHEEL}>x</a> -->",
        f"<script>'<a href={WHEEL}>x</a>'</script>",
        f"<style><a href={WHEEL}>x</a></style>",
        f"<textarea><a href={WHEEL}>x</a></textarea>",
        f"<!-- <a href={WHEEL}>x</a>",
        f"<a href='{WHEEL}>x</a>",
        f"<abbr href={WHEEL}>x</abbr>",
        f"<link href={WHEEL}>",
    ],
)
def test_what_is_no_link_in_a_browser_is_none_here(html: str) -> None:
    listing = listing_of(f"<a href=good.whl>x</a>{html}".encode(), "text/html", PAGE)
    assert [file.filename for file in listing.files] == ["good.whl"]


@pytest.mark.parametrize(
    "html",
    [
        f"<A HREF={WHEEL}>x</A>",
        f"<a\n class=x\thref = '{WHEEL}'\n>x</a>",
        f'<a disabled href="{WHEEL}"data-x="y">x</a>',
        f'<a =x "y" href="{WHEEL}">x</a>',
        f'<a href="{WHEEL}" href="other.whl">x</a>',
        f"<a href={WHEEL} />x",
        f"<a/href={WHEEL}>x",
        f"<a href=\n{WHEEL}>x",
        "<a href='mmcv-2.1.0-cp310-cp310-manylinux1&#95;x86&#x5f;64.whl'>x",
    ],
)
def test_what_is_a_link_in_a_browser_is_one_here(html: str) -> None:
    listing = listing_of(html.encode(), "text/html", PAGE)
    assert [file.filename for file in listing.files] == [WHEEL]


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (b"<b>", "text/html"),
        (b"<div>", "text/html"),
        (b"<", "text/html"),
        (b"<a ", "text/html"),
        (b"<a href=x>", "text/html"),
        (b"<a href='", "text/html"),
        (b"<!--", "text/html"),
        (b"<!---->", "text/html"),
        (b"<title>", "text/html"),
        (b"<script></script>", "text/html"),
        (b"<h1> ", "text/html"),
        (b" a=b", "text/html"),
        (b"[", JSON),
        (b'{"a":', JSON),
        (b"9", JSON),
    ],
)
def test_a_megabyte_of_anything_takes_no_time(piece: bytes, kind: str) -> None:
    body = (b"<a" if piece == b" a=b" else b"") + piece * (MEGABYTE // len(piece))
    began = time.process_time()
    with pytest.raises(NoIndexError):
        listing_of(body, kind, PAGE)
    # html.parser takes minutes for some of these; the most seen here is 0.3 s.
    assert time.process_time() - began < 1.5


def test_a_page_of_a_megabyte_of_nesting_still_gives_its_files() -> None:
    body = b"<div>" * (MEGABYTE // 5) + f"<a href={WHEEL}>x</a>".encode()
    assert len(listing_of(body, "text/html", PAGE).files) == 1


@given(
    st.binary(max_size=300),
    st.sampled_from(["text/html", JSON, "text/plain", "", "x", "text/html; charset=\udcff"]),
)
def test_any_bytes_give_a_listing_or_a_refusal(body: bytes, kind: str) -> None:
    try:
        listing = listing_of(body, kind, PAGE)
    except NoIndexError as refusal:
        listing, told = Listing(), str(refusal)
        assert told.isprintable()
    assert all(file.url.startswith("https://") and "/" not in file.filename for file in listing.files)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([WHEEL, f"/{WHEEL}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["filename", "url", "hashes", "sha256", "yanked", "requires-python"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=4))
def test_any_document_gives_only_files_of_the_web(files: list[object]) -> None:
    listing = listing_of(of_json(*files), JSON, PAGE)
    assert all(file.url.startswith("https://") and "/" not in file.filename for file in listing.files)
    assert listing.refused + len(listing.files) <= len(files)
