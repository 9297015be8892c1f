"""What was written in format 1 is read for ever: rows, chain, batches, messages, tokens, signatures, files."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from golden import FOLDER, golden, named

from loyalty import rows
from loyalty.facts import Facts
from loyalty.ids import AccountId, CardToken, EventId, TerminalId, card_token, fingerprint
from loyalty.recorded import entry, own_row
from sync.journal import Journal, JournalReader
from sync.member import standing
from sync.protocol import messages
from sync.protocol.chain import Row, RowHash, event_id, genesis, row_hash
from sync.protocol.packing import pack, unpack
from sync.protocol.signing import SignedAnswer, SignedRequest, verify_answer, verify_request
from sync.snapshot import Snapshot, SnapshotReader

ROWS = golden("rows.json")
MESSAGES = [*golden("request.json"), *golden("answer.json"), *golden("enrolment.json")]
DECIDED = ("activated", "earned", "burned", "code_used", "reversed", "adjusted")


def of_hex(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("row", ROWS["rows"], ids=lambda row: row["kind"])
def test_a_row_of_each_kind_is_read_as_it_was_meant(row: dict[str, Any]) -> None:
    body = rows.read_body(of_hex(row["body"]))
    assert rows.Kind(body.kind).name == row["kind"]
    assert named(body) == row["shared"]
    assert named(rows.read_detail(body)) == row["detail"]


@pytest.mark.parametrize("row", ROWS["rows"], ids=lambda row: row["kind"])
def test_a_row_of_each_kind_is_written_byte_for_byte_as_then(row: dict[str, Any]) -> None:
    body = rows.read_body(of_hex(row["body"]))
    written = rows.encode(
        rows.read_detail(body),
        moment=body.moment,
        basis=body.basis,
        operator=body.operator,
        account=body.account,
        card=body.card,
        caller=body.caller,
    )
    assert written.hex() == row["body"]


def test_every_kind_that_can_be_written_has_its_golden_row() -> None:
    written = {kind.name for kind in rows.Kind if int(kind) in rows._details}
    assert {row["kind"] for row in ROWS["rows"]} == written


@pytest.mark.parametrize("row", ROWS["rows"], ids=lambda row: row["kind"])
def test_decisions_read_a_row_of_each_decided_kind(row: dict[str, Any]) -> None:
    own = own_row(7, EventId(bytes(16)), of_hex(row["body"]))
    assert (own is not None) == (row["kind"] in DECIDED)
    if own is not None:
        assert (own.kind, own.seq, own.points) == (row["kind"], 7, row["detail"]["answer"]["points"])
        assert (entry(7, of_hex(row["body"])) is None) == (row["kind"] == "reversed")


def test_fields_of_tomorrow_at_the_end_of_a_row_are_passed_over() -> None:
    later = ROWS["with_unknown_fields"]
    assert named(rows.read_detail(rows.read_body(of_hex(later["body"])))) == later["detail"]


def test_a_row_of_tomorrow_is_named_as_one() -> None:
    body = rows.read_body(of_hex(ROWS["of_tomorrow"]["body"]))
    with pytest.raises(rows.UnknownKindError):
        rows.read_detail(body)


def test_unknown_fields_are_kept_in_the_journal_and_travel_byte_for_byte(tmp_path: Path) -> None:
    known = [of_hex(row["body"]) for row in ROWS["rows"]]
    later = of_hex(ROWS["with_unknown_fields"]["body"])
    terminal, enrolment = TerminalId(bytes(16)), bytes(16)
    journal = Journal.open_or_create(tmp_path, terminal, enrolment)
    with journal.deciding():
        for body in (known[2], later, known[3], of_hex(ROWS["of_tomorrow"]["body"])):
            if body != known[2]:  # one POS request makes one row
                journal.append(body)
    kept = journal.rows_after(0, 10)
    journal.close()
    assert later in [row.body for row in kept]
    assert unpack(pack(kept), previous=genesis(terminal, enrolment), terminal=terminal) == kept


def test_the_chain_of_a_journal_with_two_epochs_comes_out_as_then() -> None:
    chain = golden("chain.json")
    terminal = TerminalId(of_hex(chain["terminal"]))
    previous = genesis(terminal, of_hex(chain["enrolment"]))
    assert previous.hex() == chain["genesis"]
    for row in chain["rows"]:
        previous = row_hash(previous, terminal, row["epoch_born"], row["seq"], of_hex(row["body"]))
        assert (previous.hex(), event_id(previous).hex()) == (row["hash"], row["event_id"])


def test_a_packed_batch_of_then_is_unpacked_to_the_same_rows() -> None:
    batch = golden("batch.json")
    found = unpack(
        of_hex(batch["packed"]),
        previous=RowHash(of_hex(batch["after"])),
        terminal=TerminalId(of_hex(batch["terminal"])),
    )
    expected = [Row(r["seq"], r["epoch_born"], RowHash(of_hex(r["hash"])), of_hex(r["body"])) for r in batch["rows"]]
    assert found == expected


@pytest.mark.parametrize("sample", MESSAGES, ids=lambda sample: sample["type"])
def test_a_message_of_then_is_read_as_it_was_meant(sample: dict[str, Any]) -> None:
    shape = getattr(messages, sample["type"])
    plain = msgspec.msgpack.decode(of_hex(sample["plain"]), type=shape)
    assert named(plain) == sample["message"]
    assert messages.read_message(of_hex(sample["wire"]), shape) == plain
    assert msgspec.msgpack.encode(plain).hex() == sample["plain"]


@pytest.mark.parametrize("sample", MESSAGES[:5], ids=lambda sample: sample["type"])
def test_keys_of_tomorrow_in_a_message_are_passed_over(sample: dict[str, Any]) -> None:
    shape = getattr(messages, sample["type"])
    tree = msgspec.msgpack.decode(of_hex(sample["plain"]))
    later = msgspec.msgpack.encode({**tree, "of_tomorrow": [1, {"a": b"b"}]})
    assert msgspec.msgpack.decode(later, type=shape) == msgspec.msgpack.decode(of_hex(sample["plain"]), type=shape)


def test_cards_and_keys_have_the_tokens_and_fingerprints_of_then() -> None:
    known = golden("tokens.json")
    for t in known["tokens"]:
        assert card_token(t["scheme"], t["value"], of_hex(known["key"]), t["key_id"]).hex() == t["token"]
    for f in known["fingerprints"]:
        assert fingerprint(of_hex(f["public_key"])) == f["fingerprint"]


def test_a_request_and_an_answer_signed_then_are_believed_today() -> None:
    signed = golden("signed.json")
    key = Ed25519PublicKey.from_public_bytes(of_hex(signed["public_key"]))
    body, r, a = of_hex(signed["body"]), signed["request"], signed["answer"]
    request = SignedRequest(method=r["method"], url=r["url"], body=body, headers=r["headers"])
    assert verify_request(request, {r["key_id"]: key}, now_ms=signed["now_ms"]) == (r["key_id"], signed["nonce"])
    answer = SignedAnswer(status_code=a["status"], body=body, headers=a["headers"])
    assert verify_answer(answer, {a["key_id"]: key}, nonce=signed["nonce"]) == signed["now_ms"] // 1000


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A terminal's files as format 1 left them."""
    for name in ("journal", "snapshot"):
        connection = sqlite3.connect(tmp_path / f"{name}.db")
        connection.executescript((FOLDER / f"{name}.sql").read_text())
        connection.close()
    return tmp_path


