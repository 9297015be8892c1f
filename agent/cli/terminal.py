"""The terminal itself: run, join, configuration, keys, demonstration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent import config as configuration
from agent.cli.common import (
    DEFAULT,
    ConfigFile,
    Json,
    app,
    config_app,
    fail,
    out,
    pos_key_app,
    read_config,
    say_json,
    translated,
)
from agent.config import ConfigError


@app.command()
def agent(config: ConfigFile = DEFAULT) -> None:
    """The terminal itself, in the foreground.

    Example: holdfast agent --config /etc/holdfast/agent.toml
    """
    loaded = read_config(config)
    from agent.serve import run

    with translated():
        run(loaded)


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
    if server.rstrip("/") != loaded.server.url.rstrip("/"):
        text = f"Mind: rows will go to {loaded.server.url}, as {loaded.path} says under [server] url."
        out.print(text, markup=False, style="bold")


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


@app.command()
def backup(file: Path, config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """A consistent copy of the journal, also while the agent works. It holds no key and no member's balance.

    Example: holdfast backup /media/usb/journal.hf
    """
    loaded = read_config(config)
    from sync.backup import back_up

    with translated():
        try:
            rows = back_up(loaded.data_dir, file)
        except OSError as error:
            fail(str(error))
    if json:
        say_json({"file": str(file), "rows": rows})
        return
    out.print(f"{rows} rows copied to {file} and checked.", markup=False)


@app.command()
def restore(file: Path, config: ConfigFile = DEFAULT, json: Json = False) -> None:
    """Puts a backup in the journal's place. Stop the agent first; the next exchange opens a new epoch where needed.

    Example: holdfast restore /media/usb/journal.hf
    """
    loaded = read_config(config)
    from agent.opening import lock
    from sync import identity
    from sync.backup import restore as put_back

    with translated():
        who = identity.load(loaded.data_dir)
        handle = lock(loaded.data_dir)
        try:
            rows = put_back(loaded.data_dir, file, who.terminal)
        finally:
            os.close(handle)
    if json:
        say_json({"file": str(file), "rows": rows})
        return
    out.print(f"{rows} rows put back. What was there is kept beside it. Next: holdfast sync", markup=False)


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
