"""Every figure of `make bench` has the fields that others read. How large it is on this machine is nobody's verdict."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import memory, stream, tap, wire
from benchmarks.measure import Figure, percentile

FIELDS = {"value", "unit", "baseline", "ratio", "aim", "met", "runs"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for family in (memory, stream, tap, wire):
        monkeypatch.setattr(family, "folder", lambda: tmp_path)


def are_whole(figures: dict[str, Figure], family: str) -> None:
    assert figures
    for name, one in figures.items():
        assert name.startswith(family)
        assert one.keys() >= FIELDS
        assert one["value"] > 0 and isinstance(one["met"], bool) and one["runs"] >= 1
        assert one["baseline"] is None or one["ratio"] > 0
        json.dumps(one)


def test_a_tap_is_measured_beside_the_disk_and_told_apart_from_the_rule() -> None:
    figures = tap.run(cards=50, taps=5)
    are_whole(figures, "tap.")
    assert figures.keys() == {"tap.durable", "tap.p99", "tap.rule"}


def test_a_snapshot_is_filled_once_and_used_again(tmp_path: Path) -> None:
    place = tap.filled(tmp_path / "terminal", 20)
    made = (place / "snapshot.db").stat().st_mtime_ns
    assert tap.filled(place, 20) == place
    assert (place / "snapshot.db").stat().st_mtime_ns == made


def test_rows_on_the_wire_are_weighed_for_a_mix_that_a_till_wrote() -> None:
    mix = {"earned by amount": 12, "earned by basket lines": 4, "activated": 2, "reversed": 2}
    are_whole(wire.run(mix, runs=1), "wire.")


def test_a_reading_is_followed_from_the_driver_to_the_page() -> None:
    are_whole(stream.run(runs=1, taps=3), "stream.")


def test_agent_and_worker_are_weighed_and_their_start_is_timed() -> None:
    figures = memory.run(runs=1, idle_s=0.1)
    figures.pop("idle.cpu")  # may well be nothing in so short a time
    are_whole({name: one for name, one in figures.items() if name != "start.ready"}, "memory.")
    are_whole({"start.ready": figures["start.ready"]}, "start.")


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_family_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 2
    assert "no family speed" in done.stderr
