"""The demonstration's day, as anyone can run it: nothing lost, doubled or overdrawn, and the books agree."""

from __future__ import annotations

import json

from tests.rigs.terminal import holdfast


def test_a_scripted_day_reconciles() -> None:
    played = holdfast("demo", "--scripted", "--json")
    assert played.returncode == 0, played.stderr[-2_000:]
    day = json.loads(played.stdout)
    assert (day["lost"], day["doubled"], day["overdrawn"], day["reconciled"]) == (0, 0, 0, True)
    assert day["rows"] >= 200 and day["taps"] >= 150
    assert day["readers"][0]["state"] == "ready"
    assert "Traceback" not in played.stderr
