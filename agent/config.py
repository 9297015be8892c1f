"""The terminal's configuration: one TOML file, every mistake said at once with its line and cure.

Every key but `[[readers]]` can be overridden by `HOLDFAST_SECTION__KEY` in the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.diagnosis.situation import Mistake

DEFAULT_PATH = Path("/etc/holdfast/agent.toml")
DEFAULT_SOCKET = "/run/holdfast/agent.sock"
DRIVERS = ("pcsc", "nfcpy", "camera", "serial", "keyboard", "replay")


class ConfigError(Exception):
    """The configuration cannot be used. `mistakes` holds all of them; nothing was started."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(f"{m.where}: {m.text}. {m.cure}" for m in mistakes))
        self.path, self.mistakes = path, mistakes


class Terminal(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """[terminal]"""

    data_dir: str = "/var/lib/holdfast"
    language: str = "en"


class Server(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """[server]: `ca_file` names a private authority."""

    url: str
    ca_file: str | None = None


class Sync(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """[sync]"""

    automatic: bool = True
    interval_s: float = 900.0


class TillSection(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """[till]: where the pages and the local API are. `embed_from`: origins that may show the page in a frame."""

    listen: str = "127.0.0.1:8765"
    socket: str = DEFAULT_SOCKET
    embed_from: list[str] = []


class Cards(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """[cards]: how links and texts on our cards begin, and whether printed numbers end in a Luhn digit."""

    identity_prefixes: list[str] = []
    luhn: bool = False


class Reader(msgspec.Struct, kw_only=True, frozen=True):
    """One [[readers]]: a driver of ours with its options, or any program that speaks the lines."""

    name: str
    driver: str = ""
    command: list[str] = []
    options: dict[str, Any] = {}


class Config(msgspec.Struct, kw_only=True, frozen=True):
    """The whole file."""

    path: Path
    terminal: Terminal
    server: Server
    sync: Sync
    till: TillSection
    cards: Cards
    readers: tuple[Reader, ...]

    @property
    def data_dir(self) -> Path:
        """Where the terminal keeps its files."""
        return Path(self.terminal.data_dir)

    def address(self) -> tuple[str, int]:
        """Host and port of the local API."""
        host, _, port = self.till.listen.rpartition(":")
        return host.strip("[]"), int(port)


_SECTIONS: dict[str, type[Any]] = {
    "terminal": Terminal,
    "server": Server,
    "sync": Sync,
    "till": TillSection,
    "cards": Cards,
}


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Reads and checks; raises ConfigError with all mistakes."""
    try:
        text = path.read_text()
    except OSError as error:
        cure = "Make it, or name another with --config. docs/technicians.md has an example"
        raise ConfigError(
            path, [Mistake(where=str(path), text=f"cannot be read: {error.strerror}", cure=cure)]
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, [Mistake(where=str(path), text="is not UTF-8", cure="Save it as UTF-8")]) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [Mistake(where=str(path), text=f"is not TOML: {error}", cure="Correct it")]) from error
    return _checked(path, text, document, environment)


def _checked(path: Path, text: str, document: dict[str, Any], environment: Mapping[str, str]) -> Config:
    mistakes: list[Mistake] = []

    def mistake(section: str, key: str | None, what: str, cure: str) -> None:
        line = _line_of(text, section, key)
        where = f"{path.name} line {line}" if line else path.name
        mistakes.append(Mistake(where=where, text=what, cure=cure))

    _overridden(document, environment, mistakes)
    sections: dict[str, Any] = {}
    for name, shape in _SECTIONS.items():
        given = document.get(name, {})
        if not isinstance(given, dict):
            mistake(name, None, f"{name} is a section", f"Write [{name}], and its keys below it")
            continue
        for key in [key for key in given if key not in shape.__struct_fields__]:
            mistake(name, key, f"[{name}] has no key {key}", _closest(key, shape.__struct_fields__))
        known = {key: value for key, value in given.items() if key in shape.__struct_fields__}
        try:
            sections[name] = msgspec.convert(known, shape, str_keys=True)
        except msgspec.ValidationError as error:
            key = re.search(r"\$\.(\w+)", str(error))
            missing = re.search(r"missing required field `(\w+)`", str(error))
            cure = f"Add {missing.group(1)} = ..." if missing else "See docs/technicians.md for its type"
            mistake(name, key.group(1) if key else None, f"[{name}] {error}", cure)
    for name in [name for name in document if name not in (*_SECTIONS, "readers")]:
        mistake(name, None, f"there is no section [{name}]", _closest(name, (*_SECTIONS, "readers")))
    readers = _readers(document.get("readers", []), mistake)
    _values(sections, mistake)
    if mistakes:
        raise ConfigError(path, mistakes)
    return Config(path=path, readers=readers, **sections)


def _values(sections: dict[str, Any], mistake: Any) -> None:
    server, terminal, till = sections.get("server"), sections.get("terminal"), sections.get("till")
    if server and not re.match(r"https?://[^/\s]+", server.url):
        mistake("server", "url", f"{server.url} is no http or https address", 'Write url = "https://host"')
    if terminal and terminal.language not in ("en", "fr", "it"):
        mistake("terminal", "language", f"there are no words in {terminal.language}", "Use en, fr or it")
    if till and not _is_loopback(till.listen):
        text = f"{till.listen} is no address of this machine alone with a port"
        mistake("till", "listen", text, 'Write listen = "127.0.0.1:8765"')
    sync = sections.get("sync")
    if sync and not 1 <= sync.interval_s <= 86_400:
        mistake("sync", "interval_s", f"an interval of {sync.interval_s} s", "Use 1 to 86400 seconds; 900 is usual")


def _is_loopback(listen: str) -> bool:
    """Pages and local API are for this machine: they speak without TLS, and whoever reads the page may write."""
    host, _, port = listen.rpartition(":")
    try:
        here = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
    return here and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16


def _readers(given: Any, mistake: Any) -> tuple[Reader, ...]:
    if not isinstance(given, list):
        mistake("readers", None, "readers is a list", "Write [[readers]] with two brackets")
        return ()
    readers: list[Reader] = []
    for number, table in enumerate(given, 1):
        try:
            reader = msgspec.convert({"name": f"reader-{number}", **table}, Reader)
        except (msgspec.ValidationError, TypeError) as error:
            mistake("readers", None, f"reader {number}: {error}", "See docs/technicians.md for what a reader has")
            continue
        for key in [key for key in table if key not in Reader.__struct_fields__]:
            mistake(
                "readers", key, f"a reader has no key {key}", f"Options go into a table: options = {{ {key} = ... }}"
            )
        if bool(reader.driver) == bool(reader.command):
            text = f"reader {reader.name} needs a driver or a command"
            mistake("readers", "name", text, f"One of {', '.join(DRIVERS)}")
        elif reader.driver and reader.driver not in DRIVERS:
            mistake("readers", "driver", f"there is no driver {reader.driver}", _closest(reader.driver, DRIVERS))
        elif any(before.name == reader.name for before in readers):
            mistake("readers", "name", f"two readers are called {reader.name}", "Give each a name of its own")
        else:
            readers.append(reader)
    return tuple(readers)


def _overridden(document: dict[str, Any], environment: Mapping[str, str], mistakes: list[Mistake]) -> None:
    """HOLDFAST_SECTION__KEY: text is taken as TOML where it is that (true, 900), else as text."""
    for variable, value in environment.items():
        match = re.fullmatch(r"HOLDFAST_([A-Z]+)__([A-Z_]+)", variable)
        if not match:
            continue
        section, key = match.group(1).lower(), match.group(2).lower()
        shape = _SECTIONS.get(section)
        if shape is None or key not in shape.__struct_fields__:
            mistakes.append(Mistake(where=variable, text="names no key of the configuration", cure="Unset it"))
            continue
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        table = document.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = parsed


def _closest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"Perhaps {near[0]}?" if near else f"Known: {', '.join(known)}"


def _line_of(text: str, section: str, key: str | None) -> int | None:
    """Where a key stands: a plain look, since the parser tells no lines."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([\w.]+)\s*\]\]?", line)
        if header:
            inside = header.group(1) == section
            if inside and key is None:
                return number
        elif inside and key is not None and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return None
