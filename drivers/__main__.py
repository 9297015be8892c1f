"""`python -P -m drivers NAME [OPTIONS]`: runs one driver. Each imports its library only here, in its own process."""

from __future__ import annotations

import importlib
import sys

PROGRAMS = {
    "pcsc": "drivers.pcsc",
    "nfcpy": "drivers.nfc",
    "camera": "drivers.camera",
    "serial": "drivers.serial_scanner",
    "keyboard": "drivers.keyboard",
    "replay": "drivers.replay",
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        print(f"usage: python -P -m drivers {{{','.join(PROGRAMS)}}} [--options JSON]", file=sys.stderr)
        return 2
    program = importlib.import_module(PROGRAMS[sys.argv[1]])
    code: int = program.main(sys.argv[2:])
    return code


if __name__ == "__main__":
    sys.exit(main())
