"""One tap in process, durable, among a million cards: beside fdatasync of an overwritten block in the same folder.

The till and its files are the real ones. The rule's own time is taken inside the tap and told apart.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import random
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import agent.till
from agent.opening import build_till
from agent.results import Done
from agent.till import Till
from benchmarks.measure import RUNS, Block, Figure, figure, folder, median_of, percentile, spent_us
from loyalty.cose import DOCUMENT_MAX_BYTES, sign1
from loyalty.decide import decide
from loyalty.facts import Facts
from loyalty.ids import AccountId, CardToken, Generation, TerminalId
from loyalty.request import Request
from sync.identity import Identity
from sync.protocol.chain import FIRST_EPOCH, genesis
from sync.protocol.signing import cose_kid
from sync.snapshot import Snapshot, State

CARDS = 1_000_000
TAPS_A_RUN = 400
RATIO_AIM, ABOVE_AIM_US = 1.6, 60.0
OUTLET = "harbour"
PROGRAMME = Path(agent.till.__file__).parent / "demo" / "programme.toml"
_TERMINAL, _ENROLMENT, _KID = TerminalId(b"benchmark-till-1"), b"benchmark-enrol1", "programme-00000001"
_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"benchmark").digest())
_FILL_CACHE_KIB = 512 * 1024


def run(cards: int = CARDS, taps: int = TAPS_A_RUN) -> dict[str, Figure]:
    """`tap.durable`, `tap.p99` and `tap.rule`, in microseconds; each tap is followed by its baseline."""
    place = filled(folder() / f"terminal-{cards}", cards)
    fresh_journal(place)
    in_memory(place / "snapshot.db")
    till, block = build_till(identity(), place), Block(place / "block")
    try:
        measured = [_one_run(till, block, cards, taps) for _ in range(RUNS + 1)][1:]
    finally:
        till.journal.close()
        till.snapshot().close()
        block.close()
    columns = [[run[at] for run in measured] for at in range(3)]
    return _figures(*columns)


def _figures(taps: list[list[float]], rules: list[list[float]], blocks: list[list[float]]) -> dict[str, Figure]:
    tap, rule, floor = median_of(taps), median_of(rules), median_of(blocks)
    ours = median_of([[a - b for a, b in zip(*run, strict=True)] for run in zip(taps, rules, strict=True)])
    p99, floor_p99 = (median(percentile(run, 0.99) for run in runs) for runs in (taps, blocks))
    met = ours <= RATIO_AIM * floor and ours - floor <= ABOVE_AIM_US
    aim = f"without the rule <= {RATIO_AIM}x and <= {ABOVE_AIM_US:.0f} us above the block"
    return {
        "tap.durable": figure(ours, "us", baseline=floor, aim=aim, met=met)
        | {"above_us": round(ours - floor, 1), "with_rule_us": round(tap, 1)},
        "tap.p99": figure(p99, "us", baseline=floor_p99, aim="told, not aimed at", met=True),
        "tap.rule": figure(rule, "us", baseline=floor, aim="told apart", met=True),
    }


def _one_run(till: Till, block: Block, cards: int, taps: int) -> tuple[list[float], list[float], list[float]]:
    spent: list[float] = []
    rules: list[float] = []
    blocks: list[float] = []
    with _rule_timed(rules):
        for request, card in purchases(cards, taps):
            spent.append(spent_us(lambda: _earn(till, card, request)))  # noqa: B023 - called at once
            blocks.append(spent_us(block.sync))
    return spent, rules, blocks


def _earn(till: Till, card: CardToken, request: Request) -> None:
    done = till.perform(card, request)
    assert isinstance(done, Done), f"the purchase was declined ({done.answer.reason}): nothing would be measured"


@contextmanager
def _rule_timed(spent: list[float]) -> Iterator[None]:
    """What the till spends in the rule, by microseconds of each decision."""

    def timed(*given: Any, **named: Any) -> Any:
        began = perf_counter()
        answer = decide(*given, **named)
        spent.append((perf_counter() - began) * 1e6)
        return answer

    with mock.patch.object(agent.till, "decide", timed):
        yield


def purchases(cards: int, count: int) -> Iterator[tuple[Request, CardToken]]:
    """Purchases by amount with receipt numbers, each by a card drawn from all."""
    for _ in range(count):
        receipt, minor = secrets.token_hex(6), random.randrange(200, 20_000)
        request = Request(kind="earn", outlet=OUTLET, operator="anna", amount_minor=minor, receipt=receipt)
        yield request, card_of(random.randrange(cards))


# -- a terminal that knows a million members ---------------------------------------------------------------------------


def identity() -> Identity:
    """A terminal whose keys stand here: nothing of it is secret."""
    return Identity(
        terminal=_TERMINAL,
        enrolment=_ENROLMENT,
        outlet=OUTLET,
        private_key=_KEY.private_bytes_raw(),
        centre_keys={_KID: _KEY.public_key().public_bytes_raw()},
        token_key=bytes(32),
        token_key_id=1,
        code_key=bytes(32),
    )


def card_of(number: int) -> CardToken:
    """The token of one of the cards."""
    return CardToken(b"\x01" + hashlib.sha256(b"card %d" % number).digest()[:8])


def account_of(number: int) -> AccountId:
    """The account that a card points to."""
    return AccountId(hashlib.sha256(b"account %d" % number).digest()[:16])


def fresh_journal(place: Path) -> None:
    """Takes away what earlier runs journalled."""
    for file in place.glob("journal.db*"):
        file.unlink()


def in_memory(path: Path) -> None:
    """Reads a file once, so that no tap waits for a page that the system has not read yet."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def filled(place: Path, cards: int) -> Path:
    """A data folder whose snapshot has so many members, each with a card; made once."""
    if (place / "whole").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    snapshot = Snapshot.open_or_create(place)
    with snapshot.writing():
        snapshot.put_programme(1, sign1(PROGRAMME.read_bytes(), _KEY, cose_kid(_KID), max_bytes=DOCUMENT_MAX_BYTES))
        here = genesis(_TERMINAL, _ENROLMENT)
        snapshot.put_state(
            State(generation=Generation(bytes(15) + b"\x01"), epoch=FIRST_EPOCH, ack_hash=here, cursor=9)
        )
    snapshot.close()
    _fill(place / "snapshot.db", cards)
    (place / "whole").touch()
    return place


