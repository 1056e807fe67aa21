"""The built-in data set: tools on a bench, drawn from a seed.

Everything is integer arithmetic on the frozen stream of ``numpy.random.RandomState``, so that one seed gives
the same bytes on every Python, numpy and machine. The colour of each tool and of each piece of rubbish is
drawn from one palette, which has a colour of the bench in it as well: what a thing is can be told by its
outline and its surface alone.
"""

import math
import os

import numpy as np
import smoke_shapes as shapes

CLASSES = ("bench", "hammer", "wrench", "screwdriver")
PALETTE = ((96, 96, 96), (230, 75, 53), (77, 187, 213), (255, 200, 60))
"""The colours (red, green, blue) in which pictures show the classes: not those of the images."""

SIZE = 96
"""Height and width of an image in pixels."""

_TURN = 256
_ONE = 4096
# Rounded to 12 bits, so that a last digit that differs between C libraries cannot show.
_COS = [round(_ONE * math.cos(2 * math.pi * step / _TURN)) for step in range(_TURN)]
_SIN = [round(_ONE * math.sin(2 * math.pi * step / _TURN)) for step in range(_TURN)]

_WOODS = ((196, 154, 104), (150, 106, 66), (172, 130, 86))
_PAINTS = (
    (172, 130, 86),
    (196, 200, 208),
    (70, 72, 78),
    (186, 58, 48),
    (44, 86, 160),
    (212, 172, 52),
    (58, 122, 74),
)
_TOOLS = (
    (shapes.hammer, shapes.wound),
    (shapes.wrench, shapes.dimpled),
    (shapes.screwdriver, shapes.knurled),
)
_RUBBISH = (shapes.nail, shapes.washer, shapes.offcut)
_LENGTHS = (60, 93)
_MOST_HIDDEN = 30
"""Percent of a tool that later ones may cover; more would leave pieces that nobody could name."""


def draw(seed):
    """Draw one image: ``(image, labels, hidden)``.

    ``image`` is ``uint8`` of shape (SIZE, SIZE, 3) in the order blue, green, red; ``labels`` is ``uint8`` of
    shape (SIZE, SIZE) with indices of :data:`CLASSES`; ``hidden`` is, for each tool, the percent of it that
    others cover.
    """
    random = np.random.RandomState(seed)
    canvas = _bench(random)
    for _ in range(_draw(random, 2, 7)):
        shape = _RUBBISH[_draw(random, 0, len(_RUBBISH))]
        u, v = _placed(random, _draw(random, 9, 18), 0)
        mask = shape(u, v)
        _shade(canvas, mask, 1, 1)
        _fill(random, canvas, mask, shapes.plain(u, v))
    labels, hidden = _place_tools(random, canvas)
    return _photograph(random, canvas), labels, hidden


