"""What picture files decode to: one JSON object a line, for `holdfast readers decode`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np

from drivers.symbology import ALL, Code
from drivers.symbols import Cascade


class Decoded(msgspec.Struct, kw_only=True):
    """Codes of one file. `elapsed_ms` is the search alone: grey conversion, shrinking, all stages."""

    file: str
    codes: list[Code]
    elapsed_ms: float


class Undecoded(msgspec.Struct, kw_only=True):
    """A file that is no picture. `code`: picture.absent or picture.unreadable."""

    file: str
    code: str
    error: str
    codes: list[Code] = []
    elapsed_ms: float = 0.0


def decode_files(files: list[str]) -> int:
    """Prints a line for each file; returns 0, 1 when one was no picture, 2 when none was named."""
    if not files:
        print("usage: python -P -m drivers camera --decode FILE...", file=sys.stderr)
        return 2
    cascade = Cascade(ALL)
    cascade.still(np.full((64, 64), 255, np.uint8))  # libraries build tables on their first call
    bad = 0
    for file in files:
        decoded = decode_file(cascade, file)
        bad += isinstance(decoded, Undecoded)
        print(msgspec.json.encode(decoded).decode(), flush=True)
    return 1 if bad else 0


def decode_file(cascade: Cascade, file: str) -> Decoded | Undecoded:
    """Turned upright as the file's EXIF data say."""
    try:
        data = np.frombuffer(Path(file).read_bytes(), np.uint8)
    except OSError as error:
        return Undecoded(file=file, code="picture.absent", error=error.strerror or str(error))
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:  # more pixels than OpenCV takes
        return Undecoded(file=file, code="picture.unreadable", error=error.err)
    if image is None:
        return Undecoded(file=file, code="picture.unreadable", error="not a picture in a format known here")
    began_s = time.perf_counter()
    codes = cascade.still(np.asarray(image, np.uint8))
    return Decoded(file=file, codes=codes, elapsed_ms=round((time.perf_counter() - began_s) * 1000, 2))
