"""A copy of the journal, taken while the till works, and its way back.

A backup holds the journal alone: no snapshot, which the centre gives again, and no key, which would make a thief the
terminal. After a restore the centre sees which rows it has and the copy lacks, and names the branch to go on under.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from loyalty.ids import TerminalId
from sync import files, journal, snapshot
from sync.journal import JournalError, JournalReader


def back_up(data_dir: Path, target: Path) -> int:
    """Writes a consistent copy and checks it; returns its rows.

    Raises StorageError, JournalError, or FileExistsError.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already. Nothing was written; choose another name.")
    draft = target.with_name(target.name + ".part")
    source = files.open_reader(data_dir / journal.FILE_NAME)
    try:
        copy = sqlite3.connect(draft)
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        rows = JournalReader(copy).verify()
        copy.close()
        draft.replace(target)
    except sqlite3.Error as error:
        raise files.translated(error, target) from error
    finally:
        source.close()
        draft.unlink(missing_ok=True)
    return rows


def restore(data_dir: Path, source: Path, terminal: TerminalId) -> int:
    """Puts a backup in the journal's place; returns its rows. The caller holds the lock.

    What was there is kept beside it under another name; the snapshot is dropped and comes again with the next exchange.
    Raises JournalError for a copy that is damaged or another terminal's, StorageError for one that cannot be read.
    """
    reader = JournalReader(files.open_reader(source))
    rows = reader.verify()
    owner = reader.terminal
    reader.close()
    if owner != terminal:
        raise JournalError(f"{source} is the journal of terminal {owner.hex()}. Nothing was changed.")
    path = data_dir / journal.FILE_NAME
    draft = path.with_name("journal.next.db")
    draft.write_bytes(source.read_bytes())
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.before-{int(time.time())}{suffix}"))
    draft.replace(path)
    for suffix in ("", "-wal", "-shm"):
        (data_dir / (snapshot.FILE_NAME + suffix)).unlink(missing_ok=True)
    return rows