def test_a_journal_of_then_is_opened_verified_and_goes_on(data_dir: Path) -> None:
    chain = golden("chain.json")
    terminal = TerminalId(of_hex(chain["terminal"]))
    journal = Journal.open_or_create(data_dir, terminal, of_hex(chain["enrolment"]))
    try:
        assert journal.verify() == len(chain["rows"])
        assert (journal.epoch(), journal.head().hash.hex()) == (2, chain["rows"][-1]["hash"])
        assert journal.row_of_receipt("R-0042") == journal.row(3) == journal.row_of_caller("pos-1", "0191-ü")
        assert [row.seq for row in journal.rows_using("a1b2")] == [5]
        with journal.deciding():
            assert journal.append(of_hex(chain["rows"][0]["body"])).seq == len(chain["rows"]) + 1
    finally:
        journal.close()


def test_a_snapshot_of_then_is_opened_and_says_the_same(data_dir: Path) -> None:
    snapshot = Snapshot.open_or_create(data_dir)
    journal = JournalReader.open(data_dir)
    try:
        account = AccountId(of_hex(ROWS["rows"][2]["shared"]["account"]))
        card = snapshot.card(CardToken(of_hex(ROWS["rows"][2]["shared"]["card"])))
        assert card is not None and card.account == account
        assert (snapshot.state().ack_seq, snapshot.state().cursor, snapshot.programme_versions()) == (5, 3470, [13])
        assert [held.points for held in snapshot.allowances(account)] == [20]
        assert [outcome.outcome for outcome in snapshot.outcomes()] == ["outlet_loss"]
        assert [snapshot.target(alias) for alias in snapshot.aliases(account)] == [account]
        found = standing(snapshot, journal, account)
        assert (found.facts.known, found.facts.balance, found.name) == (True, 31, "Zoé")
        assert [row.seq for row in found.own_rows] == [6, 7]
        assert isinstance(found.facts, Facts)
    finally:
        journal.close()
        snapshot.close()


def test_a_reader_opens_the_files_of_then_without_writing_to_them(data_dir: Path) -> None:
    before = {path.name: path.read_bytes() for path in data_dir.glob("*.db")}
    JournalReader.open(data_dir).close()
    SnapshotReader.open(data_dir).close()
    assert {path.name: path.read_bytes() for path in data_dir.glob("*.db")} == before
