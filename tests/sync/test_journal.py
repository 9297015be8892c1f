"""The journal: numbered without gaps, never changed, one writer, and plain words when a disk fails."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from written import ENROLMENT, MEMBER, TERMINAL, add, earned, open_epoch, opened_journal

from loyalty.ids import TerminalId
from loyalty.rows import Caller, RowError
from sync import files
from sync.files import StorageError
from sync.journal import Journal, JournalError, JournalReader
from sync.protocol.chain import MAX_BODY_BYTES
from tests.rigs.need import need
from tests.rigs.small_disk import small_disk


def test_rows_are_numbered_from_one_and_chained_from_the_genesis(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 5)
    assert [row.seq for row in journal.rows_after(0, 10)] == [1, 2, 3, 4, 5]
    assert journal.hash_at(0) == journal.genesis
    assert journal.head() == (5, journal.row(5).hash)  # type: ignore[union-attr]
    assert journal.verify() == 5
    journal.close()


def test_a_journal_goes_on_where_it_was_closed(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 3)
    head = journal.head()
    journal.close()
    journal = opened_journal(tmp_path)
    assert journal.head() == head
    assert [row.seq for row in add(journal, 2)] == [4, 5]
    assert journal.verify() == 5
    journal.close()


def test_a_new_epoch_goes_on_with_the_numbers(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 3)
    opened = open_epoch(journal, 7, journal.head())
    assert (opened.seq, opened.epoch_born, journal.epoch()) == (4, 7, 7)
    assert [row.epoch_born for row in add(journal, 1)] == [7]
    assert journal.verify() == 5
    journal.close()


def test_an_exception_while_deciding_leaves_no_row(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 2)
    with pytest.raises(RuntimeError), journal.deciding():
        journal.append(earned(5), account=MEMBER)
        journal.append(earned(6), account=MEMBER)
        raise RuntimeError("the power of decision failed")
    assert journal.head().seq == 2
    assert [row.seq for row in add(journal, 1)] == [3]
    assert journal.verify() == 3
    journal.close()


def test_a_body_above_16_kib_is_refused_and_nothing_of_it_kept(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path)
    with pytest.raises(ValueError, match="16384"), journal.deciding():
        journal.append(earned(1) + bytes(MAX_BODY_BYTES))
    assert journal.head().seq == 0
    journal.close()


def test_what_is_no_row_is_never_appended(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path)
    with pytest.raises(RowError), journal.deciding():
        journal.append(b"garbage")
    assert journal.head().seq == 0
    journal.close()


def test_one_request_of_a_pos_makes_one_row(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path)
    body = earned(1, caller=Caller(pos_key="pos", key="k"))
    with journal.deciding():
        journal.append(body, account=MEMBER)
    with pytest.raises(StorageError), journal.deciding():
        journal.append(body, account=MEMBER)
    assert journal.head().seq == 1
    journal.close()


def test_a_reader_sees_nothing_before_it_is_durable_and_cannot_write(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 1)
    reader = JournalReader.open(tmp_path)
    with journal.deciding():
        journal.append(earned(2), account=MEMBER)
        assert reader.head().seq == 1
    assert reader.head().seq == 2
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM rows")
    reader.close()
    journal.close()


def test_the_journal_of_another_terminal_is_left_untouched(tmp_path: Path) -> None:
    opened_journal(tmp_path, 1).close()
    with pytest.raises(JournalError, match="salvage"):
        Journal.open_or_create(tmp_path, TerminalId(bytes(16)), ENROLMENT)
    with pytest.raises(JournalError):
        Journal.open_or_create(tmp_path, TERMINAL, bytes(16))
    journal = opened_journal(tmp_path)
    assert journal.verify() == 1
    journal.close()


OTHER_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sync import files
files.BUSY_TIMEOUT_S = 0.1
from written import add, opened_journal
from sync.files import StorageError
try:
    add(opened_journal(Path(sys.argv[1])), 1)
    print("wrote")
except StorageError as error:
    print(error.code)
"""