def write(folder, split, seeds):
    """Write the images of ``seeds`` below ``folder`` where ``mmseg.datasets.CustomDataset`` looks for them.

    ``img_dir/<split>/00000.png`` is an image, ``ann_dir/<split>/00000.png`` its labels.
    """
    import cv2

    images = os.path.join(folder, "img_dir", split)
    truths = os.path.join(folder, "ann_dir", split)
    os.makedirs(images)
    os.makedirs(truths)
    for index, seed in enumerate(seeds):
        image, labels, _ = draw(seed)
        for place, content in ((images, image), (truths, labels)):
            file = os.path.join(place, "%05d.png" % index)
            if not cv2.imwrite(file, content, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                raise OSError("cannot write " + file)


def _draw(random, low, high):
    """Draw a whole number from ``low`` to ``high`` - 1."""
    # The type is named because its default is the platform's.
    return int(random.randint(low, high, dtype=np.int64))


def _paint(random, paints=_PAINTS):
    base = np.array(paints[_draw(random, 0, len(paints))], np.int64)
    return base + random.randint(-16, 17, 3, dtype=np.int64)


def _smooth_noise(random, height, width, strength):
    """Give noise of shape (SIZE, SIZE) that changes over 1/height and 1/width of the image."""
    knots = random.randint(-strength, strength + 1, (height + 1, width + 1), dtype=np.int64)
    y, x = np.arange(SIZE) * height, np.arange(SIZE) * width
    top, left = y // SIZE, x // SIZE
    down, right = (y % SIZE)[:, None], (x % SIZE)[None, :]
    upper = knots[top][:, left] * (SIZE - right) + knots[top][:, left + 1] * right
    lower = knots[top + 1][:, left] * (SIZE - right) + knots[top + 1][:, left + 1] * right
    return (upper * (SIZE - down) + lower * down) // (SIZE * SIZE)


def _bench(random):
    """Give boards with their grain, along rows or columns: an ``int64`` image in red, green, blue."""
    grain = _smooth_noise(random, 48, 4, 16) + _smooth_noise(random, 12, 2, 14)
    width = _draw(random, 18, 48)
    position = np.arange(SIZE) + _draw(random, 0, width)
    tint = random.randint(-18, 19, SIZE // 18 + 3, dtype=np.int64)
    grain += (tint[position // width] - 40 * (position % width == 0))[:, None]
    if _draw(random, 0, 2):
        grain = grain.T
    return _paint(random, _WOODS)[None, None, :] + grain[:, :, None]


def _placed(random, length, margin):
    """Lay a thing of ``length`` pixels inside the margin, turned anyhow; give ``u`` and ``v`` of pixels."""
    row, column = _draw(random, margin, SIZE - margin), _draw(random, margin, SIZE - margin)
    angle = _draw(random, 0, _TURN)
    down, right = (
        np.arange(SIZE, dtype=np.int64)[:, None] - row,
        np.arange(SIZE, dtype=np.int64)[None, :] - column,
    )
    u = (right * _COS[angle] + down * _SIN[angle]) * 1000 // (_ONE * length)
    v = (down * _COS[angle] - right * _SIN[angle]) * 1000 // (_ONE * length)
    return u, -v if _draw(random, 0, 2) else v


def _fill(random, canvas, mask, height):
    canvas[mask] = _paint(random) + _draw(random, 36, 60) * height[mask][:, None]


def _shade(canvas, mask, down, right):
    """Darken where the shadow of ``mask`` falls, so many pixels down and right (negative: left) of it."""
    shadow = np.zeros_like(mask)
    shadow[down:, max(0, right) : SIZE + min(0, right)] = mask[
        : SIZE - down, max(0, -right) : SIZE - max(0, right)
    ]
    canvas[shadow] = canvas[shadow] * 3 // 4


def _place_tools(random, canvas):
    labels = np.zeros((SIZE, SIZE), np.uint8)
    owner = np.full(labels.shape, -1, np.int64)
    wanted = _draw(random, 1, 4)
    shadow = (_draw(random, 1, 4), _draw(random, -3, 4))
    areas = []
    for _ in range(3 * wanted):
        if len(areas) == wanted:
            break
        kind = _draw(random, 0, len(_TOOLS))
        outline, surface = _TOOLS[kind]
        u, v = _placed(random, _draw(random, *_LENGTHS), SIZE // 4)
        mask = outline(u, v)
        if any(share > _MOST_HIDDEN for share in _hidden(owner, areas, ~mask)):
            continue
        _shade(canvas, mask, *shadow)
        _fill(random, canvas, mask, surface(u, v))
        labels[mask] = kind + 1
        owner[mask] = len(areas)
        areas.append(int(mask.sum()))
    return labels, _hidden(owner, areas, owner >= 0)


def _hidden(owner, areas, where):
    """Give the percent of each tool that does not show in ``where``."""
    left = np.bincount(owner[(owner >= 0) & where], minlength=len(areas))
    return [100 * (area - int(rest)) // area for area, rest in zip(areas, left)]  # noqa: B905 (Python 3.7)


def _photograph(random, canvas):
    """Light the scene from one side, soften it as a lens does, and add the noise of a sensor."""
    down, right = (int(value) for value in random.randint(-260, 261, 2, dtype=np.int64))
    line = 2 * np.arange(SIZE, dtype=np.int64) - SIZE
    light = 1000 + _draw(random, -120, 121) + (down * line[:, None] + right * line[None, :]) // SIZE
    picture = canvas * light[:, :, None] // 1000
    for axis in (0, 1):
        wide = np.pad(picture, [(1, 1) if axis == each else (0, 0) for each in range(3)], mode="edge")
        before, after = (wide[:-2], wide[2:]) if axis == 0 else (wide[:, :-2], wide[:, 2:])
        picture = (before + 2 * picture + after + 2) // 4
    picture = picture + random.randint(-9, 10, picture.shape, dtype=np.int64)
    return np.ascontiguousarray(np.clip(picture, 0, 255)[:, :, ::-1]).astype(np.uint8)
