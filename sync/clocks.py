"""The terminal's three clocks, read in one place."""

from __future__ import annotations

import time
from pathlib import Path

from sync.protocol.messages import Clock


def boot_id() -> bytes:
    """16 bytes that change with every boot (random(4), boot_id)."""
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))


def wall_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


def boottime_ms() -> int:
    """Time since boot, sleep included: what lifetimes count by, since nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def read(boot: bytes) -> Clock:
    """All of them now; `boot` as `boot_id` gave it at start."""
    return Clock(wall_ms=wall_ms(), boottime_ms=boottime_ms(), boot_id=boot)
