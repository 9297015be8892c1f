"""How many codes of a folder of photographs are read, and at what cost, against zxing alone in the same run.

The folder has a `manifest.csv` with at least the columns file, symbology, expected and expected_all_json; the
photographs are not ours to ship. A photograph counts as read when one of its expected texts is among those found. UPC
and EAN are compared as the number they stand for: leading zeros and the short form of UPC-E make no difference.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from drivers.engines import Grey
from drivers.symbology import ALL, RETAIL, lengthen
from drivers.symbols import Cascade, Code, grey_of

RUNS = 5
SLOW = 10
RIGHT_AIM, MEDIAN_AIM, WRONG_AIM = 0.85, 2.5, 1
PRINTED = {  # photographs whose manifest disagrees with the digits to be seen below the bars
    "openfoodfacts__barcodes__0253097015413_2.jpg": "0253097016335",
    "zxing-cpp__ean13-2__23.webp": "9784872348880",
    "zxing-cpp__ean13-2__28.webp": "9784872348880",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photograph, and the texts that are right for it."""

    file: str
    grey: Grey
    symbology: str
    expected: tuple[str, ...]

    def has(self, text: str) -> bool:
        return number(text, self.symbology) in {number(right, self.symbology) for right in self.expected}


def run(folder: Path) -> dict[str, dict[str, Any]]:
    """Share read, median time and wrong confirmed texts; median of RUNS passes, each interleaved with its baseline."""
    photos, cascade = _photos(folder), Cascade(ALL)
    alone_ms, ours_ms = _medians(cascade, photos)
    read = [cascade.still(photo.grey) for photo in photos]
    alone = [cascade.engines.zxing.read(photo.grey) for photo in photos]
    right = _share([any(photo.has(code.text) for code in codes) for photo, codes in zip(photos, read, strict=True)])
    plain = _share([any(photo.has(seen.text) for seen in found) for photo, found in zip(photos, alone, strict=True)])
    by_manifest = _wrong(photos, read)
    wrong = [(file, code) for file, code in by_manifest if not _is_printed(file, code)]
    wrong_qr = sum(code.symbology == "QRCode" for _, code in wrong)
    return {
        "codes.right": _figure(right, "share", plain, f">= {RIGHT_AIM}", right >= RIGHT_AIM),
        "codes.median": _figure(
            ours_ms / alone_ms, "ratio to zxing alone", 1.0, f"<= {MEDIAN_AIM}", ours_ms <= MEDIAN_AIM * alone_ms
        ),
        "codes.wrong_confirmed": _figure(
            len(wrong), "texts", None, f"<= {WRONG_AIM}, no QR", len(wrong) <= WRONG_AIM and not wrong_qr
        )
        | {"by_manifest": len(by_manifest)},
    }


def number(text: str, symbology: str) -> str:
    """Retail texts as the number they stand for, without leading zeros; others as they are."""
    text = text.strip()
    if symbology not in RETAIL or not text.isdigit():
        return text
    return (lengthen(text) if symbology == "UPCE" and len(text) == 8 else text).lstrip("0")


def _photos(folder: Path) -> list[Photo]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as manifest:
        return [_photo(folder, row) for row in csv.DictReader(manifest)]


def _photo(folder: Path, row: dict[str, str]) -> Photo:
    image = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"{folder / row['file']} is listed in the manifest and is no picture")
    expected = (row["expected"], *json.loads(row["expected_all_json"] or "[]"))
    grey = grey_of(np.asarray(image, np.uint8))
    return Photo(file=row["file"], grey=grey, symbology=row["symbology"], expected=expected)


def _medians(cascade: Cascade, photos: list[Photo]) -> tuple[float, float]:
    """Median of RUNS medians, of zxing alone and of the cascade, in milliseconds. A photograph that took SLOW times the
    median once is not timed again: on which side of the median it lies is known."""
    first = [_timed(cascade, photo) for photo in photos]
    passes, limit_ms = [first], SLOW * median(ours for _, ours in first)
    for _ in range(RUNS - 1):
        pairs = zip(photos, first, strict=True)
        passes.append([old if old[1] > limit_ms else _timed(cascade, photo) for photo, old in pairs])
    alone_ms = median(median(alone for alone, _ in each) for each in passes)
    return alone_ms, median(median(ours for _, ours in each) for each in passes)


def _timed(cascade: Cascade, photo: Photo) -> tuple[float, float]:
    """Milliseconds of zxing alone, and of the cascade."""
    began = perf_counter()
    cascade.engines.zxing.read(photo.grey)
    between = perf_counter()
    cascade.still(photo.grey)
    return (between - began) * 1000, (perf_counter() - between) * 1000


def _wrong(photos: list[Photo], read: list[list[Code]]) -> list[tuple[str, Code]]:
    """Confirmed texts that the manifest does not have."""
    pairs = zip(photos, read, strict=True)
    return [
        (photo.file, code) for photo, codes in pairs for code in codes if code.confirmed and not photo.has(code.text)
    ]


def _is_printed(file: str, code: Code) -> bool:
    return file in PRINTED and number(PRINTED[file], code.symbology) == number(code.text, code.symbology)


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def _figure(value: float, unit: str, baseline: float | None, aim: str, met: bool) -> dict[str, Any]:
    return {
        "value": round(value, 4),
        "unit": unit,
        "baseline": round(baseline, 4) if baseline is not None else None,
        "ratio": round(value / baseline, 3) if baseline else None,
        "aim": aim,
        "met": met,
        "runs": RUNS,
    }
