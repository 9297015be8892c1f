"""Random histories of terminals and centre: whatever is lost, repeated, copied or put back, every fact counts once."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_fleet import Fleet

SEEDS = range(40)
STEPS = 120


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: an fsync is honest there, and free."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="holdfast-fleet-", dir=memory if memory.is_dir() else None))
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_faults_every_fact_is_at_the_centre_once_and_all_agree(folder: Path, seed: int) -> None:
    fleet = Fleet(folder / "fleet", random.Random(seed))
    try:
        for _ in range(STEPS):
            fleet.step()
        fleet.heal()
        fleet.check_end()
    finally:
        fleet.close()
