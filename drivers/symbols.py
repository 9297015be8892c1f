"""The cascade that finds codes in pictures: zxing first, then rescues, and only texts that deserve it are confirmed.

`Cascade.still` takes all rescues in turn until a text is believed; `Cascade.frame` spends one rescue per video frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from drivers.engines import Grey, LibraryMissingError, OpenCV, Zbar, Zxing
from drivers.rescues import RESCUES, Engines, Look, at_most
from drivers.second_look import second_look
from drivers.symbology import ALL, LINEAR, Ballot, Code, Repeats, Sighting

LONGEST_PX = 1280  # larger pictures make zbar worse and six times slower, and give zxing nothing
FIRST = "zxing"
ZBAR_RESCUES = {name for name in RESCUES if name.startswith("zbar")}


def decode_still(image: npt.NDArray[np.uint8], formats: Iterable[str] = ALL) -> list[Code]:
    """Codes of one picture, (height, width) grey or (height, width, 3) BGR; believed ones first."""
    return Cascade(formats).still(image)


def grey_of(image: npt.NDArray[np.uint8]) -> Grey:
    """Grey, at most LONGEST_PX on its long side."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return at_most(np.asarray(grey, np.uint8), LONGEST_PX)


class Cascade:
    """Holds the engines for a choice of formats. `missing` says why zbar is absent, if it is; the rest goes on."""

    def __init__(self, formats: Iterable[str]) -> None:
        self.formats = frozenset(formats)
        self.missing: str | None = None
        zbar = None
        try:
            zbar = Zbar(self.formats)
        except LibraryMissingError as error:
            self.missing = str(error)
        self.engines = Engines(zxing=Zxing(self.formats), zbar=zbar, opencv=OpenCV())
        self._rescues = [name for name in RESCUES if zbar or name not in ZBAR_RESCUES]
        self._turn = 0
        self._repeats = Repeats()
        self._frames = 0

    def still(self, image: npt.NDArray[np.uint8]) -> list[Code]:
        """Every stage in turn until a text is believed; what was seen but not believed is given as well."""
        grey, ballot = grey_of(image), Ballot()
        for stage, look in self._looks(grey):
            self._count(ballot, stage, look)
            if ballot.settled():
                break
        return ballot.codes()

    def _looks(self, grey: Grey) -> Iterator[tuple[str, Look]]:
        zxing = self.engines.zxing
        yield FIRST, Look(image=grey, sightings=zxing.read(grey, glance=True))
        yield FIRST, Look(image=grey, sightings=zxing.read(grey))
        for name in self._rescues:
            yield name, RESCUES[name](grey, self.engines)

    def frame(self, image: npt.NDArray[np.uint8], rescues: bool = True) -> list[Code]:
        """Codes of the next frame of a video: zxing, and one rescue when it finds nothing. A rescue that worked is the
        first to be tried on the next frame."""
        self._frames += 1
        grey, stage = grey_of(image), FIRST
        look = self._first(grey)
        if rescues and not look.sightings:
            stage = self._rescues[self._turn]
            look = RESCUES[stage](grey, self.engines)
            if not look.sightings:
                self._turn = (self._turn + 1) % len(self._rescues)
        return [self._judged(stage, seen, look.image) for seen in look.sightings if self._wanted(seen)]

    def _first(self, grey: Grey) -> Look:
        zxing = self.engines.zxing
        return Look(image=grey, sightings=zxing.read(grey, glance=True) or zxing.read(grey))

    def _wanted(self, seen: Sighting) -> bool:
        return seen.symbology in self.formats

    def _judged(self, stage: str, seen: Sighting, image: Grey) -> Code:
        believed = self._repeats.believed(self._frames, seen)
        return Code(symbology=seen.symbology, text=seen.text, stage=stage, confirmed=believed)

    def _count(self, ballot: Ballot, stage: str, look: Look) -> None:
        """Takes a look in, and for a linear symbol a second look at the spot where it was."""
        seen = [sighting for sighting in look.sightings if self._wanted(sighting)]
        ballot.count(stage, seen)
        for sighting in seen:
            if sighting.symbology in LINEAR and not ballot.believed(sighting.symbology, sighting.text):
                again = second_look(look.image, sighting, self.engines)
                ballot.count(f"{stage}-again", [other for other in again if self._wanted(other)])


__all__ = ["Cascade", "Code", "decode_still", "grey_of"]
