"""Rows on the wire: columns instead of records, so that what repeats or counts up costs next to nothing.

Bodies are read as generic msgpack; rows of one shape (same kinds of value at the same places) share a block whose
leaves become columns. Whatever does not come out byte for byte the same travels as raw bytes. Nothing here knows a
kind of row, so tomorrow's rows pass through today's terminal.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from loyalty.ids import TerminalId
from sync.protocol.chain import MAX_BODY_BYTES, Row, RowHash, row_hash

MAX_ROWS = 2_000
MAX_DEPTH = 32  # rows of today go down to 6; what is deeper travels as raw bytes
_INT64 = 1 << 63
FORMAT = 1

Leaf = int | str | bytes | float | bool | None
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class PackedError(ValueError):
    """A batch that cannot be unpacked: nothing of it is used."""


class _Block(msgspec.Struct, array_like=True):
    shape: bytes  # msgpack of the tree with leaves replaced by None; empty: raw bodies
    columns: list[Any]


class _Batch(msgspec.Struct, array_like=True):
    format: int
    first_seq: int
    epochs: list[tuple[int, int]]  # runs of (epoch_born, count)
    order: list[tuple[int, int]]  # runs of (block, count)
    blocks: list[_Block]


def pack(rows: Sequence[Row]) -> bytes:
    """Rows with consecutive seq as one batch. Rows that would not come back byte for byte travel raw."""
    batch = _columns(rows)
    if [row.body for row in _chained(batch, RowHash(b""), TerminalId(b""))] != [row.body for row in rows]:
        batch = _Batch(FORMAT, batch.first_seq, batch.epochs, [(0, len(rows))], [_Block(b"", [r.body for r in rows])])
    return _encode(batch)


def _columns(rows: Sequence[Row]) -> _Batch:
    by_shape: dict[bytes, int] = {b"": 0}
    members: list[list[Any]] = [[]]
    order: list[int] = []
    for row in rows:
        shape, leaves = _taken_apart(row.body)
        block = by_shape.setdefault(shape, len(by_shape))
        if block == len(members):
            members.append([])
        members[block].append(leaves)
        order.append(block)
    blocks = [
        _Block(
            shape,
            members[block] if block == 0 else [_column(list(values)) for values in zip(*members[block], strict=True)],
        )
        for shape, block in by_shape.items()
    ]
    return _Batch(FORMAT, rows[0].seq if rows else 0, _runs([row.epoch_born for row in rows]), _runs(order), blocks)


def unpack(data: bytes, *, previous: RowHash, terminal: TerminalId) -> list[Row]:
    """The rows of a batch, their hashes computed on from `previous`; raises PackedError."""
    try:
        batch = msgspec.msgpack.decode(data, type=_Batch)
        return _chained(batch, previous, terminal)
    except (
        msgspec.DecodeError,
        struct.error,
        ValueError,
        TypeError,
        LookupError,
        StopIteration,
        RecursionError,
        OverflowError,
    ) as error:
        raise PackedError(f"batch cannot be unpacked: {error}") from error


def _chained(batch: _Batch, previous: RowHash, terminal: TerminalId) -> list[Row]:
    if batch.format != FORMAT:
        raise PackedError(f"batch of format {batch.format}")
    count = sum(n for _, n in batch.epochs)
    if count > MAX_ROWS or count != sum(n for _, n in batch.order) or _has_empty_run(batch):
        raise PackedError("batch counts do not agree")
    of_block = [sum(n for at, n in batch.order if at == block) for block in range(len(batch.blocks))]
    bodies = [_bodies(block, n) for block, n in zip(batch.blocks, of_block, strict=True)]
    epochs = [epoch for epoch, n in batch.epochs for _ in range(n)]
    rows: list[Row] = []
    for at, block in enumerate(block for block, n in batch.order for _ in range(n)):
        body, seq = next(bodies[block]), batch.first_seq + at
        if len(body) > MAX_BODY_BYTES:
            raise PackedError(f"a row of {len(body)} bytes")
        previous = row_hash(previous, terminal, epochs[at], seq, body)
        rows.append(Row(seq, epochs[at], previous, body))
    return rows


def _has_empty_run(batch: _Batch) -> bool:
    return any(n < 1 for _, n in [*batch.epochs, *batch.order])


def _bodies(block: _Block, count: int) -> Iterator[bytes]:
    """One at a time, so that a batch which unpacks to too much is left before it has."""
    if not block.shape:
        if not all(isinstance(body, bytes) for body in block.columns):
            raise PackedError("raw bodies are bytes")
        return iter(_exactly(block.columns, count))
    rebuild = _rebuilder(_decode(block.shape))
    columns = [_exactly(_values(column, count), count) for column in block.columns]
    return map(lambda *leaves: _encode(rebuild(iter(leaves))), *columns)  # not a generator: it may end in StopIteration


def _exactly(values: list[Any], count: int) -> list[Any]:
    if len(values) != count:
        raise PackedError(f"{len(values)} values for {count} rows")
    return values


def _taken_apart(body: bytes) -> tuple[bytes, Any]:
    """(shape, leaves), or (b"", body) when the body does not come back byte for byte."""
    try:
        tree = _decode(body)
        leaves: list[Leaf] = []
        shape = _shape(tree, leaves, MAX_DEPTH)
        if leaves and _encode(tree) == body:
            return _encode(shape), leaves
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
        pass
    return b"", body


def _shape(tree: Any, leaves: list[Leaf], depth: int) -> Any:
    """The tree without its leaves, which are appended in order; dictionary keys are part of the shape."""
    if not depth:
        raise TypeError("nested too deep")
    if isinstance(tree, list):
        return [_shape(item, leaves, depth - 1) for item in tree]
    if isinstance(tree, dict):
        return {key: _shape(value, leaves, depth - 1) for key, value in tree.items()}
    if not isinstance(tree, (int, str, bytes, float, type(None))):
        raise TypeError("not a plain leaf")
    leaves.append(tree)
    return None


def _rebuilder(shape: Any) -> Callable[[Any], Any]:
    if isinstance(shape, list):
        parts = [_rebuilder(item) for item in shape]
        return lambda leaves: [part(leaves) for part in parts]
    if isinstance(shape, dict):
        fields = [(key, _rebuilder(item)) for key, item in shape.items()]
        return lambda leaves: {key: part(leaves) for key, part in fields}
    return next


def _column(values: list[Leaf]) -> Any:
    """The values of one leaf in the cheapest form: [0, value] constant, [1, first, steps] numbers, [2, values] any."""
    first = values[0]
    if all(type(value) is type(first) and value == first for value in values):
        return [0, first]
    if all(type(value) is int for value in values):
        numbers: list[int] = values  # type: ignore[assignment]
        steps = [b - a for a, b in itertools.pairwise(numbers)]
        if sum(map(abs, steps)) < sum(map(abs, numbers)) and all(-_INT64 <= step < _INT64 for step in steps):
            return [1, first, steps]
    return [2, values]


def _values(column: Any, count: int) -> list[Leaf]:
    form = column[0]
    if form == 0:
        return [column[1]] * count
    if form == 1:
        numbers = [column[1]]
        for step in column[2]:
            numbers.append(numbers[-1] + step)
        return numbers
    if form == 2:
        values: list[Leaf] = column[1]
        return values
    raise PackedError(f"column of form {form}")


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return [(value, n) for value, n in runs]
