"""A sheet of pictures: image, truth and prediction side by side, with the colours explained."""

import cv2
import numpy as np

_SCALE = 2
_GAP = 8
_HEAD = 26
_BACKGROUND = 250
_INK = (40, 40, 40)
_TITLES = ("image", "truth", "prediction")


def write(path, samples, classes, palette):
    """Write samples, each an image (blue, green, red), its labels and its prediction, in two columns."""
    colours = np.array(palette, np.uint8)[:, ::-1]
    strips = [_strip(image, colours[truth], colours[prediction]) for image, truth, prediction in samples]
    if len(strips) % 2:
        strips.append(np.full_like(strips[0], _BACKGROUND))
    rows = []
    for left, right in zip(strips[::2], strips[1::2]):  # noqa: B905 (Python 3.7)
        rows += [_beside([left, right], 3 * _GAP), _blank(_GAP, 2 * left.shape[1] + 3 * _GAP)]
    head = _beside([_titles(strips[0].shape[1])] * 2, 3 * _GAP)
    body = np.vstack([head, *rows, _legend(classes, colours, head.shape[1])])
    _save(
        path, cv2.copyMakeBorder(body, _GAP, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=[_BACKGROUND] * 3)
    )


def write_enlarged(path, picture):
    """Write one small picture, four times as large."""
    _save(path, cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST))


def _save(path, picture):
    if not cv2.imwrite(path, picture):
        raise OSError("cannot write " + path)


def _strip(*pictures):
    return _beside(
        [
            cv2.resize(picture, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_NEAREST)
            for picture in pictures
        ],
        _GAP,
    )


def _beside(pictures, gap):
    parts = []
    for picture in pictures:
        parts += [_blank(picture.shape[0], gap), picture]
    return np.hstack(parts[1:])


def _blank(height, width):
    return np.full((height, width, 3), _BACKGROUND, np.uint8)


def _write_text(canvas, text, x, y):
    cv2.putText(canvas, text, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)


def _titles(width):
    canvas = _blank(_HEAD, width)
    for index, title in enumerate(_TITLES):
        _write_text(canvas, title, index * (width + _GAP) // len(_TITLES), _HEAD - 9)
    return canvas


def _legend(classes, colours, width):
    canvas = _blank(_HEAD, width)
    for index, (name, colour) in enumerate(zip(classes, colours)):  # noqa: B905 (Python 3.7)
        left = index * 150
        cv2.rectangle(canvas, (left, 8), (left + 16, 22), [int(value) for value in colour], -1)
        _write_text(canvas, name, left + 24, 20)
    return canvas
