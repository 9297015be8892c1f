"""Pictures of codes as a counter camera sees them: drawn by zxing, then bent, blurred, lit and made noisy."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

Picture = npt.NDArray[np.uint8]

WIDTH_PX, HEIGHT_PX = 640, 480


def code(symbology: str, text: str, width_px: int = 260, **options: object) -> Picture:
    """A symbol alone, grey, with its quiet zone; scaled to `width_px`."""
    barcode = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, symbology), **options)
    image = np.asarray(barcode.to_image(scale=4), np.uint8)
    quiet = cv2.copyMakeBorder(image, 24, 24, 40, 40, cv2.BORDER_CONSTANT, value=(255.0,))
    height_px = max(1, round(quiet.shape[0] * width_px / quiet.shape[1]))
    return np.asarray(cv2.resize(quiet, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)


def counter(symbol: Picture | None = None, seed: int = 0, at: tuple[int, int] = (180, 100)) -> Picture:
    """A grey counter, (480, 640), with sensor noise; the symbol lies on it with its left top corner `at` x, y."""
    scene = np.full((HEIGHT_PX, WIDTH_PX), 120, np.float32)
    if symbol is not None:
        x, y = at
        scene[y : y + symbol.shape[0], x : x + symbol.shape[1]] = symbol
    return noisy(np.asarray(scene, np.uint8), 3, seed)


def noisy(picture: Picture, sigma: float, seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def blurred(picture: Picture, sigma_px: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.uint8)


def bent(picture: Picture, depth_px: float) -> Picture:
    """Wrapped round a bottle: the middle comes nearer than the sides."""
    height, width = picture.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sag = depth_px * (1 - ((x - width / 2) / (width / 2)) ** 2)
    bowed = cv2.remap(picture, x, (y + sag).astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bowed, np.uint8)


def creased(picture: Picture, depth_px: float, width_px: float = 70) -> Picture:
    """On cloth: waves in both directions."""
    height, width = picture.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    turn = 2 * np.pi / width_px
    to_x, to_y = x + depth_px * np.sin(turn * y), y + depth_px * np.sin(turn * (x + y / 2))
    waved = cv2.remap(picture, np.float32(to_x), np.float32(to_y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(waved, np.uint8)


def turned(picture: Picture, degrees: float) -> Picture:
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def lamp(picture: Picture, strength: float = 170) -> Picture:
    """A light from one corner that washes the print out."""
    height, width = picture.shape
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.asarray(np.clip(picture * 0.6 + strength * np.hypot(1 - x, y) / 1.4, 0, 255), np.uint8)


def jpeg(picture: Picture, quality: int = 80) -> bytes:
    """As colour, as a camera sends it."""
    colour = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    done, data = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(data)


def jpegs(symbol: Picture | None = None, count: int = 8, at: tuple[int, int] = (180, 100)) -> list[bytes]:
    """Frames that differ by their noise alone."""
    return [jpeg(counter(symbol, seed, at)) for seed in range(count)]
