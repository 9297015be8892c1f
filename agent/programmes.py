"""The programme in force at this outlet: of the versions that the centre signed, the newest that has begun."""

from __future__ import annotations

import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.results import RefusedError
from loyalty.calendar import ALWAYS_UNTIL, micros
from loyalty.cose import DOCUMENT_MAX_BYTES, CoseError, verify1
from loyalty.place import place_of
from loyalty.programme import Programme, ProgrammeError, parse
from sync.snapshot import SnapshotReader


class Programmes:
    """Reads each version once: a version is never used again for another document."""

    def __init__(self, keys: dict[bytes, Ed25519PublicKey], outlet: str) -> None:
        self._keys, self._outlet = keys, outlet
        self._read_once: dict[int, Programme | None] = {}
        self._beginnings: tuple[list[int], list[tuple[int, Programme]]] = ([], [])

    def in_force(self, snapshot: SnapshotReader, now: datetime.datetime) -> Programme:
        """The newest version that has begun, else the newest; raises RefusedError where there is none."""
        versions = snapshot.programme_versions()
        if versions != self._beginnings[0]:
            read = [p for v in versions if (p := self.version(snapshot, v)) is not None]
            self._beginnings = (
                versions,
                [(_begins_us(programme, self._outlet), programme) for programme in read],
            )
        beginnings, now_us = self._beginnings[1], micros(now)
        if not beginnings:
            raise RefusedError("till.no_programme")
        return next((programme for begins_us, programme in beginnings if begins_us <= now_us), beginnings[0][1])

    def version(self, snapshot: SnapshotReader, version: int) -> Programme | None:
        """A document that the centre signed, read once; others are as if they were not there."""
        if version not in self._read_once:
            signed = snapshot.programme(version)
            try:
                self._read_once[version] = self._parsed(signed) if signed else None
            except (CoseError, ProgrammeError):
                self._read_once[version] = None
        return self._read_once[version]

    def _parsed(self, signed: bytes) -> Programme:
        return parse(verify1(signed, self._keys, max_bytes=DOCUMENT_MAX_BYTES))


def _begins_us(programme: Programme, outlet: str) -> int:
    """From when a version holds here; never where it does not have this outlet."""
    place = place_of(programme, outlet)
    return place.validity.starts if place is not None else ALWAYS_UNTIL
