"""An environment into which somebody installs while it is examined."""

from __future__ import annotations

import pytest

from mmsetup.doctor.model import Observation, check


def changing(change):
    """Make a check that installs while the others look."""

    @check("MM199", title="t", cause="c", looks_at="l", remedy="r")
    def other(_):
        change()
        return iter((Observation("note", "m", ("e",), "r"),))

    return other


@pytest.mark.parametrize("what", ["new", "gone", "another"])
def test_a_change_is_told(site, examine, what):
    folder = site.add("somebody", "1.0", {"somebody.py": ""})

    def change():
        if what == "new":
            site.add("other", "2.0", {"other.py": ""})
        elif what == "gone":
            folder.rename(folder.with_name("away"))
        else:
            (folder / "direct_url.json").write_text("{}")

    diagnosis = examine(site, checks=[changing(change)])
    (found,) = [one for one in diagnosis.findings if one.id == "MM002"]
    assert (found.severity, len(found.evidence)) == ("warning", 1)
    assert found.evidence[0].endswith({"new": "is new", "gone": "is gone", "another": "is another"}[what])


def test_what_stays_is_not_told(site, examine):
    diagnosis = examine(site, checks=[changing(lambda: (site.packages / "__pycache__").mkdir(exist_ok=True))])
    assert [one.id for one in diagnosis.findings] == ["MM199"]
