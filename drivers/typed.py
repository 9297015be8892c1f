"""What scanners that send text have in common: a line is a reading, or spoiled and said to be so."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.keeper import H, Keeper
from drivers.lines import Reading
from drivers.program import Ears, Voice

MAX_TEXT = 4296  # characters in the longest text of a QR code, ISO/IEC 18004 table 7


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Something that is no code; `why` is for the technician."""

    why: str


class TextKeeper(Keeper[H]):
    """A driver whose device sends lines of text."""

    def __init__(self, scope: str, voice: Voice, ears: Ears) -> None:
        super().__init__(scope, voice, ears)
        self.counts["spoiled"] = 0

    def say_line(self, line: str | Spoiled) -> None:
        self.voice.over("the scanner was heard again", scope=self.scope)
        if isinstance(line, Spoiled):
            self.counts["spoiled"] += 1
            self.voice.fault("reader.read_failed", line.why, self.scope)
            return
        self.counts["readings"] += 1
        self.voice.say(Reading(kind="text", scope=self.scope, text=line))
