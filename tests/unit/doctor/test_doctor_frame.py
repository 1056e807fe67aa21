"""The frame: order, selection, and what becomes of a check that raises."""

import re

import pytest

from mmsetup.doctor import Check
from mmsetup.doctor.checks import CHECKS
from mmsetup.doctor.diagnose import every_check
from mmsetup.doctor.model import Observation
from mmsetup.errors import RequestError, TargetError


def one_that(run, number="MM999"):
    return Check(number, "A title", "cause", "looks at", "remedy", (), run)


def test_a_healthy_environment_has_no_findings(site, examine):
    diagnosis = examine(site)
    assert diagnosis.findings == ()
    assert diagnosis.is_healthy
    assert diagnosis.family == "mmcv-full"
    assert diagnosis.checked == tuple(check.id for check in CHECKS)
    parts = {part.name: part.version for part in diagnosis.parts}
    assert parts == {
        "torch": "1.13.1",
        "torchvision": "0.14.1",
        "mmcv-full": "1.7.2",
        "mmsegmentation": "0.30.0",
    }


def test_a_check_that_raises_is_a_warning_and_the_others_go_on(site, examine):
    def fails(context):
        raise KeyError("torch")

    def works(context):
        yield Observation("note", "seen", (), "")

    diagnosis = examine(site, checks=[one_that(fails, "MM998"), one_that(works)])
    assert [(finding.id, finding.severity) for finding in diagnosis.findings] == [
        ("MM001", "warning"),
        ("MM999", "note"),
    ]
    crash = diagnosis.findings[0]
    assert "MM998" in crash.message
    assert crash.evidence[0] == "KeyError: 'torch'"
    assert "test_doctor_frame.py" in crash.evidence[1]
    assert diagnosis.is_healthy


def test_what_a_check_saw_before_it_raised_does_not_count(site, examine):
    def half(context):
        yield Observation("error", "seen", (), "")
        raise OSError("gone")

    assert [finding.id for finding in examine(site, checks=[one_that(half)]).findings] == ["MM001"]


def test_findings_come_worst_first_then_by_id(site, examine):
    def seen(severity):
        return lambda context: [Observation(severity, severity, (), "")]

    checks = [
        one_that(seen("note"), "MM901"),
        one_that(seen("error"), "MM903"),
        one_that(seen("warning"), "MM900"),
        one_that(seen("error"), "MM902"),
    ]
    found = examine(site, checks=checks).findings
    assert [finding.id for finding in found] == ["MM902", "MM903", "MM900", "MM901"]


@pytest.mark.parametrize(
    ("asked", "ran"),
    [
        ({"select": ["MM201"]}, {"MM201"}),
        ({"select": ["mm20"]}, {"MM201", "MM202", "MM203", "MM204"}),
        ({"select": ["MM20"], "ignore": ["MM203", "MM204"]}, {"MM201", "MM202"}),
    ],
)
def test_checks_are_selected_and_ignored_by_id_or_its_beginning(site, examine, asked, ran):
    assert set(examine(site, **asked).checked) == ran


def test_an_ignored_check_finds_nothing(site, examine):
    site.extension.unlink()
    assert [finding.id for finding in examine(site).findings] == ["MM201"]
    assert examine(site, ignore=["MM201"]).findings == ()


@pytest.mark.parametrize("name", ["select", "ignore"])
def test_an_id_that_is_none_is_refused(site, examine, name):
    with pytest.raises(RequestError, match="MM777"):
        examine(site, **{name: ["MM777"]})


def test_a_folder_that_is_no_environment_is_refused(tmp_path, machine, catalog):
    from mmsetup.doctor import doctor

    with pytest.raises(TargetError):
        doctor(tmp_path, machine, catalog)


def test_ids_are_unique_and_every_check_explains_itself():
    checks = every_check()
    assert len({check.id for check in checks}) == len(checks)
    for check in checks:
        assert re.fullmatch(r"MM\d{3}", check.id)
        for text in (check.title, check.cause, check.looks_at, check.remedy):
            assert text
        for text in (check.cause, check.looks_at, check.remedy):
            assert text.endswith("."), check.id
        for issue in check.seen_in:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", issue), check.id
