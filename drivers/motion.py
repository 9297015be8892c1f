"""Whether anything moves before a camera: pictures where nothing does are hardly worth an engine's time."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

THUMB_PX = (160, 90)
STEP = 20  # grey levels: the noise of a cheap sensor stays below after the 3x3 mean
MOVED_SHARE = 0.004  # of the thumbnail: a telephone at a metre and a half
LINGER_FRAMES = 30  # all rescues get two turns after the last movement
IDLE_EVERY_FRAMES = 15  # a code laid down while nobody looked is found within half a second
SAME_PICTURES = 100  # ten seconds of pictures equal to the last bit
NOISY_PICTURES = 30


def thumbnail(picture: Picture) -> Picture:
    """(90, 160) grey of a BGR or grey picture: every n-th pixel, then a 3x3 mean."""
    small = cv2.resize(picture, THUMB_PX, interpolation=cv2.INTER_NEAREST)
    green = small[:, :, 1] if small.ndim == 3 else small
    return np.asarray(cv2.blur(green, (3, 3)), np.uint8)


class Gate:
    """Says for each picture whether to look at it: while something moves, LINGER_FRAMES after, else every
    IDLE_EVERY_FRAMES."""

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._still_frames = 0
        self._unseen_frames = 0

    @property
    def moving(self) -> bool:
        return self._still_frames < LINGER_FRAMES

    def opens(self, thumb: Picture, frames: int = 1) -> bool:
        """`frames`: how many frames of the camera passed since the last picture shown to the gate."""
        self._still_frames = 0 if self._moved(thumb) else self._still_frames + frames
        self._last = thumb
        self._unseen_frames += frames
        if not self.moving and self._unseen_frames < IDLE_EVERY_FRAMES:
            return False
        self._unseen_frames = 0
        return True

    def linger(self) -> None:
        """Something was seen that wants a second frame."""
        self._still_frames = 0

    def _moved(self, thumb: Picture) -> bool:
        if self._last is None:
            return True
        change = cv2.absdiff(thumb, self._last)
        return int(np.count_nonzero(change > STEP)) > MOVED_SHARE * change.size


class Stillness:
    """Notices a camera that sends one picture over and over. A real sensor has noise, so equal pictures mean that it
    stopped; a rendered source has none, and is never suspected: it must have been noisy first."""

    def __init__(self) -> None:
        self._last: bytes = b""
        self._noisy = 0
        self._same = 0

    def stopped(self, thumb: Picture) -> bool:
        now = thumb.tobytes()
        same, self._last = now == self._last, now
        if not same:
            self._noisy, self._same = self._noisy + 1, 0
            return False
        self._same += 1
        if self._noisy < NOISY_PICTURES:
            self._noisy = 0
        return self._noisy >= NOISY_PICTURES and self._same >= SAME_PICTURES


def figures(picture: Picture) -> dict[str, float]:
    """What a technician asks of one picture: size (px), brightness (mean and 95th percentile, 0 to 255), the share of
    it that is blinding, and sharpness (variance of the Laplacian)."""
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    return {
        "width_px": grey.shape[1],
        "height_px": grey.shape[0],
        "brightness": round(float(grey.mean()), 1),
        "brightness_p95": round(float(np.percentile(grey, 95)), 1),
        "glare_share": round(float((grey > 250).mean()), 3),
        "sharpness": round(float(cv2.Laplacian(grey, cv2.CV_32F).var()), 1),
    }
