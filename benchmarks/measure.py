"""What all families share: the form of a figure, medians, and the disk's own time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

RUNS = 5
BLOCK_BYTES = 4096

Figure = dict[str, Any]


def figure(
    value: float, unit: str, *, baseline: float | None, aim: str, met: bool, runs: int = RUNS, digits: int = 1
) -> Figure:
    """One entry of bench.json."""
    return {
        "value": round(value, digits),
        "unit": unit,
        "baseline": round(baseline, digits) if baseline is not None else None,
        "ratio": round(value / baseline, 3) if baseline else None,
        "aim": aim,
        "met": met,
        "runs": runs,
    }


def folder() -> Path:
    """Where measured files lie: on a real disk (never /tmp, which may be memory), kept from run to run."""
    made = Path("/var/tmp") / f"holdfast-benchmarks-{os.getuid()}"
    made.mkdir(mode=0o700, exist_ok=True)
    return made


def spent_us(work: Callable[[], object]) -> float:
    """Microseconds of one call."""
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1e6


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median_of(runs: Sequence[Sequence[float]]) -> float:
    """The median of each run's median."""
    return median(median(run) for run in runs)


class Block:
    """The floor under any durable write: fdatasync of one 4 KiB block that is overwritten in place."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self._file, bytes(BLOCK_BYTES), 0)
        os.fsync(self._file)
        self._content = os.urandom(BLOCK_BYTES)

    def sync(self) -> None:
        """One overwrite, durable."""
        os.pwrite(self._file, self._content, 0)
        os.fdatasync(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)
