"""JUnit documents, read back by a parser."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mmsetup.doctor.model import Diagnosis, Finding
from mmsetup.render.diagnosis_junit import junit

TITLES = {"MM101": "First", "MM201": "Second", "MM301": "Third", "MM401": "Fourth"}


def diagnosis(*findings: Finding, checked=("MM101", "MM201", "MM301")) -> Diagnosis:
    return Diagnosis(Path("/env"), "3.10.1", "", (), checked, findings)


def finding(identifier="MM201", severity="error", message="wrong", evidence=("seen",)) -> Finding:
    return Finding(identifier, severity, "A title", message, evidence, "mend it")


def cases(text: str) -> dict[str, ET.Element]:
    root = ET.fromstring(text.encode())
    return {case.get("name"): case for case in root.iter("testcase")}


def test_every_check_that_ran_is_a_case():
    text = junit([("env", diagnosis())], TITLES, strict=False)
    assert list(cases(text)) == ["MM101 First", "MM201 Second", "MM301 Third"]
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "0",
        "errors": "0",
        "skipped": "0",
    }
    assert all(case.get("classname") and case.get("time") for case in root.iter("testcase"))


@pytest.mark.parametrize(
    ("severity", "strict", "fails"),
    [("error", False, True), ("warning", False, False), ("warning", True, True), ("note", True, False)],
)
def test_what_fails_is_what_counts(severity, strict, fails):
    text = junit([("env", diagnosis(finding(severity=severity)))], TITLES, strict=strict)
    case = cases(text)["MM201 Second"]
    told = case.find("failure" if fails else "system-out")
    assert (case.find("failure") is not None) is fails
    assert told.text == f"{severity} MM201: wrong\nfound: seen\nmend: mend it"
    assert ET.fromstring(text.encode()).get("failures") == str(int(fails))


def test_findings_of_one_check_are_one_failure():
    text = junit(
        [("env", diagnosis(finding(message="one"), finding(message="two"), finding(severity="note")))],
        TITLES,
        strict=False,
    )
    case = cases(text)["MM201 Second"]
    assert len(case.findall("failure")) == 1
    assert "one" in case.find("failure").text
    assert "two" in case.find("failure").text
    assert case.find("system-out") is not None


@pytest.mark.parametrize(("strict", "outcome"), [(False, "skipped"), (True, "failure")])
def test_a_check_that_could_not_be_asked_is_skipped(strict, outcome):
    crash = finding("MM001", "warning", "MM301 (third) could not be done, so its cause is not excluded")
    text = junit([("env", diagnosis(crash))], TITLES, strict=strict)
    case = cases(text)["MM301 Third"]
    assert case.find(outcome) is not None
    assert len(cases(text)) == 3
    assert ET.fromstring(text.encode()).get("skipped") == str(int(not strict))


def test_characters_that_xml_forbids_are_removed():
    nasty = 'a\x00b\x1b[31mc\ufffe\ud800d & <e> "f" ]]> \u00e4'
    text = junit([("env\x00", diagnosis(finding(message=nasty, evidence=(nasty,))))], TITLES, strict=False)
    failure = cases(text)["MM201 Second"].find("failure")
    assert failure.get("message") == 'ab[31mcd & <e> "f" ]]> \u00e4'
    assert "found: ab[31mcd & <e>" in failure.text
    text.encode("utf-8")


def test_a_finding_of_a_check_that_is_not_listed_is_a_case_too():
    text = junit([("env", diagnosis(finding("MM401")))], TITLES, strict=False)
    assert cases(text)["MM401 Fourth"].find("failure") is not None


def test_several_suites_are_summed_up():
    text = junit([("one", diagnosis(finding())), ("two", diagnosis())], TITLES, strict=False)
    root = ET.fromstring(text.encode())
    assert [suite.get("name") for suite in root] == ["one", "two"]
    assert [suite.get("failures") for suite in root] == ["1", "0"]
    assert (root.get("tests"), root.get("failures")) == ("6", "1")