def _fill(path: Path, cards: int) -> None:
    """Members and cards in the order of their keys, as a bootstrap's sorted chunks bring them."""
    here, facts = genesis(_TERMINAL, _ENROLMENT), [msgspec.msgpack.encode(_facts(at)) for at in range(97)]
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA cache_size=-{_FILL_CACHE_KIB}")
        members = sorted((account_of(at), at) for at in range(cards))
        file.executemany(
            "INSERT INTO members VALUES (?, ?, ?, ?, 0, ?, 1)",
            ((account, at, facts[at % len(facts)], f"Member {at}", here) for account, at in members),
        )
        file.executemany(
            "INSERT INTO cards VALUES (?, ?, 'active')", sorted((card_of(at), account_of(at)) for at in range(cards))
        )
        file.commit()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _facts(at: int) -> Facts:
    """A member of some months: a dozen days with purchases, a campaign under way."""
    first = datetime.date(2026, 1, 1) + datetime.timedelta(days=at)
    days = [(first + datetime.timedelta(days=9 * no)).isoformat() for no in range(12)]
    return Facts(
        known=True,
        activated_at=datetime.datetime(2026, 1, 1, 9, tzinfo=datetime.UTC),
        purchases=len(days),
        balance=100 + at,
        days=dict.fromkeys(days, (1, 2350, 23, 23)),
        years={"2026": (len(days), 2_350 * len(days), 23 * len(days))},
        campaigns={"third_visit": {"total": 4, "2026-05": 1}},
    )
