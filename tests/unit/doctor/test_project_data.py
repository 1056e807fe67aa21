"""Data sets on disk against configurations: folders, pairs, lists, labels, numbers of classes, COCO files."""

import json
import random
import time
import zlib

import pytest
from project_tree import CONFIG, examine, found, furnish, one, png, second_generation, write

from mmsetup.doctor.project.png import labels_of

PLAIN = CONFIG.replace("'SyncBN'", "'BN'")


@pytest.fixture
def told(tmp_path, site, machine, catalog):
    furnish(site)

    def make(files, **more):
        return examine(write(tmp_path / "project", files), site, machine, catalog, **more)

    return make


def mask(*values: int, colours: int = 0) -> bytes:
    return png([bytes(values)] * 3, len(values), colours=colours)


def data(masks, images=None) -> dict[str, bytes]:
    files = {f"data/masks/{name}.png": content for name, content in masks.items()}
    return files | {f"data/images/{name}.jpg": b"" for name in (images if images is not None else masks)}


def test_data_that_fits_is_no_finding(told):
    assert (
        found(told({"a.py": PLAIN, **data({"1": mask(0, 1, 2, 255), "2": mask(2, 2, 2, 2, colours=3)})}))
        == []
    )


def test_without_the_root_it_may_be_elsewhere(told):
    diagnosis = told({"a.py": PLAIN})
    assert found(diagnosis) == [("MM841", "warning")]
    assert one(diagnosis, "MM841").evidence == ("a.py:14: data_root='data'",)


@pytest.mark.parametrize("root", ["~nobody_of_this_name/data", "x" * 5000, "\\udcff"])
def test_what_can_be_no_path_is_not_here(told, root):
    text = PLAIN.replace("data_root='data'", f"data_root='{root}'")
    assert found(told({"c.py": text})) == [("MM841", "warning")]


@pytest.mark.parametrize(
    ("files", "root"), [({"data/.gitkeep": b""}, "data"), ({}, "."), ({"other/a": b""}, "./other/..")]
)
def test_a_root_that_holds_no_data_is_not_here(told, files, root):
    text = PLAIN.replace("data_root='data'", f"data_root={root!r}")
    assert found(told({"c.py": text} | files)) == [("MM841", "warning")]


def test_with_the_root_a_part_that_is_not_there_is_an_error(told):
    diagnosis = told({"a.py": PLAIN, "data/images/1.jpg": b""})
    assert found(diagnosis) == [("MM841", "error")]
    assert one(diagnosis, "MM841").evidence == ("a.py:14: 'data/masks' (train)",)


def test_images_without_masks(told):
    diagnosis = told({"a.py": PLAIN, **data({"1": mask(0)}, images=["1", "2", "b/3"])})
    assert found(diagnosis) == [("MM842", "error")]
    finding = one(diagnosis, "MM842")
    assert "2 of 3 image(s) in data/images have no mask in data/masks" in finding.message
    assert "2.jpg: no 2.png" in finding.evidence


def test_another_suffix_than_the_class_has(told):
    files = {"a.py": PLAIN, "data/images/1.png": b"", "data/masks/1.png": mask(0)}
    diagnosis = told(files)
    assert found(diagnosis) == [("MM842", "error")]
    assert "no file in data/images ends with .jpg" in one(diagnosis, "MM842").message
    assert found(told({**files, "a.py": PLAIN.replace("ann_dir=", "img_suffix='.png', ann_dir=")})) == []


def test_lists_of_images(told):
    listed = {
        **data({"1": mask(0), "2": mask(1)}),
        "a.py": PLAIN.replace("ann_dir=", "split='train.txt', ann_dir="),
    }
    assert found(told({**listed, "data/train.txt": "1\n2\n"})) == []
    diagnosis = told({**listed, "data/train.txt": "1\n7\n"})
    assert found(diagnosis) == [("MM842", "error")]
    assert "names 1 image(s) of 2 that are not there" in one(diagnosis, "MM842").message


def test_a_list_that_is_not_there(told):
    files = {"a.py": PLAIN.replace("ann_dir=", "split='train.txt', ann_dir="), **data({"1": mask(0)})}
    assert found(told(files)) == [("MM841", "error")]


def test_labels_beyond_the_classes(told):
    diagnosis = told({"a.py": PLAIN, **data({"1": mask(0, 1), "2": mask(3, 7, 255, 0)})})
    assert found(diagnosis) == [("MM843", "error")]
    finding = one(diagnosis, "MM843")
    assert "hold 3, 7, the model has 3 classes" in finding.message
    assert "data/masks/2.png: 7" in finding.evidence
    assert finding.remedy.startswith("num_classes=3 in every head, and renumber the masks to the 3 classes")


