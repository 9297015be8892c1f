"""What a read symbol is called, whether its digits are right, and when a text is believed. No pixels here.

Names are those of zxing. A UPC-A symbol is an EAN-13 symbol that begins with 0 (GS1 General Specifications 5.2.1), and
engines differ in what they call it: here it is always UPCA with the 12 digits printed below it. UPC-E is given as its
8 printed digits, although engines may say the 12 or 13 digits that it stands for (GS1 General Specifications 5.2.2.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

MATRIX = ("QRCode", "Aztec", "DataMatrix", "PDF417")  # error-corrected: one reading is proof
RETAIL = ("EAN13", "EAN8", "UPCA", "UPCE")  # one check digit, weak by itself
LINEAR = (*RETAIL, "Code128", "ITF", "Code39", "Codabar")
UNCHECKED = ("ITF", "Code39", "Codabar")  # no check that can be relied on
ALL = (*MATRIX, *LINEAR)
COUNTER = ("QRCode", *RETAIL, "Code128")  # what a loyalty card or a telephone shows; each further one costs time

REPEAT_FRAMES = 15  # half a second at 30 frames a second: a misreading seldom comes twice within it


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol found in a picture: zxing's name, text, the stage that read it first, and whether to believe it."""

    symbology: str
    text: str
    stage: str
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One engine's word on one prepared image. `corners` go round from the top left as the symbol itself sees it, in
    shares of the image's width and height, so that they hold for every enlargement of it; none: somewhere in it."""

    family: str
    symbology: str
    text: str
    corners: tuple[tuple[float, float], ...] = ()

    def covers(self, other: Sighting) -> bool:
        """Whether both may be readings of one symbol."""
        if not self.corners or not other.corners:
            return True
        (left, top, right, bottom), (x0, y0, x1, y1) = self.box, other.box
        return left <= x1 and x0 <= right and top <= y1 and y0 <= bottom

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def named(symbology: str, text: str) -> tuple[str, str]:
    """The one name and text for what an engine calls EAN-13 here and UPC-A there, UPC-E long or short."""
    if symbology == "UPCE" and len(text) >= 12:
        return "UPCE", shorten(text[-12:]) or text
    if symbology in ("EAN13", "UPCA") and len(text) == 13 and text[0] == "0":
        return "UPCA", text[1:]
    return symbology, text


def shorten(upca: str) -> str | None:
    """UPC-A's 12 digits as the 8 of UPC-E; None when they do not fit (GS1 General Specifications 5.2.2.4.2)."""
    system, maker, product, check = upca[0], upca[1:6], upca[6:11], upca[11]
    if maker[2] in "012" and maker[3:] == "00" and product[:2] == "00":
        return system + maker[:2] + product[2:] + maker[2] + check
    if maker[3:] == "00" and product[:3] == "000":
        return system + maker[:3] + product[3:] + "3" + check
    if maker[4] == "0" and product[:4] == "0000":
        return system + maker[:4] + product[4] + "4" + check
    if product[:4] == "0000" and product[4] in "56789":
        return system + maker + product[4] + check
    return None


def lengthen(upce: str) -> str:
    """The 12 digits of UPC-A that 8 of UPC-E stand for: what its check digit is computed over."""
    system, body, last, check = upce[0], upce[1:6], upce[6], upce[7]
    if last in "012":
        return system + body[:2] + last + "0000" + body[2:] + check
    if last == "3":
        return system + body[:3] + "00000" + body[3:] + check
    if last == "4":
        return system + body[:4] + "00000" + body[4] + check
    return system + body + "0000" + last + check


def gs1_check_right(digits: str) -> bool:
    """Modulo 10 with weights 3 and 1 from the right (GS1 General Specifications 7.9.1)."""
    weighted = (int(d) * (3 if place % 2 else 1) for place, d in enumerate(reversed(digits)))
    return sum(weighted) % 10 == 0


def check_right(symbology: str, text: str) -> bool:
    """Whether the symbol carries a check that holds."""
    if symbology == "Code128":
        return True  # modulo 103 (ISO/IEC 15417 4.3.4) is not part of the text: engines give none out that fails it
    lengths = {"EAN13": 13, "EAN8": 8, "UPCA": 12, "UPCE": 8}
    if symbology not in lengths or len(text) != lengths[symbology] or not text.isascii() or not text.isdigit():
        return False
    return gs1_check_right(lengthen(text) if symbology == "UPCE" else text)


def rivals(one: Sighting, other: Sighting) -> bool:
    """Two retail texts for one symbol, both with a right check digit: at least one is a misreading."""
    if one.text == other.text or not {one.symbology, other.symbology} <= set(RETAIL):
        return False
    return one.covers(other) and check_right(other.symbology, other.text)


@dataclass(slots=True)
class Ballot:
    """Sightings of one still picture: who read what, and at which stages.

    A two-dimensional code is believed at once. A linear one that carries a check needs two passes of zxing over images
    that were prepared differently, or three passes of two engine families; one without, two families. Engines err
    alike on bars that have spread in print (1 for 7, 2 for 8), so a text that is disputed by another is not believed.
    """

    _seen: dict[tuple[str, str], dict[str, Sighting]] = field(default_factory=dict)

    def count(self, stage: str, sightings: Iterable[Sighting]) -> None:
        for seen in sightings:
            self._seen.setdefault((seen.symbology, seen.text), {}).setdefault(stage, seen)

    def believed(self, symbology: str, text: str) -> bool:
        passes = list(self._seen.get((symbology, text), {}).values())
        if symbology in MATRIX:
            return bool(passes)
        families = [seen.family for seen in passes]
        if symbology in UNCHECKED:
            return len(set(families)) > 1
        enough = families.count("zxing") > 1 or (len(set(families)) > 1 and len(families) > 2)
        return enough and check_right(symbology, text) and not self._disputed(passes[0])

    def _disputed(self, seen: Sighting) -> bool:
        return any(rivals(seen, other) for passes in self._seen.values() for other in passes.values())

    def settled(self) -> bool:
        return any(self.believed(*key) for key in self._seen)

    def codes(self) -> list[Code]:
        """All texts, believed ones first, each with the stage that read it first."""
        found = [
            Code(symbology=symbology, text=text, stage=next(iter(passes)), confirmed=self.believed(symbology, text))
            for (symbology, text), passes in self._seen.items()
        ]
        return sorted(found, key=lambda code: not code.confirmed)


class Repeats:
    """Believes codes of a video: a matrix code at once; a linear one that comes twice within REPEAT_FRAMES frames,
    whose check digit (where it has one) is right and which no other reading of the same symbol disputes meanwhile."""

    def __init__(self) -> None:
        self._recent: list[tuple[int, Sighting]] = []

    def believed(self, frame: int, seen: Sighting) -> bool:
        """Takes a sighting of frame number `frame` in."""
        if seen.symbology in MATRIX:
            return True
        self._recent = [(at, old) for at, old in self._recent if frame - at <= REPEAT_FRAMES]
        before = [old for at, old in self._recent if at < frame]
        self._recent.append((frame, seen))
        if seen.symbology not in UNCHECKED and not check_right(seen.symbology, seen.text):
            return False
        again = any((old.symbology, old.text) == (seen.symbology, seen.text) for old in before)
        return again and not any(rivals(seen, old) for old in before)
