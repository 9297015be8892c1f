"""The diagnostic log: one line per change, bounded, and never in the till's way."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from agent.diagnosis.catalogue import found
from agent.diagnosis.combine import combine
from agent.diagnosis.log import About, DiagnosticLog, mask
from agent.diagnosis.model import Clear, Finding, Missing, Undecided
from agent.diagnosis.state_log import StateLog
from tests.rigs.small_disk import small_disk


@pytest.fixture
def spoken() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "diagnostics.db"


def test_an_event_comes_back_as_it_was_written_and_is_one_json_line_on_the_way(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    about = About(row=12, event_id="018f0000-aaaa", exchange=7, reader="counter")
    log.note(100.0, "reader", "reader.gone", "Unplugged", scope="counter", data={"rung": 2}, about=about)
    (event,) = log.read()
    log.close()
    assert (event.code, event.scope, event.row, event.exchange, event.data) == (
        "reader.gone",
        "counter",
        12,
        7,
        {"rung": 2},
    )
    (line,) = spoken.getvalue().splitlines()
    assert json.loads(line)["event_id"] == "018f0000-aaaa"


def test_reading_takes_the_newest_by_time_and_area(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    for n in range(10):
        log.note(float(n), "line" if n % 2 else "reader", "x.y", f"event {n}")
    assert [event.at for event in log.read(since=4.0, area="line")] == [5.0, 7.0, 9.0]
    assert [event.at for event in log.read(limit=2)] == [8.0, 9.0]
    log.close()


def test_a_state_that_stays_is_one_line_and_a_change_is_another(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    states = StateLog(log)
    for at in range(50):
        code = "reader.gone" if 10 <= at < 20 else "reader.mute" if 20 <= at < 30 else None
        states.saw(float(at), "reader", "counter", code, "words")
    assert [(event.at, event.code, event.was, event.over) for event in log.read()] == [
        (10.0, "reader.gone", None, False),
        (20.0, "reader.mute", "reader.gone", False),
        (30.0, "reader.mute", "reader.mute", True),
    ]
    log.close()


def test_a_restarted_agent_knows_what_was_wrong_and_does_not_say_it_twice(path: Path, spoken: io.StringIO) -> None:
    first = DiagnosticLog(path, stream=spoken)
    StateLog(first).saw(1.0, "line", "line", "line.dns", "down")
    first.close()
    second = DiagnosticLog(path, stream=spoken)
    states = StateLog(second)
    assert not states.saw(2.0, "line", "line", "line.dns", "down")
    assert states.saw(3.0, "line", "line", None, "up")
    assert len(second.read()) == 2
    second.close()


def dns(at: float) -> Finding:
    words = {"waiting": "", "name": "eth0", "error": "EAI_AGAIN", "host": "h", "port": 443}
    return found("line.dns", "silent", at=at, scope="h", fields=words)


def test_findings_are_logged_when_they_begin_and_end_and_know_since_when(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    states = StateLog(log)
    states.saw_report(combine([dns(10.0)]), 10.0)
    again = states.saw_report(combine([dns(20.0)]), 20.0)
    states.saw_report(combine([Clear(code="line.dns")]), 30.0)
    assert again.findings[0].since == 10.0
    assert [(event.at, event.code, event.over) for event in log.read()] == [
        (10.0, "line.dns", False),
        (30.0, "line.dns", True),
    ]
    log.close()


def test_a_finding_that_could_not_be_judged_or_is_hidden_has_not_ended(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    states = StateLog(log)
    states.saw_report(combine([dns(10.0)]), 10.0)
    doubt = Undecided(code="line.dns", missing=(Missing(fact="resolver", why="skipped", detail="quick"),))
    states.saw_report(combine([doubt]), 20.0)
    root = found("line.no_link", "none", at=30.0, fields={"waiting": "", "names": "", "name": ""})
    states.saw_report(combine([dns(30.0), root]), 30.0)
    assert [(event.at, event.code) for event in log.read()] == [(10.0, "line.dns"), (30.0, "line.no_link")]
    log.close()


def test_the_file_is_bounded(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, limit=100, stream=spoken)
    for n in range(400):
        log.note(float(n), "line", "x.y", "again")
    kept = log.read(limit=1000)
    log.close()
    assert 100 <= len(kept) < 100 + 64
    assert kept[-1].at == 399.0


def test_a_file_that_is_no_database_is_set_aside_and_the_log_goes_on(path: Path, spoken: io.StringIO) -> None:
    path.write_bytes(b"this is not SQLite at all, whatever its name says" * 100)
    log = DiagnosticLog(path, stream=spoken)
    log.note(1.0, "line", "x.y", "after")
    assert [event.text for event in log.read()] == ["after"]
    log.close()
    assert path.with_name("diagnostics.db.damaged").read_bytes().startswith(b"this is not")


def test_a_file_that_rotted_costs_its_old_lines_only(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    for n in range(300):
        log.note(float(n), "line", "x.y", "before " * 20)
    log.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    log = DiagnosticLog(path, stream=spoken)
    log.note(999.0, "line", "x.y", "after")
    assert log.read()[-1].text == "after"
    log.close()
    assert path.with_name("diagnostics.db.damaged").exists()


def test_a_file_that_rots_under_a_running_log_does_not_stop_the_till(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    for n in range(300):
        log.note(float(n), "line", "x.y", "before " * 20)
    for file in path.parent.iterdir():
        with file.open("r+b") as rotten:
            rotten.write(os.urandom(file.stat().st_size))
    for n in range(300, 400):
        log.note(float(n), "line", "x.y", "after")
    assert [event.text for event in log.read()][-50:] == ["after"] * 50
    log.close()
    assert spoken.getvalue().count('"after"') == 100
    again = DiagnosticLog(path, stream=spoken)
    again.note(999.0, "line", "x.y", "anew")
    assert again.read()[-1].text == "anew"
    again.close()


def test_a_file_of_another_version_is_set_aside(path: Path, spoken: io.StringIO) -> None:
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version=99")
    other.close()
    log = DiagnosticLog(path, stream=spoken)
    log.note(1.0, "line", "x.y", "after")
    assert len(log.read()) == 1
    log.close()


def test_without_a_place_to_write_the_lines_still_go_to_standard_error(tmp_path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(tmp_path / "no" / "such" / "folder" / "diagnostics.db", stream=spoken)
    log.note(1.0, "line", "x.y", "said anyway")
    assert log.read() == []
    log.close()
    assert "said anyway" in spoken.getvalue()
    assert "log.unavailable" in spoken.getvalue()


def test_a_folder_that_comes_back_is_written_to_again(tmp_path: Path, spoken: io.StringIO) -> None:
    folder = tmp_path / "late"
    log = DiagnosticLog(folder / "diagnostics.db", stream=spoken)
    log.note(1.0, "line", "x.y", "lost")
    folder.mkdir()
    log.note(2.0, "line", "x.y", "kept")
    assert [event.text for event in log.read()] == ["kept"]
    log.close()


def test_a_full_disk_does_not_stop_the_till_and_is_no_reason_to_set_the_file_aside(
    tmp_path: Path, spoken: io.StringIO
) -> None:
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        log = DiagnosticLog(disk / "diagnostics.db", stream=spoken)
        log.note(1.0, "line", "x.y", "before")
        ballast = disk / "ballast"
        with contextlib.suppress(OSError):
            ballast.write_bytes(bytes(1_000_000))
        log.note(2.0, "line", "x.y", "lost " * 4000)
        ballast.unlink()
        log.note(3.0, "line", "x.y", "after")
        assert [event.at for event in log.read()] == [1.0, 3.0]
        log.close()
        assert not (disk / "diagnostics.db.damaged").exists()
    assert "log.unavailable" in spoken.getvalue()
    assert "lost lost" in spoken.getvalue()


def test_a_closed_standard_error_does_not_stop_the_till(path: Path) -> None:
    gone = io.StringIO()
    gone.close()
    log = DiagnosticLog(path, stream=gone)
    log.note(1.0, "line", "x.y", "text")
    assert len(log.read()) == 1
    log.close()


def test_many_threads_write_one_line_each(path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)

    def write(n: int) -> None:
        for at in range(20):
            log.note(float(at), "reader", "x.y", f"thread {n}")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.read()) == 80
    log.close()
    assert all(json.loads(line) for line in spoken.getvalue().splitlines())


@pytest.mark.parametrize(
    "secret",
    ["04a65122", "04A651FF00112233", "04 A6 51 22 33 44 55", "4006381333931", "+33 6 12 34 56 78", "anna@example.com"],
)
def test_whatever_may_be_a_card_or_a_person_is_masked(secret: str, path: Path, spoken: io.StringIO) -> None:
    log = DiagnosticLog(path, stream=spoken)
    log.note(1.0, "reader", "x.y", f"saw {secret} there", data={"text": secret})
    log.close()
    stored = path.read_bytes()
    assert secret not in spoken.getvalue()
    assert secret.encode() not in stored


@pytest.mark.parametrize(
    "plain", ["0x8010001D", "192.168.1.10:443", "2026-11-21 10:30 UTC", "errno 111", "/dev/ttyUSB0"]
)
def test_what_a_technician_needs_is_not_masked(plain: str) -> None:
    assert mask(f"at {plain} now") == f"at {plain} now"