@pytest.fixture
def numbered(told):
    """Examine heads for some classes, a data set of the project with some, and masks up to a label."""

    def make(heads, classes, label, *, is_named=True):
        names = f"    CLASSES = {tuple('abcdefgh'[:classes])!r}\n" if is_named else ""
        mine = f"@DATASETS.register_module()\nclass Mine(CustomDataset):\n{names}    x = 1\n"
        text = PLAIN.replace("num_classes=3", f"num_classes={heads}").replace("'Leaves'", "'Mine'")
        text = text.replace("ann_dir=", "img_suffix='.jpg', seg_map_suffix='.png', ann_dir=")
        diagnosis = told(
            {"a.py": text, "mine.py": mine, **data({"1": mask(0, label, 255)})}, select=["MM843", "MM844"]
        )
        return {finding.id: finding.remedy for finding in diagnosis.findings}

    return make


@pytest.mark.parametrize(
    ("heads", "classes", "label", "checks", "mends"),
    [
        (3, 3, 5, {"MM843"}, (6, 6)),
        (2, 3, 5, {"MM843", "MM844"}, (6, 6)),
        # Half of that was done.
        (6, 3, 5, {"MM844"}, (6, 6)),
        (3, 6, 5, {"MM843", "MM844"}, (6, 6)),
        (2, 3, 2, {"MM843", "MM844"}, (3, 3)),
        (7, 3, 2, {"MM844"}, (3, 3)),
        (8, 3, 5, {"MM844"}, (6, 6)),
    ],
)
def test_what_mends_labels_and_heads_is_the_same(numbered, *, heads, classes, label, checks, mends):
    remedies = numbered(heads, classes, label)
    assert remedies.keys() == checks
    for remedy in remedies.values():
        assert remedy.startswith(f"num_classes={mends[0]} in every head")
        assert (f"and {mends[1]} classes in mine.py:2" in remedy) == (mends[1] != classes)
    assert numbered(*mends, label) == {}


def test_without_classes_the_heads_alone_are_told(numbered):
    assert numbered(3, 0, 7, is_named=False)["MM843"].startswith("num_classes=8 in every head, or ")


@pytest.mark.parametrize(
    ("option", "values", "is_bad"),
    [
        ("reduce_zero_label=True, ", (0, 1, 3, 255), False),
        ("reduce_zero_label=True, ", (4,), True),
        ("ignore_index=9, ", (0, 9), False),
        ("reduce_zero_label=flag, ", (9,), False),
        ("classes=('leaf', 'stem', 'x'), ", (9,), False),
        ("seg_map_suffix='.tif', ", (9,), False),
    ],
)
def test_labels_with_options(told, option, values, is_bad):
    text = "flag = read()\n" + PLAIN.replace("ann_dir=", f"{option}ann_dir=")
    ids = [finding.id for finding in told({"a.py": text, **data({"1": mask(*values)})}).findings]
    assert ("MM843" in ids) == is_bad


def test_pictures_in_place_of_labels(told):
    content = png([bytes(6)] * 2, 2, colours=2)
    diagnosis = told({"a.py": PLAIN, **data({"1": content})})
    assert found(diagnosis) == [("MM843", "error")]
    assert "pictures in colour" in one(diagnosis, "MM843").message


def test_own_steps_of_the_pipeline_may_renumber(told):
    own = "@PIPELINES.register_module()\nclass Renumber: ...\nif __name__ == '__main__':\n    pass\n"
    text = PLAIN.replace("dict(type='Collect')", "dict(type='Renumber')")
    assert found(told({"a.py": text, "own.py": own, **data({"1": mask(9)})})) == [("MM843", "warning")]


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture at all, but long enough for a header" * 3]
)
def test_damaged_masks_are_passed_over(told, content):
    assert found(told({"a.py": PLAIN, **data({"1": content})})) == []


def test_heads_for_other_classes(told):
    text = PLAIN.replace("num_classes=3", "num_classes=19")
    diagnosis = told({"a.py": text}, ignore=["MM841"])
    assert found(diagnosis) == [("MM844", "warning")]
    assert one(diagnosis, "MM844").evidence[0].startswith("a.py:6: num_classes=19, Leaves has 3 (")


