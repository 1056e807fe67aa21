"""What configurations name: types, own classes, bases, normalisation over processes, weights."""

import string
from dataclasses import replace

import pytest
from project_tree import CONFIG, examine, found, furnish, one, second_generation, write

from mmsetup.doctor.diagnose import doctor
from mmsetup.doctor.project import Project
from mmsetup.probe.machine import Gpu


@pytest.fixture
def told(tmp_path, site, machine, catalog):
    furnish(site)

    def make(files, **more):
        more.setdefault("ignore", ["MM841"])
        return examine(
            write(tmp_path / "project", files), site, more.pop("machine", machine), catalog, **more
        )

    return make


@pytest.fixture
def told_of_second(tmp_path, site, machine, catalog):
    second_generation(site)

    def make(files, **more):
        more.setdefault("ignore", ["MM841"])
        return examine(
            write(tmp_path / "project", files), site, more.pop("machine", machine), catalog, **more
        )

    return make


def test_a_configuration_that_fits_is_no_finding(told):
    assert found(told({"configs/a.py": CONFIG})) == []


def test_a_misspelt_name_has_a_nearest_one(told):
    diagnosis = told({"configs/a.py": CONFIG.replace("'ResNetV1c'", "'ResNetv1C'")})
    assert found(diagnosis) == [("MM811", "error")]
    finding = one(diagnosis, "MM811")
    assert "nearest name is ResNetV1c" in finding.message
    assert finding.evidence == ("configs/a.py:5: type='ResNetv1C'",)
    assert finding.remedy == "type='ResNetV1c'"


def test_a_name_of_the_other_generation_has_another_one_here(told):
    diagnosis = told({"a.py": CONFIG.replace("dict(type='Collect')", "dict(type='PackSegInputs')")})
    assert found(diagnosis) == [("MM811", "error")]
    assert "other generation" in one(diagnosis, "MM811").message
    assert "DefaultFormatBundle" in one(diagnosis, "MM811").remedy


MODERN = """
default_scope = 'mmseg'
model = dict(type='EncoderDecoder', data_preprocessor=None, backbone=dict(type='ResNetV1c'))
train_dataloader = dict(dataset=dict(type='BaseSegDataset', pipeline=[dict(type='LoadImageFromFile')]))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD'))
"""


def test_a_half_moved_configuration_names_what_is_left(told_of_second):
    text = MODERN.replace(
        "dict(type='LoadImageFromFile')", "dict(type='DefaultFormatBundle'), dict(type='Collect')"
    )
    diagnosis = told_of_second({"a.py": text})
    assert found(diagnosis) == [("MM811", "error")] * 2
    assert all("PackSegInputs" in finding.remedy for finding in diagnosis.findings)


def test_a_class_of_a_sibling_needs_its_scope(told_of_second, site):
    site.add(
        "mmpretrain", "1.2.0", {"mmpretrain/__init__.py": "@MODELS.register_module()\nclass ConvNeXt: ...\n"}
    )
    wrong = told_of_second({"a.py": MODERN.replace("'ResNetV1c'", "'ConvNeXt'")})
    assert one(wrong, "MM811").remedy == "type='mmpretrain.ConvNeXt'"
    right = told_of_second({"a.py": MODERN.replace("'ResNetV1c'", "'mmpretrain.ConvNeXt'")})
    assert found(right) == []


def test_a_class_that_a_package_registers_for_another_is_found(told_of_second, site):
    text = "from mmseg.registry import MODELS\n@MODELS.register_module()\nclass ConvNeXt: ...\n"
    site.add("mmpretrain", "1.2.0", {"mmpretrain/__init__.py": text})
    assert found(told_of_second({"a.py": MODERN.replace("'ResNetV1c'", "'ConvNeXt'")})) == []


def test_a_class_of_a_package_that_is_not_installed(told_of_second):
    diagnosis = told_of_second({"a.py": MODERN.replace("'ResNetV1c'", "'ConvNeXt'")})
    assert "mmpretrain 1.2.0 has it, which is not installed" in one(diagnosis, "MM811").message
    assert "--with mmpretrain" in one(diagnosis, "MM811").remedy


