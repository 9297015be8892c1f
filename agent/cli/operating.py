"""The till's operations, for scripts and for the day the page is down."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agent.cli.common import (
    DEFAULT,
    ConfigFile,
    Json,
    Operator,
    app,
    ask,
    err,
    fail,
    out,
    read_config,
    say_json,
    translated,
)


def _operate(config: Path, path: str, body: dict[str, Any], shape: type[Any], method: str, json: bool) -> None:
    """One operation of the till, by the agent or alone; says the words for the cashier."""
    asked = {name: value for name, value in body.items() if value is not None}
    key = os.environ.get("HOLDFAST_IDEMPOTENCY_KEY")

    def alone(operations: Any) -> Any:
        from agent.remote import AnswerError
        from loyalty.rows import Caller

        work = getattr(operations, method)
        done = work(msgspec.convert(asked, shape), Caller(pos_key="socket", key=key) if key else None)
        told = operations.json(done, asked.get("card"), read_config(config).terminal.language)
        if told.get("status") == 409:
            raise AnswerError(told)
        return told

    found = ask(config, lambda remote: remote.post(path, asked, key), alone)
    if json:
        say_json(found)
        return
    out.print(f"{found['words']['verdict']}. {found['words']['sentence']}", markup=False)
    for line in found["words"]["lines"]:
        out.print(f"  {line}", markup=False)
    out.print(f"Row {found['row']['seq']} is saved.")


@app.command()
def activate(
    code: Annotated[str, typer.Argument(help="Printed code, or the text of its QR.")],
    card: Annotated[str, typer.Option(help="The card, as scheme:value.")],
    first_name: Annotated[str | None, typer.Option(help="For the page's greeting.")] = None,
    operator: Operator = None,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """Brings a card to life with its code.

    Example: holdfast activate ABCDE-FGHJK-C --card uid:04a1b2c3d4e580
    """
    from agent.operations import Activation

    body = {"card": card, "code": code, "first_name": first_name, "operator": operator}
    _operate(config, "/activations", body, Activation, "activate", json)


@app.command()
def earn(
    card: str,
    amount: Annotated[str, typer.Option(help="What was paid, as people write it: 12.50")],
    receipt: Annotated[str | None, typer.Option(help="The receipt's number.")] = None,
    operator: Operator = None,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """Gives the points of a purchase.

    Example: holdfast earn uid:04a1b2c3d4e580 --amount 12.50 --receipt 1042
    """
    from agent.operations import Earning

    body = {"card": card, "amount": amount, "receipt": receipt, "operator": operator}
    _operate(config, "/earnings", body, Earning, "earn", json)


@app.command()
def burn(
    card: str,
    points: Annotated[int | None, typer.Option(help="So many points as money.")] = None,
    reward: Annotated[str | None, typer.Option(help="Or a reward's id.")] = None,
    operator: Operator = None,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """Spends points. With the line up the centre sets them aside first.

    Example: holdfast burn uid:04a1b2c3d4e580 --reward coffee
    """
    from agent.operations import Burn

    if (points is None) == (reward is None):
        fail("Give either --points or --reward.", 2)
    body = {"card": card, "points": points, "reward": reward, "operator": operator}
    _operate(config, "/burns", body, Burn, "burn", json)


@app.command("use-code")
def use_code(card: str, code: str, operator: Operator = None, config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Uses a bonus code without a purchase.

    Example: holdfast use-code uid:04a1b2c3d4e580 ABCDE-FGHJK-C
    """
    from agent.operations import CodeUse

    body = {"card": card, "codes": [code], "operator": operator}
    _operate(config, "/code-uses", body, CodeUse, "use_codes", json)


@app.command()
def reverse(
    row: Annotated[str, typer.Argument(help="Row number or event id.")],
    amount_minor: Annotated[int | None, typer.Option(help="Only so much of it, in minor units.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    operator: Operator = None,
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """Takes an earlier row back, wholly or in part.

    Example: holdfast reverse 41 --reason "wrong card"
    """
    from agent.operations import Reversal

    named: dict[str, Any] = (
        {"seq": int(row)} if row.isdecimal() and row.isascii() and len(row) < 20 else {"event_id": row}
    )
    part = {"amount_minor": amount_minor} if amount_minor is not None else {"whole": True}
    body = {**named, **part, "reason": reason, "operator": operator}
    _operate(config, "/reversals", body, Reversal, "reverse", json)


@app.command()
def sync(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Exchanges with the centre until nothing is pending.

    Example: holdfast sync
    """
    loaded = read_config(config)
    from agent.alone import sync_alone
    from agent.remote import running

    waiting = err.status("Exchanging with the centre ...") if sys.stderr.isatty() else contextlib.nullcontext()
    with translated(), running(loaded) as remote, waiting:
        found = remote.post("/sync") if remote is not None else msgspec.to_builtins(sync_alone(loaded))
    if json:
        say_json({"error": None} | {name: value for name, value in found.items() if name not in ("id", "type")})
    else:
        sent = ", ".join(f"{count} {outcome}" for outcome, count in found["outcomes"].items())
        out.print(f"{found['pushed']} rows sent{f' ({sent})' if sent else ''}, {found['pulled']} changes received.")
        out.print(f"{found['pending']} pending." if found["pending"] else "Everything is sent.")
        if found.get("error"):
            out.print(f"It stopped: {found['error']}. Everything is kept and sent later.", markup=False)
    raise typer.Exit(3 if found.get("error") else 0)
