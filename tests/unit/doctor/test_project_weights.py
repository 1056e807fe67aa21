"""Addresses of weights, asked for at real servers, and at addresses where nobody is."""

import threading
import time

import pytest
from project_tree import examine, found, furnish, one, write
from werkzeug import Response

from mmsetup.catalog.answering import failures


@pytest.fixture
def told(tmp_path, site, machine, catalog, monkeypatch):
    furnish(site)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def make(address, **more):
        text = f"model = dict(type='EncoderDecoder', pretrained={address!r})\n"
        return examine(
            write(tmp_path / "project", {"a.py": text}), site, machine, catalog, is_offline=False, **more
        )

    return make


def test_weights_that_answer_are_not_fetched(told, httpserver):
    httpserver.expect_request("/a.pth", method="HEAD").respond_with_response(
        Response(headers={"Content-Length": "500000000"})
    )
    assert found(told(httpserver.url_for("/a.pth"))) == []
    assert [request.method for request, _ in httpserver.log] == ["HEAD"]


def test_weights_that_are_gone(told, httpserver):
    httpserver.expect_request("/a.pth").respond_with_data("", status=404)
    diagnosis = told(httpserver.url_for("/a.pth"))
    assert found(diagnosis) == [("MM853", "error")]
    assert one(diagnosis, "MM853").evidence[0].startswith("a.py:1: http://")
    assert "404" in one(diagnosis, "MM853").evidence[0]


def test_weights_that_are_gone_and_in_the_cache(told, httpserver, tmp_path):
    httpserver.expect_request("/a.pth").respond_with_data("", status=404)
    write(tmp_path / "torch" / "hub" / "checkpoints", {"a.pth": "x"})
    assert found(told(httpserver.url_for("/a.pth"))) == []
    assert httpserver.log == []


@pytest.mark.parametrize("status", [401, 403, 405, 501])
def test_who_refuses_the_question_answers(told, httpserver, status):
    httpserver.expect_request("/a.pth").respond_with_data("", status=status)
    assert found(told(httpserver.url_for("/a.pth"))) == []


def test_nobody_there_is_a_warning_and_no_wait(told):
    began = time.monotonic()
    diagnosis = told("http://127.0.0.1:1/a.pth")
    assert found(diagnosis) == [("MM853", "warning")]
    assert time.monotonic() - began < 20


def test_a_name_of_a_list_is_asked_for_by_its_address(told, httpserver, site):
    httpserver.expect_request("/r.pth").respond_with_data("", status=410)
    listed = f'{{"resnet50_v1c": "{httpserver.url_for("/r.pth")}"}}'
    (site.packages / "mmcv/model_zoo/open_mmlab.json").write_text(listed)
    assert found(told("open-mmlab://resnet50_v1c")) == [("MM853", "error")]


def test_offline_nobody_is_asked(httpserver, tmp_path, site, machine, catalog):
    furnish(site)
    text = f"model = dict(type='EncoderDecoder', pretrained={httpserver.url_for('/a.pth')!r})\n"
    assert found(examine(write(tmp_path / "p", {"a.py": text}), site, machine, catalog)) == []
    assert httpserver.log == []


def test_a_host_without_a_connection_is_asked_once():
    # A second for each would be too long.
    urls = [f"http://127.0.0.1:1/{number}.pth" for number in range(40)]
    began = time.monotonic()
    answers = failures(urls, seconds=3.0)
    assert set(answers) == set(urls)
    assert time.monotonic() - began < 20


def test_a_host_that_never_answers_ends_in_time(httpserver):
    is_over, answered = threading.Event(), []

    def wait(_) -> Response:
        answered.append(is_over.wait(60))
        return Response("x")

    httpserver.expect_request("/slow.pth").respond_with_handler(wait)
    answers = failures([httpserver.url_for("/slow.pth")], seconds=0.5)
    # Nobody waited for the minute to pass.
    assert answered == []
    is_over.set()
    assert len(answers) == 1


@pytest.mark.parametrize("address", ["http://[::1/a.pth", f"http://127.0.0.1:1/{'x' * 5000}"])
def test_what_is_no_address_or_no_name_of_a_file_does_not_answer(told, address):
    assert found(told(address, select=["MM853"])) == [("MM853", "warning")]


def test_passwords_are_not_shown(told):
    finding = one(told("http://user:secret@127.0.0.1:1/a.pth"), "MM853")
    assert "secret" not in "".join((finding.message, *finding.evidence, finding.remedy))
