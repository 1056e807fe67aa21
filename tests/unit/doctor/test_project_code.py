"""The user's own code beside an environment: generations, packages, ranks, names of numpy."""

import json
import time

import pytest
from project_tree import CONFIG, examine, found, furnish, one, second_generation, write


@pytest.fixture
def told(tmp_path, site, machine, catalog):
    """Write a project, examine it beside the environment of the first generation, give the diagnosis."""
    furnish(site)

    def make(files, **more):
        return examine(
            write(tmp_path / "project", files), site, more.pop("machine", machine), catalog, **more
        )

    return make


@pytest.fixture
def told_of_second(tmp_path, site, machine, catalog):
    second_generation(site)

    def make(files, **more):
        return examine(
            write(tmp_path / "project", files), site, more.pop("machine", machine), catalog, **more
        )

    return make


USING = "import numpy as np\nx = np.float(1)\n"
OLD = "import torch\nfrom mmcv.runner import load_checkpoint\nfrom mmcv.utils import Registry\nimport mmcv\ncfg = mmcv.Config.fromfile('x')\n"
NEW = "from mmengine.config import Config\nfrom mmseg.registry import MODELS\n"


def test_code_of_the_first_generation_beside_the_second(told_of_second):
    diagnosis = told_of_second({"train.py": OLD})
    assert found(diagnosis) == [("MM801", "error")]
    finding = one(diagnosis, "MM801")
    assert "mmcv 2.1.0" in finding.message
    assert (
        finding.evidence[0]
        == "train.py:2: from mmcv.runner import load_checkpoint  (mmcv.runner left mmcv in 2.0)"
    )
    assert any(line.startswith("train.py:5: ") for line in finding.evidence)
    assert "--for" in finding.remedy


def test_a_message_words_how_many_lines_and_what_is_here(told, site):
    assert one(told({"a.py": "import mmengine\n"}), "MM801").message == (
        "the code uses mmengine of another generation in 1 line; here is mmcv-full 1.7.2 without mmengine"
    )
    lines = "from mmseg.registry import MODELS\nfrom mmseg.structures import SegDataSample\n"
    assert one(told({"a.py": lines}), "MM801").message == (
        "the code uses mmseg of another generation in 2 lines; here is mmsegmentation 0.30.0"
    )


def test_code_of_the_second_generation_beside_the_first(told):
    diagnosis = told({"train.py": NEW})
    assert {finding.id for finding in diagnosis.findings} == {"MM801"}
    assert "mmengine" in "".join(line for finding in diagnosis.findings for line in finding.evidence)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    from mmcv.runner import load_checkpoint\nexcept ImportError:\n    from mmengine.runner import load_checkpoint\n",
        "try:\n    from mmengine import Config\nexcept ImportError:\n    from mmcv import Config\nConfig.fromfile('x')\n",
        "import mmcv\nif mmcv.__version__ < '2':\n    from mmcv.runner import x\nelse:\n    from mmengine.runner import x\n",
        "from v import V\nimport mmcv\nif V(mmcv.__version__) < V('2'):\n    from mmcv import Config\nConfig.fromfile('x')\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmcv.runner import x\n",
        "import mmcv\nC = mmcv.Config if hasattr(mmcv, 'Config') else None\n",
        "# from mmcv.runner import load_checkpoint\nimport mmcv\n",
        "import mmcv.cnn\n",
        "text = 'mmcv.runner'\nimport mmcv\n",
    ],
)
def test_what_is_caught_or_no_import_is_no_finding(told_of_second, text):
    assert found(told_of_second({"train.py": text})) == []


def test_a_condition_that_asks_for_nothing_of_the_stack_excuses_nothing(told_of_second):
    text = "import sys\nif len(sys.argv) > 1:\n    from mmcv.runner import load_checkpoint\n"
    assert found(told_of_second({"train.py": text})) == [("MM801", "error")]


def test_a_package_that_may_be_missing_may_be_used(told):
    text = "try:\n    import mmrotate\nexcept ImportError:\n    mmrotate = None\nmmrotate.x()\n"
    assert found(told({"train.py": text})) == []


def test_the_right_generation_is_no_finding(told, told_of_second):
    assert found(told_of_second({"train.py": "from mmengine import Config\n"})) == []