@pytest.mark.parametrize(
    "text",
    [
        "model = dict(type='EncoderDecoder', x=[dict(type=name) for name in names])\n",
        "kind = pick()\nmodel = dict(type=kind)\n",
        "model = dict(type='EncoderDecoder', a=dict(type='Albu', transforms=[dict(type='ShiftScaleRotate')]))\n",
        "model = dict(type='EncoderDecoder', a=dict(type='offset'), b=dict(type='torch.nn.Foo'))\n",
        "model = dict(type='EncoderDecoder')\nunused = [dict(type='NoSuchThing')]\n",
        "model = dict(type='EncoderDecoder', optimizer=dict(type='AdamW'), act=dict(type='GELU'))\n",
        "default_scope = 'mmrotate'\nmodel = dict(type='NoSuchThing')\n",
    ],
)
def test_what_cannot_be_told_or_is_of_others_is_not_judged(told, text):
    assert found(told({"a.py": text})) == []


def test_what_a_configuration_replaces_does_not_count(told):
    base = "model = dict(type='EncoderDecoder', backbone=dict(type='NoSuchNet', depth=5), neck=dict(type='NoSuchNeck'))\n"
    top = (
        "_base_ = ['../_base_/fcn.py']\n"
        "model = dict(backbone=dict(type='ResNetV1c'), neck=dict(_delete_=True, type='FCNHead'))\n"
    )
    assert found(told({"configs/_base_/fcn.py": base, "configs/fcn/a.py": top})) == []
    without = told({"configs/_base_/fcn.py": base, "configs/fcn/a.py": top.replace("neck=", "other=")})
    assert one(without, "MM811").evidence == ("configs/_base_/fcn.py:1: type='NoSuchNeck'",)


def test_variables_of_a_base_are_followed(told):
    files = {
        "configs/base.py": "model = dict(type='EncoderDecoder')\nname = 'NoSuchNet'\n",
        "configs/a.py": "_base_ = 'base.py'\nmodel = dict(backbone=dict(type={{_base_.name}}))\n",
    }
    assert one(told(files), "MM811").message.startswith("NoSuchNet is in no registry")


def test_a_configuration_in_json_is_one(told):
    diagnosis = told({"a.json": '{"model": {"type": "EncoderDecodr"}}', "b.py": "x = 1\n"})
    assert one(diagnosis, "MM811").remedy == "type='EncoderDecoder'"


OWN = "from mmseg.models import MODELS\n\n@MODELS.register_module()\nclass LeafNet: ...\n"
WITH_OWN = CONFIG.replace("'ResNetV1c'", "'LeafNet'")
IMPORTS = "custom_imports = dict(imports=['leaves.net'], allow_failed_imports=False)\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, [("MM812", "warning")]),
        ({"leaves/__init__.py": ""}, [("MM812", "warning")]),
        ({"leaves/__init__.py": "from .net import LeafNet\n"}, [("MM812", "warning")]),
        ({"leaves/__init__.py": "from . import net\n", "train.py": "import leaves\nprint('train')\n"}, []),
        ({"train.py": "import leaves.net\nif __name__ == '__main__':\n    pass\n"}, []),
        ({"tests/test_net.py": "import leaves.net\n"}, [("MM812", "warning")]),
        ({"configs/a.py": IMPORTS + WITH_OWN}, []),
        (
            {
                "configs/a.py": IMPORTS.replace("leaves.net", "leaves") + WITH_OWN,
                "leaves/__init__.py": "from .net import *\n",
            },
            [],
        ),
    ],
)
def test_own_classes_have_to_be_imported(told, files, expected):
    diagnosis = told({"leaves/net.py": OWN, "configs/a.py": WITH_OWN, **files})
    assert found(diagnosis) == expected
    if expected:
        finding = one(diagnosis, "MM812")
        assert finding.evidence[0] == "leaves/net.py:4: class LeafNet: ..."
        assert "imports=['leaves.net']" in finding.remedy


def test_an_own_class_that_nothing_registers(told):
    diagnosis = told(
        {"leaves/net.py": OWN.replace("@MODELS.register_module()\n", ""), "configs/a.py": IMPORTS + WITH_OWN}
    )
    assert found(diagnosis) == [("MM811", "warning")]
    assert "leaves/net.py:3 defines it, and nothing registers it" in one(diagnosis, "MM811").message


def test_the_remedy_for_an_unimported_class_works(told):
    finding = one(told({"leaves/net.py": OWN, "configs/a.py": WITH_OWN}), "MM812")
    line = finding.remedy.partition("  #")[0]
    assert found(told({"leaves/net.py": OWN, "configs/a.py": f"{line}\n{WITH_OWN}"})) == []


def test_a_base_that_is_not_there(told):
    diagnosis = told(
        {"configs/a.py": "_base_ = ['../_base_/gone.py']\nmodel = dict(type='EncoderDecoder')\n"}
    )
    assert found(diagnosis) == [("MM813", "warning")]
    assert one(diagnosis, "MM813").evidence == ("configs/a.py:1: ../_base_/gone.py",)


