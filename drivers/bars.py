"""Reads EAN-13 and UPC-A that are out of focus, by comparing a line of brightness with blurred drawings of the symbol.

Other engines look for edges, and a blur wider than a module leaves none. Here the line is taken for a sum: guard bars
plus twelve digits, each drawn and blurred (ISO/IEC 15420 4.2 gives the patterns). As a blurred digit reaches into its
neighbours but not beyond, the best twelve digits of a line are a shortest path (Viterbi), found for hundreds of guesses
of where the symbol begins and ends at once. A text counts only when the parity of its left half spells a first digit,
its check digit holds, the drawing correlates by at least LEAST_LIKENESS and a second, parallel line says the same.

Arrays: a line is float32 (pixels,); laid lines are float32 (guesses, SAMPLES), zero mean, unit power.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from drivers.symbology import Sighting, gs1_check_right, named

Grey = npt.NDArray[np.uint8]
Line = npt.NDArray[np.float32]
Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]

LONG_SIDE_PX = 640
PER_MODULE = 3  # samples
MODULES = 95
QUIET = 7  # modules either side that belong to the drawing
SAMPLES = (MODULES + 2 * QUIET) * PER_MODULE
BLURS = (0.6, 1.0, 1.4)  # modules; wider ones fit wrong digits as well as the right ones
LEAST_LIKENESS = 0.96  # wrong texts that passed every other test: at most 0.944 on 276 photographs without EAN
UNLIKELY, HOPELESS = 0.8, 0.88  # likeness of the best guess as it stands, and after it was moved: not worth going on
GUESSES = 32
LINES_PX = (0, -25, 25)  # beside the middle of the densest patch of bars
LINE_HALF_PX = 8  # averaged along the bars: noise, scratches and small lights go

LEFT_ODD = np.array(
    [[int(bit) for bit in code] for code in
     ["0001101", "0011001", "0010011", "0111101", "0100011", "0110001", "0101111", "0111011", "0110111", "0001011"]]
)  # fmt: skip
RIGHT = 1 - LEFT_ODD
LEFT = np.vstack([LEFT_ODD, RIGHT[:, ::-1]])  # rows 0-9 odd parity, 10-19 even
PARITIES = ["LLLLLL", "LLGLGG", "LLGGLG", "LLGGGL", "LGLLGG", "LGGLLG", "LGGGLL", "LGLGLG", "LGLGGL", "LGGLGL"]
FIRST_DIGIT = {parity: digit for digit, parity in enumerate(PARITIES)}
GUARDS = (0, 2, 46, 48, 92, 94)  # dark modules of the three guards
DIGITS_AT = [3 + 7 * i for i in range(6)] + [50 + 7 * i for i in range(6)]


def read(image: Grey) -> list[Sighting]:
    """The text that most parallel lines agree on, if at least two do."""
    votes: dict[str, list[float]] = {}
    for line in lines(image):
        for text, likeness in texts_of(line).items():
            votes.setdefault(text, []).append(likeness)
    best = max(votes, key=lambda text: (len(votes[text]), max(votes[text])), default=None)
    if best is None or len(votes[best]) < 2 or max(votes[best]) < LEAST_LIKENESS:
        return []
    symbology, text = named("EAN13", best)
    return [Sighting(family="drawn", symbology=symbology, text=text)]


def lines(image: Grey) -> list[Line]:
    """Lines of brightness across the densest patch of parallel edges, whatever its angle (structure tensor)."""
    scale = LONG_SIDE_PX / max(image.shape)
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    grey = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.5).astype(np.float32)
    dx, dy = cv2.Sobel(soft, -1, 1, 0), cv2.Sobel(soft, -1, 0, 1)
    xx, yy, xy = (cv2.blur(product, (81, 81)) for product in (dx * dx, dy * dy, dx * dy))
    one_way = np.hypot(xx - yy, 2 * xy)
    y, x = np.unravel_index((one_way * one_way / (xx + yy + 100)).argmax(), grey.shape)
    angle = 0.5 * np.arctan2(2 * xy[y, x], xx[y, x] - yy[y, x])
    found = (_line(np.asarray(grey, np.uint8), (float(x), float(y)), float(angle), aside) for aside in LINES_PX)
    return [line for line in found if len(line) > 100]


def _line(grey: Grey, middle: tuple[float, float], angle: float, aside_px: int) -> Line:
    """One line through the picture at `angle`, averaged over its neighbours, cut at the picture's edges."""
    along = np.arange(-LONG_SIDE_PX, LONG_SIDE_PX, dtype=np.float32)
    across = np.arange(-LINE_HALF_PX, LINE_HALF_PX + 1, dtype=np.float32)[:, None] + aside_px
    x = (middle[0] + np.cos(angle) * along - np.sin(angle) * across).astype(np.float32)
    y = (middle[1] + np.sin(angle) * along + np.cos(angle) * across).astype(np.float32)
    height, width = grey.shape
    inside = (x[LINE_HALF_PX] >= 0) & (x[LINE_HALF_PX] < width) & (y[LINE_HALF_PX] >= 0) & (y[LINE_HALF_PX] < height)
    values = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values.astype(np.float32).mean(0)[inside], np.float32)


