"""TLS for real: pages of servers whose certificates are trusted, have expired, or come from nowhere."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from scripted_server import scripted, tunnelling
from werkzeug import Response

from mmsetup.catalog.certificates import peer_validity, validity
from mmsetup.catalog.pages import Page, read_pages

WHEEL = "mmcv_full-1.7.1-cp310-cp310-manylinux1_x86_64.whl"
HTML = f'<a href="{WHEEL}">x</a><a href="http://127.0.0.1/b.whl">y</a>'
CONFIG = """
[ca]
default_ca = this
[this]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
basicConstraints = critical, CA:true
subjectAltName = IP:127.0.0.1
[req]
distinguished_name = name
[name]
"""


@dataclass(frozen=True)
class Certificate:
    path: Path
    key: Path

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.path.read_text())


@dataclass(frozen=True)
class Served:
    certificate: Certificate
    server: HTTPServer

    @property
    def url(self) -> str:
        return self.server.url_for("/a/")


def certified(folder: Path, first: str, last: str) -> Certificate:
    """Sign a certificate by itself; ``openssl x509`` of most releases takes no date to begin with."""
    folder.mkdir()
    (folder / "ca.cnf").write_text(CONFIG)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    request = [
        "openssl",
        "req",
        "-new",
        "-config",
        "ca.cnf",
        "-subj",
        "/CN=index",
        *key,
        "-out",
        "request.pem",
    ]
    sign = ["openssl", "ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", "key.pem", "-notext"]
    dates = ["-startdate", first, "-enddate", last, "-in", "request.pem", "-out", "certificate.pem"]
    for command in (request, [*sign, *dates]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return Certificate(folder / "certificate.pem", folder / "key.pem")


def serving(certificate: Certificate) -> Iterator[Served]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    with HTTPServer("127.0.0.1", ssl_context=context) as server:
        server.expect_request("/a/").respond_with_data(HTML, content_type="text/html")
        yield Served(certificate, server)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(certified(tmp_path_factory.mktemp("t") / "a", "20240101000000Z", "20991231235959Z"))


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(certified(tmp_path_factory.mktemp("e") / "a", "20240101000000Z", "20250101000000Z"))


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(certified(tmp_path_factory.mktemp("n") / "a", "20910101000000Z", "20920101000000Z"))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def read(served: Served, monkeypatch: pytest.MonkeyPatch, bundle: Path | None = None) -> Page:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle or served.certificate.path))
    return read_pages([served.url], seconds=5)[served.url]


def test_a_page_is_read_over_tls_and_may_not_lead_off_it(
    trusted: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = read(trusted, monkeypatch)
    assert [file.url for file in page.files] == [trusted.server.url_for(f"/a/{WHEEL}")]
    assert page.refusals == ("http://127.0.0.1/b.whl: it leads from https to http",)


def test_a_redirect_may_not_lead_off_it(trusted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([b"HTTP/1.1 200 OK\r\n\r\n"]) as other:
        trusted.server.expect_oneshot_request("/a/", query_string="x").respond_with_response(
            Response(status=302, headers={"Location": other.url})
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.certificate.path))
        (page,) = read_pages([f"{trusted.url}?x"], seconds=5).values()
        assert page.error == f"it redirects from https to {other.url}, which is not followed"
        assert other.requests == []


def test_an_expired_certificate_is_told_with_its_dates_and_the_page_is_not_read(
    expired: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired.server.clear_log()
    page = read(expired, monkeypatch)
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    assert page.error == (
        "its certificate is not trusted: certificate has expired (valid 2024-01-01 to 2025-01-01)"
        f"; here it is {today}"
    )
    assert (page.files, page.tries, page.unreachable) == ((), 1, True)
    assert expired.server.log == []


def test_a_certificate_of_the_future(early: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(early, monkeypatch)
    assert "certificate is not yet valid (valid 2091-01-01 to 2092-01-01); here it is 20" in page.error


def test_a_certificate_from_nowhere_is_told_with_what_would_trust_it(
    trusted: Served, expired: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = read(trusted, monkeypatch, expired.certificate.path)
    assert page.error.startswith("its certificate is not trusted: self")
    assert page.error.endswith("certificate (valid 2024-01-01 to 2099-12-31) (SSL_CERT_FILE names a bundle)")


def test_a_certificate_for_another_host(trusted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.certificate.path))
    address = trusted.url.replace("127.0.0.1", "localhost")
    page = read_pages([address], seconds=5)[address]
    assert "certificate is not valid for 'localhost'" in page.error
    assert "(valid 2024-01-01 to 2099-12-31)" in page.error


def test_all_of_it_through_a_proxy(trusted: Served, expired: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with tunnelling("Basic bmFtZTpzM3NhbWU=") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://name:s3same@{proxy.address}")
        assert len(read(trusted, monkeypatch).files) == 1
        page = read(expired, monkeypatch)
    assert "certificate has expired (valid 2024-01-01 to 2025-01-01)" in page.error
    assert len(proxy.requests) == 3


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none_is_told_by_its_variable(
    trusted: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    page = read(trusted, monkeypatch, bundle)
    assert page.error.startswith("SSL_CERT_FILE names no bundle of certificates: ")


def test_a_server_that_speaks_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([b"HTTP/1.1 400 Bad Request\r\n\r\n"]) as server:
        address = server.url.replace("http:", "https:")
        page = read_pages([address], seconds=5)[address]
    assert page.error.startswith("no TLS connection comes about: ")
    assert page.unreachable


def test_where_nothing_listens_there_are_no_dates() -> None:
    with scripted([b""]) as server:
        pass
    host, _, port = server.address.partition(":")
    assert peer_validity(host, int(port), seconds=1) is None


def test_the_dates_are_those_that_openssl_reads(trusted: Served, expired: Served, early: Served) -> None:
    for served in (trusted, expired, early):
        told = subprocess.run(
            ["openssl", "x509", "-noout", "-dates", "-in", str(served.certificate.path)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        dates = [line.partition("=")[2] for line in told.splitlines()]
        read_dates = tuple(
            datetime.strptime(date, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc) for date in dates
        )
        assert validity(served.certificate.der) == read_dates


def test_every_certificate_that_this_machine_trusts_can_be_read() -> None:
    bundle = ssl.create_default_context()
    for der in bundle.get_ca_certs(binary_form=True):
        dates = validity(der)
        assert dates is not None
        assert dates[0] < dates[1]


@given(data=st.data())
def test_no_damaged_certificate_raises(data: st.DataObject, expired: Served) -> None:
    der = expired.certificate.der
    at = data.draw(st.integers(0, len(der) - 1))
    piece = data.draw(st.binary(max_size=4))
    damaged = der[:at] + piece + der[at + data.draw(st.integers(0, 8)) :]
    dates = validity(damaged)
    assert dates is None or len(dates) == 2


@given(st.binary(max_size=64))
def test_no_bytes_raise(der: bytes) -> None:
    assert validity(der) is None
