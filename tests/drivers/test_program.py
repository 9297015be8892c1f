from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from drivers import lines
from drivers.lines import Command, Device, Fault, Health
from drivers.program import Ears, Voice
from tests.rigs.driver_child import PATIENCE_S

READY = Health(state="ready")


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield Ears(reader), writer
    os.close(reader)


def said(out: io.BytesIO) -> list[lines.Said]:
    return [lines.decode_said(line) for line in out.getvalue().splitlines()]


def test_a_fault_is_said_once_and_its_end_once():
    out = io.BytesIO()
    voice = Voice(out)
    for _ in range(3):
        voice.fault("reader.gone", "unplugged", "usb")
    for _ in range(2):
        voice.over("back", scope="usb")
    assert said(out) == [
        Fault(code="reader.gone", text="unplugged", scope="usb"),
        Fault(code="reader.gone", text="back", scope="usb", over=True),
    ]


def test_the_end_of_one_devices_faults_leaves_anothers_open():
    out = io.BytesIO()
    voice = Voice(out)
    voice.fault("reader.gone", "unplugged", "left")
    voice.over("back", scope="right")
    assert len(said(out)) == 1


def test_health_is_said_at_once_when_it_changes_and_else_only_when_due():
    out = io.BytesIO()
    voice = Voice(out)
    voice.beat(READY)
    voice.beat(Health(state="ready", counts={"readings": 1}))
    assert said(out) == [READY]
    voice.beat(Health(state="ready", devices=[Device(scope="usb", state="ready", card=True)]))
    voice.beat(Health(state="faulty", code="reader.mute"))
    assert len(said(out)) == 3


def test_commands_are_heard_however_they_are_cut(pipe):
    ears, writer = pipe
    line = lines.encode(Command(command="beep", id=3))
    os.write(writer, line[:9])
    assert ears.hear(0.0) == ([], set())
    os.write(writer, line[9:] + line)
    assert ears.hear(0.0)[0] == [Command(command="beep", id=3)] * 2
    os.close(writer)


def test_what_is_no_command_is_passed_over(pipe):
    ears, writer = pipe
    os.write(writer, b'hello\n{"command": "dance"}\n{"command": "pause", "id": 1, "new": true}\n')
    assert ears.hear(0.0)[0] == [Command(command="pause", id=1)]
    os.close(writer)


def test_a_line_without_end_takes_no_memory(pipe):
    ears, writer = pipe
    for _ in range(8):
        os.write(writer, b"x" * 60_000)
        ears.hear(0.0)
    assert len(ears._pending) <= lines.MAX_LINE_BYTES + 1
    os.write(writer, b"\n" + lines.encode(Command(command="pause")))
    assert ears.hear(0.0)[0] == [Command(command="pause")]
    os.close(writer)


@pytest.mark.parametrize("word", [b'{"command": "stop"}\n', b""])
def test_stop_and_the_end_of_the_pipe_close_the_ears(pipe, word):
    ears, writer = pipe
    os.write(writer, word) if word else os.close(writer)
    ears.hear(1.0)
    assert ears.closed
    if word:
        os.close(writer)


def test_the_ears_say_which_other_descriptor_can_be_read(pipe):
    ears, writer = pipe
    other, its_writer = os.pipe()
    os.write(its_writer, b"x")
    assert ears.hear(1.0, [other]) == ([], {other})
    for fd in (writer, other, its_writer):
        os.close(fd)


def test_a_driver_that_nobody_listens_to_ends_without_a_traceback(tmp_path):
    command = [sys.executable, "-P", "-m", "drivers", "replay", "--options", f'{{"listen": "{tmp_path}/x.sock"}}']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == b""