def test_bases_of_installed_packages(told_of_second):
    here = told_of_second(
        {"a.py": "_base_ = 'mmseg::_base_/models/fcn.py'\nmodel = dict(backbone=dict(type='NoNet'))\n"}
    )
    assert found(here) == [("MM811", "warning")]
    absent = told_of_second({"a.py": "_base_ = 'mmdet::_base_/x.py'\nmodel = dict(type='EncoderDecoder')\n"})
    assert found(absent) == [("MM803", "error")]
    gone = told_of_second({"a.py": "_base_ = 'mmseg::_base_/gone.py'\nmodel = dict(type='EncoderDecoder')\n"})
    assert found(gone) == [("MM813", "warning")]


def test_a_base_that_many_inherit_is_missed_once(told):
    files = {f"c{level}.py": f"_base_ = ['c{level + 1}.py', 'c{level + 1}.py']\n" for level in range(18)}
    finding = one(told(files | {"c18.py": "_base_ = 'gone.py'\n"}), "MM813")
    assert finding.evidence == ("c18.py:1: gone.py",)


def test_what_one_environment_told_is_not_kept_for_another(tmp_path, site, machine, catalog):
    furnish(site)
    project = Project(write(tmp_path / "project", {"a.py": CONFIG}), is_offline=True)
    before = doctor(site.prefix, machine, catalog, project=project, select=["MM80", "MM81"])
    second_generation(site)
    after = doctor(site.prefix, machine, catalog, project=project, select=["MM80", "MM81"])
    assert (found(before), found(after)) == ([], [("MM802", "error")])


def test_of_many_strange_names_a_few_are_compared(told):
    names = [f"FCNHead{end}" for end in string.ascii_letters] + [f"FCNHead{end}" for end in string.digits]
    heads = "".join(f"a{name}=dict(type='{name}'), " for name in names)
    diagnosis = told({"a.py": CONFIG.replace("decode_head=", f"{heads}decode_head=")}, select=["MM811"])
    near = [finding for finding in diagnosis.findings if "nearest name is FCNHead" in finding.message]
    assert len(near) == 30
    assert len(diagnosis.findings) == len(names)


def test_bases_in_a_circle_end(told):
    files = {
        "a.py": "_base_ = 'b.py'\nmodel = dict(type='EncoderDecoder')\n",
        "b.py": "_base_ = 'a.py'\ndata = dict()\n",
    }
    assert [finding.severity for finding in told(files).findings if finding.severity == "error"] == []


TRAINING = "from mmseg.apis import train_segmentor\ntrain_segmentor(model, datasets, cfg)\n"


@pytest.mark.parametrize(
    ("script", "gpus", "expected"),
    [
        (TRAINING, 1, ["MM821"]),
        (TRAINING, 0, ["MM821"]),
        (TRAINING, 2, []),
        (TRAINING + "revert_sync_batchnorm(model)\n", 1, []),
        ("", 1, []),
    ],
)
def test_synchronised_normalisation_with_one_process(told, machine, script, gpus, expected):
    one_gpu = replace(machine, gpus=tuple(Gpu(n, "a GPU", "sm_86", 1 << 30) for n in range(gpus)))
    diagnosis = told({"configs/a.py": CONFIG, "train.py": script}, machine=one_gpu)
    assert [finding.id for finding in diagnosis.findings] == expected
    if expected:
        assert one(diagnosis, "MM821").evidence[0] == "configs/a.py:2: type='SyncBN'"
        assert one(diagnosis, "MM821").severity == "warning"
        # The torchrun of torch 1.13 knows no name with hyphens.
        assert "torchrun --nproc_per_node 1 SCRIPT" in one(diagnosis, "MM821").remedy


def test_the_installed_script_counts_where_the_project_has_none(told, site):
    (site.packages / "mmseg/.mim/tools/train.py").write_text("def main(): train_segmentor()\n")
    assert [finding.id for finding in told({"a.py": CONFIG}).findings] == ["MM821"]


