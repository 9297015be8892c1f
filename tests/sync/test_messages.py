"""Bytes from outside: a message, or MessageError and nothing else."""

from __future__ import annotations

import sys

import msgspec
import pytest
from golden import golden
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.protocol.messages import MAX_PLAIN_BYTES, MAX_WIRE_BYTES, Answer, MessageError, Request, read_message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WIRE = bytes.fromhex(golden("answer.json")[0]["wire"])
PLAIN = bytes.fromhex(golden("answer.json")[0]["plain"])


def refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        read_message(data, Answer)


@given(cut=st.integers(0, len(WIRE) - 1))
def test_a_torn_message_is_refused(cut: int) -> None:
    refused(WIRE[:cut])


@given(data=st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    refused(data)
    refused(zstd.compress(data))


@given(at=st.integers(0, len(PLAIN) - 1), mask=st.integers(1, 255))
@settings(max_examples=300)
def test_wrong_bytes_under_good_compression_are_refused_or_read(at: int, mask: int) -> None:
    wrong = bytearray(PLAIN)
    wrong[at] ^= mask
    try:
        read_message(zstd.compress(bytes(wrong)), Answer)
    except MessageError:
        pass


def test_a_message_that_unpacks_to_too_much_is_refused() -> None:
    bomb = zstd.compress(bytes(MAX_PLAIN_BYTES + 1))
    assert len(bomb) < 10_000
    refused(bomb)


def test_a_message_too_large_on_the_wire_is_refused_unread() -> None:
    refused(bytes(MAX_WIRE_BYTES + 1))


def test_a_deeply_nested_message_is_refused() -> None:
    refused(zstd.compress(b"\x81\xa6health" + b"\x91" * 100_000 + b"\xc0"))
    with pytest.raises(MessageError):
        read_message(zstd.compress(b"\x81\xa6health\x81\xa1a" + b"\x91" * 100_000 + b"\xc0"), Request)


def test_what_follows_a_message_is_refused() -> None:
    refused(WIRE + b"more")
    refused(zstd.compress(PLAIN + b"\xc0"))


def test_a_message_of_another_kind_is_refused() -> None:
    refused(bytes.fromhex(golden("request.json")[0]["wire"]))
    refused(zstd.compress(msgspec.msgpack.encode([1, 2, 3])))
