"""The command line: examples in every help, sentences and exit codes, with a running agent and without."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from agent.cli.commands import app
from drivers.lines import Reading, Removed
from tests.rigs.shop import CARD, OTHER_CARD, Shop
from tests.rigs.terminal import Terminal, holdfast

# A command is a process that ends: what it leaves open ends with it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Line:
    """`holdfast` in this process, on one terminal's configuration."""

    def __init__(self, terminal: Terminal, shop: Shop) -> None:
        self.terminal, self.shop = terminal, shop

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> Result:
        return run(*words, "--config", str(self.terminal.config), env=env)

    def json(self, *words: str, exit_code: int = 0) -> Any:
        result = self(*words, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    result = CliRunner().invoke(app, list(words), env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def new_shop(folder: Path) -> Shop:
    shop = Shop(folder, start_ms=time.time_ns() // 1_000_000)
    shop.member(balance=200)
    shop.journal.close()
    return shop


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Line]:
    """A terminal whose agent does not run."""
    shop = new_shop(tmp_path / "till")
    yield Line(Terminal(tmp_path, shop.folder), shop)
    shop.close()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A terminal whose agent runs."""
    folder = tmp_path_factory.mktemp("cli")
    shop = new_shop(folder / "till")
    with Terminal(folder, shop.folder) as terminal:
        terminal.ready()
        yield Line(terminal, shop)
    shop.close()


def commands() -> list[tuple[str, ...]]:
    def below(group: click.Group, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            yield (*before, name)
            if isinstance(command, click.Group):
                yield from below(command, (*before, name))

    top = typer.main.get_command(app)
    return list(below(top, ()))  # type: ignore[arg-type]


# Help and usage


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_shows_an_example(words: tuple[str, ...]) -> None:
    shown = run(*words, "--help")
    assert shown.exit_code == 0
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    if not hasattr(command, "commands") or command.invoke_without_command:
        assert f"Example: holdfast {' '.join(words)}" in shown.stdout


def test_wrong_usage_ends_with_2(alone: Line) -> None:
    for words in (("stauts",), ("earn",), ("earn", CARD), ("status", "--jsn"), ("journal", "--limit", "many"), ()):
        assert run(*words).exit_code == 2
    assert alone("burn", CARD).exit_code == 2
    assert alone("burn", CARD, "--points", "10", "--reward", "coffee").exit_code == 2
    assert alone("logs", "--since", "yesterday").exit_code == 2


# Configuration and identity


def test_a_wrong_configuration_is_said_with_all_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[terminal]\nlangage = "en"\n[server]\nurl = "x"\n')
    checked = run("config", "check", "--config", str(path))
    assert checked.exit_code == 1 and "line 2" in checked.stdout and "line 4" in checked.stdout
    found = run("config", "check", "--json", "--config", str(path))
    assert found.exit_code == 1 and [set(mistake) for mistake in json.loads(found.stdout)] != []
    for words in (("status",), ("agent",), ("earn", CARD, "--amount", "1"), ("sync",)):
        result = run(*words, "--config", str(path))
        assert result.exit_code == 2 and result.output.count("[!] config.invalid") == 2
    missing = run("status", "--config", str(tmp_path / "none.toml"))
    assert missing.exit_code == 2 and "none.toml" in missing.output


def test_a_right_configuration_is_shown_with_what_the_environment_changed(alone: Line) -> None:
    assert alone("config", "check").exit_code == 0
    shown = alone("config", "show", env={"HOLDFAST_SYNC__INTERVAL_S": "77"})
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["sync"]["interval_s"] == 77


def test_a_terminal_that_has_not_joined_says_how_to(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, tmp_path / "nothing")
    for words in (("agent",), ("status",), ("card", CARD), ("sync",), ("earn", CARD, "--amount", "1")):
        result = run(*words, "--config", str(terminal.config))
        assert result.exit_code == 1, result.output
        assert "till.not_enrolled" in result.output and "holdfast enrol --server" in result.output


def test_joining_a_centre_that_is_not_there_ends_with_3_and_twice_with_1(tmp_path: Path, alone: Line) -> None:
    terminal = Terminal(tmp_path / "..", tmp_path / "fresh")
    words = ("enrol", "--server", "http://127.0.0.1:9", "--code", "ABCD-EFGH-JKMN-PQRS")
    result = run(*words, "--config", str(terminal.config))
    assert result.exit_code == 3 and "line.down" in result.output
    assert not (tmp_path / "fresh" / "identity.json").exists()
    again = alone(*words)
    assert again.exit_code == 1 and "has joined already" in again.output


# Without an agent


def test_the_shop_goes_on_without_an_agent(alone: Line) -> None:
    earned = alone.json("earn", CARD, "--amount", "12.50", "--receipt", "1042")
    assert earned["decision"]["points"] == 12 and earned["row"]["seq"] == 1
    said = alone("earn", CARD, "--amount", "3")
    assert said.exit_code == 0 and "Row 2 is saved." in said.stdout and "3 points" in said.stdout
    code = alone.shop.print_code().typed
    assert alone("activate", code, "--card", OTHER_CARD, "--first-name", "Ada").exit_code == 0
    assert alone("reverse", "1", "--reason", "wrong card").exit_code == 0
    card = alone.json("card", CARD)
    assert (card["balance"], card["provisional"]) == (203, 3)
    assert [row["kind"] for row in alone.json("journal")] == ["earned", "earned", "activated", "reversed"]
    assert "reversed" in alone("journal", "--pending").stdout
    assert alone.json("journal", "verify")["rows"] == 4
    status = alone.json("status")
    assert status["agent"] == "not running" and status["pending"] == 4 and status["readers"][0]["state"] == "stopped"
    assert "The agent is not running" in alone("status").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("earn", CARD, "--amount", "1,234.50"), "till.amount"),
        (("earn", CARD, "--amount", "0"), "request.amount"),
        (("earn", "uid:04ffffffffff01", "--amount", "1"), "card.unknown"),
        (("earn", "garbage", "--amount", "1"), "Write a card as"),
        (("activate", "ABC", "--card", OTHER_CARD), "code.length"),
        (("burn", CARD, "--reward", "coffee"), "burn."),
        (("use-code", CARD, "ABCDE-FGHJK-C"), "code."),
        (("reverse", "99"), "row.unknown"),
        (("reverse", "9" * 19), "row.unknown"),
        (("reverse", "²"), "row.unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_refusal_is_one_sentence_and_exit_code_1(alone: Line, words: tuple[str, ...], said: str) -> None:
    result = alone(*words)
    assert result.exit_code == 1 and said in result.output and "Traceback" not in result.output
    assert alone.json("journal") == []


def test_a_card_nobody_knows_is_an_answer_with_exit_code_1(alone: Line) -> None:
    result = alone("card", "uid:04ffffffffff01")
    assert result.exit_code == 1 and "holdfast activate" in result.stdout


def test_the_same_idempotency_key_gives_the_same_row(alone: Line) -> None:
    words = ("earn", CARD, "--amount", "10", "--json")
    rows = [json.loads(alone(*words, env={"HOLDFAST_IDEMPOTENCY_KEY": "k"}).stdout)["row"] for _ in range(2)]
    assert rows[0] == rows[1] and len(alone.json("journal")) == 1


def test_syncing_without_a_line_ends_with_3_and_keeps_everything(alone: Line) -> None:
    alone("earn", CARD, "--amount", "5")
    found = alone.json("sync", exit_code=3)
    assert found["pending"] == 1 and found["error"].startswith("line")
    assert "Everything is kept" in alone("sync").stdout


def test_readers_and_their_test_without_an_agent(alone: Line) -> None:
    assert alone.json("readers", exit_code=1)[0]["state"] == "stopped"
    asked = alone("readers", "test", "--seconds", "1")
    assert asked.exit_code == 3 and "systemctl start" in asked.output


def test_keys_of_pos_software_are_made_listed_and_removed(alone: Line) -> None:
    assert "pos-key new" in alone("pos-key", "list").stdout
    assert alone.json("pos-key", "new", "till")["key"].startswith("hfp_")
    assert alone.json("pos-key", "list") == ["till"]
    assert alone("pos-key", "remove", "till").exit_code == 0
    assert alone("pos-key", "remove", "till").exit_code == 1


def test_a_journal_that_was_touched_is_found_out(alone: Line) -> None:
    import sqlite3

    alone("earn", CARD, "--amount", "5")
    path = alone.shop.folder / "journal.db"
    with sqlite3.connect(path) as journal:
        journal.execute("UPDATE rows SET body = zeroblob(length(body))")
    verified = alone("journal", "verify")
    assert verified.exit_code == 1 and "row 1" in verified.output
    journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.close()
    path.write_bytes(path.read_bytes()[:4_096] + b"x" * 60_000)
    verified = alone("journal", "verify")
    assert verified.exit_code == 1 and "storage.damaged" in verified.output


def test_a_picture_that_is_none_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"not a picture")
    result = holdfast("readers", "decode", str(tmp_path / "x.jpg"))
    assert result.returncode in (0, 1) and "x.jpg" in result.stdout and "Traceback" not in result.stderr


# Beside a running agent


def test_commands_speak_to_the_running_agent(beside: Line) -> None:
    before = beside.json("status")
    assert "agent" not in before and before["readers"][0]["state"] == "ready"
    earned = beside.json("earn", CARD, "--amount", "20.00")
    assert earned["decision"]["points"] == 20
    assert beside.json("journal")[-1]["event_id"] == earned["row"]["event_id"]
    assert beside.json("journal", "verify")["head_seq"] == earned["row"]["seq"]
    assert beside("card", CARD).exit_code == 0
    assert beside("earn", CARD, "--amount", "x").exit_code == 1
    assert "Reader counter (replay) is ready" in beside("status").stdout


def test_a_guided_test_shows_what_the_reader_read(beside: Line) -> None:
    import threading

    reading = Reading(kind="card", scope="c", uid=CARD[4:], tag="type2")
    tap = threading.Timer(1.0, beside.terminal.present, (reading, Removed(scope="c")))
    tap.start()
    result = beside("readers", "test", "counter", "--seconds", "20")
    tap.join()
    assert result.exit_code == 0 and CARD in result.stdout
    nothing = beside("readers", "test", "counter", "--seconds", "0.3")
    assert nothing.exit_code == 1 and "doctor" in nothing.stdout


def test_syncing_and_logs_beside_the_agent(beside: Line) -> None:
    found = beside.json("sync", exit_code=3)
    assert found["error"].startswith("line")
    assert any(event["area"] == "line" for event in beside.json("logs"))
    assert beside("logs", "--since", "1h", "--area", "reader").exit_code == 0
    assert beside.json("status", exit_code=1)["findings"][0]["code"] == "line.down"


def test_a_second_agent_on_the_same_files_is_refused_and_the_first_goes_on(beside: Line, tmp_path: Path) -> None:
    second = Terminal(tmp_path, beside.shop.folder)
    second.config.write_text(second.config.read_text().replace(str(second.socket), str(beside.terminal.socket)))
    refused = second.command("agent")
    assert refused.returncode == 1 and "till.in_use" in refused.stderr and "Traceback" not in refused.stderr
    assert beside.json("card", CARD)["known"]


def test_files_in_use_are_not_worked_on_by_a_command(beside: Line, tmp_path: Path) -> None:
    other = Terminal(tmp_path, beside.shop.folder)  # knows nothing of the running agent's socket
    result = run("earn", CARD, "--amount", "5", "--config", str(other.config))
    assert result.exit_code == 1 and "till.in_use" in result.output


def test_a_port_that_another_program_has_is_said(alone: Line) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", alone.terminal.port))
        taken.listen()
        refused = alone.terminal.command("agent")
    assert refused.returncode == 1 and "till.port_in_use" in refused.stderr and "[till] listen" in refused.stderr


def test_a_file_where_the_socket_should_be_is_left_alone(alone: Line) -> None:
    alone.terminal.socket.write_text("precious")
    refused = alone.terminal.command("agent")
    assert refused.returncode == 1 and "till.socket" in refused.stderr
    assert alone.terminal.socket.read_text() == "precious"