def other_process(folder: Path) -> str:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here.parent.parent)}
    command = [sys.executable, "-c", OTHER_WRITER, str(folder), str(here)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout.strip()


def test_another_process_cannot_write_while_the_till_decides(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 1)
    with journal.deciding():
        assert other_process(tmp_path) == "storage.locked"
        journal.append(earned(2), account=MEMBER)
    assert journal.verify() == 2
    journal.close()


def test_a_decision_that_failed_leaves_the_next_one_where_it_was(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 1)
    with pytest.raises(RuntimeError), journal.deciding():
        journal.append(earned(1), account=MEMBER)
        assert journal.head().seq == 2
        raise RuntimeError("killed")
    assert journal.head().seq == 1
    assert [row.seq for row in add(journal, 1)] == [2]
    assert journal.verify() == 2
    journal.close()


def test_rows_of_another_process_are_never_overwritten(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path, 1)
    assert other_process(tmp_path) == "wrote"
    assert [row.seq for row in add(journal, 1)] == [3]
    assert journal.verify() == 3
    journal.close()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE rows SET body = CAST(body || x'00' AS BLOB) WHERE seq = 2", "row 2 is not what was journalled"),
        ("UPDATE rows SET hash = zeroblob(32) WHERE seq = 2", "row 2 is not what was journalled"),
        ("UPDATE rows SET epoch_born = 2 WHERE seq = 3", "row 3 is not what was journalled"),
        ("DELETE FROM rows WHERE seq = 2", "row 2 is missing"),
        ("DELETE FROM rows WHERE seq = 1", "row 1 is missing"),
        ("UPDATE rows SET seq = 9 WHERE seq = 4", "row 4 is missing"),
        ("UPDATE meta SET value = zeroblob(16) WHERE key = 'enrolment'", "row 1 is not what was journalled"),
    ],
)
def test_verify_finds_what_was_changed(tmp_path: Path, damage: str, fault: str) -> None:
    opened_journal(tmp_path, 4).close()
    with sqlite3.connect(tmp_path / "journal.db") as tampered:
        tampered.execute(damage)
    tampered.close()
    reader = JournalReader.open(tmp_path)
    with pytest.raises(JournalError, match=fault):
        reader.verify()
    reader.close()


def test_a_full_disk_saves_nothing_keeps_all_and_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        journal = opened_journal(disk, 3)
        (disk / "ballast").write_bytes(bytes(64 * 1024))
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(bytes(4096))
        with pytest.raises(StorageError) as full:
            for _ in range(200):
                add(journal, 1)
        assert full.value.code == "storage.full"
        kept = journal.head().seq
        assert kept >= 3 and journal.verify() == kept
        (disk / "ballast").unlink()
        (disk / "filler").unlink()
        assert add(journal, 1)[0].seq == kept + 1
        journal.close()


def test_a_disk_that_became_read_only_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        opened_journal(disk, 3).close()
        again = subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True)
        need(again.returncode == 0, "a kernel that lets us mount read-only")
        with pytest.raises(StorageError) as refused:
            opened_journal(disk)
        assert refused.value.code == "storage.read_only"


def test_a_journal_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"not a database" * 500)
    with pytest.raises(StorageError) as damaged:
        opened_journal(tmp_path)
    assert damaged.value.code == "storage.damaged"
    assert (tmp_path / "journal.db").read_bytes() == b"not a database" * 500


def test_a_journal_of_a_newer_version_is_left_untouched(tmp_path: Path) -> None:
    opened_journal(tmp_path, 1).close()
    with sqlite3.connect(tmp_path / "journal.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StorageError) as refused:
        opened_journal(tmp_path)
    assert refused.value.code == "storage.newer_schema"


def test_a_missing_journal_is_said_to_be_missing_to_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        JournalReader.open(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_file_is_durable_at_every_commit(tmp_path: Path) -> None:
    journal = opened_journal(tmp_path)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._db.execute("PRAGMA application_id").fetchone()[0] == files.APPLICATION_ID
    journal.close()
