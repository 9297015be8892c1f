"""Diagnosis: doctor, log, readers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent.cli.common import DEFAULT, ConfigFile, Json, app, fail, out, read_config, readers_app, say_json, translated


@app.command()
def doctor(
    only: Annotated[str | None, typer.Option(help="One area: reader, line, centre, clock, storage, queue ...")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also causes, and what is hidden.")] = False,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """All checks: findings with cause and cure.

    Example: holdfast doctor --only reader
    """
    from agent.diagnosis.report import render, to_json
    from agent.doctor import examine_here

    report = examine_here(config, only)
    if json:
        say_json(to_json(report))
    else:
        render(report, out, verbose=verbose)
    raise typer.Exit(1 if any(finding.severity in ("warning", "critical") for finding in report.shown) else 0)


@app.command()
def logs(
    since: Annotated[str | None, typer.Option(help="30min, 2h, 3d")] = None,
    area: Annotated[str | None, typer.Option(help="reader, line, queue ...")] = None,
    limit: Annotated[int, typer.Option(help="At most so many lines.")] = 200,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """The diagnostic log: one line per change of state.

    Example: holdfast logs --since 2h --area reader
    """
    loaded = read_config(config)
    from agent.doctor import read_log

    events = read_log(loaded.data_dir, since_s=_seconds(since), area=area, limit=limit)
    if json:
        say_json(events)
        return
    if not events:
        out.print("Nothing was noted.")
    for event in events:
        when = time.strftime("%m-%d %H:%M:%S", time.localtime(event.at))
        over = "ended: " if event.over else ""
        out.print(f"{when}  {event.area:8} {event.code:24} {over}{event.text}", markup=False)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    units = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}
    number = text.rstrip("smindh")
    unit = units.get(text[len(number) :])
    try:
        if unit is None:
            raise ValueError
        return float(number) * unit
    except ValueError:
        fail(f"{text} is no span of time. Write 30min, 2h or 3d.", 2)


@readers_app.callback(invoke_without_command=True)
def readers(context: typer.Context, config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """State of every configured reader.

    Example: holdfast readers --json
    """
    if context.invoked_subcommand is not None:
        return
    loaded = read_config(config)
    from agent.alone import status_alone
    from agent.remote import running

    with translated(), running(loaded) as remote:
        found = (remote.get("/status") if remote is not None else status_alone(loaded))["readers"]
    if json:
        say_json(found)
    elif not found:
        out.print("No reader is configured. Add [[readers]] to the configuration (docs/technicians.md).")
    for reader in [] if json else found:
        why = f": {reader['text']}" if reader.get("text") else ""
        out.print(f"{reader['name']} ({reader['driver']}) is {reader['state']}{why}", markup=False)
    raise typer.Exit(0 if all(reader["state"] in ("ready", "paused") for reader in found) else 1)


@readers_app.command("test")
def readers_test(
    name: Annotated[str | None, typer.Argument(help="One reader only.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to wait for a tap.")] = 30.0,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """A guided test: present a card or a code, and see what the reader makes of it.

    Example: holdfast readers test counter
    """
    loaded = read_config(config)
    from agent.doctor import guided_test
    from agent.remote import running

    with translated(), running(loaded) as remote:
        if remote is None:
            fail("The agent is not running. Start it: sudo systemctl start holdfast-agent", 3)
        if not json:
            out.print(f"Hold a card or a printed code to {name or 'a reader'} now. {seconds:.0f} s.")
        tap = guided_test(remote, name, seconds)
    if json:
        say_json({"tap": tap})
    elif tap is None:
        out.print("Nothing was read. Next: holdfast doctor --only reader")
    elif tap["refused"]:
        out.print(f"Read, but refused: {tap['refused']['code']}: {tap['refused']['text']}", markup=False)
    else:
        out.print(f"Read on {tap['reader']}: {tap['card']['card'] if tap['card'] else tap['code'][:24]}", markup=False)
    raise typer.Exit(0 if tap and not tap["refused"] else 1)


@readers_app.command("decode")
def readers_decode(files: list[Path], json: Json = False) -> None:
    """What photographs or prints decode to, and by which stage.

    Example: holdfast readers decode photo.jpg --json
    """
    command = [sys.executable, "-P", "-m", "drivers", "camera", "--decode", *(str(file) for file in files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json:
                sys.stdout.write(line.decode())
                continue
            found = msgspec.json.decode(line)
            texts = [f"{c['symbology']} {c['text']!r} by {c['stage']}" for c in found.get("codes", [])]
            out.print(f"{found['file']}: {'; '.join(texts) or found.get('error') or 'nothing found'}", markup=False)
    raise typer.Exit(child.returncode)
