"""Looking at it: status, a card, the journal."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agent.cli.common import (
    DEFAULT,
    WIDE,
    ConfigFile,
    Json,
    app,
    ask,
    journal_app,
    out,
    quoted,
    read_config,
    say_json,
    translated,
)
from agent.config import Config


@app.command()
def status(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Line, last exchange, rows pending, age of the oldest, readers.

    Example: holdfast status
    """
    loaded = read_config(config)
    from agent.remote import running

    with translated(), running(loaded) as remote:
        found = remote.get("/status") if remote is not None else _status_alone(loaded)
    if json:
        say_json(found)
    else:
        _say_status(found)
    raise typer.Exit(1 if found["findings"] else 0)


def _status_alone(config: Config) -> dict[str, Any]:
    from agent.alone import status_alone

    return status_alone(config)


def _say_status(found: dict[str, Any]) -> None:
    if found.get("agent") == "not running":
        out.print("The agent is not running. Start it: sudo systemctl start holdfast-agent", style="bold")
    pending, oldest = found["pending"], found["oldest_pending_s"]
    line = {"up": "up", "down": "down: carry on, everything is kept", "unknown": "not tried yet"}[found["line"]]
    unsent = f"{pending} unsent, the oldest for {_age(oldest)}" if pending else "everything is sent"
    out.print(
        f"Outlet {found['outlet']}, terminal {found['terminal'][:8]}, programme {found['programme'] or 'none yet'}"
    )
    out.print(f"Line {line}. {unsent[0].upper()}{unsent[1:]}. Last exchange: {found['last_exchange_at'] or 'never'}.")
    for reader in found["readers"]:
        why = f": {reader['text']}" if reader.get("text") else ""
        out.print(f"Reader {reader['name']} ({reader['driver']}) is {reader['state']}{why}", markup=False)
    tap = found.get("last_tap")
    if tap:
        what = tap["card"]["card"] if tap["card"] else tap["code"] or tap["refused"]["text"]
        out.print(f"Last tap: {what} on {tap['reader']}, {_age(time.time() - tap['at'])} ago", markup=False)
    for finding in found["findings"]:
        out.print(f"[!] {finding['code']}   {finding['text'] or ''}", markup=False)
    if found["findings"]:
        out.print("Next: holdfast doctor")


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


@app.command()
def card(token: str, config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Member, tier, balance now, what of it is provisional.

    Example: holdfast card uid:04a1b2c3d4e580
    """
    found = ask(config, lambda r: r.get(f"/cards/{quoted(token)}"), lambda o: o.card(token))
    if json:
        say_json(found)
    elif not found["known"]:
        out.print("This card is not known here. Activate it: holdfast activate CODE --card TOKEN")
    elif found["balance"] is None:
        out.print(f"{found['name'] or 'A member'}: the balance is not known here until the next exchange.")
    else:
        part = f", {found['provisional']} of them provisional" if found["provisional"] else ""
        tier = f", {found['tier']}" if found["tier"] else ""
        out.print(f"{found['name'] or 'A member'}{tier}: {found['balance']} points{part}. Card {found['status']}.")
    raise typer.Exit(0 if found["known"] else 1)


@journal_app.callback(invoke_without_command=True)
def journal(
    context: typer.Context,
    pending: Annotated[bool, typer.Option("--pending", help="Only what is not sent yet.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many rows.")] = 50,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """Rows with their outcomes.

    Example: holdfast journal --pending
    """
    if context.invoked_subcommand is not None:
        return
    rows = ask(
        config,
        lambda r: r.get("/journal", pending=pending, limit=limit),
        lambda o: o.journal(pending=pending, limit=limit),
    )
    if json:
        say_json(rows)
        return
    if not rows:
        out.print("Nothing is unsent." if pending else "Nothing was done yet.")
        return
    table = Table("row", "when", "what", "points", "receipt", "outcome", box=None, pad_edge=False)
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["at_ms"] / 1000))
        why = f"{row['outcome']} ({row['reason']})" if row["reason"] else row["outcome"]
        table.add_row(str(row["seq"]), when, row["kind"], str(row["points"] or ""), row["receipt"] or "", why)
    Console(width=WIDE, highlight=False).print(table)


@journal_app.command("verify")
def journal_verify(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Checks the numbering and the chain of hashes of every row kept.

    Example: holdfast journal verify
    """
    loaded = read_config(config)
    from sync.journal import JournalReader

    with translated():
        reader = JournalReader.open(loaded.data_dir)
        count, head = reader.verify(), reader.head()
    if json:
        say_json({"rows": count, "head_seq": head.seq, "head_hash": head.hash.hex(), "valid": True})
        return
    out.print(f"{count} rows, gap-free, every hash right. Head: row {head.seq}, {head.hash.hex()[:16]}.")
