"""The real pcscd with its real hot-plug code on a USB bus in software: readers come and go while the service lives."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.rigs.need import need
from tests.rigs.pcscd import Pcscd

SOURCE = Path(__file__).with_name("usb_bus.c")
CCID_READERS = Path("/usr/lib/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist")
ACR122U = "072f:2200"


def build(directory: Path) -> Path:
    """The library to preload into pcscd."""
    need(shutil.which("gcc"), "gcc")
    need(Path("/usr/include/PCSC/ifdhandler.h").exists(), "libpcsclite-dev")
    library = directory / "usb_bus.so"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-I/usr/include/PCSC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class UsbBus(Pcscd):
    """pcscd and readers 0 to 9 on a bus; `present` are plugged in when it starts.

    `card_door(n)` is where a card of reader n connects (`VirtualCard(where=...)`).
    """

    def __init__(self, directory: Path, library: Path, *, present: str = "0", device: str = ACR122U) -> None:
        super().__init__(directory, readers=())
        need(CCID_READERS.exists(), "libccid's list of readers (apt install libccid)")
        self._library, self._present, self._device = library, present, device
        os.mkfifo(directory / "control")
        self._control = os.open(directory / "control", os.O_RDWR)  # stays open: no end of file for pcscd

    def card_door(self, number: int) -> Path:
        return self.directory / f"reader{number}.sock"

    def signals(self, number: int) -> int:
        """How many beeps and lights reader `number` itself was told."""
        notes = Path(f"{self.card_door(number)}.signals")
        return len(notes.read_text().splitlines()) if notes.exists() else 0

    def plug(self, number: int) -> None:
        os.write(self._control, f"add {number}\n".encode())

    def unplug(self, number: int) -> None:
        os.write(self._control, f"remove {number}\n".encode())

    def start(self) -> None:
        bus = {"USB_BUS_DIR": str(self.directory), "USB_BUS_PRESENT": self._present, "USB_BUS_ID": self._device}
        self._launch(bus, preload=str(self._library))
        self._wait(lambda: all(self.card_door(int(n)).exists() for n in self._present))

    def __exit__(self, *exits: object) -> None:
        super().__exit__(*exits)
        os.close(self._control)
