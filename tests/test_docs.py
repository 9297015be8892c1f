"""The documentation is held against the code: links, commands, configuration keys, codes and licences."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import tomllib
from pathlib import Path

import msgspec
import pytest
import typer.main
from packaging.requirements import Requirement

from agent import config
from agent.cli import commands as terminal
from loyalty.reasons import REASONS
from server import cli as centre

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, *sorted((ROOT / "docs").glob("*/*.md"))]
PROGRAMS = {"holdfast": typer.main.get_command(terminal.app), "holdfast-server": typer.main.get_command(centre.app)}
HARDWARE = re.compile(r"^\s*(?:import|from) (nfc|smartcard|cv2|pyzbar|usb1)\b", re.MULTILINE)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    """Headings as the usual renderers make anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def _broken_links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    broken = []
    for link in found:
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


def _commands(text: str) -> list[list[str]]:
    """Words of each `holdfast ...` and `holdfast-server ...`, in blocks and in backquotes."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    pieces = [line for block in blocks for line in block.splitlines()] + spans
    found = []
    for piece in pieces:
        match = re.match(r"\s*(?:sudo (?:-u \S+ )?)?(?:\S*/bin/)?(holdfast(?:-server)?) ([a-z-].*)", piece)
        if match:
            found.append([match[1], *shlex.split(match[2], comments=True)])
    return found


def _unknown(words: list[str]) -> str | None:
    """What no such command has: a word or an option; None where all is there."""
    command, rest = PROGRAMS[words[0]], words[1:]
    while hasattr(command, "commands"):
        known = command.commands
        if not rest or rest[0] not in known:
            is_own_option = bool(rest) and rest[0].startswith("-") and command is not PROGRAMS[words[0]]
            if rest and not is_own_option:
                return rest[0]
            break
        command, rest = known[rest[0]], rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    wrong = [word for word in rest if word.startswith("-") and word not in {*options, "--help"}]
    return wrong[0] if wrong else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert _broken_links(page) == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_named_exists_with_its_options(page: Path) -> None:
    named = _commands(page.read_text(encoding="utf-8"))
    assert {" ".join(words): wrong for words in named if (wrong := _unknown(words))} == {}


def test_commands_are_found_in_the_pages_at_all() -> None:
    assert len(_commands(_text("docs/technicians.md"))) > 15
    assert _unknown(["holdfast", "fly"]) == "fly"
    assert _unknown(["holdfast", "journal", "burn"]) == "burn"
    assert _unknown(["holdfast", "doctor", "--loud"]) == "--loud"


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    version = tomllib.loads(_text("pyproject.toml"))["project"]["version"]
    assert re.findall(r"^## (\S+)", _text("CHANGELOG.md"), re.MULTILINE)[0] == version


def test_every_key_of_the_configuration_is_explained() -> None:
    page = _text("docs/technicians.md")
    shapes = (config.Terminal, config.Server, config.Sync, config.TillSection, config.Cards, config.Reader)
    keys = [key for shape in shapes for key in shape.__struct_fields__]
    assert [key for key in keys if f"| `{key}` |" not in page] == []


def test_the_example_configuration_is_right(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", _text("docs/technicians.md"), re.DOTALL)
    assert example is not None
    file = tmp_path / "agent.toml"
    file.write_text(example[1])
    loaded = config.load(file, {})
    assert [reader.name for reader in loaded.readers] == ["counter", "camera", "gate"]


def test_defaults_are_said_as_they_are() -> None:
    page = _text("docs/technicians.md")
    defaults = msgspec.to_builtins([config.Terminal(), config.Sync(), config.TillSection()])
    for key in ("data_dir", "language", "listen", "socket"):
        value = next(section[key] for section in defaults if key in section)
        assert re.search(rf"`{key}` \| `{re.escape(value)}`", page), key


def test_every_reason_for_declining_is_in_the_list_for_pos_software() -> None:
    page = _text("docs/pos.md")
    assert [reason for reason in REASONS if f"`{reason}`" not in page] == []


def test_every_code_that_the_local_api_answers_with_is_in_the_list() -> None:
    source = "".join((ROOT / "agent" / name).read_text() for name in ("till.py", "operations.py", "web/api.py"))
    raised = set(re.findall(r'(?:RefusedError\(|detail=|_problem\(\d+, )"([a-z]+\.[a-z_]+)"', source))
    assert raised
    page = _text("docs/pos.md")
    assert sorted(code for code in raised if f"`{code}`" not in page) == []


def _installed(extras: tuple[str, ...]) -> set[str]:
    """Every installed package that holdfast brings along with these extras."""
    seen: set[str] = set()
    waiting = [("holdfast", extras)]
    while waiting:
        name, asked = waiting.pop()
        for text in importlib.metadata.requires(name) or []:
            wanted = Requirement(text)
            here = wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in asked)
            try:
                real = importlib.metadata.metadata(wanted.name)["Name"]
            except importlib.metadata.PackageNotFoundError:
                continue
            if here and real not in seen:
                seen.add(real)
                waiting.append((real, tuple(wanted.extras) or ("",)))
    return seen


def test_every_package_that_is_installed_along_has_its_licence_named() -> None:
    page = _text("docs/licences.md")
    packages = _installed(("", "server", "dev"))
    assert {"nfcpy", "pyscard", "fpdf2"} <= packages
    assert sorted(name for name in packages if not re.search(rf"[| ,]{re.escape(name)}[ ,|]", page)) == []


def test_nothing_outside_of_the_drivers_imports_the_hardware_libraries() -> None:
    houses = ("agent", "sync", "server", "loyalty")
    files = [file for house in houses for file in (ROOT / house).rglob("*.py")]
    assert [str(file) for file in files if HARDWARE.search(file.read_text(encoding="utf-8"))] == []
    assert HARDWARE.search("    import nfc\n")