@pytest.mark.parametrize(
    ("classes", "count", "is_bad"),
    [
        ("classes=('a', 'b'), ", 2, False),
        ("classes=('a', 'b'), ", 3, True),
        ("classes=['leaf'], ", 2, False),
        ("classes=names, ", 7, False),
        ("classes='names.txt', ", 7, False),
    ],
)
def test_classes_that_the_configuration_chooses(told, classes, count, is_bad):
    text = PLAIN.replace("ann_dir=", f"{classes}ann_dir=").replace("num_classes=3", f"num_classes={count}")
    assert bool(found(told({"a.py": text}, ignore=["MM841"]))) == is_bad


def test_own_data_sets_are_read(told):
    own = "@DATASETS.register_module()\nclass Mine(CustomDataset):\n    CLASSES = ('a', 'b')\nif __name__ == '__main__':\n    pass\n"
    diagnosis = told({"a.py": PLAIN.replace("'Leaves'", "'Mine'"), "mine.py": own}, ignore=["MM841"])
    assert "mine.py:2" in one(diagnosis, "MM844").evidence[0]


def test_a_data_set_that_is_repeated_is_looked_at_once(told):
    wrapped = "whole = data['train']\n" + "whole = dict(datasets=[whole] * 9000)\n" * 3
    started = time.monotonic()
    diagnosis = told({"a.py": PLAIN + wrapped + "data['train'] = whole\n"})
    assert found(diagnosis) == [("MM841", "warning")]
    assert time.monotonic() - started < 5


def test_wrapped_data_sets_are_found(told):
    text = PLAIN.replace("train=dict(", "train=dict(type='RepeatDataset', times=2, dataset=dict(").replace(
        "dict(type='Collect')]),", "dict(type='Collect')])),"
    )
    diagnosis = told({"a.py": text, **data({"1": mask(9)})}, ignore=["MM811"])
    assert found(diagnosis) == [("MM843", "error")]


MODERN = """
default_scope = 'mmseg'
model = dict(type='EncoderDecoder', decode_head=dict(type='FCNHead', num_classes=3))
train_dataloader = dict(batch_size=2, dataset=dict(
    type='BaseSegDataset', data_root='data', data_prefix=dict(img_path='images', seg_map_path='masks'),
    metainfo=dict(classes=('a', 'b', 'c')), pipeline=[dict(type='LoadImageFromFile')]))
optim_wrapper = dict(type='OptimWrapper')
"""


def test_the_second_generation_has_other_keys(tmp_path, site, machine, catalog):
    second_generation(site)
    files = {"a.py": MODERN, **data({"1": mask(0, 9)}, images=["1", "2"])}
    diagnosis = examine(write(tmp_path / "project", files), site, machine, catalog)
    assert found(diagnosis) == [("MM842", "error"), ("MM843", "error")]


DETECTION = """
model = dict(type='EncoderDecoder', roi_head=dict(bbox_head=dict(num_classes=2)))
runner = dict(type='IterBasedRunner', max_iters=10)
data = dict(samples_per_gpu=2, train=dict(
    type='CocoDataset', classes=('cat', 'dog'), ann_file='data/train.json', img_prefix='data/images', pipeline=[]))
"""


@pytest.mark.parametrize(
    ("categories", "images", "expected"),
    [
        (["cat", "dog"], ["1.jpg"], []),
        (["cat", "dog", "cow"], ["1.jpg"], []),
        (["cat"], ["1.jpg"], [("MM845", "warning")]),
        (["Cat", "Dog"], ["1.jpg"], [("MM845", "error")]),
        (["cat", "dog"], ["1.jpg", "2.jpg"], [("MM845", "error")]),
        ([], [], [("MM845", "error")]),
    ],
)
def test_annotations_of_coco(told, categories, images, expected):
    document = {
        "images": [{"file_name": name} for name in images],
        "categories": [{"name": name} for name in categories],
    }
    files = {"a.py": DETECTION, "data/train.json": json.dumps(document), "data/images/1.jpg": b""}
    assert found(told(files, ignore=["MM811"])) == expected


def test_annotations_that_are_no_json(told):
    diagnosis = told({"a.py": DETECTION, "data/train.json": "{", "data/images/1.jpg": b""}, ignore=["MM811"])
    assert found(diagnosis) == [("MM845", "error")]


@pytest.mark.parametrize(
    "document",
    [
        {"metainfo": {"classes": ["cat"]}, "data_list": [{"img_path": "1.jpg"}]},
        [{"image": "1.jpg", "caption": "a cat"}],
    ],
)
def test_annotations_of_another_kind_are_not_judged(told, document):
    files = {"a.py": DETECTION, "data/train.json": json.dumps(document), "data/images/1.jpg": b""}
    assert found(told(files, ignore=["MM811"])) == []


