"""`holdfast-server`: the centre's commands."""

from __future__ import annotations

import csv
import datetime
import io
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
import typer
from rich.console import Console
from rich.table import Table

from loyalty import vectors as programme_vectors
from loyalty.check import check as check_document
from loyalty.ids import Generation, fingerprint
from loyalty.mistakes import Mistake
from loyalty.programme import ProgrammeError
from server import audit, codes, programmes, schema, terminals
from server.keys import KeyFileError, Keys, load_or_make
from server.keys import load as load_keys
from server.store import Store, StoreError
from server.web import wall_ms

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
programme_app = typer.Typer(no_args_is_help=True, help="Check, load and show the programme document.")
codes_app = typer.Typer(no_args_is_help=True, help="Issue activation and bonus codes.")
report_app = typer.Typer(no_args_is_help=True, help="Reports.")
app.add_typer(programme_app, name="programme")
app.add_typer(codes_app, name="codes")
app.add_typer(report_app, name="report")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)
WIDE = 1_000  # columns: a pipe or a narrow window cuts nothing off a table

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="HOLDFAST_SERVER_DATA_DIR", help="Database and keys.")]
Database = Annotated[str | None, typer.Option("--database", help="Default: sqlite file centre.db in the data folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
DEFAULT_DATA_DIR = Path("/var/lib/holdfast-server")


def fail(text: str, code: int = 1) -> typer.Exit:
    """Says what went wrong and ends: 1 a refusal, 2 wrong usage, 3 not to be reached."""
    err.print(text, markup=False, highlight=False)
    return typer.Exit(code)


def say_json(value: object) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


@contextmanager
def opened(data_dir: Path, database: str | None) -> Iterator[tuple[Store, Keys]]:
    """The centre's database and keys; ends the command with a sentence where they are not to be had."""
    try:
        centre = Store.open(database or f"sqlite:///{data_dir / 'centre.db'}")
        if not centre.is_initialised:
            raise fail(f"There is no centre in {data_dir} yet. Run: holdfast-server init --data-dir {data_dir}")
        yield centre, load_keys(data_dir)
    except (StoreError, KeyFileError) as error:
        raise fail(str(error), 3) from error


@app.command()
def init(data_dir: DataDir = DEFAULT_DATA_DIR, database: Database = None) -> None:
    """Makes the database and the keys.

    Example: holdfast-server init --data-dir /var/lib/holdfast-server
    """
    import secrets

    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        made = Store.open(database or f"sqlite:///{data_dir / 'centre.db'}").initialise(
            Generation(secrets.token_bytes(16))
        )
        load_or_make(data_dir)
    except (StoreError, KeyFileError, OSError) as error:
        raise fail(f"The centre could not be made in {data_dir}: {error}") from error
    out.print("The centre is ready." if made else "There was a centre already; it was left as it is.")
    out.print(f"Next: holdfast-server programme load FILE --data-dir {data_dir}", highlight=False)


@app.command()
def run(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    database: Database = None,
    listen: Annotated[str, typer.Option(help="Address and port.")] = "127.0.0.1:8080",
) -> None:
    """Serves terminals and the back office.

    Example: holdfast-server run --data-dir /var/lib/holdfast-server --listen 127.0.0.1:8080
    """
    from server.serving import PortInUseError, serve

    with opened(data_dir, database) as (centre, keys):
        try:
            serve(centre, keys, listen)
        except PortInUseError as error:
            raise fail(str(error), 3) from error


@app.command("enrolment-code")
def enrolment_code(
    outlet: Annotated[str, typer.Option(help="The outlet's id in the programme.")],
    label: Annotated[str, typer.Option(help="What people call the till.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    database: Database = None,
    json: Json = False,
) -> None:
    """A code by which one terminal joins an outlet: good once, for 15 minutes.

    Example: holdfast-server enrolment-code --outlet roma-1 --label "Counter left"
    """
    with opened(data_dir, database) as (centre, _), centre.writing() as tx:
        versions = programmes.all_versions(tx)
        known = versions[max(versions)].outlets if versions else {}
        if versions and outlet not in known:
            raise fail(f"The programme has no outlet {outlet}. It has: {', '.join(sorted(known))}")
        code = terminals.new_code(tx, outlet=outlet, label=label, now_ms=wall_ms())
    if json:
        say_json({"code": code, "outlet": outlet, "label": label})
        return
    out.print(code, style="bold")
    out.print("At the terminal: holdfast enrol --server URL --code CODE", highlight=False)


@app.command("terminals")
def list_terminals(data_dir: DataDir = DEFAULT_DATA_DIR, database: Database = None, json: Json = False) -> None:
    """Every terminal, its outlet, when it was last heard, and the fingerprint it showed when it joined.

    Example: holdfast-server terminals --json
    """
    with opened(data_dir, database) as (centre, _), centre.reading() as tx:
        t = schema.terminals.c
        keys = {found.id.hex(): found.public_key for found in tx.execute(sa.select(t.id, t.public_key))}
        found = [line | {"fingerprint": fingerprint(keys[line["terminal"]])} for line in audit.terminals(tx)]
    if json:
        say_json(found)
        return
    shown = [
        {
            "terminal": line["terminal"][:8],
            **{name: line[name] for name in ("outlet", "label", "status")},
            "joined": _when(line["enrolled_ms"]),
            "last heard": _when(line["heard_ms"]),
            "rows here": line["head_seq"],
            "fingerprint": line["fingerprint"],
        }
        for line in found
    ]
    _table("No terminal has joined yet. Next: holdfast-server enrolment-code", shown)


def _when(at_ms: int | None) -> str:
    if at_ms is None:
        return "never"
    return datetime.datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


@app.command()
def verify(
    journals: Annotated[list[Path] | None, typer.Option(help="Journals of terminals, for I5.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    database: Database = None,
    json: Json = False,
) -> None:
    """Checks the books: balances, allowances, postings, chains. Exit 1 when one is wrong.

    Example: holdfast-server verify --journals /var/lib/holdfast
    """
    with opened(data_dir, database) as (centre, _), centre.reading() as tx:
        try:
            report = audit.verify(tx, journals)
        except audit.JournalError as error:
            raise fail(str(error), 2) from error
    if json:
        say_json(report.as_json())
    else:
        for check in report.checks:
            word = "not checked: no journals given" if check.faults is None else "WRONG" if check.faults else "ok"
            out.print(f"{check.name:4} {check.text}: {word}", highlight=False)
            for fault in (check.faults or [])[:20]:
                out.print(f"       {fault}", highlight=False, markup=False)
    raise typer.Exit(0 if report.clean else 1)


@report_app.command()
def reconcile(data_dir: DataDir = DEFAULT_DATA_DIR, database: Database = None, json: Json = False) -> None:
    """The tills' record against the centre's, by terminal and outcome.

    Example: holdfast-server report reconcile
    """
    with opened(data_dir, database) as (centre, _), centre.reading() as tx:
        found = audit.reconcile(tx)
    if json:
        say_json(found)
        return
    _table("Nothing has been sent yet.", found)


@programme_app.command("check")
def programme_check(file: Path, json: Json = False) -> None:
    """Every mistake of a document at once, each with line and cure. Exit 1 when one forbids loading.

    Example: holdfast-server programme check grocer.toml
    """
    try:
        mistakes = check_document(file.read_bytes())
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}", 2) from error
    _say_mistakes(mistakes, file, json)
    raise typer.Exit(1 if any(not mistake.warning for mistake in mistakes) else 0)


def _say_mistakes(mistakes: list[Mistake], file: Path, json: bool = False) -> None:
    if json:
        say_json(mistakes)
        return
    for mistake in mistakes:
        mark = "warning" if mistake.warning else "error"
        where = f"{file}:{mistake.line}" if mistake.line else str(file)
        out.print(f"{where}: {mark} {mistake.code}: {mistake.text}", highlight=False, markup=False)
        out.print(f"    {mistake.cure}", highlight=False, markup=False)
    errors = sum(not mistake.warning for mistake in mistakes)
    out.print(f"{_count(errors, 'error')}, {_count(len(mistakes) - errors, 'warning')}", highlight=False)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


@programme_app.command("load")
def programme_load(file: Path, data_dir: DataDir = DEFAULT_DATA_DIR, database: Database = None) -> None:
    """Checks, signs and loads a document as the newest version; terminals have it with their next exchange.

    Example: holdfast-server programme load grocer.toml
    """
    try:
        document = file.read_bytes()
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}", 2) from error
    with opened(data_dir, database) as (centre, keys):
        try:
            with centre.writing() as tx:
                programme = programmes.load(tx, document, keys, wall_ms())
        except ProgrammeError as error:
            _say_mistakes(error.mistakes, file)
            raise fail("Nothing was loaded.") from error
    out.print(f"Version {programme.version} of {programme.id} is loaded.", highlight=False)
    out.print("Terminals have it with their next exchange.", highlight=False)


@programme_app.command("show")
def programme_show(
    version: Annotated[int | None, typer.Option(help="Default: the newest.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    database: Database = None,
) -> None:
    """Prints a loaded document as it was loaded.

    Example: holdfast-server programme show --version 3
    """
    table = schema.programmes
    with opened(data_dir, database) as (centre, _), centre.reading() as tx:
        wanted = version or tx.execute(sa.select(sa.func.max(table.c.version))).scalar()
        document = tx.execute(sa.select(table.c.document).where(table.c.version == wanted)).scalar()
    if document is None:
        raise fail("No such version is loaded.")
    sys.stdout.write(document.decode())


@programme_app.command("vectors")
def programme_run_vectors(
    file: Path, directory: Annotated[Path, typer.Option("--programmes", help="Folder of the documents they name.")]
) -> None:
    """Runs decision vectors through the rule; prints each that differs.

    Example: holdfast-server programme vectors vectors.jsonl --programmes docs/programmes
    """
    try:
        documents = {path.stem: tomllib.loads(path.read_text()) for path in sorted(directory.glob("*.toml"))}
        given = [msgspec.json.decode(line) for line in file.read_bytes().splitlines() if line.strip()]
    except (OSError, tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise fail(f"The vectors cannot be read: {error}", 2) from error
    failed = 0
    for vector in given:
        try:
            differences = programme_vectors.differences(vector, documents)
        except (KeyError, TypeError, ValueError, ProgrammeError) as error:
            raise fail(f"{file} has a vector that cannot be read: {error!r}", 2) from error
        failed += bool(differences)
        for difference in differences:
            out.print(f"{vector['id']}: {difference}", highlight=False, markup=False)
    out.print(f"{len(given) - failed} passed, {failed} failed", highlight=False)
    raise typer.Exit(1 if failed else 0)


@codes_app.command("issue")
def codes_issue(
    batch: Annotated[str, typer.Option(help="Name of the batch, never used again.")],
    count: Annotated[int, typer.Option(help="How many codes.")],
    purpose: Annotated[str, typer.Option(help="activation or bonus.")] = "activation",
    days: Annotated[int, typer.Option(help="Good for so many days.")] = 365,
    pdf: Annotated[Path | None, typer.Option(help="Write a sheet to print.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write serial, typed code, QR text.")] = None,
    operator: Annotated[str, typer.Option(help="Who issues them.")] = "owner",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    database: Database = None,
    json: Json = False,
) -> None:
    """Issues a batch of codes: signed QR texts and typed codes. The typed codes are shown this once.

    Example: holdfast-server codes issue --batch spring --count 240 --pdf spring.pdf
    """
    if purpose not in ("activation", "bonus"):
        raise fail("The purpose is activation or bonus.", 2)
    now_ms = wall_ms()
    expires_ms = now_ms + days * 86_400_000
    with opened(data_dir, database) as (centre, keys):
        try:
            with centre.writing() as tx:
                versions = programmes.all_versions(tx)
                if not versions:
                    raise fail("Load a programme first: holdfast-server programme load FILE")
                programme = versions[max(versions)].id
                issued = codes.issue(
                    tx,
                    keys,
                    batch=batch,
                    programme=programme,
                    count=count,
                    purpose=purpose,  # type: ignore[arg-type]
                    now_ms=now_ms,
                    expires_ms=expires_ms,
                    operator=operator,
                )
                _write_codes(issued, batch, pdf, csv_file)  # before the commit: they can never be shown again
        except (codes.BatchError, OSError) as error:
            raise fail(f"{error} Nothing was issued.") from error
    if json:
        say_json([{"serial": c.serial, "typed": c.typed_text, "qr": c.qr_text} for c in issued])
        return
    until = datetime.datetime.fromtimestamp(expires_ms / 1000, tz=datetime.UTC).date()
    out.print(f"{_count(len(issued), f'{purpose} code')} of batch {batch}, good until {until}.", highlight=False)
    kept = csv_file is not None or pdf is not None
    for code in issued[:5] if kept else issued:
        out.print(f"  {code.serial:5}  {code.typed_text}", highlight=False)
    if not kept:
        out.print("  Keep them: they are not shown again. --csv FILE or --pdf FILE writes them down.", highlight=False)


def _write_codes(issued: list[codes.Issued], batch: str, pdf: Path | None, csv_file: Path | None) -> None:
    if csv_file is not None:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["serial", "typed", "qr"])
        writer.writerows([c.serial, c.typed_text, c.qr_text] for c in issued)
        csv_file.write_text(text.getvalue())
    if pdf is not None:
        try:
            from server.printing import PrintedCode, sheet_pdf
        except ImportError as error:
            raise fail(f"Printing needs the extra 'server' (pip install 'holdfast[server]'): {error}") from error
        printed = [PrintedCode(qr_text=c.qr_text, typed_text=c.typed_text, label=f"{batch} {c.serial}") for c in issued]
        pdf.write_bytes(sheet_pdf(printed, title=batch))


@codes_app.command("status")
def codes_status(
    batch: Annotated[str | None, typer.Option(help="One batch only.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    database: Database = None,
    json: Json = False,
) -> None:
    """Per batch: how many codes were issued, and how many of them are unused, used, void.

    Example: holdfast-server codes status --batch spring
    """
    with opened(data_dir, database) as (centre, _), centre.reading() as tx:
        found = [_counted(line) for line in codes.status(tx, batch)]
    if json:
        say_json(found)
        return
    _table("No codes were issued yet.", found)


def _counted(states: dict[str, Any]) -> dict[str, Any]:
    """A batch as owners count it: all that were issued, and what became of them."""
    counts = {"unused": states.get("issued", 0), "used": states.get("used", 0), "void": states.get("void", 0)}
    return {"batch": states["batch"], "issued": sum(counts.values()), **counts}


def _table(empty: str, lines: list[dict[str, Any]]) -> None:
    if not lines:
        out.print(empty, highlight=False)
        return
    names = list(dict.fromkeys(name for line in lines for name in line))
    table = Table(*names, box=None, pad_edge=False)
    for line in lines:
        table.add_row(*(str(line.get(name, "")) for name in names))
    Console(width=WIDE).print(table)


def main() -> None:
    """Entry point."""
    app()
