"""`holdfast-server` as people and scripts use it: words, exit codes and JSON; a process of its own where it serves."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from loyalty.ids import Generation
from server.cli import app
from server.keys import FILE_NAME
from server.store import Store
from tests.rigs.centre import DEMO, Centre, document

VECTORS = Path("tests/loyalty/vectors")
READY_S = 30


def said(*words: str) -> Result:
    """One command in this process."""
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def at(folder: Path) -> list[str]:
    return ["--data-dir", str(folder)]


def told(folder: Path, *words: str) -> Any:
    """One command's JSON."""
    result = said(*words, *at(folder), "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A centre with the demonstration's programme."""
    assert said("init", *at(tmp_path)).exit_code == 0
    assert said("programme", "load", str(DEMO), *at(tmp_path)).exit_code == 0
    return tmp_path


# -- the centre itself -------------------------------------------------------------------------


def test_init_makes_a_centre_once_and_says_what_is_next(tmp_path: Path) -> None:
    first, again = said("init", *at(tmp_path)), said("init", *at(tmp_path))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "The centre is ready." in first.stdout and "programme load" in first.stdout
    assert "left as it is" in again.stdout
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_two_inits_at_once_make_one_centre(tmp_path: Path) -> None:
    stores = [Store.open(f"sqlite:///{tmp_path / 'centre.db'}") for _ in range(4)]
    made: list[bool] = []

    def init(number: int) -> None:
        made.append(stores[number].initialise(Generation(bytes([number]) * 16)))

    threads = [threading.Thread(target=init, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for store in stores:
        store.engine.dispose()
    assert sorted(made) == [False, False, False, True]


def test_an_init_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "centre.db") as half:
        half.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    half.close()
    assert "The centre is ready." in said("init", *at(tmp_path)).stdout
    assert told(tmp_path, "terminals") == []


@pytest.mark.parametrize(
    "command",
    [
        ["terminals"],
        ["verify"],
        ["report", "reconcile"],
        ["codes", "status"],
        ["run"],
        ["enrolment-code", "--outlet", "harbour", "--label", "x"],
        ["programme", "load", str(DEMO)],
        ["codes", "issue", "--batch", "b", "--count", "1"],
    ],
)
def test_where_there_is_no_centre_yet_the_next_step_is_said(tmp_path: Path, command: list[str]) -> None:
    result = said(*command, *at(tmp_path))
    assert result.exit_code == 1 and "holdfast-server init" in result.stderr
    assert not (tmp_path / FILE_NAME).exists()


def test_a_database_of_a_newer_schema_is_left_untouched(folder: Path) -> None:
    with sqlite3.connect(folder / "centre.db") as newer:
        newer.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
    newer.close()
    for command in (["terminals"], ["run"], ["verify"]):
        result = said(*command, *at(folder))
        assert result.exit_code == 3 and "schema 999" in result.stderr and "newer version" in result.stderr


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x", "sqlite:////proc/none/centre.db"])
def test_a_database_that_cannot_be_opened_is_said(tmp_path: Path, url: str) -> None:
    result = said("terminals", *at(tmp_path), "--database", url)
    assert result.exit_code == 3 and "cannot be opened" in result.stderr


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "centre.db").write_bytes(b"not a database, certainly" * 100)
    result = said("terminals", *at(tmp_path))
    assert result.exit_code == 3 and "not a database" in result.stderr


@pytest.mark.parametrize("content", [None, b"{}", b"torn"])
def test_a_lost_or_torn_key_file_is_never_made_anew(folder: Path, content: bytes | None) -> None:
    (folder / FILE_NAME).unlink()
    if content is not None:
        (folder / FILE_NAME).write_bytes(content)
    result = said("terminals", *at(folder))
    assert result.exit_code == 3 and "backup" in result.stderr
    assert (folder / FILE_NAME).exists() == (content is not None)


def test_wrong_usage_ends_with_2(folder: Path) -> None:
    assert said("codes", "issue", "--batch", "b", "--count", "1", "--purpose", "gift", *at(folder)).exit_code == 2
    assert said("nonsense").exit_code == 2
    assert said("enrolment-code", *at(folder)).exit_code == 2


# -- serving -----------------------------------------------------------------------------------


def test_run_serves_until_it_is_told_to_stop(folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(READY_S)
    command = [sys.executable, "-m", "server", "run", *at(folder), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "PATH": ""}) as child, notified:
        try:
            assert notified.recv(100) == b"READY=1"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/holdfast", timeout=READY_S) as answer:
                assert answer.read() == b"holdfast centre\n"
        finally:
            child.send_signal(signal.SIGTERM)
        assert child.wait(READY_S) in (0, -signal.SIGTERM)


def test_a_port_in_use_and_an_address_that_is_none_are_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = said("run", *at(folder), "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert busy.exit_code == 3 and "--listen" in busy.stderr
    for listen in ("127.0.0.1:port", "127.0.0.1:99999", "no.such.host.invalid:0"):
        assert said("run", *at(folder), "--listen", listen).exit_code == 3


# -- terminals and books -----------------------------------------------------------------------


def test_an_enrolment_code_is_for_an_outlet_of_the_programme(folder: Path) -> None:
    code = told(folder, "enrolment-code", "--outlet", "harbour", "--label", "Till")
    assert len(code["code"].replace("-", "")) == 16 and code["outlet"] == "harbour"
    wrong = said("enrolment-code", "--outlet", "elsewhere", "--label", "Till", *at(folder))
    assert wrong.exit_code == 1 and "harbour" in wrong.stderr


def test_terminals_reports_and_verify_say_what_is_there(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    assert told(tmp_path, "terminals") == [] and told(tmp_path, "report", "reconcile") == []
    till = centre.enrol()
    till.earn(till.member(), 1000)
    till.push()
    (line,) = told(tmp_path, "terminals")
    assert (line["terminal"], line["outlet"], line["head_seq"]) == (till.terminal.hex(), "harbour", 2)
    (report,) = told(tmp_path, "report", "reconcile")
    assert (report["rows"], report["points_said"], report["points_counted"]) == (2, 30, 30)
    clean = told(tmp_path, "verify")
    assert clean["clean"] is True and {c["name"] for c in clean["checks"] if c["faults"] is None} == {"I5"}
    assert "not checked: no journals given" in said("verify", *at(tmp_path)).stdout


def journal(path: Path, terminal: bytes, rows: list[tuple[int, bytes]]) -> Path:
    """A journal's file with these rows."""
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE meta (key TEXT, value BLOB)")
        made.execute("CREATE TABLE rows (seq INTEGER, hash BLOB)")
        made.execute("INSERT INTO meta VALUES ('terminal', ?)", (terminal,))
        made.executemany("INSERT INTO rows VALUES (?, ?)", rows)
    made.close()
    return path


def test_verify_compares_journals_and_finds_a_row_that_is_not_there(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    till = centre.enrol()
    till.earn(till.member(), 1000)
    till.push()
    kept = [(row.seq, row.hash) for row in till.rows]
    good = journal(tmp_path / "a till #1?.db", till.terminal, kept)
    assert said("verify", "--journals", str(good), *at(tmp_path)).exit_code == 0
    bad = journal(tmp_path / "journal.db", till.terminal, [*kept, (3, b"x" * 32)])
    result = said("verify", "--journals", str(bad), *at(tmp_path))
    assert result.exit_code == 1 and "row 3" in result.stdout and "WRONG" in result.stdout


@pytest.mark.parametrize("content", [None, b"not a database" * 100, b""])
def test_a_journal_that_cannot_be_read_is_said(folder: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    result = said("verify", "--journals", str(path), *at(folder))
    assert result.exit_code == 2 and "other.db" in result.stderr


def test_verify_ends_with_1_when_a_book_is_wrong(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.enrol().member()
    with sqlite3.connect(tmp_path / "centre.db") as hand:
        hand.execute("UPDATE accounts SET balance = 19")
    hand.close()
    result = said("verify", *at(tmp_path), "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["clean"] is False


# -- programmes --------------------------------------------------------------------------------


def test_a_document_is_checked_loaded_once_and_shown_as_it_was(folder: Path, tmp_path: Path) -> None:
    assert said("programme", "show", *at(folder)).stdout == DEMO.read_text()
    again = said("programme", "load", str(DEMO), *at(folder))
    assert (
        again.exit_code == 1 and "document.version_not_newer" in again.stdout and "Nothing was loaded" in again.stderr
    )
    newer = tmp_path / "newer.toml"
    newer.write_bytes(document(2))
    assert said("programme", "load", str(newer), *at(folder)).exit_code == 0
    assert said("programme", "show", "--version", "1", *at(folder)).stdout == DEMO.read_text()
    assert said("programme", "show", "--version", "7", *at(folder)).exit_code == 1


def test_checking_tells_every_mistake_with_line_and_cure(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(
        DEMO.read_text().replace('currency = "EUR"', 'currency = "EUX"').replace("points = 10 }", "ponts = 10 }")
    )
    result = said("programme", "check", str(bad), "--json")
    mistakes = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {"document.currency", "document.unknown_key"} <= {mistake["code"] for mistake in mistakes}
    assert all(mistake["line"] and mistake["cure"] for mistake in mistakes)
    assert said("programme", "check", str(DEMO)).exit_code == 0
    assert said("programme", "check", str(tmp_path / "none.toml")).exit_code == 2


def test_all_vectors_pass(tmp_path: Path) -> None:
    result = said("programme", "vectors", str(VECTORS / "vectors.jsonl"), "--programmes", str(VECTORS))
    count = len((VECTORS / "vectors.jsonl").read_text().splitlines())
    assert result.exit_code == 0 and result.stdout.splitlines()[-1] == f"{count} passed, 0 failed"


def test_a_vector_that_differs_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    first = json.loads((VECTORS / "vectors.jsonl").read_text().splitlines()[0])
    file = tmp_path / "v.jsonl"
    file.write_text(json.dumps(first | {"expect": {"points": -12345}}))
    differs = said("programme", "vectors", str(file), "--programmes", str(VECTORS))
    assert differs.exit_code == 1 and "0 passed, 1 failed" in differs.stdout and first["id"] in differs.stdout
    for content in ("{torn", json.dumps({"id": "x"}), json.dumps(first | {"programme": "nobody"})):
        file.write_text(content)
        assert said("programme", "vectors", str(file), "--programmes", str(VECTORS)).exit_code == 2


# -- codes -------------------------------------------------------------------------------------


def test_codes_are_issued_once_and_all_of_them_are_shown(folder: Path, tmp_path: Path) -> None:
    shown = said("codes", "issue", "--batch", "a", "--count", "7", *at(folder))
    assert shown.exit_code == 0 and sum(line.count("-") >= 2 for line in shown.stdout.splitlines()) >= 7
    again = said("codes", "issue", "--batch", "a", "--count", "7", *at(folder))
    assert again.exit_code == 1 and "already" in again.stderr
    (line,) = told(folder, "codes", "status")
    assert (line["batch"], line["issued"], line["used"]) == ("a", 7, 0)
    written = said("codes", "issue", "--batch", "b", "--count", "9", "--csv", str(tmp_path / "b.csv"), *at(folder))
    assert written.exit_code == 0 and len((tmp_path / "b.csv").read_text().splitlines()) == 10


@pytest.mark.parametrize("option", ["--csv", "--pdf"])
def test_a_batch_that_cannot_be_written_down_is_not_issued(folder: Path, tmp_path: Path, option: str) -> None:
    nowhere = str(tmp_path / "no" / "such" / "folder")
    result = said("codes", "issue", "--batch", "a", "--count", "3", option, nowhere, *at(folder))
    assert result.exit_code == 1 and "Nothing was issued" in result.stderr
    assert told(folder, "codes", "status") == []


@pytest.mark.parametrize("count", ["0", "-1", "100001"])
def test_a_batch_has_bounds(folder: Path, count: str) -> None:
    assert said("codes", "issue", "--batch", "a", "--count", count, *at(folder)).exit_code == 1