def test_a_package_that_the_project_brings_itself_is_its_own(told_of_second):
    files = {
        "mmseg/__init__.py": "__version__ = '0.30.0'\n",
        "mmseg/core/__init__.py": "",
        "t.py": "import mmseg.core\n",
    }
    assert found(told_of_second(files)) == []


def test_a_module_that_an_installed_fork_kept_is_no_finding(told_of_second, site):
    (site.packages / "mmcv" / "runner").mkdir()
    assert found(told_of_second({"train.py": "from mmcv.runner import x\n"})) == []


def test_python_2_is_read_line_by_line(told_of_second):
    diagnosis = told_of_second({"train.py": "print 'old'\nfrom mmcv.runner import load_checkpoint\n"})
    assert found(diagnosis) == [("MM801", "error"), ("MM891", "note")]
    assert one(diagnosis, "MM801").evidence[0].startswith("train.py:2: ")


def test_a_notebook_is_code(told_of_second):
    cell = {"cell_type": "code", "source": ["!pip install mmcv\n", "from mmcv.parallel import collate"]}
    diagnosis = told_of_second({"try.ipynb": json.dumps({"cells": [cell]}, indent=1)})
    assert found(diagnosis) == [("MM801", "error")]
    assert "from mmcv.parallel import collate" in one(diagnosis, "MM801").evidence[0]


def test_a_configuration_for_the_other_runner(told_of_second):
    diagnosis = told_of_second({"configs/a.py": CONFIG})
    assert ("MM802", "error") in found(diagnosis)
    assert "configs/a.py" in one(diagnosis, "MM802").evidence[0]
    assert not [finding for finding in diagnosis.findings if finding.id == "MM811"]


def test_packages_that_are_not_installed(told):
    diagnosis = told(
        {
            "tools/train.py": "import mmdet.apis\ndef late():\n    import mmpose\n",
            "tools/maybe.py": "try:\n    import mmrotate\nexcept ImportError:\n    mmrotate = None\n",
            "tests/test_it.py": "import mmocr\n",
            "c.py": "model = dict(type='EncoderDecoder', backbone=dict(type='mmcls.ConvNeXt'))\n",
        }
    )
    wanted = {finding.message.split()[0]: finding for finding in diagnosis.findings if finding.id == "MM803"}
    assert {name: finding.severity for name, finding in wanted.items()} == {
        "mmdet": "error",
        "mmcls": "error",
        "mmpose": "warning",
    }
    assert wanted["mmcls"].evidence == ("c.py:1: type='mmcls.ConvNeXt'",)
    assert wanted["mmdet"].evidence == ("tools/train.py:1: import mmdet.apis",)
    assert "--with mmdet" in wanted["mmdet"].remedy


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("custom_imports = dict(imports=['leaves.data'], allow_failed_imports=False)", "error"),
        ("custom_imports = dict(imports=['leaves.data'], allow_failed_imports=True)", None),
        ("custom_imports = dict(imports=['mine.data'], allow_failed_imports=False)", None),
        ("custom_imports = dict(imports=['mmseg.models'])", None),
        ("custom_imports = dict(imports=['json', 'alone'])", None),
    ],
)
def test_modules_of_custom_imports_must_be_somewhere(told, site, line, severity):
    (site.packages / "alone.py").write_text("")
    diagnosis = told(
        {"c.py": f"{line}\nmodel = dict(type='EncoderDecoder')\n", "src/mine/data.py": "x = 1\n"}
    )
    assert [f.severity for f in diagnosis.findings if f.id == "MM803"] == ([severity] if severity else [])


def test_a_package_that_many_lines_use_is_told_once(told):
    files = {
        f"pkg/d{number // 50}/m{number}.py": "import mmdet\n" + "mmdet.x()\n" * 20 for number in range(2000)
    }
    finding = one(told(files, select=["MM803"]), "MM803")
    assert "in 42000 places" in finding.message


RUN = 'cmd_args.append(f"--local{}rank={{macros.local_rank}}")\n'
SCRIPT = (
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('--local_rank', type=int, default=0)\n"
)


