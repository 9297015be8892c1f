"""Rows on the wire: whatever they hold comes back byte for byte, and no hostile batch does harm."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loyalty.ids import TerminalId
from sync.protocol import packing
from sync.protocol.chain import MAX_BODY_BYTES, Row, RowHash, row_hash
from sync.protocol.packing import PackedError, pack, unpack

TERMINAL = TerminalId(bytes(range(16)))
START = RowHash(bytes(32))

numbers = st.integers(min_value=-(2**63), max_value=2**64 - 1)
leaves = st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)
bodies = trees.map(msgspec.msgpack.encode) | st.binary(max_size=40)
alike = st.lists(st.tuples(numbers, st.sampled_from(["a", "b"]), st.binary(max_size=3)), max_size=20).map(
    lambda rows: [msgspec.msgpack.encode(list(row)) for row in rows]
)


def journal(found: list[bytes], first: int = 1, epochs: tuple[int, ...] = (1,)) -> list[Row]:
    rows, previous = [], START
    for at, body in enumerate(found):
        epoch = epochs[at * len(epochs) // len(found)]
        previous = row_hash(previous, TERMINAL, epoch, first + at, body)
        rows.append(Row(first + at, epoch, previous, body))
    return rows


@given(found=st.lists(bodies, max_size=12) | alike, first=st.integers(1, 2**40))
@example(found=[msgspec.msgpack.encode([0.0]), msgspec.msgpack.encode([-0.0])], first=1)
@example(found=[msgspec.msgpack.encode([n]) for n in (-(2**63), 2**64 - 1, 2**64 - 1)], first=1)
@example(found=[b"\xa1\xff"], first=1)
@example(found=[b"\x91" * 200 + b"\x01"], first=1)
@example(found=[b"\x91" * 900 + b"\x01"], first=1)
@example(found=[b"\x81\xc4\x01a\x01", b"\x81\xd9\x01a\x01", b"\x82\xa1a\x01\xa1a\x02"], first=1)
@example(found=[b"\xd6\xff\x00\x00\x00\x00", b"\xd4\x05\x01"], first=1)
@settings(max_examples=300)
def test_rows_of_any_bytes_come_back_the_same(found: list[bytes], first: int) -> None:
    rows = journal(found, first, (1, 2, 7))
    assert unpack(pack(rows), previous=START, terminal=TERMINAL) == rows


def test_a_full_batch_of_largest_rows_comes_back_the_same() -> None:
    rows = journal([bytes([at % 256]) * MAX_BODY_BYTES for at in range(16)])
    assert unpack(pack(rows), previous=START, terminal=TERMINAL) == rows


def test_rows_of_one_kind_cost_little_beyond_what_differs() -> None:
    same = [msgspec.msgpack.encode([1, 3, [1_700_000_000_000 + at * 7, b"boot" * 4], "till", at]) for at in range(1000)]
    assert len(pack(journal(same))) < 3_500


def tries(data: bytes) -> None:
    try:
        unpack(data, previous=START, terminal=TERMINAL)
    except PackedError:
        pass


@given(data=st.binary(max_size=200))
def test_garbage_is_refused_with_the_one_error(data: bytes) -> None:
    tries(data)


shaped = st.lists(trees, max_size=5)
hostile = st.tuples(
    st.sampled_from([1, 2, -1]),
    numbers,
    st.lists(st.tuples(numbers, numbers), max_size=3),
    st.lists(st.tuples(numbers, numbers), max_size=3),
    st.lists(st.tuples(trees.map(msgspec.msgpack.encode) | st.just(b""), shaped), max_size=3),
)


@given(batch=hostile)
@settings(max_examples=500)
def test_batches_of_the_right_form_with_wrong_content_are_refused_with_the_one_error(batch: object) -> None:
    tries(msgspec.msgpack.encode(batch))


@given(
    found=st.lists(bodies, min_size=1, max_size=6),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3),
)
@settings(max_examples=300)
def test_damaged_batches_are_refused_or_end_in_another_hash(
    found: list[bytes], cut: int, flips: list[tuple[int, int]]
) -> None:
    rows = journal(found)
    packed = bytearray(pack(rows))
    tries(bytes(packed[: cut % len(packed)]))
    before = bytes(packed)
    for at, mask in flips:
        packed[at % len(packed)] ^= mask
    if bytes(packed) == before:
        return
    try:
        got = unpack(bytes(packed), previous=START, terminal=TERMINAL)
    except PackedError:
        return
    assert got == rows or not got or got[-1].hash != rows[-1].hash or len(got) != len(rows)


BLOCK = [msgspec.msgpack.encode([None]), [[0, 1]]]


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param([1, 1, [[1, 1]], [[0, 10**12], [1, 1 - 10**12]], [BLOCK, BLOCK]], id="runs that cancel out"),
        pytest.param([1, 1, [[1, 10**15]], [[0, 10**15]], [BLOCK]], id="a run without end"),
        pytest.param([1, 1, [[1, 2_001]], [[0, 2_001]], [BLOCK]], id="more rows than a batch may have"),
        pytest.param([1, 1, [[1, 2_000]], [[0, 2_000]], [[BLOCK[0], [[0, "x" * 10**6]]]]], id="rows that swell"),
        pytest.param([1, 1, [[2**40, 1]], [[0, 1]], [BLOCK]], id="an epoch beyond 32 bits"),
        pytest.param([1, -5, [[1, 1]], [[0, 1]], [BLOCK]], id="a negative number"),
        pytest.param([1, 1, [[1, 1]], [[7, 1]], [BLOCK]], id="a block that is not there"),
        pytest.param([1, 1, [[1, 1]], [[0, 1]], [[BLOCK[0], [{"form": 0}]]]], id="a column that is none"),
        pytest.param([1, 1, [[1, 1]], [[0, 1]], [[b"\x91" * 100_000 + b"\xc0", [[0, 1]]]]], id="a deep shape"),
        pytest.param([1, 1, [[1, 1]], [[0, 1]], [[BLOCK[0], [[1, 2**63, [2**63]]]]]], id="numbers that overflow"),
        pytest.param([2, 1, [[1, 1]], [[0, 1]], [BLOCK]], id="a format of tomorrow"),
    ],
)
def test_hostile_batches_are_refused(batch: object) -> None:
    with pytest.raises(PackedError):
        unpack(msgspec.msgpack.encode(batch), previous=START, terminal=TERMINAL)


def test_the_error_of_a_batch_is_a_value_error_for_those_who_catch_all_wrong_input() -> None:
    assert issubclass(packing.PackedError, ValueError)
