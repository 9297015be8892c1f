from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from drivers.lines import Command, Fault, Health, Hello, OptionsError, Reading, Removed, Result, encode
from drivers.replay import Player, read_recording
from tests.rigs.driver_child import DriverChild

CARD = Reading(kind="card", scope="counter", uid="04a1b2c3d4e580", tag="type2")
GONE = Removed(scope="counter")


def recording(path: Path, *moments: tuple[float, object]) -> Path:
    rows = [{"after_s": after_s, **json.loads(encode(said))} for after_s, said in moments]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def write(path: Path, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        client.sendall(data)


def test_a_recording_is_said_line_for_line_after_hello(tmp_path):
    file = recording(tmp_path / "day.jsonl", (0.0, CARD), (0.05, GONE))
    with DriverChild("replay", {"file": str(file)}) as child:
        assert child.wait_for(Hello).driver == "replay"
        assert child.reading() == CARD
        assert child.wait_for(Removed) == GONE


def test_the_heartbeat_goes_on_after_the_last_line(tmp_path):
    file = recording(tmp_path / "day.jsonl", (0.0, CARD))
    with DriverChild("replay", {"file": str(file)}) as child:
        child.reading()
        child.wait_for(Health)
        assert child.wait_for(Health).counts == {"said": 1, "refused": 0}


def test_a_loop_starts_over(tmp_path):
    file = recording(tmp_path / "day.jsonl", (0.2, CARD))
    with DriverChild("replay", {"file": str(file), "loop": True, "speed": 10.0}) as child:
        assert [child.reading() for _ in range(3)] == [CARD, CARD, CARD]


def test_a_line_waits_for_its_pause_divided_by_speed(tmp_path):
    moments = read_recording(recording(tmp_path / "day.jsonl", (1.0, CARD), (4.0, GONE)))
    player = Player(moments, speed=2.0, loop=False, now_s=100.0)
    assert list(player.due(100.4)) == []
    assert list(player.due(100.5)) == [CARD]
    assert list(player.due(102.4)) == []
    assert list(player.due(102.5)) == [GONE]
    assert list(player.due(999.0)) == []


def test_a_loop_without_a_pause_is_refused(tmp_path):
    moments = read_recording(recording(tmp_path / "day.jsonl", (0.0, CARD)))
    with pytest.raises(OptionsError, match="no pause"):
        Player(moments, speed=1.0, loop=True, now_s=0.0)


def test_what_is_written_to_the_socket_is_said(tmp_path):
    path = tmp_path / "counter.sock"
    with DriverChild("replay", {"listen": str(path)}) as child:
        child.ready()
        write(path, encode(CARD) + b"\n" + encode(GONE))
        assert child.reading() == CARD
        assert child.wait_for(Removed) == GONE
    assert not path.exists()


def test_several_writers_at_once_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "counter.sock"
    with DriverChild("replay", {"file": "-", "listen": str(path)}) as child:
        child.ready()
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(path))
            slow.sendall(encode(CARD)[:10])
            write(path, encode(GONE))
            child.wait_for(Removed)
            slow.sendall(encode(CARD)[10:])
            assert child.reading() == CARD


def test_nonsense_on_the_socket_is_counted_and_not_said(tmp_path):
    path = tmp_path / "counter.sock"
    with DriverChild("replay", {"listen": str(path)}) as child:
        child.ready()
        write(path, b"hello?\n" + encode(CARD))
        assert child.reading() == CARD
        assert child.wait_for(Health, lambda health: health.counts["said"] == 1).counts["refused"] == 1


def test_a_writer_that_never_ends_its_line_is_cut_off(tmp_path):
    path = tmp_path / "counter.sock"
    with DriverChild("replay", {"listen": str(path)}) as child:
        child.ready()
        with pytest.raises(OSError):
            write(path, b"x" * 4_000_000)
        write(path, encode(CARD))
        assert child.reading() == CARD


def test_the_heartbeat_repeats_the_health_that_was_played(tmp_path):
    path = tmp_path / "counter.sock"
    with DriverChild("replay", {"listen": str(path)}) as child:
        child.ready()
        write(path, encode(Health(state="faulty", code="reader.gone")))
        assert child.wait_for(Health, lambda health: health.state == "faulty").code == "reader.gone"
        assert child.wait_for(Health).code == "reader.gone"


def test_a_socket_left_by_a_killed_driver_is_taken_over(tmp_path):
    path = tmp_path / "counter.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with DriverChild("replay", {"listen": str(path)}) as child:
        child.ready()
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_command_it_lacks_is_answered_and_stop_ends_it(tmp_path):
    child = DriverChild("replay", {"listen": str(tmp_path / "counter.sock")})
    child.tell(Command(command="beep", id=7))
    assert child.wait_for(Result) == Result(id=7, ok=False, text="this driver has no beep")
    child.tell(Command(command="stop"))
    assert child.process.wait(20) == 0
    assert child.end() == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "listen"),
        ({"file": "/nowhere/day.jsonl"}, "No such file"),
        ({"listen": "/nowhere/x.sock"}, "No such file"),
        ({"listen": "/" + "x" * 200}, "longer"),
        ({"listen": "/tmp/x.sock", "speed": 0}, "speed"),
        ({"lissten": "/tmp/x.sock"}, "lissten"),
    ],
)
def test_wrong_options_end_it_with_2_and_say_which(options, word):
    child = DriverChild("replay", options)
    fault = child.wait_for(Fault)
    assert (fault.code, word in fault.text) == ("config.reader_options", True)
    assert child.end() == 2


def test_a_bad_line_of_a_recording_is_named(tmp_path):
    file = tmp_path / "day.jsonl"
    file.write_bytes(encode(CARD) + b'{"type":"reading"}\n')
    with pytest.raises(OptionsError, match="line 2"):
        read_recording(file)
