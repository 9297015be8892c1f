"""What all commands share: options, how failures are said, and the way to the agent or the till.

Exit codes: 0 fine, 1 a finding or a refused operation, 2 wrong usage, 3 the agent or the centre cannot be reached.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console

from agent import config as configuration
from agent import words
from agent.config import Config, ConfigError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
config_app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
readers_app = typer.Typer(invoke_without_command=True)
journal_app = typer.Typer(invoke_without_command=True)
pos_key_app = typer.Typer(no_args_is_help=True, help="Keys for POS software.")
app.add_typer(config_app, name="config")
app.add_typer(readers_app, name="readers")
app.add_typer(journal_app, name="journal")
app.add_typer(pos_key_app, name="pos-key")

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)
WIDE = 1_000  # columns: a pipe or a narrow window cuts nothing off a table

ConfigFile = Annotated[
    Path, typer.Option("--config", envvar="HOLDFAST_CONFIG", help="Default: /etc/holdfast/agent.toml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Operator = Annotated[str | None, typer.Option(help="Who does it.")]
DEFAULT = configuration.DEFAULT_PATH


def fail(text: str, code: int = 1) -> NoReturn:
    """Says what went wrong and ends."""
    err.print(text, markup=False)
    raise typer.Exit(code)


def say_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def read_config(path: Path) -> Config:
    """The configuration; ends the command with every mistake in it."""
    try:
        return configuration.load(path)
    except ConfigError as error:
        for mistake in error.mistakes:
            err.print(f"[!] config.invalid   {mistake.where}: {mistake.text}", markup=False)
            err.print(f"    {mistake.cure}", markup=False)
        raise typer.Exit(2) from error


@contextmanager
def translated() -> Iterator[None]:
    """Every expected failure as a sentence and an exit code; only bugs show a trace."""
    try:
        yield
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        fail(told.text, told.exit_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A failure in words, and how the command ends."""

    text: str
    exit_code: int = 1


def explained(error: Exception) -> Explanation | None:
    """The words for an expected failure; None for a bug.

    The failures' types are loaded here, once something failed: with them come the HTTP client and its signatures.
    """
    from agent.enrolment import AlreadyEnrolledError
    from agent.opening import InUseError
    from agent.remote import AnswerError
    from agent.results import RefusedError
    from sync import files
    from sync.client import ExchangeFailedError
    from sync.files import StorageError
    from sync.identity import NotEnrolledError
    from sync.journal import JournalError

    match error:
        case AnswerError(problem=problem):
            code = str(problem.get("code"))
            return Explanation(text=f"{code}: {problem.get('detail')}{_hint(code)}")
        case RefusedError(code=code, fields=fields):
            return Explanation(text=f"{code}: {words.reason('en', code, **fields)}{_hint(code)}")
        case words.AmountError():
            return Explanation(text=f"{error.code}: {words.reason('en', error.code, **error.fields('en'))}")
        case StorageError() | InUseError():
            return Explanation(text=f"{error.code}: {error.text}")
        case NotEnrolledError():
            return Explanation(text=f"till.not_enrolled: {error}")
        case JournalError() | AlreadyEnrolledError():
            return Explanation(text=str(error))
        case sqlite3.Error():
            told = files.translated(error, Path("a file of this terminal"))
            return Explanation(text=f"{told.code}: {told.text}")
        case ExchangeFailedError(failure=failure):
            exit_code = 3 if failure.kind in ("line", "busy") else 1
            return Explanation(text=f"{failure.code or 'line.down'}: {failure.text}", exit_code=exit_code)
    return None


def _hint(code: str) -> str:
    """How a card is written here, where it was not understood."""
    return "\nWrite a card as uid:04a1b2c3d4e580, num:4006381333931 or ndef:TEXT." if code.startswith("token.") else ""


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def ask(config: Path, of_agent: Callable[[Any], Any], alone_work: Callable[[Any], Any]) -> Any:
    """The running agent's answer, or our own."""
    loaded = read_config(config)
    from agent.remote import running

    with translated(), running(loaded) as remote:
        if remote is not None:
            return of_agent(remote)
        from agent.alone import alone  # all of the till, which a question to the agent does not need

        with alone(loaded) as operations:
            return alone_work(operations)
