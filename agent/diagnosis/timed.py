"""Runs a piece of work beside us with a limit, and makes a fact of whatever comes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from agent.diagnosis.model import Fact, Known, Unknown

T = TypeVar("T")


class AbsentHereError(Exception):
    """This machine or this configuration has no such thing; nothing is wrong with that."""


class Started(Generic[T]):
    """Work under way in a thread of its own. A thread past its limit is left behind: it can only be ignored."""

    def __init__(self, work: Callable[[], T], limit_s: float) -> None:
        self._work = work
        self._limit_s = limit_s
        self._began = time.monotonic()
        self._fact: Fact[T] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._fact = _fact(self._work, self._began)

    def fact(self) -> Fact[T]:
        """Waits for what is left of the limit. Never raises."""
        self._thread.join(max(0.0, self._began + self._limit_s - time.monotonic()))
        fact = self._fact
        if fact is None:
            return Unknown(why="timeout", detail=f"no answer within {self._limit_s:g} s")
        return fact


def _fact(work: Callable[[], T], began: float) -> Fact[T]:
    try:
        value = work()
    except AbsentHereError as absent:
        return Unknown(why="absent_here", detail=str(absent))
    except PermissionError as denied:
        return Unknown(why="denied", detail=str(denied))
    except Exception as error:  # noqa: BLE001 - a gatherer never raises: what it trips over is a fact too
        return Unknown(why="crashed", detail=f"{type(error).__name__}: {error}")
    return Known(value=value, at=time.time(), took_ms=(time.monotonic() - began) * 1000)


def timed(work: Callable[[], T], limit_s: float) -> Fact[T]:
    """Runs `work` and waits at most `limit_s` seconds for it."""
    return Started(work, limit_s).fact()


def skipped(detail: str) -> Unknown:
    """A fact not asked for, and why not."""
    return Unknown(why="skipped", detail=detail)