def texts_of(line: Line) -> dict[str, float]:
    """Valid texts of one line and how alike their drawings are to it (correlation, 0 to 1)."""
    begins, ends = _guesses(line)
    if not len(begins):
        return {}
    where = np.stack([begins, ends, np.zeros(len(begins))], 1).astype(np.float32)
    laid = _lay(line, where)
    both_ways = np.vstack([laid, laid[:, ::-1]])  # a symbol may stand on its head
    likeness = np.maximum(_drawing(BLURS[0]).fit(both_ways, 1)[1], _drawing(BLURS[-1]).fit(both_ways, 1)[1])
    best = np.argsort(-likeness)[:4]
    if likeness[best[0]] < UNLIKELY:
        return {}
    return _refine(line, np.tile(where, (2, 1))[best], best >= len(where))


def _guesses(line: Line) -> tuple[Indices, Indices]:
    """Pairs of a darkening and a brightening edge with bars between them and quiet zones outside, likeliest first."""
    soft = _blurred(line[None], 2.0)[0]
    slope = np.gradient(soft)
    local = slope / (np.sqrt(_blurred((slope * slope)[None].astype(np.float32), 25.0)[0]) + 0.05)
    begins, ends = (a.ravel() for a in np.meshgrid(_peaks(-local), _peaks(local), indexing="ij"))
    wide = ends - begins > max(100, 0.22 * len(line))
    begins, ends = begins[wide], ends[wide]
    module = (ends - begins) / MODULES
    changes = np.cumsum(np.abs(slope))

    def busy(start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        first, last = (np.clip(at, 0, len(line) - 1).astype(int) for at in (start, stop))
        return np.asarray((changes[last] - changes[first]) / (stop - start))

    inside = busy(begins + module, ends - module) + 1e-6
    before, after = busy(begins - 5 * module, begins - 1.5 * module), busy(ends + 1.5 * module, ends + 5 * module)
    noise = np.maximum(before, after) / inside
    order = np.argsort(noise)[:GUESSES]
    order = order[noise[order] < 0.8]
    return begins[order], ends[order]


def _peaks(values: npt.NDArray[np.floating]) -> Indices:
    middle = values[1:-1]
    return np.flatnonzero((middle >= values[:-2]) & (middle > values[2:]) & (middle > 0.4)) + 1


def _refine(line: Line, where: Array, turned: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Moves begin, end and bend of the best guesses in ever smaller steps; gathers every valid text on the way."""
    texts: dict[str, float] = {}
    grid = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], np.float32)
    for step, bend, rounds in ((1.0, 0.012, 1), (0.6, 0.006, 1), (0.3, 0.003, 2)):
        module = (where[:, 1] - where[:, 0]) / MODULES * step
        moves = grid[None] * np.stack([module, module, np.full(len(module), bend)], 1)[:, None]
        tried = (where[:, None] + moves).reshape(-1, 3).astype(np.float32)
        turned_tried = np.repeat(turned, len(grid))
        laid = _lay(line, tried)
        laid[turned_tried] = laid[turned_tried][:, ::-1]
        fits = [_drawing(blur).fit(laid, rounds) for blur in BLURS]
        likeness = np.max([like for _, like in fits], 0)
        best = np.argsort(-likeness)[:4]
        where, turned = tried[best], turned_tried[best]
        if likeness.max() < HOPELESS:
            break
        for digits, like in fits:
            for guess in best:
                text = _text(digits[guess])
                if text and like[guess] > 0.93:
                    texts[text] = max(texts.get(text, 0.0), float(like[guess]))
    return texts


def _text(digits: Indices) -> str | None:
    parity = "".join("G" if digit >= 10 else "L" for digit in digits[:6])
    if parity not in FIRST_DIGIT:
        return None
    text = f"{FIRST_DIGIT[parity]}{''.join(str(digit % 10) for digit in digits)}"
    return text if gs1_check_right(text) else None


def _lay(line: Line, where: Array) -> Array:
    """The line as SAMPLES samples for each begin, end (pixels) and bend (share of the width): dark is positive."""
    share = ((np.arange(SAMPLES) + 0.5) / PER_MODULE - QUIET) / MODULES
    begin, end, bend = (where[:, i : i + 1] for i in range(3))
    x = begin + (end - begin) * (share + bend * 4 * share * (1 - share))
    laid = _without_background(-np.interp(x, np.arange(len(line)), line).astype(np.float32))
    laid = laid / (np.sqrt(_blurred(laid * laid, 12.0 * PER_MODULE)) + 1e-3)  # glare lowers contrast piecewise
    return np.asarray(laid / np.sqrt((laid * laid).mean(1, keepdims=True) + 1e-9), np.float32)


def _blurred(rows: Array, sigma: float) -> Array:
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma * sigma)).astype(np.float32)
    one = np.ones(1, np.float32)
    return np.asarray(
        cv2.sepFilter2D(rows, -1, kernel / kernel.sum(), one, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _without_background(rows: Array) -> Array:
    return rows - _blurred(rows, 9.0 * PER_MODULE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """The symbol drawn with one blur. `ground` is the guards plus the mean digit everywhere; `strokes`
    (12, 20, SAMPLES) is what each pattern at each place adds to that, so that all but neighbours hardly matter."""

    ground: Array
    strokes: Array
    lone: Array  # (12, 20): cost of a pattern by itself
    pairs: Array  # (11, 20, 20): cost of two neighbours
    gram: Array  # (240, 240): cost of any two
    power: float

    def fit(self, laid: Array, rounds: int = 2) -> tuple[Indices, Array]:
        """Best patterns (guesses, 12), each 0-19, and their likeness (guesses,). A further round corrects contrast."""
        scaled = laid * self.power
        every = np.arange(len(laid))
        flat = self.strokes.reshape(240, SAMPLES)
        match = (scaled @ flat.T).reshape(-1, 12, 20)
        contrast = np.ones((len(laid), 1, 1), np.float32)
        for _ in range(rounds):
            cost = self.lone[None] - 2 * match / contrast
            chosen = self._shortest(cost)
            marks = np.zeros((len(laid), 240), np.float32)
            marks[every[:, None], np.arange(12) * 20 + chosen] = 1
            self._polish(cost, chosen, marks)
            drawn = self.ground + marks @ flat
            agree, own = (drawn * scaled).sum(1), (drawn * drawn).sum(1)
            contrast = np.clip(agree / own, 0.5, 2)[:, None, None].astype(np.float32)
        return chosen, np.asarray(agree / np.sqrt(own * (scaled * scaled).sum(1) + 1e-9), np.float32)

    def _shortest(self, cost: Array) -> Indices:
        total, back = cost[:, 0], []
        for place in range(11):
            steps = total[:, :, None] + self.pairs[place][None]
            came = steps.argmin(1)
            back.append(came)
            total = np.take_along_axis(steps, came[:, None], 1)[:, 0] + cost[:, place + 1]
        last = total.argmin(1)
        path = [last]
        for came in reversed(back):
            last = came[np.arange(len(last)), last]
            path.append(last)
        return np.array(path[::-1]).T

    def _polish(self, cost: Array, chosen: Indices, marks: Array) -> None:
        """Each digit once more, now against all others; `chosen` and `marks` are changed in place."""
        for place in range(12):
            own = slice(20 * place, 20 * place + 20)
            marks[:, own] = 0
            chosen[:, place] = (cost[:, place] + marks @ self.gram[:, own]).argmin(1)
            marks[np.arange(len(marks)), 20 * place + chosen[:, place]] = 1


@cache
def _drawing(blur: float) -> Drawing:
    """Drawn once per process and blur (modules)."""

    def printed(modules: npt.NDArray[np.float64]) -> Array:
        rows = np.repeat(modules.astype(np.float32), PER_MODULE, 1)
        return _without_background(_blurred(rows, blur * PER_MODULE))

    total = MODULES + 2 * QUIET
    guards = np.zeros((1, total))
    guards[0, [QUIET + at for at in GUARDS]] = 1
    ground, strokes = printed(guards)[0], []
    for place, at in enumerate(DIGITS_AT):
        patterns = np.zeros((20, total))
        patterns[:, QUIET + at : QUIET + at + 7] = LEFT if place < 6 else np.vstack([RIGHT, RIGHT])
        rows = printed(patterns)
        ground = ground + rows.mean(0)
        strokes.append(rows - rows.mean(0))
    each = np.array(strokes, np.float32)
    lone = (each**2).sum(2) + 2 * each @ ground
    lone[6:, 10:] = 1e9  # the right half has one parity
    flat = each.reshape(240, SAMPLES)
    some = np.random.default_rng(0).integers(10, size=(50, 12))  # fifty symbols stand for all
    power = np.sqrt(np.mean((ground + each[np.arange(12), some].sum(1)) ** 2))
    pairs = np.array([2 * each[i] @ each[i + 1].T for i in range(11)], np.float32)
    return Drawing(
        ground=ground, strokes=each, lone=lone, pairs=pairs, gram=2 * flat @ flat.T, power=float(power)
    )  # fmt: skip