def test_mmengine_reverts_it_itself(told_of_second):
    text = MODERN.replace("'ResNetV1c'", "'ResNetV1c', norm_cfg=dict(type='SyncBN')")
    assert found(told_of_second({"a.py": text, "t.py": "# train_segmentor(model)\n"})) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pretrained='open-mmlab://resnet50_v1c'", []),
        ("pretrained='open-mmlab://resnet50_v1d'", [("MM851", "error")]),
        ("pretrained='weights/mit_b0.pth'", [("MM852", "warning")]),
        ("pretrained='weights/here.pth'", []),
        ("init_cfg=dict(type='Pretrained', checkpoint='weights/mit_b0.pth')", [("MM852", "warning")]),
        ("pretrained=None", []),
        ("pretrained='torchvision://resnet50'", []),
        ("pretrained='https://download.invalid/a.pth'", []),
        ("pretrained='~nobody_of_this_name/a.pth'", [("MM852", "warning")]),
        (f"pretrained='{'x' * 5000}.pth'", [("MM852", "warning")]),
    ],
)
def test_weights_without_a_network(told, line, expected):
    text = f"model = dict(type='EncoderDecoder', {line})\n"
    assert found(told({"a.py": text, "weights/here.pth": "x"})) == expected


def test_a_configuration_that_another_one_inherits_from_is_run_by_itself_too(told):
    files = {
        "a.py": CONFIG.replace("'ResNetV1c'", "'NoSuchNet'"),
        "b.py": "_base_ = 'a.py'\nmodel = dict(backbone=dict(type='ResNetV1c'))\n",
    }
    assert one(told(files), "MM811").evidence == ("a.py:5: type='NoSuchNet'",)


def test_keys_that_the_installed_runner_does_not_read_are_no_finding(told_of_second):
    assert found(told_of_second({"a.py": MODERN + "runner = dict(type='IterBasedRunner')\n"})) == []


def test_many_configurations_are_each_judged(told):
    files = {f"c{number}.py": CONFIG.replace("'FCNHead'", f"'Head{number}x'") for number in range(60)}
    assert len(told(files).findings) == 60


def test_what_a_module_of_others_registers_is_read_or_nothing_is_said(told, site):
    text = "custom_imports = dict(imports=['{}'])\n" + CONFIG.replace("'ResNetV1c'", "'ResNetV2c'")
    write(
        site.packages,
        {"theirs/__init__.py": "@MODELS.register_module()\nclass ResNetV2c: ...\n", "alone.py": ""},
    )
    assert found(told({"a.py": text.format("theirs")})) == []
    assert found(told({"a.py": text.format("alone")})) == []
    assert [one[0] for one in found(told({"a.py": text.format("mmseg.models")}))] == ["MM811"]


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("", {}, [("MM811", "error")]),
        ("custom_imports = dict(imports='mmcls.models')\n", {}, []),
        ("", {"train.py": "import mmcls.models\n"}, []),
    ],
)
def test_a_package_that_nothing_imports_has_no_registry_in_the_first_generation(
    told, site, line, files, expected
):
    site.add("mmcls", "0.25.0", {"mmcls/__init__.py": "@BACKBONES.register_module()\nclass ConvNeXt: ...\n"})
    diagnosis = told({"a.py": line + CONFIG.replace("'ResNetV1c'", "'mmcls.ConvNeXt'"), **files})
    assert found(diagnosis) == expected


SCOPED = "_base_ = ['mmseg::_base_/models/fcn.py']\n"
BASE = "mmseg/.mim/configs/_base_/models/fcn.py"


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"a.py": SCOPED + CONFIG},
        {"a.py": "_base_ = 'below.py'\n" + CONFIG, "below.py": SCOPED},
        {"a.json": '{"_base_": "mmseg::_base_/models/fcn.py", "model": {"type": "EncoderDecoder"}}'},
    ],
)
def test_a_base_of_a_package_is_a_path_for_the_first_generation(told, site, files, is_there):
    if is_there:
        write(site.packages, {BASE: "model = dict(type='EncoderDecoder')\n"})
    diagnosis = told({**files, "b.sh": "true\n"}, ignore=["MM84", "MM85", "MM82"])
    assert found(diagnosis) == [("MM802", "error")]
    finding = one(diagnosis, "MM802")
    place = "below.py:1" if "below.py" in files else f"{next(iter(files))}:1"
    assert finding.evidence == (
        f"{next(iter(files))}: _base_ mmseg::_base_/models/fcn.py, for mmcv 1.x a path ({place})",
    )
    assert "written for mmcv," in finding.message


def test_mmengine_reads_a_base_of_a_package(told_of_second):
    assert found(told_of_second({"a.py": SCOPED + "optim_wrapper = dict(type='OptimWrapper')\n"})) == []


def test_mmengine_beside_the_first_generation_reads_it_too(told, site):
    site.add("mmengine", "0.10.7", {"mmengine/__init__.py": "", "mmengine/version.py": ""})
    write(site.packages, {BASE: "model = dict(type='EncoderDecoder')\n"})
    assert found(told({"a.py": SCOPED + CONFIG})) == []
