"""`holdfast`: the terminal's commands. Each speaks to the running agent, or does the work itself under the same lock.

Exit codes: 0 fine, 1 a finding or a refused operation, 2 wrong usage, 3 the agent or the centre cannot be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from agent import config as configuration
from agent import words
from agent.config import Config, ConfigError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
config_app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
readers_app = typer.Typer(invoke_without_command=True, help="Readers: their state, and what a picture decodes to.")
journal_app = typer.Typer(invoke_without_command=True, help="Rows and outcomes; verify checks chain and numbering.")
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
    from agent.enrolment import AlreadyEnrolledError
    from agent.opening import InUseError
    from agent.remote import AnswerError
    from agent.till import RefusedError
    from sync.client import ExchangeFailedError
    from sync.files import StorageError
    from sync.identity import NotEnrolledError
    from sync.journal import JournalError

    try:
        yield
    except AnswerError as error:
        code = str(error.problem.get("code"))
        fail(f"{code}: {error.problem.get('detail')}{_hint(code)}")
    except RefusedError as error:
        fail(f"{error.code}: {words.reason('en', error.code, **error.fields)}{_hint(error.code)}")
    except words.AmountError as error:
        fail(f"{error.code}: {words.reason('en', error.code, **error.fields('en'))}")
    except (StorageError, InUseError) as error:
        fail(f"{error.code}: {error.text}")
    except NotEnrolledError as error:
        fail(f"till.not_enrolled: {error}")
    except (JournalError, AlreadyEnrolledError) as error:
        fail(str(error))
    except ExchangeFailedError as error:
        unreachable = error.failure.kind in ("line", "busy")
        fail(f"{error.failure.code or 'line.down'}: {error.failure.text}", 3 if unreachable else 1)


def _hint(code: str) -> str:
    """How a card is written here, where it was not understood."""
    return "\nWrite a card as uid:04a1b2c3d4e580, num:4006381333931 or ndef:TEXT." if code.startswith("token.") else ""


# -- the terminal itself -----------------------------------------------------------------------------------------------


@app.command()
def agent(config: ConfigFile = DEFAULT) -> None:
    """The terminal itself, in the foreground.

    Example: holdfast agent --config /etc/holdfast/agent.toml
    """
    loaded = read_config(config)
    from agent.serve import serve

    with translated():
        asyncio.run(serve(loaded))


@app.command()
def enrol(
    server: Annotated[str, typer.Option(help="The centre's address.")],
    code: Annotated[str, typer.Option(help="From holdfast-server enrolment-code.")],
    config: ConfigFile = DEFAULT,
    json: Json = False,
) -> None:
    """Makes the terminal's key and joins it to an outlet.

    Example: holdfast enrol --server https://loyalty.example --code ABCD-EFGH-JKMN-PQRS
    """
    loaded = read_config(config)
    from agent.enrolment import join

    with translated():
        identity, fingerprint = join(loaded, server, code)
    if json:
        say_json({"terminal": identity.terminal.hex(), "outlet": identity.outlet, "fingerprint": fingerprint})
        return
    out.print(f"This terminal has joined outlet {identity.outlet}.")
    out.print(f"Its fingerprint: {fingerprint}. Compare it with the centre's: holdfast-server terminals")


@config_app.command("check")
def config_check(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """All mistakes at once, each with its line and cure.

    Example: holdfast config check --config agent.toml
    """
    try:
        configuration.load(config)
        mistakes = []
    except ConfigError as error:
        mistakes = error.mistakes
    if json:
        say_json(mistakes)
    for mistake in [] if json else mistakes:
        out.print(f"[!] config.invalid   {mistake.where}: {mistake.text}", markup=False)
        out.print(f"    {mistake.cure}", markup=False)
    if not mistakes and not json:
        out.print("The configuration is right.")
    raise typer.Exit(1 if mistakes else 0)


@config_app.command("show")
def config_show(config: ConfigFile = DEFAULT) -> None:
    """The configuration in force, with defaults and overrides.

    Example: holdfast config show
    """
    loaded = read_config(config)
    say_json(msgspec.to_builtins(loaded, enc_hook=str))


# -- looking -----------------------------------------------------------------------------------------------------------


@app.command()
def status(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Line, last exchange, rows pending, age of the oldest, readers.

    Example: holdfast status
    """
    loaded = read_config(config)
    from agent.remote import running, status_alone

    with translated():
        remote = running(loaded)
        found = remote.get("/status") if remote is not None else status_alone(loaded)
    if json:
        say_json(found)
    else:
        _say_status(found)
    raise typer.Exit(1 if found["findings"] else 0)


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
    found = _asked(config, lambda r: r.get(f"/cards/{_quoted(token)}"), lambda o: o.card(token))
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


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _asked(config: Path, of_agent: Callable[[Any], Any], alone_work: Callable[[Any], Any]) -> Any:
    """The running agent's answer, or our own."""
    loaded = read_config(config)
    from agent.remote import alone, running

    with translated():
        remote = running(loaded)
        if remote is not None:
            return of_agent(remote)
        with alone(loaded) as operations:
            return alone_work(operations)


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
    rows = _asked(
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


# -- operations --------------------------------------------------------------------------------------------------------


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

    found = _asked(config, lambda remote: remote.post(path, asked, key), alone)
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

    named: dict[str, Any] = {"seq": int(row)} if row.isdigit() and len(row) < 20 else {"event_id": row}
    part = {"amount_minor": amount_minor} if amount_minor is not None else {"whole": True}
    body = {**named, **part, "reason": reason, "operator": operator}
    _operate(config, "/reversals", body, Reversal, "reverse", json)


@app.command()
def sync(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Exchanges with the centre until nothing is pending.

    Example: holdfast sync
    """
    loaded = read_config(config)
    from agent.remote import running, sync_alone

    with translated():
        remote = running(loaded)
        with err.status("Exchanging with the centre ...") if sys.stderr.isatty() else contextlib.nullcontext():
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


# -- diagnosis ---------------------------------------------------------------------------------------------------------


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
    from agent.remote import running, status_alone

    with translated():
        remote = running(loaded)
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

    with translated():
        remote = running(loaded)
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


@pos_key_app.command("new")
def pos_key_new(name: str, config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """A key for POS software. It is shown this once.

    Example: holdfast pos-key new till-software
    """
    from agent.keys import PosKeys

    data_dir = read_config(config).data_dir
    try:
        secret = PosKeys(data_dir).make(name)
    except OSError as error:
        fail(f"No key was made: {data_dir} cannot be written to ({error.strerror}). Run it as the terminal's user.")
    if json:
        say_json({"name": name, "key": secret})
    else:
        out.print(secret, style="bold")
        out.print("Send it with each request: Authorization: Bearer KEY", markup=False)


@pos_key_app.command("list")
def pos_key_list(config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Whose keys there are.

    Example: holdfast pos-key list
    """
    from agent.keys import PosKeys

    names = PosKeys(read_config(config).data_dir).names()
    if json:
        say_json(names)
    else:
        out.print("\n".join(names) or "There is no key yet. Make one: holdfast pos-key new NAME")


@pos_key_app.command("remove")
def pos_key_remove(name: str, config: ConfigFile = DEFAULT) -> None:
    """Takes a key away at once.

    Example: holdfast pos-key remove till-software
    """
    from agent.keys import PosKeys

    if not PosKeys(read_config(config).data_dir).remove(name):
        fail(f"There is no key called {name}.")
    out.print(f"The key {name} works no longer.", markup=False)


@app.command()
def demo(
    scripted: Annotated[bool, typer.Option("--scripted", help="Plays a shop's day and reconciles.")] = False,
    state: Annotated[Path | None, typer.Option(help="Keep its files here.")] = None,
    port: Annotated[int, typer.Option(help="The virtual counter's port.")] = 8766,
    json: Json = False,
) -> None:
    """A centre and a terminal on this machine, with members, cards and a virtual counter to tap on.

    Example: holdfast demo --scripted --json
    """
    from agent.demo import run

    raise typer.Exit(run(scripted=scripted, state=state, port=port, json=json))


def main() -> None:
    """Entry point."""
    app()
