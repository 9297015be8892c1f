"""Second looks at a picture that zxing alone did not read: each prepares the image its own way and asks one engine.

Ordered by what they added per millisecond on real photographs: cheap and general first. A video spends one per frame
in turn, a still picture all until one is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import zxingcpp

from drivers import bars
from drivers.engines import Grey, OpenCV, Zbar, Zxing
from drivers.ironing import ironed
from drivers.symbology import Sighting

SMALL_PX = 640  # zbar is at its best, and quickest, here
DOUBLED_PX = 800
STRETCHED_PX = 900
BAND_PX = (760, 60)  # eight pixels to a module of EAN-13 with its quiet zones
STRETCH = 1.8  # undoes a slant of 56 degrees

_clahe = cv2.createCLAHE(3.0, (8, 8))
_darker = (255 * (np.arange(256) / 255) ** 3).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The engines at hand; zbar may be missing on a machine."""

    zxing: Zxing
    zbar: Zbar | None
    opencv: OpenCV


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a rescue saw, and the image it saw it in."""

    image: Grey
    sightings: list[Sighting]


Rescue = Callable[[Grey, Engines], Look]


def at_most(image: Grey, longest_px: int) -> Grey:
    """Shrunk so that its long side is at most `longest_px`; never enlarged."""
    scale = longest_px / max(image.shape)
    if scale >= 1:
        return image
    return scaled(image, scale, scale, cv2.INTER_AREA)


def scaled(image: Grey, x: float, y: float, interpolation: int) -> Grey:
    """Never less than a pixel: a hair of a picture must not stop anything."""
    size = max(1, round(image.shape[1] * x)), max(1, round(image.shape[0] * y))
    return _grey(cv2.resize(image, size, interpolation=interpolation))


def _grey(image: object) -> Grey:
    return np.asarray(image, np.uint8)


def _doubled(image: Grey) -> Grey:
    return scaled(at_most(image, DOUBLED_PX), 2, 2, cv2.INTER_CUBIC)


def _sharpened(image: Grey, sigma_px: float, amount: float) -> Grey:
    soft = cv2.GaussianBlur(image, (0, 0), sigma_px)
    return _grey(cv2.addWeighted(image, 1 + amount, soft, -amount, 0))


def _levelled(image: Grey, reach_px: int = 31) -> Grey:
    """Each neighbourhood stretched from its own black to its own white: shadows and lamps go."""
    half = scaled(image, 0.5, 0.5, cv2.INTER_AREA)
    side = reach_px // 2
    kernel = np.ones((side, side), np.uint8)
    size = (image.shape[1], image.shape[0])
    low = cv2.resize(cv2.blur(cv2.erode(half, kernel), (side, side)), size).astype(np.float32)
    high = cv2.resize(cv2.blur(cv2.dilate(half, kernel), (side, side)), size).astype(np.float32)
    return _grey(np.clip((image - low) / np.maximum(high - low, 16) * 255, 0, 255))


def _zbar(image: Grey, engines: Engines) -> Look:
    return Look(image=image, sightings=engines.zbar.read(image) if engines.zbar else [])


def _zxing(image: Grey, engines: Engines) -> Look:
    return Look(image=image, sightings=engines.zxing.read(image))


def _small_zbar(image: Grey, engines: Engines) -> Look:
    return _zbar(at_most(image, SMALL_PX), engines)


def _contrast(image: Grey, engines: Engines) -> Look:
    return _zxing(_grey(_clahe.apply(image)), engines)


def _band(image: Grey, engines: Engines) -> Look:
    """Bars wherever OpenCV sees some, at any angle, laid straight and enlarged."""
    sightings: list[Sighting] = []
    if not engines.zxing.linear:
        return Look(image=image, sightings=sightings)
    width, height = BAND_PX
    margin = width * 0.1
    flat = np.array([[margin, height], [margin, 0], [width - margin, 0], [width - margin, height]], np.float32)
    for corners in engines.opencv.bands(image):
        turn = cv2.getPerspectiveTransform(corners, flat)
        strip = cv2.warpPerspective(image, turn, BAND_PX, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        sightings += engines.zxing.read(_grey(strip), engines.zxing.linear, glance=True)
    return Look(image=image, sightings=[_somewhere(seen) for seen in sightings])


def _somewhere(seen: Sighting) -> Sighting:
    return Sighting(family=seen.family, symbology=seen.symbology, text=seen.text)


def _glare(image: Grey, engines: Engines) -> Look:
    """Washed-out print: what differs near white is spread, the rest goes dark."""
    return _zxing(_grey(cv2.LUT(image, _darker)), engines)


def _stretched(x: float, y: float) -> Rescue:
    """A matrix code seen from the side."""

    def rescue(image: Grey, engines: Engines) -> Look:
        if not engines.zxing.matrix:
            return Look(image=image, sightings=[])
        wide = scaled(at_most(image, STRETCHED_PX), x, y, cv2.INTER_LINEAR)
        return Look(image=wide, sightings=engines.zxing.read(wide, engines.zxing.matrix))

    return rescue


def _soft_zbar(image: Grey, engines: Engines) -> Look:
    return _zbar(_grey(cv2.GaussianBlur(image, (0, 0), 1.2)), engines)


def _doubled_contrast(image: Grey, engines: Engines) -> Look:
    return _zxing(_grey(_clahe.apply(_doubled(image))), engines)


def _doubled_sharp(image: Grey, engines: Engines) -> Look:
    return _zxing(_sharpened(_doubled(image), 4, 2), engines)


def _level(image: Grey, engines: Engines) -> Look:
    level = _levelled(image)
    return Look(image=level, sightings=engines.zxing.read(level, binarizer=zxingcpp.Binarizer.GlobalHistogram))


def _doubled_opencv(image: Grey, engines: Engines) -> Look:
    large = _doubled(image)
    return Look(image=large, sightings=engines.opencv.read(large) if engines.zxing.reads("EAN13") else [])


def _doubled_zbar(image: Grey, engines: Engines) -> Look:
    return _zbar(_sharpened(_doubled(image), 4, 2), engines) if engines.zbar else Look(image=image, sightings=[])


def _spots(image: Grey, engines: Engines) -> Look:
    """Bright spots: every pixel against its neighbourhood's mean, so that a spot spoils only itself."""
    sharp = _sharpened(_doubled(image), 4, 2)
    black_white = cv2.adaptiveThreshold(sharp, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, 101, 0)
    found = engines.zxing.read(_grey(black_white), binarizer=zxingcpp.Binarizer.FixedThreshold)
    return Look(image=_grey(black_white), sightings=found)


