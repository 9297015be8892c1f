"""The line protocol between a driver and the agent: JSON objects, one a line, UTF-8, at most 64 KiB each.

A driver prints `Hello` first, then `Reading`, `Removed`, `Health`, `Fault` and `Result` as things happen, and `Health`
at least every `HEARTBEAT_S` even when nothing does. It reads commands from standard input and ends when that closes.
Unknown keys are ignored by both ends; an unknown `type` is ignored by the agent and counted. See docs/drivers.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import IO, Literal, TypeVar

import msgspec

T = TypeVar("T")

PROTOCOL = 1
HEARTBEAT_S = 2.0
MUTE_AFTER_S = 10.0  # five heartbeats: a child silent for longer is taken for hung and restarted
MAX_LINE_BYTES = 65_536

Kind = Literal["card", "code", "text"]
State = Literal["ready", "searching", "paused", "faulty"]


class Hello(msgspec.Struct, tag_field="type", tag="hello", kw_only=True, omit_defaults=True):
    """First line of a driver: what it is and which commands it understands."""

    protocol: int = PROTOCOL
    driver: str
    capabilities: list[str] = []  # of: beep, light, pause, self_test


class NdefRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One NDEF record (NFC Forum NDEF 1.0): `kind` uri, text or the record's type; `text` for uri and text only."""

    kind: str
    text: str | None = None


class Reading(msgspec.Struct, tag_field="type", tag="reading", kw_only=True, omit_defaults=True):
    """One presentation of a card or code, raw. Nothing in it is checked beyond what the hardware needs.

    kind card: `uid` (hex, lower case, in the order the tag sends it) and `tag` (tag type) are given, `ndef` if the tag
    has a message; `ndef_state` tells an empty tag from one that could not be read. kind code: `symbology`, `text`,
    `confirmed`. kind text: `text` as a scanner or keyboard typed it.
    """

    kind: Kind
    scope: str  # which device: a PC/SC reader's name, a camera's path, a port
    uid: str | None = None
    tag: str | None = None  # type1, type2, type3, type4, mifare_classic, iso14443, felica, iso15693, lf
    atr: str | None = None
    ndef: list[NdefRecord] = []
    ndef_state: Literal["none", "read", "empty", "torn", "unreadable"] = "none"
    symbology: str | None = None
    text: str | None = None
    confirmed: bool = True
    stage: str | None = None  # which stage of the cascade read the code
    elapsed_ms: dict[str, float] = {}


class Removed(msgspec.Struct, tag_field="type", tag="removed", kw_only=True):
    """The card left the field of `scope`."""

    scope: str


class Device(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One piece of hardware under a driver, as seen now."""

    scope: str
    state: State
    card: bool = False
    model: str | None = None


class Health(msgspec.Struct, tag_field="type", tag="health", kw_only=True, omit_defaults=True):
    """Heartbeat. `code` names the finding behind a state that is not ready (`reader.no_service`)."""

    state: State
    code: str | None = None
    text: str | None = None
    devices: list[Device] = []
    counts: dict[str, int] = {}  # readings, torn, retries, reconnects, ...


class Fault(msgspec.Struct, tag_field="type", tag="fault", kw_only=True, omit_defaults=True):
    """Something failed or recovered: said once per change, never once per retry. `code` as in docs/findings."""

    code: str
    text: str
    scope: str | None = None
    over: bool = False  # true: the fault named by `code` has ended


class Result(msgspec.Struct, tag_field="type", tag="result", kw_only=True, omit_defaults=True):
    """Answer to the command with the same `id`."""

    id: int
    ok: bool
    text: str | None = None
    data: dict[str, object] = {}


Said = Hello | Reading | Removed | Health | Fault | Result


class Command(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the agent asks of a driver. A command that the driver lacks is answered `ok: false`."""

    command: Literal["beep", "light", "pause", "resume", "self_test", "stop"]
    id: int = 0
    pattern: Literal["yes", "no", "look"] | None = None
    scope: str | None = None


class LineError(ValueError):
    """A line that is not of the protocol: not JSON, of a wrong shape, or too long."""


_said: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_command: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_encoder = msgspec.json.Encoder()


def encode(message: Said | Command) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_said(line: bytes) -> Said:
    """A driver's line; raises LineError."""
    return _decode(_said, line)


def decode_command(line: bytes) -> Command:
    """An agent's line; raises LineError."""
    return _decode(_command, line)


def _decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"line of {len(line)} bytes; at most {MAX_LINE_BYTES} are allowed")
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LineError(str(error)) from error


def say(message: Said, out: IO[bytes] | None = None) -> None:
    """Prints one line at once. One write per line, so that threads of a driver cannot mix theirs."""
    stream = out if out is not None else sys.stdout.buffer
    stream.write(encode(message))
    stream.flush()


def commands(source: IO[bytes] | None = None) -> Iterator[Command]:
    """Commands as they arrive, until the agent closes the pipe or says stop. Lines that make no sense are skipped."""
    for line in source if source is not None else sys.stdin.buffer:
        try:
            command = decode_command(line)
        except LineError:
            continue
        if command.command == "stop":
            return
        yield command


class OptionsError(ValueError):
    """The driver's options are not what it takes: says which key and why."""


def read_options(argv: list[str], shape: type[T]) -> T:
    """`--options JSON` as the driver's own struct, which forbids unknown fields so that a typo is named.

    Raises OptionsError.
    """
    text = argv[1] if argv[:1] == ["--options"] and len(argv) == 2 else "{}"
    try:
        return msgspec.json.decode(text, type=shape)
    except msgspec.DecodeError as error:
        raise OptionsError(str(error)) from error
