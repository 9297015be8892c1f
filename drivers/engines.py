"""The engines that find symbols in a grey image, each behind the same small door.

Three families that misread in different ways: zxing, zbar (pyzbar), and OpenCV's barcode detector. zbar is optional:
its shared library (libzbar0) is a system package that a till may lack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

from drivers.symbology import ALL, LINEAR, MATRIX, Sighting, named

Grey = npt.NDArray[np.uint8]

ZBAR_CURE = "sudo apt-get install --no-install-recommends libzbar0"

_ZXING = {name: getattr(zxingcpp.BarcodeFormat, name) for name in ALL}
_ZBAR = {"QRCODE": "QRCode", "I25": "ITF", "CODE39": "Code39", "CODABAR": "Codabar", "CODE128": "Code128"}
_ZBAR |= {name: name for name in ("EAN13", "EAN8", "UPCA", "UPCE")}
_OPENCV = {"EAN_13": "EAN13", "EAN_8": "EAN8", "UPC_A": "UPCA", "UPC_E": "UPCE"}


class LibraryMissingError(Exception):
    """A native library of an engine is not on this machine; the text names the package that brings it."""


class Zxing:
    """zxing-cpp, restricted to the formats in use: an empty frame costs five times as much with all of them."""

    def __init__(self, formats: Iterable[str]) -> None:
        wanted = set(formats)
        self.formats = [_ZXING[name] for name in ALL if name in wanted or (name == "EAN13" and "UPCA" in wanted)]
        self.linear = [_ZXING[name] for name in LINEAR if _ZXING[name] in self.formats]
        self.matrix = [_ZXING[name] for name in MATRIX if name in wanted]

    def reads(self, symbology: str) -> bool:
        """Whether it is in use; EAN-13 and UPC-A are one to an engine."""
        return _ZXING[symbology] in self.formats

    def read(
        self,
        image: Grey,
        formats: list[Any] | None = None,
        binarizer: Any = zxingcpp.Binarizer.LocalAverage,
        glance: bool = False,
    ) -> list[Sighting]:
        """All symbols; `formats` defaults to all in use; an empty list reads nothing. A glance looks for upright, dark
        symbols at one scale only: of 328 photographs that zxing read it read 314, in two fifths of the time."""
        wanted = self.formats if formats is None else formats
        if not wanted:
            return []
        found = zxingcpp.read_barcodes(
            image,
            formats=cast(Any, wanted),  # the wheel's types lag behind: a list is taken
            binarizer=binarizer,
            try_rotate=not glance,
            try_downscale=not glance,
            try_invert=not glance,
            text_mode=zxingcpp.TextMode.Plain,
        )
        return [_of_zxing(barcode, image) for barcode in found]


def _of_zxing(barcode: Any, image: Grey) -> Sighting:
    at = barcode.position
    corners = [(p.x, p.y) for p in (at.top_left, at.top_right, at.bottom_right, at.bottom_left)]
    symbology, text = named(barcode.format.name, barcode.text)
    return Sighting(family="zxing", symbology=symbology, text=text, corners=_shares(corners, image))


def _shares(corners: list[tuple[int, int]], image: Grey) -> tuple[tuple[float, float], ...]:
    height, width = image.shape
    return tuple((x / width, y / height) for x, y in corners)


class Zbar:
    """zbar through pyzbar. Raises LibraryMissingError when the wheel or libzbar0 is absent."""

    def __init__(self, formats: Iterable[str]) -> None:
        try:
            from pyzbar import pyzbar
        except ImportError as error:
            raise LibraryMissingError(
                f"zbar does not load ({error}); codes are read without it, damaged ones less well. Fix: {ZBAR_CURE}"
            ) from error
        wanted = set(formats)
        self._decode = pyzbar.decode
        self.symbols = {
            ours: pyzbar.ZBarSymbol[theirs]
            for theirs, ours in _ZBAR.items()
            if ours in wanted or (ours == "EAN13" and "UPCA" in wanted)
        }

    def read(self, image: Grey, only: str | None = None) -> list[Sighting]:
        """All symbols; `only` restricts to one symbology."""
        wanted = [kind for name, kind in self.symbols.items() if only in (None, name)]
        if not wanted:
            return []
        return [_of_zbar(found, image) for found in self._decode(image, symbols=wanted)]


def _of_zbar(found: Any, image: Grey) -> Sighting:
    symbology, text = named(_ZBAR[found.type], found.data.decode("utf-8", "replace"))
    x, y, width, height = found.rect
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    return Sighting(family="zbar", symbology=symbology, text=text, corners=_shares(corners, image))


class OpenCV:
    """OpenCV's barcode detector: reads EAN and UPC, and finds the corners of bands of bars that nobody reads."""

    def __init__(self) -> None:
        self._detector = cv2.barcode.BarcodeDetector()

    def read(self, image: Grey) -> list[Sighting]:
        read, texts, kinds, _ = self._detector.detectAndDecodeWithType(image)
        if not read:
            return []
        named_pairs = [
            named(_OPENCV[kind], text) for text, kind in zip(texts, kinds, strict=True) if text and kind in _OPENCV
        ]
        return [Sighting(family="opencv", symbology=symbology, text=text) for symbology, text in named_pairs]

    def bands(self, image: Grey) -> list[npt.NDArray[np.float32]]:
        """Four corners each: bottom left, top left, top right, bottom right, bars upright between them."""
        found, corners = self._detector.detectMulti(image)
        return [np.asarray(corner, np.float32) for corner in corners] if found else []
