"""A tag in a process of its own, on nfcpy's UDP transport: `python -m tests.rigs.udp_tag {type2,type3} PORT`.

It is in the field until its standard input closes.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

from tests.rigs.tags import Type2, Type3

LISTEN_S = 0.5
SILENCE_S = 30.0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def udp_tag(kind: str, port: int) -> Iterator[None]:
    """Holds a tag of that kind in the field of `udp:localhost:port`."""
    command = [sys.executable, "-m", "tests.rigs.udp_tag", kind, str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate(timeout=20)


def _type2(port: int) -> None:
    import nfc
    import nfc.clf

    tag = Type2()
    with nfc.ContactlessFrontend(f"udp:localhost:{port}") as air:
        while True:
            answers = {"sens_res": bytearray.fromhex("4400"), "sdd_res": bytearray(tag.uid), "sel_res": bytearray(1)}
            target = air.listen(nfc.clf.LocalTarget("106A", **answers), timeout=LISTEN_S)
            command = target.tt2_cmd if target else None
            with contextlib.suppress(nfc.clf.CommunicationError):  # the field went off: wait for the next
                while command is not None:
                    answer = tag.answer(bytes(command)) or b"\x00"
                    plain = answer[:-2] if len(answer) > 2 else answer  # this air has no checksums
                    command = air.exchange(bytearray(plain), SILENCE_S)


def _type3(port: int) -> None:
    import nfc
    import nfc.clf

    tag = Type3()

    def on_startup(target: nfc.clf.LocalTarget) -> nfc.clf.LocalTarget:
        target.brty = "212F"
        target.sensf_res = bytearray(b"\x01" + tag.uid + tag.PMM + tag.SYSTEM)
        return target

    def on_connect(emulated: nfc.tag.tt3.Type3TagEmulation) -> bool:
        def read(block: int, *_: object) -> bytes | None:
            return tag.memory[16 * block : 16 * block + 16] or None

        emulated.add_service(0x000B, read, lambda *_: False)
        return True

    with nfc.ContactlessFrontend(f"udp:localhost:{port}") as air:
        air.connect(card={"on-startup": on_startup, "on-connect": on_connect})


if __name__ == "__main__":
    threading.Thread(
        target={"type2": _type2, "type3": _type3}[sys.argv[1]], args=[int(sys.argv[2])], daemon=True
    ).start()
    sys.stdin.read()