def _ironed(image: Grey, engines: Engines) -> Look:
    """Cloth and creased paper."""
    if not engines.zxing.reads("QRCode"):
        return Look(image=image, sightings=[])
    read = (engines.zxing.read(flat, engines.zxing.matrix) for flat in ironed(image))
    return Look(image=image, sightings=[_somewhere(seen) for seen in next(filter(None, read), [])])


def _drawn(image: Grey, engines: Engines) -> Look:
    """Out of focus: EAN-13 and UPC-A compared with blurred drawings of themselves."""
    sightings = bars.read(image) if engines.zxing.reads("EAN13") else []
    return Look(image=image, sightings=sightings)


RESCUES: dict[str, Rescue] = {
    "zbar-small": _small_zbar,
    "zxing-contrast": _contrast,
    "zxing-band": _band,
    "zxing-glare": _glare,
    "zxing-wide": _stretched(STRETCH, 1),
    "zxing-tall": _stretched(1, STRETCH),
    "zbar-soft": _soft_zbar,
    "zxing-doubled-contrast": _doubled_contrast,
    "zxing-doubled-sharp": _doubled_sharp,
    "zxing-level": _level,
    "opencv-doubled": _doubled_opencv,
    "zbar-doubled": _doubled_zbar,
    "zxing-spots": _spots,
    "zxing-ironed": _ironed,
    "drawn": _drawn,
}
