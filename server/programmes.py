"""Versions of the programme document: checked, signed and kept; a version is never used twice."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import sqlalchemy as sa

from loyalty.check import table_of
from loyalty.cose import DOCUMENT_MAX_BYTES, sign1
from loyalty.programme import Mistake, Programme, ProgrammeError, from_document, parse
from server import feed, store
from server.keys import Keys
from server.schema import programmes
from sync.protocol.signing import cose_kid


def load(tx: sa.Connection, document: bytes, keys: Keys, now_ms: int) -> Programme:
    """Checks a document and makes it the newest version; raises ProgrammeError with all its mistakes."""
    before = [
        table_of(d) for d in tx.execute(sa.select(programmes.c.document).order_by(programmes.c.version)).scalars()
    ]
    programme = parse(document, loaded=before)
    running = before[-1]["programme"]["id"] if before else programme.id
    if running != programme.id:
        text = f"this is programme {programme.id}, and this centre runs {running}"
        cure = f'write id = "{running}", or make another centre for it'
        raise ProgrammeError([Mistake(line=0, code="document.other_programme", text=text, cure=cure)])
    kid, key = keys.current("programme")
    signed = sign1(document, key, cose_kid(kid), max_bytes=DOCUMENT_MAX_BYTES)
    tx.execute(
        programmes.insert().values(version=programme.version, document=document, signed=signed, loaded_ms=now_ms)
    )
    feed.append(tx, store.next_commit(tx), "programme", programme.version.to_bytes(4), signed)
    return programme


def all_versions(tx: sa.Connection) -> Mapping[int, Programme]:
    """Every version that was ever loaded: a row is decided on the one it names."""
    found = tx.execute(sa.select(programmes.c.version, programmes.c.document))
    return {version: _parsed(document) for version, document in found}


class Versions:
    """Versions read once: documents of up to a mebibyte are not fetched again with every exchange."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, int], Programme] = {}

    def all(self, tx: sa.Connection) -> Mapping[int, Programme]:
        """As `all_versions`."""
        p = programmes.c
        there = [(version, loaded_ms) for version, loaded_ms in tx.execute(sa.select(p.version, p.loaded_ms))]
        for key in there:
            if key not in self._read:
                document = tx.execute(sa.select(p.document).where(p.version == key[0])).scalar_one()
                self._read[key] = _parsed(document)
        return {key[0]: self._read[key] for key in there}


@functools.lru_cache(maxsize=64)
def _parsed(document: bytes) -> Programme:
    """A document that was checked when it was loaded; a later version's stricter check must not lock it out."""
    return from_document(table_of(document))
