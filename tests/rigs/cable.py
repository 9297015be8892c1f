"""A serial port that can be unplugged: a pseudo-terminal behind a link, as udev makes links for real ports."""

from __future__ import annotations

import os
import pty
import tty
from pathlib import Path


class Cable:
    """`path` is the link that programs open; `host` the device's end, a descriptor that does not block on reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = -1

    def plug(self) -> None:
        self.host, self._port = pty.openpty()
        tty.setraw(self._port)
        os.set_blocking(self.host, False)
        self.path.symlink_to(os.ttyname(self._port))

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self.host)
        os.close(self._port)

    @property
    def is_plugged(self) -> bool:
        return self.path.is_symlink()
