"""A USB camera for one child process: builds `v4l2.c` and runs OpenCV's real V4L2 back end over it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from tests.rigs.need import need

Mode = Literal["run", "freeze", "unplug", "busy", "permission"]
NODE = "/dev/video0"
SOURCE = Path(__file__).with_suffix(".c")


class UsbCamera:
    """Its state is files in `folder`; `environment` makes a child see it as NODE."""

    def __init__(self, folder: Path) -> None:
        need(shutil.which("gcc"), "gcc, to build the stand-in for /dev/video0")
        self.folder = folder
        self.library = folder / "v4l2.so"
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
        subprocess.run(["gcc", *flags, "-o", self.library, SOURCE, "-ldl", "-lpthread"], check=True)
        self.set("run")

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "V4L2_RIG": str(self.folder), "V4L2_RIG_NODE": NODE}

    def set(self, mode: Mode) -> None:
        self._put("mode", mode[:1].encode())

    def show(self, picture: npt.NDArray[np.uint8]) -> None:
        """A picture of (480, 640), grey or BGR."""
        colour = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        self._put("frame.bgr", np.asarray(colour, np.uint8).tobytes())

    def _put(self, name: str, data: bytes) -> None:
        """Whole at once: the camera may be reading."""
        part = self.folder / f"{name}.part"
        part.write_bytes(data)
        part.replace(self.folder / name)
