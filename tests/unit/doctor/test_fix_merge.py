"""Which repairs go together, which are refused, and what is asked of uv; the resolver is a stand-in here."""

import pytest

from mmsetup.doctor import doctor
from mmsetup.doctor.context import Context
from mmsetup.doctor.fix.merge import merge
from mmsetup.doctor.fix.repair import Replacement
from mmsetup.doctor.model import Finding, Fix
from mmsetup.errors import LockError
from mmsetup.probe import environment


@pytest.fixture
def context(site, machine, catalog):
    return lambda: Context(environment(site.prefix), machine, catalog)


class Resolver:
    """Says that a requirement cannot be fulfilled where ``impossible`` says so; remembers what it was asked."""

    def __init__(self, *impossible: frozenset[str] | set[str]) -> None:
        self.impossible = impossible
        self.asked: list[tuple] = []

    def __call__(self, context, install, remove, again, folder):
        self.asked.append((install, remove, again))
        if any(one <= {*install, *again} for one in self.impossible):
            raise LockError("no set of versions", evidence=["because of that"])
        return tuple(Replacement(line.partition("=")[0], "1", "") for line in (*install, *again))


def finding(identifier: str, **what) -> Finding:
    return Finding(identifier, "error", "", f"message of {identifier}", (), "by hand", Fix(**what))


def test_all_repairs_are_one_resolution(context):
    resolver = Resolver()
    repair = merge(
        context(),
        [finding("MM1", install=("ftfy",)), finding("MM2", install=("regex", "ftfy"))],
        resolver=resolver,
    )
    assert resolver.asked == [(("ftfy", "regex"), (), ())]
    assert [one.name for one in repair.install] == ["ftfy", "regex"]
    assert repair.mends == ("MM1", "MM2")
    assert repair.left_out == ()


def test_of_repairs_that_do_not_go_together_the_worse_finding_wins(context):
    resolver = Resolver({"numpy<2", "numpy>=2"})
    repair = merge(
        context(),
        [
            finding("MM1", install=("numpy<2",)),
            finding("MM2", install=("numpy>=2",)),
            finding("MM3", install=("ftfy",)),
        ],
        resolver=resolver,
    )
    assert repair.mends == ("MM1", "MM3")
    assert [(one.id, one.reason) for one in repair.left_out] == [("MM2", "because of that")]


def test_where_none_can_be_made_the_error_tells_the_ways_out(context):
    with pytest.raises(LockError) as caught:
        merge(context(), [finding("MM1", install=("a",))], resolver=Resolver({"a"}))
    assert "MM1" in str(caught.value)
    assert caught.value.evidence == ("because of that",)
    assert "by hand" in caught.value.remedy
    assert "mmsetup install --env" in caught.value.remedy


def test_what_is_whole_is_kept_and_nothing_is_fetched_for_it(context):
    resolver = Resolver()
    repair = merge(context(), [finding("MM1", remove=("yapf",), again=("numpy",))], resolver=resolver)
    assert resolver.asked == []
    assert (repair.remove, repair.kept, repair.install) == (("yapf",), ("numpy",), ())


def test_compiled_operators_that_were_overwritten_are_not_fetched_from_an_index(context, site):
    (site.packages / "mmcv" / "version.py").unlink()
    repair = merge(context(), [finding("MM1", remove=("yapf",), again=("mmcv-full",))], resolver=Resolver())
    assert repair.is_empty
    assert "its wheel is not on this machine" in repair.left_out[0].reason


def test_another_distribution_that_was_overwritten_is_fetched(context, site):
    (site.packages / "cv2" / "__init__.py").unlink()
    resolver = Resolver()
    repair = merge(context(), [finding("MM1", again=("opencv-python-headless",))], resolver=resolver)
    assert resolver.asked == [((), (), ("opencv-python-headless",))]
    assert [one.name for one in repair.install] == ["opencv-python-headless"]


@pytest.mark.parametrize("what", [{"remove": ("nowhere",)}, {"again": ("nowhere",)}])
def test_a_distribution_that_is_gone_is_left_out(context, what):
    repair = merge(context(), [finding("MM1", **what)], resolver=Resolver())
    assert repair.left_out[0].reason == "nowhere is not here any more"


def test_a_distribution_without_a_record_is_left_out(context, site):
    (info,) = site.packages.glob("yapf-*.dist-info")
    (info / "RECORD").unlink()
    repair = merge(context(), [finding("MM1", remove=("yapf",))], resolver=Resolver())
    assert "has no RECORD" in repair.left_out[0].reason


def test_what_would_have_to_move_and_has_no_record_stays(context, site):
    (info,) = site.packages.glob("numpy-*.dist-info")
    (info / "RECORD").unlink()
    with pytest.raises(LockError, match="MM1"):
        merge(
            context(),
            [finding("MM1", install=("numpy<1",))],
            resolver=lambda *_: (Replacement("numpy", "0.9", "1"),),
        )


def test_only_the_environment_and_caches_are_deleted_from(context, site, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    own, cached, strange = site.packages / "~umpy", tmp_path / "pip" / "wheels" / "x", tmp_path / "precious"
    repair = merge(
        context(),
        [finding("MM1", delete=(own, cached)), finding("MM2", delete=(strange,))],
        resolver=Resolver(),
    )
    assert repair.delete == (own,)
    assert repair.delete_after == (cached,)
    assert "neither in the environment nor in a cache" in repair.left_out[0].reason


def test_the_findings_of_a_broken_environment_offer_their_repairs(site, machine, catalog):
    site.change("numpy", "2.0.2")
    site.remove("yapf")
    site.add("mmcv", "1.7.2", {"mmcv/second.py": ""})
    (site.packages / "~umpy").mkdir()
    found = {one.id: one.fix for one in doctor(site.prefix, machine, catalog).findings if one.fix}
    assert found["MM402"].install == ("numpy<2",)
    assert found["MM111"].install == ("yapf",)
    assert found["MM102"] == Fix(remove=("mmcv",), again=("mmcv-full",))
    assert found["MM104"].delete == (site.packages / "~umpy",)


@pytest.mark.parametrize(
    ("variant", "partner"), [("cu117", "torchvision==0.14.1"), ("cpu", "torchvision==0.14.1+cpu")]
)
def test_the_partner_of_torch_comes_from_the_index_of_its_build(site, machine, catalog, variant, partner):
    cuda = "'11.7'" if variant == "cu117" else "None"
    (site.packages / "torch" / "version.py").write_text(
        f"__version__ = '1.13.1+{variant}'\ncuda = {cuda}\nhip = None\n"
    )
    site.change("torchvision", "0.13.1", requires=["torch==1.12.1"])
    found = {one.id: one.fix for one in doctor(site.prefix, machine, catalog).findings}
    assert found["MM301"] == Fix(install=(partner,))


def test_torch_and_what_is_compiled_for_it_are_never_installed_by_a_repair(site, machine, catalog):
    site.add(
        "needy", "1", {"needy/__init__.py": ""}, requires=["torch>=2.1", "mmcv>=2.1", "nvidia-nccl-cu12"]
    )
    for one in doctor(site.prefix, machine, catalog).findings:
        assert one.fix is None, one
