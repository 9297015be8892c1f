"""A copy of the journal and its way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from loyalty.ids import TerminalId
from loyalty.rows import AllowanceClosed, Basis, Moment, encode
from sync.backup import back_up, restore
from sync.journal import Journal, JournalError, JournalReader

TERMINAL = TerminalId(b"t" * 16)
BASIS = Basis(generation=bytes(16), programme=1, block_list=0, feed=0)


def write(journal: Journal, count: int) -> None:
    for number in range(count):
        moment = Moment(wall_ms=number, boot_id=bytes(16), boottime_ms=number, nonce=bytes(8))
        with journal.deciding():
            journal.append(encode(AllowanceClosed(allowance=bytes(16), spent=number), moment=moment, basis=BASIS))


@pytest.fixture
def journal(tmp_path: Path):
    made = Journal.open_or_create(tmp_path, TERMINAL, bytes(16))
    write(made, 5)
    yield made
    made.close()


def test_a_backup_taken_while_the_till_works_is_whole(journal: Journal, tmp_path: Path):
    assert back_up(tmp_path, tmp_path / "copy.hf") == 5
    write(journal, 3)
    copy = JournalReader.open(tmp_path)
    assert copy.verify() == 8
    copy.close()


def test_a_backup_never_overwrites_a_file(journal: Journal, tmp_path: Path):
    (tmp_path / "copy.hf").write_text("precious")
    with pytest.raises(FileExistsError):
        back_up(tmp_path, tmp_path / "copy.hf")
    assert (tmp_path / "copy.hf").read_text() == "precious"


def test_what_a_restore_replaces_is_kept_and_the_snapshot_is_dropped(journal: Journal, tmp_path: Path):
    back_up(tmp_path, tmp_path / "copy.hf")
    write(journal, 3)
    journal.close()
    (tmp_path / "snapshot.db").write_text("the centre's word")
    assert restore(tmp_path, tmp_path / "copy.hf", TERMINAL) == 5
    again = Journal.open_or_create(tmp_path, TERMINAL, bytes(16))
    assert again.head().seq == 5
    again.close()
    assert not (tmp_path / "snapshot.db").exists()
    assert len(list(tmp_path.glob("journal.db.before-*"))) >= 1


def test_another_terminals_backup_is_refused_and_changes_nothing(journal: Journal, tmp_path: Path):
    back_up(tmp_path, tmp_path / "copy.hf")
    with pytest.raises(JournalError, match="Nothing was changed"):
        restore(tmp_path, tmp_path / "copy.hf", TerminalId(b"x" * 16))
    assert journal.head().seq == 5


def test_a_damaged_backup_is_refused(journal: Journal, tmp_path: Path):
    copy = tmp_path / "copy.hf"
    back_up(tmp_path, copy)
    data = bytearray(copy.read_bytes())
    body = encode(
        AllowanceClosed(allowance=bytes(16), spent=3),
        moment=Moment(wall_ms=3, boot_id=bytes(16), boottime_ms=3, nonce=bytes(8)),
        basis=BASIS,
    )
    at = data.find(body)
    data[at + 5] ^= 1
    copy.write_bytes(data)
    with pytest.raises(JournalError, match="is not what was journalled"):
        restore(tmp_path, copy, TERMINAL)
