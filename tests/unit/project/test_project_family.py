"""Small projects as people publish them, and what is told of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mmsetup.errors import RequestError
from mmsetup.project import ProjectWish, read_project
from mmsetup.project.rules import rules

Tell = Callable[[Mapping[str, str]], ProjectWish]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    def write(files: Mapping[str, str]) -> ProjectWish:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return read_project(tmp_path)

    return write


OLD = {
    "tools/train.py": "import mmcv\nfrom mmcv.runner import init_dist\nfrom mmseg.apis import train_segmentor\n\n"
    "cfg = mmcv.Config.fromfile('x.py')\n",
    "configs/fcn.py": "_base_ = ['base.py']\ndata = dict(samples_per_gpu=4, train=dict(type='ADE20KDataset'))\n"
    "lr_config = dict(policy='poly')\nrunner = dict(type='IterBasedRunner', max_iters=100)\n",
    "requirements.txt": "torch==1.11.0+cu113\nmmcv-full==1.5.3  # with ops\nmmdet>=2.25,<3\n",
}
NEW = {
    "train.py": "from mmengine.config import Config\nfrom mmseg.registry import MODELS\nfrom mmdet.apis import init_detector\n",
    "configs/fcn.py": "default_scope = 'mmseg'\noptim_wrapper = dict(type='OptimWrapper')\n"
    "train_cfg = dict(type='IterBasedTrainLoop', max_iters=5)\nbackbone = dict(_scope_='mmpretrain', type='x')\n",
}


def test_a_project_of_the_first_generation(tell: Tell) -> None:
    wish = tell(OLD)
    assert (wish.family, wish.packages, wish.against) == ("mmcv-full", ("mmdet",), ())
    assert wish.requirements == ("torch==1.11.0+cu113", "cuda==11.3", "mmcv-full==1.5.3", "mmdet<3,>=2.25")
    assert wish.files_read == 3
    told = {(clue.path, clue.line, clue.meaning) for clue in wish.clues}
    assert ("tools/train.py", 2, "mmcv.runner left mmcv in 2.0") in told
    assert ("tools/train.py", 5, "mmcv.Config left mmcv in 2.0, for mmengine") in told
    assert {clue.line for clue in wish.clues if clue.path == "configs/fcn.py"} == {2, 3, 4}
    assert str(wish.clues[0]).startswith(f"{wish.clues[0].path}:{wish.clues[0].line}: ")
    strong = [clue.strong for clue in wish.clues]
    assert strong == sorted(strong, reverse=True)


def test_a_project_of_the_second_generation(tell: Tell) -> None:
    wish = tell(NEW)
    assert (wish.family, wish.packages, wish.against) == ("mmcv", ("mmdet",), ())
    assert "mmengine is the engine of mmcv 2" in {clue.meaning for clue in wish.clues}
    assert {clue.line for clue in wish.clues if clue.path == "configs/fcn.py"} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("files", "family"),
    [
        (NEW | {"requirements.txt": "onedl-mmcv\nonedl-mmsegmentation>=1.4\n"}, "onedl"),
        (NEW | {"pyproject.toml": '[project]\nname = "x"\ndependencies = ["onedl-mmengine"]\n'}, "onedl"),
        (
            NEW | {"README.md": "pip install onedl-mmcv\n", "requirements.txt": "mmcv>=2.0\nmmengine\n"},
            "mmcv",
        ),
        (NEW | {"a.py": "from mmseg.datasets import OneDLDataset\n"}, "onedl"),
        (OLD | {"a.py": "from mmseg.datasets import OneDLDataset\n"}, "mmcv-full"),
        ({"a.py": "from mmcv.cnn import ConvModule, xavier_init\n"}, "mmcv-full"),
        ({"a.py": "import mmcv.runner as r\n"}, "mmcv-full"),
        ({"a.py": "import mmcv as m\nm.utils.Registry('x')\n"}, "mmcv-full"),
        (
            {
                "a.py": "def f():\n    from mmseg.apis import (\n        show_result_pyplot,\n        init_model)\n"
            },
            "mmcv",
        ),
        ({"a.py": "from mmdet.utils import register_all_modules\n"}, "mmcv"),
        ({"cfg.py": "with read_base():\n    from x import *\nval_dataloader = dict(batch_size=1)\n"}, "mmcv"),
        ({"cfg.py": "data = {'imgs_per_gpu': 2}\ntotal_epochs = 12\n"}, "mmcv-full"),
        ({"mmfoo/__init__.py": "mmcv_minimum_version = '1.3.17'\n"}, "mmcv-full"),
        ({"mmfoo/__init__.py": "MMCV_MIN = '2.0.0rc4'\n"}, "mmcv"),
        ({"setup.cfg": "[options]\ninstall_requires =\n    numpy\n    mmcv>=2.0.0rc4,<2.2\n"}, "mmcv"),
        ({"requirements.txt": "mmcv==2.0.0\n"}, "mmcv"),
        ({"requirements.txt": "mmcv<2.0.0\n"}, "mmcv-full"),
        ({"requirements.txt": "mmsegmentation~=0.30.0\n"}, "mmcv-full"),
        ({"requirements.txt": "git+https://github.com/open-mmlab/mmsegmentation.git@v1.2.2\n"}, "mmcv"),
        ({"requirements.txt": "mmcv>=1.3.17\n", "a.py": "import mmengine\n"}, "mmcv"),
        ({"old.py": "print 'x'\nfrom mmcv.runner import load_checkpoint, Hook\n"}, "mmcv-full"),
    ],
)
def test_the_family_that_single_lines_tell(tell: Tell, files: dict[str, str], family: str) -> None:
    wish = tell(files)
    assert wish.family == family, wish


def test_more_strong_clues_beat_any_number_of_weak_ones_and_the_others_are_listed(tell: Tell) -> None:
    weak = {f"configs/c{number}.py": "optim_wrapper = dict(type='OptimWrapper')\n" for number in range(9)}
    wish = tell(weak | {"a.py": "from mmcv.runner import Hook\n"})
    assert wish.family == "mmcv-full"
    assert [clue.path for clue in wish.clues] == ["a.py"]
    assert {clue.family for clue in wish.against} == {"mmcv"}
    assert len(wish.against) == 18
    assert "mixed: 1 clue(s) for mmcv-full, 18 for mmcv" in wish.notes


def test_code_that_serves_both_generations_is_weak_evidence(tell: Tell) -> None:
    both = "try:\n    from mmengine import Config\nexcept ImportError:\n    from mmcv import Config\n"
    wish = tell({"a.py": both, "requirements.txt": "mmcv-full\n"})
    assert wish.family == "mmcv-full"
    assert [(clue.family, clue.strong) for clue in wish.against] == [("mmcv", False)]


def test_a_package_that_is_used_where_it_is_there_is_not_wanted(tell: Tell) -> None:
    guarded = "import mmengine\ntry:\n    import mmdet\nexcept (ImportError, OSError):\n    mmdet = None\n"
    wish = tell({"a.py": guarded, "tests/test_a.py": "import mmpretrain\n"})
    assert wish.packages == ()
    assert wish.notes == ("uses mmdet where it is installed", "uses mmpretrain where it is installed")


def test_packages_that_only_a_configuration_names_are_wanted(tell: Tell) -> None:
    config = (
        "custom_imports = dict(imports='mmcls.models', allow_failed_imports=False)\n"
        "model = dict(backbone=dict(type='mmdet.ResNet'))\nlr_config = dict(policy='poly')\n"
    )
    assert tell({"configs/a.py": config}).packages == ("mmcls", "mmdet")


def test_a_copy_of_a_package_is_recognised(tell: Tell) -> None:
    wish = tell(
        {
            "mmseg/__init__.py": "import mmcv\nMMCV_MIN = '1.3.13'\nMMCV_MAX = '1.8.0'\n",
            "mmseg/version.py": "__version__ = '0.30.0'\n",
            "mmdet/__init__.py": "",
            "mmdet/version.py": "__version__ = '2.28.2'\n",
            "a.py": "from mmdet.core import bbox2roi\n",
            "configs/a.py": "model = dict(type='mmcls.ConvNeXt')\n",
        }
    )
    assert (wish.family, wish.packages) == ("mmcv-full", ())
    assert wish.notes == (
        "brings its own copy of mmdet (2.28.2)",
        "brings its own copy of mmseg (0.30.0)",
        "some configurations name mmcls",
    )
    told = {(clue.path, clue.line) for clue in wish.clues}
    assert {("mmseg/__init__.py", 2), ("mmseg/version.py", 1), ("a.py", 1)} <= told


# As the copy of mmsegmentation 0.11.0 in the code of SegFormer has it, digit_version shortened.
GATE = """import mmcv
from .version import __version__
MMCV_MIN = '1.1.4'
MMCV_MAX = '1.3.0'

