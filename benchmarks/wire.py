"""Bytes of a row on the wire, and what packing costs, for a batch of 1,000 rows that a real till wrote.

The mix is published: MIX says how many rows of which kind, by MEMBERS members, as far apart as in a shop. Baselines:
the same rows as JSON under gzip; JSON's own encoding and decoding.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import msgspec

from agent.results import Done
from agent.till import Till
from benchmarks.measure import RUNS, Figure, figure, folder, spent_us
from benchmarks.tap import OUTLET, card_of, filled, identity
from loyalty.request import Line, Request
from loyalty.rows import Caller, Earned, Moment, Reversed, read_body, read_detail
from sync.journal import Journal
from sync.protocol.chain import Row, event_id, genesis
from sync.protocol.messages import pack_message
from sync.protocol.packing import pack, unpack
from sync.snapshot import SnapshotReader

MIX = {"earned by amount": 780, "earned by basket lines": 150, "activated": 30, "reversed": 40}
MEMBERS = 300
APART_S = (20, 300)
SHOP_OPENS_MS, BOOT, NONCE = 1_778_486_400_000, bytes(range(16)), bytes(8)  # 11 May 2026, 8:00 UTC
BYTES_AIM = 12.0


class _Batch(msgspec.Struct):
    rows: bytes


def run(mix: dict[str, int] = MIX, runs: int = RUNS) -> dict[str, Figure]:
    """`wire.row` and `wire.row_of_pos` in bytes, `wire.pack` and `wire.unpack` in microseconds a row."""
    rows, keyed = _shop_day(mix, pos=False), _shop_day(mix, pos=True)
    terminal, previous = identity().terminal, genesis(identity().terminal, identity().enrolment)
    packed, plain = pack(rows), _as_json(rows)
    by_pack, by_json = _timed(lambda: pack(rows), lambda: _as_json(rows), runs)
    by_unpack, by_load = _timed(
        lambda: unpack(packed, previous=previous, terminal=terminal),
        lambda: [json.loads(line) for line in plain.splitlines()],
        runs,
    )
    size, size_json, count = _bytes_of(rows), len(gzip.compress(plain)), len(rows)
    return {
        "wire.row": figure(
            size / count,
            "bytes",
            baseline=size_json / count,
            aim=f"<= {BYTES_AIM:.0f}",
            met=size <= BYTES_AIM * count,
            runs=runs,
        ),
        "wire.row_of_pos": figure(
            _bytes_of(keyed) / count,
            "bytes",
            baseline=len(gzip.compress(_as_json(keyed))) / count,
            aim="told, not aimed at",
            met=True,
            runs=runs,
        ),
        "wire.pack": figure(
            by_pack / count, "us", baseline=by_json / count, aim="told, not aimed at", met=True, runs=runs
        ),
        "wire.unpack": figure(
            by_unpack / count, "us", baseline=by_load / count, aim="told, not aimed at", met=True, runs=runs
        ),
    }


def _timed(ours: Callable[[], object], theirs: Callable[[], object], runs: int) -> tuple[float, float]:
    """Medians, in microseconds, of the two in turn."""
    pairs = [(spent_us(ours), spent_us(theirs)) for _ in range(runs)]
    return median(a for a, _ in pairs), median(b for _, b in pairs)


def _bytes_of(rows: list[Row]) -> int:
    return len(pack_message(_Batch(rows=pack(rows))))


def _as_json(rows: list[Row]) -> bytes:
    """The same rows as one would write them without a format of one's own: no hashes, bytes as hex."""
    return b"\n".join(json.dumps(_plain(msgspec.msgpack.decode(row.body))).encode() for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


# -- a day of a shop, written by a real till ---------------------------------------------------------------------------


def _shop_day(mix: dict[str, int], *, pos: bool) -> list[Row]:
    """Rows of the mix in random order; `pos`: each purchase carries a POS's Idempotency-Key, a random UUID."""
    chance = random.Random(7)
    kinds = [kind for kind, count in mix.items() for _ in range(count)]
    chance.shuffle(kinds)
    with _till(chance) as till:
        for number, kind in enumerate(kinds):
            caller = Caller(pos_key="pos:till-1", key=str(UUID(bytes=chance.randbytes(16)))) if pos else None
            _operate(till, kind, number, chance, caller)
        return till.journal.rows_after(0, len(kinds))


def _operate(till: Till, kind: str, number: int, chance: random.Random, caller: Caller | None) -> None:
    card, receipt = card_of(chance.randrange(MEMBERS)), f"2026-{10_000 + number}"
    if kind == "activated":
        done = till.activate(card_of(MEMBERS + number), code=None, assisted=True, operator="anna", caller=caller)
    elif kind == "reversed" and (earlier := _purchase_before(till, chance)) is not None:
        undo = Request(kind="reverse", outlet=OUTLET, operator="anna", of=event_id(earlier.hash).hex(), whole=True)
        done = till.reverse(earlier, undo, operator="anna", caller=caller)
    else:
        lines = _basket(chance) if kind == "earned by basket lines" else None
        minor = sum(line.amount_minor for line in lines) if lines else chance.randrange(150, 9_000)
        asked = Request(kind="earn", outlet=OUTLET, operator="anna", amount_minor=minor, lines=lines, receipt=receipt)
        done = till.perform(card, asked, operator="anna", caller=caller)
    assert isinstance(done, Done), f"a row of the mix was declined: {done.answer.reason}"


def _basket(chance: random.Random) -> tuple[Line, ...]:
    return tuple(
        Line(
            no=no,
            amount_minor=chance.randrange(80, 3_000),
            category=chance.choice(("fresh", "tobacco", None)),
            product=f"{8_000_000_000_000 + 7 * chance.randrange(2_000)}",
            quantity=chance.randrange(1, 4),
        )
        for no in range(1, chance.randrange(3, 7))
    )


def _purchase_before(till: Till, chance: random.Random) -> Row | None:
    """One of the last purchases that is still whole."""
    rows = till.journal.rows_after(max(0, till.journal.head().seq - 60), 60)
    undone = {detail.of for row in rows if isinstance(detail := read_detail(read_body(row.body)), Reversed)}
    bought = [row for row in rows if isinstance(read_detail(read_body(row.body)), Earned)]
    whole = [row for row in bought if event_id(row.hash) not in undone]
    return chance.choice(whole) if whole else None


@contextmanager
def _till(chance: random.Random) -> Iterator[Till]:
    """A till whose clock goes from customer to customer."""
    clock_ms = SHOP_OPENS_MS

    def moment() -> Moment:
        nonlocal clock_ms
        clock_ms += chance.randrange(APART_S[0] * 1_000, APART_S[1] * 1_000)
        return Moment(wall_ms=clock_ms, boot_id=BOOT, boottime_ms=clock_ms - SHOP_OPENS_MS + 90_000, nonce=NONCE)

    with tempfile.TemporaryDirectory(dir=folder()) as place:
        who, data_dir = identity(), filled(Path(place) / "terminal", MEMBERS)
        journal, snapshot = Journal.open_or_create(data_dir, who.terminal, who.enrolment), SnapshotReader.open(data_dir)
        try:
            yield Till(journal=journal, snapshot=lambda: snapshot, identity=who, moment=moment)
        finally:
            snapshot.close()
            journal.close()
