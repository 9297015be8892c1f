"""What a keyboard types, pure: bytes of Linux input events to key events, key events to lines of text.

A scanner in keyboard mode presses the keys that would type its code on the layout it is set to; ours must be the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from drivers.typed import MAX_TEXT, Spoiled

Layout = Literal["us", "fr", "it"]

EVENT = struct.Struct("@llHHi")  # struct input_event of linux/input.h: seconds, microseconds, type, code, value
EV_SYN, EV_KEY = 0, 1
SYN_DROPPED = 3  # the kernel's buffer ran over: keys are missing
RELEASED, PRESSED = 0, 1  # 2 is the keyboard's own repetition

# linux/input-event-codes.h
KEY_ENTER, KEY_KPENTER, KEY_CAPSLOCK, KEY_RIGHTALT = 28, 96, 58, 100
SHIFTS = {42, 54}
CONTROLS = {29, 97, 56, 125, 126}  # Ctrl, left Alt, Meta: with one of them down, a key types no character
SILENT = {69, 70, *SHIFTS, *CONTROLS, KEY_RIGHTALT, KEY_CAPSLOCK}  # locks and modifiers themselves

IDLE_RESET_S = 2.0  # a scanner types within a fraction of it; what a hand began and left is forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """One event of the kernel: `kind` EV_KEY or EV_SYN, `value` 0 released, 1 pressed, 2 repeated."""

    kind: int
    code: int
    value: int


def parse_events(data: bytes) -> list[KeyEvent]:
    """Whole events of a device's stream; the kernel never gives parts of one, so a rest is dropped."""
    whole = len(data) - len(data) % EVENT.size
    return [KeyEvent(kind=kind, code=code, value=value) for _, _, kind, code, value in EVENT.iter_unpack(data[:whole])]


# One string per row of keys, left to right; a space stands for a key without that character
_ROWS: tuple[tuple[int, ...], ...] = (
    (41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    (16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27),
    (30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 43),
    (86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53),
)
_PLAIN: dict[Layout, tuple[str, ...]] = {
    "us": ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", "<zxcvbnm,./"),
    "fr": ("²&é\"'(-è_çà)=", "azertyuiop^$", "qsdfghjklmù*", "<wxcvbn,;:!"),
    "it": ("\\1234567890'ì", "qwertyuiopè+", "asdfghjklòàù", "<zxcvbnm,.-"),
}
_SHIFTED: dict[Layout, tuple[str, ...]] = {
    "us": ("~!@#$%^&*()_+", "QWERTYUIOP{}", 'ASDFGHJKL:"|', ">ZXCVBNM<>?"),
    "fr": (" 1234567890°+", "AZERTYUIOP¨£", "QSDFGHJKLM%µ", ">WXCVBN?./§"),
    "it": ('|!"£$%&/()=?^', "QWERTYUIOPé*", "ASDFGHJKLç°§", ">ZXCVBNM;:_"),
}
_ALTGR: dict[Layout, tuple[str, ...]] = {
    "us": ("             ", "            ", "            ", "           "),
    "fr": ("  ~#{[|`\\^@]}", "  €         ", "            ", "           "),
    "it": ("             ", "  €       []", "         @# ", "           "),
}
_KEYPAD = dict(zip((71, 72, 73, 75, 76, 77, 79, 80, 81, 82, 83, 55, 74, 78, 98), "7894561230.*-+/", strict=True))


def _table(rows: tuple[str, ...]) -> dict[int, str]:
    pairs = zip(_ROWS, rows, strict=True)
    return {code: char for codes, row in pairs for code, char in zip(codes, row, strict=True) if char != " "}


class Typist:
    """Puts keys together to lines. Enter ends a line; `IDLE_RESET_S` without a key forgets it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        always = {57: " ", **_KEYPAD}
        self._plain = _table(_PLAIN[layout]) | always
        self._shifted = _table(_SHIFTED[layout]) | always
        self._altgr = _table(_ALTGR[layout])
        self._down: set[int] = set()
        self._caps = False
        self._line = ""
        self._why: str | None = None  # what spoiled the line
        self._key_s = 0.0

    def press(self, event: KeyEvent, now_s: float) -> str | Spoiled | None:
        """A whole line at its end, else None."""
        if now_s - self._key_s >= IDLE_RESET_S:
            self._line, self._why = "", None
        self._key_s = now_s
        if (event.kind, event.code) == (EV_SYN, SYN_DROPPED):
            self._down.clear()
            self._why = "keys were lost: the machine was too busy to take them"
        if event.kind != EV_KEY:
            return None
        if event.value == RELEASED:
            self._down.discard(event.code)
            return None
        return self._pressed(event.code) if event.value == PRESSED else None

    def _pressed(self, code: int) -> str | Spoiled | None:
        self._down.add(code)
        if code in (KEY_ENTER, KEY_KPENTER):
            return self._end()
        if code == KEY_CAPSLOCK:
            self._caps = not self._caps
        if code not in SILENT:
            self._type(code)
        return None

    def _type(self, code: int) -> None:
        char = self._char(code)
        if char is None:  # leaving it out would make another code of it
            self._why = f"key {code} types no character on the layout {self._layout}"
        elif len(self._line) == MAX_TEXT:
            self._why = f"a line of more than {MAX_TEXT} characters"
        else:
            self._line += char

    def _char(self, code: int) -> str | None:
        if self._down & CONTROLS:
            return None
        if KEY_RIGHTALT in self._down:
            return self._altgr.get(code)
        shift = bool(self._down & SHIFTS)
        if self._caps and self._plain.get(code, "").isalpha():
            shift = not shift
        return (self._shifted if shift else self._plain).get(code)

    def _end(self) -> str | Spoiled | None:
        line, why = self._line, self._why
        self._line, self._why = "", None
        if why is not None:
            return Spoiled(why)
        return line or None
