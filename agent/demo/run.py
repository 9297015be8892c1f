"""Runs the demonstration: scripted, or as a counter to tap on."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from agent.demo.counter import serve
from agent.demo.day import Day
from agent.demo.world import DemoError, World

err = Console(stderr=True, soft_wrap=True, highlight=False)


def run(*, scripted: bool, state: Path | None, port: int, json: bool) -> int:
    """Exit code: 0 fine, 1 something was lost, doubled or overdrawn, 3 it could not be set up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it ends its processes too
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as temporary:
        world = World(state or Path(temporary))
        try:
            if scripted:
                return _scripted(world, json=json)
            return serve(world, port)
        except DemoError as error:
            err.print(f"The demonstration could not be set up. {error}", markup=False)
            return 3
        except KeyboardInterrupt:
            return 0
        finally:
            world.close()


def _scripted(world: World, *, json: bool) -> int:
    world.build()
    result = Day(world, say=lambda text: err.print(text, markup=False)).play()
    fine = bool(result["reconciled"]) and not (result["lost"] or result["doubled"] or result["overdrawn"])
    if json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        print(
            f"{result['taps']} taps, {result['rows']} rows: {result['lost']} lost, {result['doubled']} doubled, "
            f"{result['overdrawn']} overdrawn, {result['conflicts']} conflicts settled. "
            f"{'The books agree.' if fine else 'THE BOOKS DO NOT AGREE.'}"
        )
    return 0 if fine else 1
