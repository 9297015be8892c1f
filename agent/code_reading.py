"""Codes that were scanned or typed, proven as far as it can be without the line."""

from __future__ import annotations

import datetime

from agent.results import RefusedError
from loyalty import codes as signed_codes
from loyalty import rows, typed
from sync.identity import Identity
from sync.snapshot import SnapshotReader


class Codes:
    """Reads codes: (code, its purpose), or RefusedError naming what is wrong with it."""

    def __init__(self, identity: Identity) -> None:
        self._keys, self._code_key = identity.cose_keys_for("code"), identity.code_key

    def read(
        self, text: str, snapshot: SnapshotReader, now: datetime.datetime, programme: str
    ) -> tuple[rows.UsedCode, str]:
        """A code of either kind. The colon tells: of typed codes one in a thousand begins with HF, too."""
        if ":" in text:
            return self.signed(text, now, programme)
        return self.typed(text, snapshot, programme)

    def signed(self, text: str, now: datetime.datetime, programme: str) -> tuple[rows.UsedCode, str]:
        """A signed text of a QR code, proven here."""
        try:
            code = signed_codes.read(text, self._keys, now_s=int(now.timestamp()), programme=programme).code
        except typed.CodeError as error:
            raise RefusedError(error.code, error.text) from error
        used = rows.UsedCode(id=code.code_id.hex(), batch=code.batch, serial=code.serial, programme=code.programme)
        return used, code.kind

    def typed(self, text: str, snapshot: SnapshotReader, programme: str) -> tuple[rows.UsedCode, str]:
        """Eleven symbols: good if the centre told of them."""
        try:
            code = typed.parse(text)
        except typed.CodeError as error:
            raise RefusedError(error.code, error.text) from error
        found = snapshot.typed_code(typed.stored_hash(code, self._code_key))
        if found is None:
            raise RefusedError("code.unknown")
        used = rows.UsedCode(id=found.code_id.hex(), batch=found.batch, serial=found.serial, programme=programme)
        return used, found.purpose
