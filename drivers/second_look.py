"""A second look at a linear symbol, at the spot where it was seen, over pixels prepared in another way.

Measured on 142 photographs that zxing read at once: laid straight and drawn out to twice its width it reads 88 % of the
right texts again and none of the wrong ones, in a quarter of a millisecond. Blurred or sharpened it repeats its errors.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from drivers.engines import Grey
from drivers.rescues import Engines, scaled
from drivers.symbology import UNCHECKED, Sighting

HALF_HEIGHT_PX = 24
ENLARGED = 2.0
MARGIN = 0.08  # of the symbol's length, either side: quiet zones
AROUND = 0.15  # of the symbol's size


def second_look(image: Grey, seen: Sighting, engines: Engines) -> list[Sighting]:
    """What zxing says of the spot drawn out; for symbols without a check digit what the other family says of it."""
    if not seen.corners:
        return []
    if seen.symbology in UNCHECKED and seen.family == "zxing":
        found = engines.zbar.read(cut(image, seen)) if engines.zbar else []
    elif seen.family == "zxing":
        found = engines.zxing.read(laid(image, seen), engines.zxing.linear, glance=True)
    else:
        spot = scaled(cut(image, seen), ENLARGED, ENLARGED, cv2.INTER_CUBIC)
        found = engines.zxing.read(spot, engines.zxing.linear)
    return [replace(again, corners=seen.corners) for again in found]


def laid(image: Grey, seen: Sighting) -> Grey:
    """The middle of a symbol as a straight strip, bars upright, ENLARGED along its length only."""
    corners = np.array(seen.corners, np.float64) * (image.shape[1], image.shape[0])
    begin, end = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
    length = max(float(np.hypot(*(end - begin))), 8.0)
    along = (end - begin) / length
    margin = MARGIN * length + 8
    origin = begin - along * margin - np.array([-along[1], along[0]]) * HALF_HEIGHT_PX
    size = (int((length + 2 * margin) * ENLARGED), 2 * HALF_HEIGHT_PX)
    back = np.array([[along[0] / ENLARGED, -along[1], origin[0]], [along[1] / ENLARGED, along[0], origin[1]]])
    strip = cv2.warpAffine(
        image, back, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )  # fmt: skip
    return np.asarray(strip, np.uint8)


def cut(image: Grey, seen: Sighting) -> Grey:
    """The upright rectangle around a symbol, with a margin."""
    height, width = image.shape
    left, top, right, bottom = seen.box
    margin = AROUND * max((right - left) * width, (bottom - top) * height) + 8
    rows = slice(max(0, int(top * height - margin)), int(bottom * height + margin))
    columns = slice(max(0, int(left * width - margin)), int(right * width + margin))
    return np.ascontiguousarray(image[rows, columns])
