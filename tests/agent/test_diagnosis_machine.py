"""The machine's gatherers against real sockets, a real pcscd, real full and read-only disks, a real taken port."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from agent.diagnosis import gather_machine as machine
from agent.diagnosis.examine import examine
from agent.diagnosis.gather_line import HelloVerdict
from agent.diagnosis.model import Known, Report, Unknown
from agent.diagnosis.situation import Configuration, Reader, Situation
from agent.diagnosis.timed import AbsentHereError, timed
from tests.rigs.need import need
from tests.rigs.small_disk import small_disk

UNSIGNED = HelloVerdict(signed=False)


def examined(folder: Path, **more: object) -> Report:
    """A quick examination of this machine with `folder` as the data folder and one PC/SC reader."""
    configuration = Configuration(
        data_dir=str(folder),
        server_url="http://127.0.0.1:1",
        listen="127.0.0.1:0",
        readers=(Reader(name="counter", driver="pcsc"),),
    )
    socket_path = str(more.pop("pcsc_socket", folder / "none"))
    known = msgspec.structs.replace(configuration, **more)
    situation = Situation(now=time.time(), configuration=known, pcsc_socket=socket_path)
    return examine(situation, lambda *given: UNSIGNED, True)


def reasons(report: Report, area: str) -> list[tuple[str, str]]:
    return [(finding.code, finding.reason) for finding in report.findings if finding.area == area]


def service_reasons(report: Report) -> list[str]:
    return [finding.reason for finding in report.findings if finding.code == "reader.no_service"]


def test_a_socket_that_is_not_there_means_no_service(tmp_path: Path) -> None:
    found = service_reasons(examined(tmp_path))
    assert found == ["stopped" if machine.pcscd_installed() else "not_installed"]


def test_a_socket_with_nobody_behind_it_means_no_service(tmp_path: Path) -> None:
    path = tmp_path / "pcscd.comm"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert len(service_reasons(examined(tmp_path, pcsc_socket=path))) == 1


def test_a_socket_that_listens_is_a_healthy_service(tmp_path: Path) -> None:
    path = tmp_path / "pcscd.comm"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert service_reasons(examined(tmp_path, pcsc_socket=path)) == []


def test_a_real_pcscd_is_seen_while_it_runs_and_missed_when_it_is_killed(tmp_path: Path) -> None:
    program = shutil.which("pcscd", path=machine.SYSTEM_PATH)
    need(program, "pcscd")
    path = tmp_path / "pcscd.comm"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (tmp_path / "conf").mkdir()
        start = (
            "import os, sys; fd = int(sys.argv[1]); os.dup2(fd, 3); os.environ.update(LISTEN_FDS='1', "
            "LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
        )
        command = [sys.executable, "-c", start, str(listener.fileno()), str(program), "--foreground"]
        daemon = subprocess.Popen(
            [*command, "--config", str(tmp_path / "conf")],
            pass_fds=(listener.fileno(),),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        assert service_reasons(examined(tmp_path, pcsc_socket=path)) == []
    finally:
        daemon.kill()
        daemon.wait()
    assert service_reasons(examined(tmp_path, pcsc_socket=path)) == ["stopped"]


def test_a_reader_library_that_is_named_and_missing_is_found(tmp_path: Path) -> None:
    (tmp_path / "virtual").write_text(f'FRIENDLYNAME "A reader"\nLIBPATH {tmp_path}/libnone.so\nCHANNELID 1\n')
    (tmp_path / "sound").write_text(f"LIBPATH {sys.executable}\n# LIBPATH /commented/out.so\n")
    (found,) = machine.missing_libraries(tmp_path)
    assert found.library == f"{tmp_path}/libnone.so"
    assert machine.missing_libraries(tmp_path / "absent") == ()


def test_a_machine_without_service_manager_says_so_quietly(tmp_path: Path) -> None:
    fact = timed(lambda: machine.service("pcscd.service", tmp_path / "none"), 1.0)
    assert isinstance(fact, Unknown)
    assert fact.why == "absent_here"


def test_a_sound_data_folder_has_no_finding_and_is_left_as_it_was(tmp_path: Path) -> None:
    report = examined(tmp_path)
    assert [found for found in reasons(report, "storage") if found[0] != "storage.low"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_is_missing_or_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert reasons(examined(tmp_path / "none"), "storage") == [("storage.absent", "missing")]
    assert ("storage.absent", "not_a_folder") in reasons(examined(tmp_path / "file"), "storage")


def test_a_disk_that_fails_only_when_asked_to_keep_what_it_took_is_failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worn_out(handle: int) -> None:
        raise OSError(errno.EIO, "planted")

    monkeypatch.setattr(os, "fdatasync", worn_out)
    assert ("storage.failing", "io_error") in reasons(examined(tmp_path), "storage")


def test_a_full_disk_is_found_by_our_own_write(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        (disk / "ballast").write_bytes(bytes(256 * 1024))
        assert ("storage.full", "blocks") in reasons(examined(disk), "storage")


def test_a_disk_without_inodes_is_told_from_one_without_blocks(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m,nr_inodes=4") as disk:
        for n in range(3):
            (disk / f"{n}").write_text("")
        assert ("storage.full", "inodes") in reasons(examined(disk), "storage")


def test_a_disk_mounted_read_only_is_told_as_such(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m,ro") as disk:
        assert ("storage.read_only", "file_system") in reasons(examined(disk), "storage")


def test_a_small_disk_is_low_before_it_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        assert reasons(examined(disk), "storage") == [("storage.low", "blocks")]


def test_a_limit_on_file_size_is_told_from_a_full_disk(tmp_path: Path) -> None:
    script = "import sys; from agent.diagnosis.gather_machine import disk_write; print(disk_write(sys.argv[1]).errno)"
    limited = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(limited.stdout) == 27  # EFBIG


def test_a_folder_of_another_user_is_a_matter_of_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    script = (
        "import os, sys; from agent.diagnosis.gather_machine import disk_write\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(disk_write('.').errno)"
    )
    # the folder is entered before the user changes: its parents may be closed to others
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    asked = subprocess.run(
        [sys.executable, "-c", script], cwd=locked, env=environment, capture_output=True, text=True, check=True
    )
    assert int(asked.stdout) == 13  # EACCES


def test_a_taken_port_names_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        report = examined(tmp_path, listen=listen)
    (finding,) = [finding for finding in report.shown if finding.code == "till.port_in_use"]
    assert f"({os.getpid()})" in finding.cause


def test_an_address_that_is_not_ours_is_a_mistake_and_a_port_just_left_is_free(tmp_path: Path) -> None:
    report = examined(tmp_path, listen="192.0.2.77:8765")
    assert ("config.invalid", "listen") in reasons(report, "configuration")
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()  # closed first: this port now lingers in TIME_WAIT
    assert reasons(examined(tmp_path, listen=listen), "configuration") == []


def test_device_files_are_looked_at_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scanner")  # opening it would block
    there = Reader(name="a", driver="serial", options={"path": str(tmp_path / "scanner")})
    gone = Reader(name="b", driver="serial", options={"path": str(tmp_path / "none")})
    numbered = Reader(name="c", driver="camera", options={"device": 0})
    nodes = machine.device_nodes((there, gone, numbered))
    assert [(node.reader, node.exists) for node in nodes] == [("a", True), ("b", False)]


def test_a_gatherer_that_hangs_or_trips_gives_a_fact_all_the_same() -> None:
    def refused() -> None:
        raise PermissionError("planted")

    def absent() -> None:
        raise AbsentHereError("planted")

    quick = [timed(work, 30.0) for work in (lambda: 1 // 0, refused, absent)]
    whys = [timed(lambda: time.sleep(1.0), 0.2), *quick]
    assert [fact.why for fact in whys if isinstance(fact, Unknown)] == [
        "timeout",
        "crashed",
        "denied",
        "absent_here",
    ]
    answer = timed(lambda: 42, 30.0)
    assert isinstance(answer, Known)
    assert answer.value == 42
