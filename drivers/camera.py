"""The camera driver: codes held before a camera become readings.

    python -P -m drivers camera --options '{"source": "/dev/video0"}'
    python -P -m drivers camera --decode FILE...       what a photograph decodes to, one JSON object a line

A source is a device (`/dev/video0`, or its number), an address (`http://…/video.mjpg`, `rtsp://…`) or a film's path. A
film is played once: the driver then ends with 0. Everything else is kept open for ever, or opened again.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

import msgspec

from drivers import program
from drivers.lines import Hello
from drivers.program import Ears, Voice

Symbology = Literal[
    "QRCode", "EAN13", "EAN8", "UPCA", "UPCE", "Code128", "Aztec", "DataMatrix", "PDF417", "ITF", "Code39", "Codabar"
]

CURE = "pip install opencv-python-headless zxing-cpp"
HELLO = Hello(driver="camera", capabilities=["pause", "self_test"])
ENVIRONMENT = {
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "2",  # s: a frozen device is noticed, well within five heartbeats
    "OPENBLAS_NUM_THREADS": "1",  # of the two cores of a till one belongs to the till
    "OPENCV_LOG_LEVEL": "OFF",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # its complaints about single frames would fill the log
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`formats`: fewer are read faster; an empty frame costs five times as much with all of them."""

    source: str | int = 0
    formats: tuple[Symbology, ...] = ("QRCode", "EAN13", "EAN8", "UPCA", "UPCE", "Code128")

    def path(self) -> str:
        number = str(self.source)
        return f"/dev/video{number}" if number.isdigit() else number


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    _load()
    from drivers.camera_loop import Camera

    Camera(options.path(), options.formats, voice, ears).run()


def _load() -> None:
    """OpenCV reads its environment when it is imported, so that is set first. Raises LibraryMissingError."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import cv2
        import zxingcpp  # noqa: F401
    except ImportError as error:
        raise program.LibraryMissingError(f"the camera's libraries do not load ({error}). Fix: {CURE}") from error
    cv2.setNumThreads(1)


def main(argv: list[str]) -> int:
    """Runs the driver, or decodes files. Returns the exit code."""
    if argv[:1] == ["--decode"]:
        return _decode(argv[1:])
    code = program.run(HELLO, Options, argv, _body)
    if sys.stdout is not None:
        sys.stdout.flush()
    os._exit(code)  # the feed's thread may be in a call that never returns; nothing is left to tidy up


def _decode(files: list[str]) -> int:
    try:
        _load()
    except program.LibraryMissingError as error:
        print(error, file=sys.stderr)
        return program.EXIT_LIBRARY
    from drivers.decode import decode_files

    return decode_files(files)
