"""docs/drivers.md is what others build on: its examples are run, its tables held against the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from drivers import lines
from drivers.__main__ import PROGRAMS
from drivers.lines import Command, Fault, Hello, Reading, Result

PAGE = (Path(__file__).parents[2] / "docs" / "drivers.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_example_line_is_of_the_protocol():
    said = [lines.decode_said(line.encode()) for block in blocks("json") for line in block.splitlines()]
    assert {type(each) for each in said} == set(lines.Said.__args__)


def test_every_command_is_shown_and_understood():
    (block,) = blocks("jsonc")
    commands = [lines.decode_command(line.encode()) for line in block.splitlines()]
    known = typing.get_args(typing.get_type_hints(Command)["command"])
    assert {command.command for command in commands} == set(known)


def test_every_driver_is_in_the_table():
    assert {name for name in PROGRAMS if f"| `{name}` |" not in PAGE} == set()


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_example_driver_reads_answers_and_ends(language, tmp_path):
    (source,) = blocks(language)
    assert len(source.splitlines()) <= 30
    program, device = tmp_path / "example", tmp_path / "device"
    program.write_text(source)
    os.mkfifo(device)
    writer = os.open(device, os.O_RDWR)
    runner = sys.executable if language == "python" else "bash"
    with subprocess.Popen([runner, program, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        os.write(writer, b"4006381333931\n")
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(lines.encode(Command(command="beep", id=7)))
        process.stdin.flush()
        seen = []
        while not (any(isinstance(s, Reading) for s in seen) and any(isinstance(s, Result) for s in seen)):
            seen.append(lines.decode_said(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(20) == 0
    os.close(writer)
    assert isinstance(seen[0], Hello)
    assert Reading(kind="text", scope=str(device), text="4006381333931") in seen
    assert Result(id=7, ok=False, text="this driver only reads") in seen


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_example_driver_says_when_its_device_is_absent(language, tmp_path):
    (source,) = blocks(language)
    program = tmp_path / "example"
    program.write_text(source)
    runner = sys.executable if language == "python" else "bash"
    done = subprocess.run([runner, program, tmp_path / "nothing" / "here"], capture_output=True, timeout=20)
    said = [lines.decode_said(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [each.code for each in said if isinstance(each, Fault)] == ["reader.not_present"]
