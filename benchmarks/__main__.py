"""`python -m benchmarks [--only NAME] [--codes FOLDER]`: prints a table and writes bench.json."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figure

FAMILIES = ("wire", "decide", "tap", "stream", "memory", "camera")
OUT = Path("bench.json")
Figures = dict[str, Figure]
out = Console()


def main(
    only: Annotated[str | None, typer.Option(help="One family: " + ", ".join((*FAMILIES, "codes")) + ".")] = None,
    codes: Annotated[Path | None, typer.Option(help="A folder of photographs with its manifest.csv.")] = None,
) -> None:
    """Figures, each beside a baseline of the same run.

    Example: python -m benchmarks --only tap
    """
    known = (*FAMILIES, *(("codes",) if codes else ()))
    if only is not None and only not in known:
        what = "--only codes needs --codes FOLDER" if only == "codes" else f"no family {only}; there are {known}"
        raise typer.BadParameter(what)
    figures: Figures = {}
    for family in [only] if only else known:
        out.print(f"[dim]{family} ...[/dim]")
        figures |= _measured(family, codes)
    _show(figures)
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


def _measured(family: str, codes: Path | None) -> Figures:
    """One family's figures; none, and said so, where its libraries are not installed."""
    try:
        measure: Callable[..., Figures] = importlib.import_module(f"benchmarks.{family}").run
    except ImportError as error:
        out.print(f"{family} is left out: {error}", markup=False)
        return {}
    return measure(codes) if family == "codes" else measure()


def _show(figures: Figures) -> None:
    table = Table("figure", "value", "unit", "baseline", "ratio", "aim", "met")
    for name, one in figures.items():
        values = [one["value"], one["unit"], one["baseline"], one["ratio"], one["aim"]]
        table.add_row(name, *("" if value is None else str(value) for value in values), "yes" if one["met"] else "NO")
    out.print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
