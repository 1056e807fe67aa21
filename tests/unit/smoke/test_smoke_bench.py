from __future__ import annotations

import hashlib

import numpy as np
import pytest

TRAIN = range(120)
UNSEEN = range(500_000, 500_032)


@pytest.fixture(scope="module")
def drawn(bench):
    return [bench.draw(seed) for seed in TRAIN]


@pytest.fixture(scope="module")
def unseen(bench):
    return [bench.draw(seed) for seed in UNSEEN]


def test_a_seed_gives_the_same_bytes_everywhere(bench):
    # The same value was computed with numpy 1.26 on Python 3.10 and numpy 2 on Python 3.11.
    digest = hashlib.sha256()
    for seed in range(8):
        image, labels, _ = bench.draw(seed)
        digest.update(image.tobytes() + labels.tobytes())
    assert digest.hexdigest() == "e5c014078f3d8609f66da3ef8dc45b963474aea0a8cfa62c15be6032a8fa37f2"


def test_images_and_labels_have_the_promised_form(bench, drawn):
    for image, labels, _ in drawn:
        assert (image.shape, image.dtype) == ((bench.SIZE, bench.SIZE, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((bench.SIZE, bench.SIZE), np.uint8)
        assert labels.max() < len(bench.CLASSES)
    assert 64 <= bench.SIZE <= 128
    assert len(bench.CLASSES) == len(bench.PALETTE) >= 4


def test_no_two_images_are_the_same(drawn, unseen):
    assert len({image.tobytes() for image, _, _ in drawn + unseen}) == len(TRAIN) + len(UNSEEN)


def test_classes_are_balanced(bench, drawn):
    labels = np.concatenate([labels.ravel() for _, labels, _ in drawn])
    share = np.bincount(labels, minlength=len(bench.CLASSES)) / labels.size
    assert 0.6 < share[0] < 0.85
    assert (share[1:] > 0.05).all()
    assert share[1:].max() < 1.7 * share[1:].min()


def test_tools_hide_parts_of_other_tools_but_never_most_of_them(drawn):
    hidden = [percent for _, _, percents in drawn for percent in percents]
    assert 0.4 < np.mean([any(percent >= 5 for percent in percents) for _, _, percents in drawn]) < 0.8
    assert max(hidden) <= 30


def test_tools_differ_in_size(drawn):
    alone = [np.count_nonzero(labels) for _, labels, percents in drawn if len(percents) == 1 and labels.any()]
    assert max(alone) > 2 * min(alone)


def test_colour_alone_does_not_solve_it(bench, drawn, unseen):
    """The best per-pixel classifier by colour, a histogram of 16 steps a channel, stays far below 0.80."""
    classes = len(bench.CLASSES)
    counts = np.zeros((classes, 16**3))
    for image, labels, _ in drawn:
        np.add.at(counts, (labels.ravel(), _bins(image)), 1)
    for weights in (np.ones((classes, 1)), 1 / counts.sum(axis=1, keepdims=True)):
        guess = (counts * weights).argmax(axis=0)
        confusion = np.zeros((classes, classes))
        for image, labels, _ in unseen:
            np.add.at(confusion, (labels.ravel(), guess[_bins(image)]), 1)
        assert _mean_iou(confusion) < 0.5


def _bins(image):
    steps = image.reshape(-1, 3).astype(np.int64) // 16
    return steps[:, 0] * 256 + steps[:, 1] * 16 + steps[:, 2]


def _mean_iou(confusion):
    both = np.diag(confusion)
    return float(np.mean(both / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)))
