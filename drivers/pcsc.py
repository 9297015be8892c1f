"""Cards on PC/SC readers, through the smart-card service (pcscd). One process watches all readers, or those that match.

All work is done in one thread, so that a call which hangs (a frozen card blocks SCardTransmit for ever) silences the
heartbeat and the agent starts the driver anew. Such a hang stops the other readers of this process too: a shop that
must not lose both at once configures one driver for each reader, with `match`. Anything less than a hang (a card
pulled, a reader unplugged, a reader held by another program) touches its own reader only.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from typing import Annotated

import msgspec

from drivers import program
from drivers.lines import Hello
from drivers.program import EXIT_ENDED, Ears, LibraryMissingError, Voice

LEAVE_S = 0.8  # a driver whose agent is gone ends within a second
CURE = "Fix: sudo apt install pcscd libpcsclite1 libpcsclite-dev gcc, then pip install 'pyscard>=2.2'"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`match`: watch only readers whose name contains this. `poll_s`: longest wait before a command is heard.

    `ndef`: read messages, not UIDs alone. `buzzer`: obey beep and light.
    """

    match: str | None = None
    poll_s: Annotated[float, msgspec.Meta(ge=0.02, le=1.0)] = 0.2
    ndef: bool = True
    buzzer: bool = True


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    try:
        ctypes.CDLL("libpcsclite.so.1")  # pyscard does without, and then says that the service is down
        from drivers.pcsc_watch import Watch
    except (ImportError, OSError) as error:
        raise LibraryMissingError(f"The smart-card library cannot be loaded: {error}. {CURE}") from error
    threading.Thread(target=_leave_with_the_agent, daemon=True).start()
    watch = Watch(voice, match=options.match or "", poll_s=options.poll_s, ndef=options.ndef, buzzer=options.buzzer)
    watch.run(ears)


def _leave_with_the_agent() -> None:
    """Ends the process when the agent has closed the pipe but a hung call keeps the loop from hearing of it."""
    pipe = select.poll()
    pipe.register(0, 0)  # reports a hang-up, nothing else
    pipe.poll()
    time.sleep(LEAVE_S)
    os._exit(EXIT_ENDED)


def main(argv: list[str]) -> int:
    hello = Hello(driver="pcsc", capabilities=["beep", "light", "pause", "self_test"])
    return program.run(hello, Options, argv, _body)
