"""diagnostics.db: what the machine felt, one line per change of state. Expendable, bounded, and never in the way.

Every line also goes to standard error as one JSON object. A file that is damaged is set aside and made anew; where
that fails the lines go to standard error alone. Nothing here raises into the till.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import msgspec
from sqlalchemy import exc

from agent.diagnosis.log_store import DamagedError, Event, Store

LIMIT = 50_000

# What a card says of itself is hexadecimal or a long number; errors as 0x8010001D are neither.
SECRETS = re.compile(
    r"\b[0-9A-Fa-f]{2}([ :-])(?:[0-9A-Fa-f]{2}\1){2,}[0-9A-Fa-f]{2}\b"
    r"|\b[0-9A-Fa-f]{8,}\b"
    r"|\b[\w.+-]+@[\w-]+\.[\w.]+"
    r"|(?<![\w-])(?!\d{4}-\d\d-\d\d\b)\+?\d(?:[ -]?\d){7,}\b"
)


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What an event belongs to, so that a tap can be followed from the reader to the centre."""

    row: int | None = None  # seq in the journal
    event_id: str | None = None
    exchange: int | None = None
    reader: str | None = None


NOTHING = About()


class DiagnosticLog:
    """The one writer of diagnostics.db. Usable from any thread."""

    def __init__(self, path: Path, *, limit: int = LIMIT, stream: TextIO | None = None) -> None:
        self._path = path
        self._limit = limit
        self._stream = stream
        self._lock = threading.Lock()
        self._store: Store | None = None
        with self._lock:
            self._open()

    def note(
        self,
        at: float,
        area: str,
        code: str,
        text: str,
        scope: str | None = None,
        data: Mapping[str, str | int | float | bool | None] | None = None,
        *,
        about: About = NOTHING,
    ) -> None:
        """One event at `at` (seconds since 1970). Whatever looks like a card, a number or an address is masked."""
        self.write(Event(at=at, area=area, code=code, text=text, scope=scope, data=dict(data or {})), about)

    def write(self, event: Event, about: About = NOTHING) -> None:
        """Stores and prints one event; a disk that refuses it costs the line in the file, nothing else."""
        event = _masked(event, about)
        with self._lock:
            self._print(event)
            self._keep(event)

    def read(self, since: float | None = None, area: str | None = None, limit: int = 1000) -> Sequence[Event]:
        """The newest `limit` events, oldest first; none where there is no file."""
        with self._lock:
            with suppress(exc.SQLAlchemyError, DamagedError):
                return self._store.read(since, area, limit) if self._store is not None else []
            return []

    def last_of_subjects(self) -> Sequence[Event]:
        """The last event of each subject, by which a restarted agent knows what was wrong before."""
        with self._lock:
            with suppress(exc.SQLAlchemyError, DamagedError):
                return self._store.last_of_subjects() if self._store is not None else []
            return []

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _keep(self, event: Event) -> None:
        if self._store is None:
            self._open()
        if self._store is None:
            return
        try:
            self._store.add(event)
        except DamagedError:
            self._begin_anew()
            with suppress(exc.SQLAlchemyError, DamagedError):
                if self._store is not None:
                    self._store.add(event)
        except exc.SQLAlchemyError as error:  # full, read-only: the next line tries again
            self._complain(error)

    def _open(self) -> None:
        try:
            self._store = Store(self._path, self._limit)
        except DamagedError:
            self._begin_anew()
        except (exc.SQLAlchemyError, OSError) as error:
            self._complain(error)

    def _begin_anew(self) -> None:
        """The damaged file is kept under one name only, or it would fill the disk that broke it."""
        if self._store is not None:
            self._store.close()
            self._store = None
        try:
            self._path.replace(self._path.with_name(self._path.name + ".damaged"))
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._store = Store(self._path, self._limit)
        except (exc.SQLAlchemyError, OSError, DamagedError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self._say({"area": "system", "code": "log.unavailable", "text": f"{type(error).__name__}: {error}"})

    def _print(self, event: Event) -> None:
        said = msgspec.to_builtins(event)
        self._say({key: value for key, value in said.items() if value not in (None, {}, False)})

    def _say(self, fields: dict[str, object]) -> None:
        import structlog  # at the first line: it brings rich along, which would be a tenth of the agent's start

        as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
        with suppress(OSError, ValueError):  # standard error closed: there is nobody left to tell
            logger = structlog.PrintLogger(self._stream if self._stream is not None else sys.stderr)
            logger.msg(str(as_json(None, "msg", fields)))


def _masked(event: Event, about: About) -> Event:
    data = {key: mask(value) if isinstance(value, str) else value for key, value in event.data.items()}
    return msgspec.structs.replace(
        event,
        text=mask(event.text),
        data=data,
        row=about.row,
        event_id=about.event_id,
        exchange=about.exchange,
        reader=about.reader,
    )


def mask(text: str) -> str:
    """The text without anything that could be a card, a telephone number or an address."""
    return SECRETS.sub("***", text)
