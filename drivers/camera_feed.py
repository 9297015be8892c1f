"""The camera end of the driver: a thread that keeps taking pictures, so that they never go stale in a queue.

It opens the source, drains it, reopens it with growing pauses when it fails, and says what is wrong. It beats no heart:
`stuck_s` tells the main loop how long the present call into OpenCV has lasted, and the main loop falls silent then.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from drivers.camera_trouble import Trouble, gone, is_device, is_network, silent, why_not_open

Picture = npt.NDArray[np.uint8]

OPEN_TIMEOUT_MS = 4000
READ_TIMEOUT_MS = 2500  # wireless cameras pause for a second or two
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
SILENT_S = 1.6  # a read that failed after this long ran into a timeout: V4L2's of 2 s, or READ_TIMEOUT_MS
IDLE_STRIDE = 3  # ten pictures a second are enough to notice a hand
EVERY_PICTURE = 1
FILM_PAUSE_S = 1 / 60  # a film is played, not swallowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A picture, (height, width, 3) BGR, and how many frames the camera sent since the one before."""

    picture: Picture
    frames: int


class Feed:
    """Pictures of one source. `wake_fd` becomes readable when there is a new one, or news of the camera."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.opened = 0  # how often the camera was (re)opened with success
        self.frame_rate = 0.0
        self.trouble: Trouble | None = None
        self.ended = False  # a file that has been played
        self.wake_fd, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self.wake_fd, False)
        self._lock = threading.Lock()
        self._latest: Picture | None = None
        self._frames = 0
        self._called_s = time.monotonic()
        self._reopen = threading.Event()
        self._paced_s = 0.0
        self._film = not (is_network(source) or is_device(source))
        self._stride = EVERY_PICTURE if self._film else IDLE_STRIDE

    def start(self) -> None:
        threading.Thread(target=self._run, name="camera", daemon=True).start()

    def take(self) -> Taken | None:
        """The newest picture, once."""
        try:
            os.read(self.wake_fd, 4096)
        except BlockingIOError:
            pass
        with self._lock:
            picture, frames = self._latest, self._frames
            self._latest, self._frames = None, 0
        return Taken(picture=picture, frames=frames) if picture is not None else None

    @property
    def stride(self) -> int:
        """Every how many frames there is a picture: decoding all of them is most of what an idle camera costs."""
        return self._stride

    def hurry(self, moving: bool) -> None:
        if not self._film:
            self._stride = EVERY_PICTURE if moving else IDLE_STRIDE

    def stuck_s(self) -> float:
        """How long the thread has been in one call."""
        return time.monotonic() - self._called_s

    def reopen(self) -> None:
        """Closes and opens the camera, which the caller found to be stuck."""
        self._reopen.set()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self.ended:
            self._reopen.clear()
            if self._play():
                pause_s = FIRST_PAUSE_S
            self._tell()
            self._rest(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _rest(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0:
            self._called_s = time.monotonic()
            time.sleep(min(left_s, 0.5))

    def _play(self) -> bool:
        """Opens and drains the source until it fails; whether it gave a picture."""
        self._called_s = time.monotonic()
        capture = _open(self.source)
        try:
            if not capture.isOpened():
                self._called_s = time.monotonic()
                self.trouble = why_not_open(self.source)
                return False
            return self._drain(capture)
        finally:
            capture.release()

    def _drain(self, capture: cv2.VideoCapture) -> bool:
        taken = shown = 0
        while not self._reopen.is_set():
            began_s = self._called_s = time.monotonic()
            if not capture.grab():
                self._failed(time.monotonic() - began_s, shown)
                break
            taken += 1
            self._pace(began_s)
            if taken % self.stride == 0:
                self._show(np.asarray(capture.retrieve()[1], np.uint8), first=shown == 0)
                shown += 1
            if self._film:
                time.sleep(FILM_PAUSE_S)
        return shown > 0

    def _show(self, picture: Picture, first: bool) -> None:
        with self._lock:
            self._latest, self._frames = picture, self._frames + self.stride
        if first:
            self.opened += 1
            self.trouble = None
        self._tell()

    def _failed(self, waited_s: float, shown: int) -> None:
        if self._film and shown:
            self.ended = True
        elif waited_s > SILENT_S:
            self.trouble = silent(self.source)
        elif shown:
            self.trouble = gone(self.source)
        else:
            self._called_s = time.monotonic()
            self.trouble = why_not_open(self.source)

    def _pace(self, now_s: float) -> None:
        interval_s, self._paced_s = now_s - self._paced_s, now_s
        if 0 < interval_s < 1:
            self.frame_rate += 0.05 * (1 / interval_s - self.frame_rate)

    def _tell(self) -> None:
        try:
            os.write(self._wake, b".")
        except BlockingIOError:
            pass  # nobody has looked for a while; the pipe is full of news already


def _open(source: str) -> cv2.VideoCapture:
    """Timeouts are for FFmpeg alone: V4L2 refuses to open with them (it takes its own from the environment)."""
    if is_device(source):
        return cv2.VideoCapture(source, cv2.CAP_V4L2)
    if is_network(source):
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, [*limits, cv2.CAP_PROP_N_THREADS, 1])
    return cv2.VideoCapture(source)
