"""From a driver's line to the page: a real agent hears a reading, looks the card up and tells the page by a
server-sent event. The clock runs from the write into the reader's socket until the event has been read.
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from agent.demo.world import World, random_uid
from benchmarks.measure import RUNS, Block, Figure, figure, folder, percentile, spent_us
from drivers import lines

TAPS_A_RUN = 200
AIM_MS = 15.0
SCOPE = "counter"
PATIENCE_S = 10.0

Stream = Iterator[tuple[str, object]]


def run(runs: int = RUNS, taps: int = TAPS_A_RUN) -> dict[str, Figure]:
    """`stream.p99` and `stream.median` in milliseconds, beside fdatasync of a block in the same folder."""
    with tempfile.TemporaryDirectory(dir=folder()) as place:
        world, block = World(Path(place)), Block(Path(place) / "block")
        try:
            world.build()
            with _page(world.till_port) as page:
                _one_run(world, page, block, taps)  # warm
                measured = [_one_run(world, page, block, taps) for _ in range(runs)]
        finally:
            world.close()
            block.close()
    (middle, floor), (p99, floor_p99) = (
        [median(percentile(values, share) for values in column) for column in zip(*measured, strict=True)]
        for share in (0.5, 0.99)
    )
    return {
        "stream.p99": figure(
            p99, "ms", baseline=floor_p99, aim=f"<= {AIM_MS:.0f}", met=p99 <= AIM_MS, runs=runs, digits=2
        ),
        "stream.median": figure(middle, "ms", baseline=floor, aim="told, not aimed at", met=True, runs=runs, digits=2),
    }


def _one_run(world: World, page: Stream, block: Block, taps: int) -> tuple[list[float], list[float]]:
    spent, floor = [], []
    for _ in range(taps):
        uid = random_uid().lower()
        began = perf_counter()
        world.present(lines.Reading(kind="card", scope=SCOPE, uid=uid, tag="type2"))
        _wait_for(page, uid)
        spent.append((perf_counter() - began) * 1e3)
        world.present(lines.Removed(scope=SCOPE))
        floor.append(spent_us(block.sync) / 1e3)
    return spent, floor


def _wait_for(page: Stream, uid: str) -> None:
    for name, data in page:
        if name == "tap" and isinstance(data, dict) and uid in str(data["card"]).lower():
            return
    raise ConnectionError("the agent closed its stream")


@contextmanager
def _page(port: int) -> Iterator[Stream]:
    """The stream as our own page reads it: a session first, then its events."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as line:
        line.request("GET", "/")
        answer = line.getresponse()
        cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
        answer.read()
        line.request("GET", "/api/v1/stream", headers={"Cookie": cookie})
        yield _events(line.getresponse())


def _events(answer: http.client.HTTPResponse) -> Stream:
    """(name, JSON) of each event (WHATWG HTML, 9.2)."""
    name = ""
    while line := answer.readline():
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