def digit_version(version_str):
    return [int(x) for x in version_str.split('.') if x.isdigit()]

mmcv_min_version = digit_version(MMCV_MIN)
mmcv_max_version = digit_version(MMCV_MAX)
mmcv_version = digit_version(mmcv.__version__)
assert (mmcv_min_version <= mmcv_version <= mmcv_max_version), 'MMCV is used but incompatible.'
"""


def test_what_a_copy_asserts_is_asked_for_first_and_the_copied_release_last(tell: Tell) -> None:
    wish = tell(
        {
            "mmseg/__init__.py": GATE,
            "mmseg/version.py": "__version__ = '0.11.0'\n",
            "requirements.txt": "torch==1.7.1\nmmcv-full==1.7.1\n",
        }
    )
    assert wish.asserted == ("mmcv-full>=1.1.4,<=1.3.0",)
    assert wish.requirements == (*wish.asserted, "torch==1.7.1", "mmcv-full==1.7.1", "mmsegmentation==0.11.0")


@pytest.mark.parametrize(
    ("gate", "asserted"),
    [
        (GATE.replace("<= mmcv_max", "< mmcv_max"), ("mmcv-full>=1.1.4,<1.3.0",)),
        (GATE.replace("1.3.0", "1.4"), ("mmcv-full>=1.1.4,<1.4",)),
        (GATE.replace(" <= mmcv_max_version", ""), ("mmcv-full>=1.1.4",)),
        (GATE.replace("assert (", "print("), ("mmcv-full>=1.1.4,<=1.3.0",)),
        (GATE.replace("assert", "# assert"), ()),
        (GATE.replace("mmcv_version <= mmcv_max", "mmcv_version > mmcv_max"), ()),
        (GATE.replace("1.1.4", "9" * 5000), ()),
        (GATE + "'\\d'\n", ("mmcv-full>=1.1.4,<=1.3.0",)),
    ],
    ids=["exclusive", "unpadded", "no maximum", "no assert", "none", "unknown", "huge", "old escape"],
)
def test_the_range_that_counts_is_the_one_that_is_compared(
    tell: Tell, gate: str, asserted: tuple[str, ...]
) -> None:
    wish = tell({"mmseg/__init__.py": gate, "train.py": "import mmcv.runner\n"})
    assert (wish.asserted, wish.requirements) == (asserted, asserted)


@pytest.mark.parametrize(
    ("named", "asserted", "copied"),
    [
        ("", ("mmcv>=2.0.0rc4,<2.2.0", "mmengine>=0.5.0"), "mmsegmentation==1.2.2"),
        (
            "onedl-mmcv\n",
            ("onedl-mmcv>=2.0.0rc4,<2.2.0", "onedl-mmengine>=0.5.0"),
            "onedl-mmsegmentation==1.2.2",
        ),
    ],
)
def test_what_is_asserted_is_called_as_the_family_calls_it(
    tell: Tell, named: str, asserted: tuple[str, ...], copied: str
) -> None:
    gate = (
        "import mmcv, mmengine\nfrom mmengine.utils import digit_version\n"
        "MMCV_MIN = '2.0.0rc4'\nMMCV_MAX = '2.2.0'\nMMENGINE_MIN = '0.5.0'\n"
        "assert digit_version(MMCV_MIN) <= digit_version(mmcv.__version__) < digit_version(MMCV_MAX)\n"
        "assert digit_version(MMENGINE_MIN) <= digit_version(mmengine.__version__)\n"
    )
    version = {"mmseg/version.py": "__version__ = '1.2.2+mine'\n"}
    wish = tell(version | {"mmseg/__init__.py": gate, "requirements.txt": named})
    assert (wish.asserted, wish.requirements) == (asserted, (*asserted, copied))


def test_a_copy_without_a_version_that_can_be_asked_for_leaves_it_free(tell: Tell) -> None:
    files = {"mmseg/version.py": "__version__ = 'ours'\n", "train.py": "import mmcv.runner\n"}
    assert tell(files).requirements == ()


@pytest.mark.parametrize(
    ("written_for", "family", "fits"),
    [
        ("mmcv", "mmcv", True),
        ("mmcv", "onedl", True),
        ("onedl", "mmcv", False),
        ("mmcv", "mmcv-full", False),
        ("mmcv-full", "onedl", False),
    ],
)
def test_code_runs_on_its_family_and_on_forks_of_it(written_for: str, family: str, *, fits: bool) -> None:
    assert rules().fits(written_for, family) is fits


def test_a_single_file_is_a_project(tmp_path: Path) -> None:
    path = tmp_path / "demo.py"
    path.write_text("from mmseg.apis import inference_segmentor\n")
    wish = read_project(path)
    assert (wish.family, wish.files_read, wish.clues[0].path) == ("mmcv-full", 1, "demo.py")


def test_nothing_of_the_project_is_run(tell: Tell, tmp_path: Path) -> None:
    trap = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nimport mmengine\n"
    tell({"setup.py": trap, "a/__init__.py": trap})
    assert list(tmp_path.rglob("ran")) == []


@pytest.mark.parametrize(
    "files",
    [{}, {"a.py": "import torch\n"}, {"a.py": "from mmcv.cnn import ConvModule\nimport mmdet\n"}],
)
def test_without_a_clue_it_says_what_was_looked_for(tell: Tell, files: dict[str, str]) -> None:
    with pytest.raises(RequestError, match="tells which family") as caught:
        tell(files)
    assert caught.value.remedy.startswith("mmsetup plan --family mmcv-full")
    assert any("mmcv.runner" in line for line in caught.value.evidence)
    assert f"{len(files)} files were read" in caught.value.evidence
    assert ("it uses mmdet" in str(caught.value)) == ("mmdet" in "".join(files.values()))


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", Path("a\0b")):
        with pytest.raises(RequestError, match="cannot read the project") as caught:
            read_project(path)
        assert caught.value.remedy
