"""A diagnosis as JUnit XML, which GitLab, Jenkins and the actions of GitHub show beside the tests.

There is one standard in name alone: what is written here is the part that all of them read (the schema of
Jenkins' xunit plugin): suites, cases with ``failure``, ``skipped`` and ``system-out``.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mmsetup.doctor.model import Diagnosis, Finding

__all__ = ["Suite", "junit"]

# What XML 1.0 has no way to write, not even as a reference (section 2.2, production Char).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COULD_NOT_BE_ASKED = "MM001"
_NAMED = re.compile(r"(MM\d{3}) ")

Suite = tuple[str, Diagnosis]


def junit(suites: Sequence[Suite], titles: Mapping[str, str], *, strict: bool) -> str:
    """Write diagnoses as one document, a suite each: a case for every check that ran.

    A suite is a name and a diagnosis. ``titles`` gives the title of a check by its id. A case fails for an
    error, with ``strict`` for a warning; what else was found is its output. A check that could not be asked
    is a case that was skipped.
    """
    root = ET.Element("testsuites", name="mmsetup doctor")
    totals = Counter[str]()
    for name, diagnosis in suites:
        suite = ET.SubElement(root, "testsuite", name=_written(name))
        counts = _fill_suite(suite, diagnosis, titles, strict=strict)
        _count(suite, counts)
        totals += counts
    _count(root, totals)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _count(element: ET.Element, counts: Counter[str]) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        element.set(name, str(counts[name]))


def _fill_suite(
    suite: ET.Element, diagnosis: Diagnosis, titles: Mapping[str, str], *, strict: bool
) -> Counter[str]:
    counts = Counter[str]()
    unasked = {
        named[1]: finding
        for finding in diagnosis.findings
        if finding.id == _COULD_NOT_BE_ASKED and (named := _NAMED.match(finding.message))
    }
    found_beside = [finding.id for finding in diagnosis.findings if finding.id != _COULD_NOT_BE_ASKED]
    for identifier in dict.fromkeys((*diagnosis.checked, *found_beside)):
        found = [finding for finding in diagnosis.findings if finding.id == identifier]
        title = titles.get(identifier) or next((finding.title for finding in found), "")
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"mmsetup.doctor.{identifier[:3]}",
            name=_written(f"{identifier} {title}".strip()),
            time="0",
        )
        counts["tests"] += 1
        counts[_fill(case, found, unasked.get(identifier), strict=strict)] += 1
    return counts


def _fill(case: ET.Element, found: Iterable[Finding], unasked: Finding | None, *, strict: bool) -> str:
    """Say in a case what came of its check; give the name under which that is counted."""
    failing = [one for one in found if one.severity == "error" or (strict and one.severity == "warning")]
    telling = [one for one in found if one not in failing]
    outcome = ""
    if failing:
        outcome = "failures"
        failure = ET.SubElement(
            case, "failure", type=failing[0].severity, message=_written(failing[0].message)
        )
        failure.text = _written("\n\n".join(map(_body, failing)))
    elif unasked is not None:
        kind = "failure" if strict else "skipped"
        outcome = "failures" if strict else "skipped"
        ET.SubElement(case, kind, message=_written(unasked.message)).text = _written(_body(unasked))
    if telling:
        ET.SubElement(case, "system-out").text = _written("\n\n".join(map(_body, telling)))
    return outcome


def _body(finding: Finding) -> str:
    lines = [f"{finding.severity} {finding.id}: {finding.message}"]
    lines += [f"found: {line}" for line in finding.evidence]
    return "\n".join([*lines, f"mend: {finding.remedy}"])


def _written(text: str) -> str:
    return _FORBIDDEN.sub("", text)
