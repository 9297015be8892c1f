"""`holdfast`: the terminal's commands. Each speaks to the running agent, or does the work itself under the same lock.

Exit codes: 0 fine, 1 a finding or a refused operation, 2 wrong usage, 3 the agent or the centre cannot be reached.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Entry point.

    `agent` as systemd starts it goes a shorter way: what reads and prints other commands (typer, pydantic, rich)
    would be a fifth of its start.
    """
    match sys.argv[1:]:
        case ["agent"]:
            _serve(Path(os.environ.get("HOLDFAST_CONFIG") or "/etc/holdfast/agent.toml"))
        case ["agent", "--config", path]:
            _serve(Path(path))
        case _:
            _command()


def _command() -> None:
    from agent.cli.commands import app

    app()


def _serve(path: Path) -> None:
    from agent.config import ConfigError, load

    try:
        config = load(path)
    except ConfigError:
        return _command()  # which says every mistake
    from agent.serve import run

    try:
        run(config)
    except Exception as error:
        from agent.cli.common import explained

        told = explained(error)
        if told is None:
            raise
        sys.stderr.write(told.text + "\n")
        sys.exit(told.exit_code)