def test_files_that_begin_with_a_dot_are_no_images(told):
    files = data({"a": mask(0)}) | {"data/images/._a.jpg": b"", "data/images/.b.jpg": b""}
    assert found(told({"c.py": PLAIN} | files)) == []


def test_of_folders_that_are_too_large_nothing_is_said(told, monkeypatch):
    monkeypatch.setattr("mmsetup.doctor.project.datasets._MOST_FILES", 3)
    images = [str(number) for number in range(6)]
    files = {"c.py": PLAIN} | data({f"{part}/{name}": mask(0) for part in "ab" for name in images})
    # The two folders are cut off at different places.
    files |= {f"data/masks/a/{name}.txt": b"" for name in images}
    assert found(told(files)) == []


def test_each_head_may_leave_a_label_out(told):
    head = "dict(type='FCNHead', num_classes=3, ignore_index=9)"
    text = PLAIN + f"model['decode_head'] = [{head}, {head}]\n"
    assert found(told({"a.py": text, **data({"1": mask(0, 9)})})) == []
    assert found(told({"a.py": text, **data({"1": mask(0, 8)})})) == [("MM843", "error")]


def _filtered(row: bytes, before: bytes, kind: int) -> bytes:
    def guess(at: int) -> int:
        left = row[at - 1] if at else 0
        above, corner = before[at], before[at - 1] if at else 0
        if kind == 1:
            return left
        if kind == 2:
            return above
        if kind == 3:
            return (left + above) // 2
        base = left + above - corner
        return min((left, above, corner), key=lambda value: abs(base - value))

    return bytes((row[at] - (guess(at) if kind else 0)) & 255 for at in range(len(row)))


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_of_png_is_undone(tmp_path, kind):
    chance = random.Random(kind)
    rows = [bytes(chance.choice((0, 1, 5, 200)) for _ in range(40)) for _ in range(30)]
    stored = [_filtered(row, rows[n - 1] if n else bytes(40), kind) for n, row in enumerate(rows)]
    (tmp_path / "a.png").write_bytes(png(stored, 40, filters=[kind] * 30))
    assert labels_of(tmp_path / "a.png").values == {0, 1, 5, 200}


@pytest.mark.parametrize(
    ("bits", "rows", "width", "values"),
    [(1, [b"\xa0"], 3, {0, 1}), (2, [b"\x1b"], 4, {0, 1, 2, 3}), (4, [b"\x7f", b"\x70"], 1, {7})],
)
def test_few_bits(tmp_path, bits, rows, width, values):
    (tmp_path / "a.png").write_bytes(png(rows, width, colours=3, bits=bits))
    assert labels_of(tmp_path / "a.png").values == values


def test_a_stream_that_expands_to_more_than_its_header_says_is_cut(tmp_path):
    small = png([bytes(4)] * 4, 4)
    start = small.index(b"IDAT") - 4
    bomb = zlib.compress(bytes(200_000_000), 9)
    chunk = len(bomb).to_bytes(4, "big") + b"IDAT" + bomb + bytes(4)
    (tmp_path / "a.png").write_bytes(small[:start] + chunk)
    assert labels_of(tmp_path / "a.png").values == {0}


def test_a_data_set_that_names_no_folders_has_classes(told):
    text = PLAIN.replace("img_dir='images', ann_dir='masks',", "").replace("num_classes=3", "num_classes=5")
    assert found(told({"a.py": text}, ignore=["MM841"])) == [("MM844", "warning")]


def test_two_classes_may_come_out_of_one_channel(told):
    text = PLAIN.replace("num_classes=3", "num_classes=1").replace("ann_dir=", "classes=('a', 'b'), ann_dir=")
    assert found(told({"a.py": text, **data({"1": mask(0, 1)})})) == []
    plain = PLAIN.replace("num_classes=3", "num_classes=1").replace("'Leaves'", "'CustomDataset'")
    assert found(told({"a.py": plain, **data({"1": mask(0, 1, 2)})})) == [("MM843", "error")]


def test_links_in_folders_of_data_are_followed_and_end(told, tmp_path):
    write(tmp_path / "elsewhere", {"images/1.jpg": b"", "masks/1.png": mask(0)})
    folder = write(
        tmp_path / "project", {"a.py": PLAIN, "data/images/0.jpg": b"", "data/masks/0.png": mask(1)}
    )
    for name in ("images", "masks"):
        (folder / "data" / name / "more").symlink_to(tmp_path / "elsewhere" / name)
        (folder / "data" / name / "loop").symlink_to(folder / "data" / name)
    assert found(told({})) == []
    (tmp_path / "elsewhere" / "masks" / "1.png").unlink()
    assert found(told({})) == [("MM842", "error")]
