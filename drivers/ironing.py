"""Irons QR codes flat: on cloth, on creased or rolled paper modules stray from the even grid that engines lay.

zxing finds such a code by its three corner patterns and fails on its modules. Laid out square, the edges of modules
should lie on whole multiples of the module's width (ISO/IEC 18004 7.3.2); how far they stray, place by place, is the
phase of the edges at that period. Moving the picture by the smoothed phase, coarse first, puts them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

Grey = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Corners = npt.NDArray[np.float32]

MODULE_PX = 8
JUDGED_PX = 4  # enough to tell sizes apart, at a quarter of the cost
QUIET = 4  # modules (ISO/IEC 18004 6.3.8)
SIZES = range(21, 58, 4)  # modules: versions 1 to 10; larger ones are too fine to stray by eye
TRIED_CODES = 3  # zxing guesses more than one trio of corner patterns; the right one is not always the first
COARSE_TO_FINE = (4.0, 2.5, 1.8)  # modules over which the straying is taken for even


def ironed(image: Grey) -> Iterator[Grey]:
    """For each QR code that was found and not read: a picture of it alone, flat, of its likeliest size."""
    for corners in _found(image)[:TRIED_CODES]:
        size = max(SIZES, key=lambda size: _evenness(_flat(image, corners, size, JUDGED_PX)))
        yield _iron(_flat(image, corners, size, MODULE_PX))


def _found(image: Grey) -> list[Corners]:
    formats: Any = [zxingcpp.BarcodeFormat.QRCode]
    places = [barcode.position for barcode in zxingcpp.read_barcodes(image, formats=formats, return_errors=True)]
    quads = [
        np.array([(c.x, c.y) for c in (p.top_left, p.top_right, p.bottom_right, p.bottom_left)], np.float32)
        for p in places
    ]
    return [quad for quad in quads if cv2.contourArea(quad) > SIZES[0] ** 2]


def _flat(image: Grey, corners: Corners, size: int, module_px: int) -> Grey:
    """Square, `module_px` to a module if the code has `size` of them along a side."""
    low, high = QUIET * module_px, (QUIET + size) * module_px
    square = np.array([[low, low], [high, low], [high, high], [low, high]], np.float32)
    turn = cv2.getPerspectiveTransform(corners, square)
    side = (size + 2 * QUIET) * module_px
    flat = cv2.warpPerspective(image, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8)


def _evenness(flat: Grey) -> float:
    """How well edges agree on a grid of modules, place by place: 0 to 1."""
    agreed = total = 0.0
    for across in (True, False):
        cosine, sine, strength = _waves(flat, across, 2.5, JUDGED_PX)
        agreed += float(np.hypot(cosine, sine).sum())
        total += float(strength.sum())
    return agreed / (total + 1e-6)


def _waves(flat: Grey, across: bool, reach: float, module_px: int) -> tuple[Field, Field, Field]:
    """Edges as waves of one module's period, averaged over `reach` modules: cosine, sine and strength."""
    edges = np.abs(cv2.Sobel(flat, cv2.CV_32F, int(across), int(not across)))
    turns = ((np.arange(len(flat)) + 0.5) * (2 * np.pi / module_px)).astype(np.float32)
    turns = turns[None] if across else turns[:, None]
    parts = (edges * np.cos(turns), edges * np.sin(turns), edges)
    cosine, sine, strength = (_averaged(np.asarray(part, np.float32), reach * module_px) for part in parts)
    return cosine, sine, strength


def _averaged(field: Field, sigma_px: float) -> Field:
    """About a Gaussian: three box means, whose cost does not grow with sigma."""
    side = int(2 * sigma_px) | 1
    for _ in range(3):
        field = np.asarray(cv2.blur(field, (side, side)), np.float32)
    return field


def _iron(flat: Grey) -> Grey:
    x, y = np.meshgrid(np.arange(len(flat), dtype=np.float32), np.arange(len(flat), dtype=np.float32))
    from_x, from_y, now = x, y, flat
    for reach in COARSE_TO_FINE:
        to_x, to_y = x + _straying(now, True, reach), y + _straying(now, False, reach)
        from_x, from_y = _moved(from_x, to_x, to_y), _moved(from_y, to_x, to_y)
        now = np.asarray(_moved(flat, from_x, from_y), np.uint8)
    return now


def _straying(flat: Grey, across: bool, reach: float) -> Field:
    """Pixels, at most half a module either way."""
    cosine, sine, _ = _waves(flat, across, reach, MODULE_PX)
    stray = np.arctan2(sine, cosine) * (MODULE_PX / (2 * np.pi))
    return _averaged(np.asarray(stray, np.float32), reach / 2 * MODULE_PX)


def _moved(field: npt.NDArray[np.generic], x: Field, y: Field) -> Field:
    return np.asarray(cv2.remap(np.asarray(field), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