@pytest.mark.parametrize(
    ("passed", "script", "shell", "expected"),
    [
        ("-", SCRIPT, "", [("MM822", "warning")]),
        (
            "-",
            SCRIPT,
            "python -m torch.distributed.launch --nproc_per_node=2 \\\n  tools/train.py\n",
            [("MM822", "error")],
        ),
        (
            "-",
            SCRIPT,
            "python -m torch.distributed.launch --use_env tools/train.py\n",
            [("MM822", "warning")],
        ),
        ("-", SCRIPT, "torchrun tools/train.py\n", [("MM822", "warning")]),
        ("-", SCRIPT.replace("'--local_rank'", "'--local_rank', '--local-rank'"), "", []),
        ("-", SCRIPT + "p.add_argument('--local-rank', type=int)\n", "", []),
        ("-", SCRIPT + "p.parse_known_args()\n", "", []),
        ("_", SCRIPT, "python -m torch.distributed.launch tools/train.py\n", []),
        ("_", SCRIPT.replace("_rank", "-rank"), "", [("MM822", "warning")]),
    ],
)
def test_the_rank_is_taken_as_the_installed_launcher_gives_it(told, site, *, passed, script, shell, expected):
    place = site.packages / "torch" / "distributed" / "run.py"
    place.parent.mkdir()
    place.write_text(RUN.format(passed))
    diagnosis = told({"tools/train.py": script, "dist_train.sh": shell})
    assert found(diagnosis) == expected
    if expected:
        assert one(diagnosis, "MM822").evidence[0].startswith("tools/train.py:3: ")


@pytest.mark.parametrize(
    ("version", "line", "is_gone"),
    [
        ("1.23.5", "np.bool", False),
        ("1.24.0", "np.bool", True),
        ("1.26.4", "np.int", True),
        ("1.26.4", "np.int64", False),
        ("1.26.4", "np.float_", False),
        ("2.0.0", "np.float_", True),
        ("2.0.0", "np.bool", False),
        ("2.0.0", "np.object", True),
    ],
)
def test_names_that_numpy_dropped(told, site, version, line, is_gone):
    site.change("numpy", version)
    diagnosis = told(
        {"a.py": f"import numpy as np\nx = 1\ny = x.astype({line})\n", "b.py": "self.int = 1\nx.np.bool\n"}
    )
    assert found(diagnosis) == ([("MM831", "error")] if is_gone else [])
    if is_gone:
        assert one(diagnosis, "MM831").evidence[0].startswith(f"a.py:3: y = x.astype({line})")


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": "import numpy as np\nnp.float = float\nx = np.float(1)\n"},
        {"a.py": "import numpy as np\nif not hasattr(np, 'float'):\n    np.float = float\n", "b.py": USING},
        {
            "a.py": "import numpy\nfor name in ['int', 'float']:\n    setattr(numpy, name, float)\n",
            "b.py": USING,
        },
        {"a.py": "import numpy as np\ntry:\n    F = np.float\nexcept AttributeError:\n    F = float\n"},
        {"a.py": "import numpy as np\nF = np.float if hasattr(np, 'float') else float\n"},
        {"a.py": "import numpy as np\nif np.__version__ < '1.24':\n    F = np.float\n"},
    ],
)
def test_names_that_the_code_asks_for_or_gives_back_to_numpy(told, files):
    assert found(told(files)) == []


def test_what_is_given_back_is_one_name(told):
    text = "import numpy as np\nnp.float = float\nx = np.int(1)\n"
    assert found(told({"a.py": text})) == [("MM831", "error")]


def test_many_words_in_a_line_take_no_time(told):
    text = "import numpy\nx = '" + "import " * 140_000 + "'\n"
    started = time.monotonic()
    assert found(told({"a.py": text}, select=["MM831"])) == []
    # It took minutes once.
    assert time.monotonic() - started < 60


def test_names_of_numpy_that_are_imported_by_themselves(told):
    diagnosis = told({"a.py": "from numpy import bool, array\n"})
    assert [finding.evidence for finding in diagnosis.findings] == [
        ("a.py:1: from numpy import bool, array  (numpy.bool)",)
    ]


def test_without_numpy_nothing_is_said_of_it(told, site):
    site.remove("numpy")
    assert found(told({"a.py": "import numpy as np\nnp.bool\n"})) == []
