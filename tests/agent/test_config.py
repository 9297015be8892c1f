"""The configuration: every mistake at once, where it stands, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import Config, ConfigError, load
from agent.diagnosis.situation import Mistake

RIGHT = """
[terminal]
data_dir = "/tmp/till"
language = "it"

[server]
url = "https://loyalty.example"

[sync]
interval_s = 60

[till]
listen = "127.0.0.1:9000"

[[readers]]
name = "counter"
driver = "pcsc"
options = { match = "ACR122" }

[[readers]]
command = ["/usr/local/bin/reader", "--fast"]
"""


def read(folder: Path, text: str, **environment: str) -> Config:
    path = folder / "agent.toml"
    path.write_text(text)
    return load(path, environment)


def mistakes(folder: Path, text: str, **environment: str) -> list[Mistake]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **environment)
    return caught.value.mistakes


def only(found: list[Mistake]) -> Mistake:
    assert len(found) == 1, found
    return found[0]


def test_a_right_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, RIGHT)
    assert (config.terminal.language, config.sync.interval_s, config.sync.automatic) == ("it", 60, True)
    assert config.address() == ("127.0.0.1", 9_000) and config.data_dir == Path("/tmp/till")
    assert [(reader.name, reader.driver) for reader in config.readers] == [("counter", "pcsc"), ("reader-2", "")]
    assert config.readers[0].options == {"match": "ACR122"}


def test_every_mistake_is_said_at_once_with_its_line_and_cure(tmp_path: Path) -> None:
    text = """
[terminal]
langage = "en"
language = "de"
[server]
url = "loyalty.example"
[sync]
interval_s = "often"
[till]
listen = "127.0.0.1"
[[readers]]
driver = "pscs"
[[readers]]
name = "second"
"""
    found = mistakes(tmp_path, text)
    by_line = {m.where: m for m in found}
    assert set(by_line) == {f"agent.toml line {n}" for n in (3, 4, 6, 8, 10, 12, 14)}
    assert "language" in by_line["agent.toml line 3"].cure
    assert "en, fr or it" in by_line["agent.toml line 4"].cure
    assert "https://" in by_line["agent.toml line 6"].cure
    assert "127.0.0.1:8765" in by_line["agent.toml line 10"].cure
    assert "pcsc" in by_line["agent.toml line 12"].cure
    assert all(m.text and m.cure for m in found)


@pytest.mark.parametrize(
    ("text", "near"),
    [("[terminal]\ndatadir = '/x'", "data_dir"), ("[terminl]", "terminal"), ("[cards]\nluhm = true", "luhn")],
)
def test_an_unknown_word_is_named_with_the_closest_known_one(tmp_path: Path, text: str, near: str) -> None:
    found = mistakes(tmp_path, f'{text}\n[server]\nurl = "https://x.example"')
    assert only(found).cure == f"Perhaps {near}?"


def test_an_option_beside_its_reader_is_shown_where_it_belongs(tmp_path: Path) -> None:
    found = only(mistakes(tmp_path, RIGHT + '\n[[readers]]\nname = "x"\ndriver = "camera"\nsource = "/dev/video0"\n'))
    assert "source" in found.text and "options = { source = ... }" in found.cure


def test_two_readers_need_two_names(tmp_path: Path) -> None:
    found = only(mistakes(tmp_path, RIGHT + '\n[[readers]]\nname = "counter"\ndriver = "camera"\n'))
    assert "two readers are called counter" in found.text


def test_the_centres_address_is_missing(tmp_path: Path) -> None:
    found = only(mistakes(tmp_path, "[terminal]\n"))
    assert "url" in found.text and "url" in found.cure


@pytest.mark.parametrize(
    "text",
    [
        "terminal = 1",
        'server = "https://x"',
        "readers = 1",
        "readers = [1, 'x']",
        "[[till]]",
        "[[readers]]\nname = 5\ndriver = 'pcsc'",
        "[[readers]]\ndriver = ['pcsc']",
        "[[readers]]\ncommand = 'ls'",
        "[[readers]]\ndriver = 'pcsc'\noptions = 3",
        "[server]\nurl = 5",
        "[till]\nlisten = 5",
        "[sync]\ninterval_s = nan",
        "[sync]\nautomatic = 'yes'",
    ],
)
def test_a_value_of_another_type_is_a_mistake_and_never_a_crash(tmp_path: Path, text: str) -> None:
    assert all(m.text and m.cure for m in mistakes(tmp_path, text))


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8765", "192.168.1.5:80", "127.0.0.1:0", "127.0.0.1:99999", "[::]:80", "x:1"]
)
def test_the_till_listens_on_its_own_machine_alone(tmp_path: Path, listen: str) -> None:
    found = only(mistakes(tmp_path, f'[server]\nurl = "https://x.example"\n[till]\nlisten = "{listen}"'))
    assert found.where == "agent.toml line 4"


@pytest.mark.parametrize(
    ("listen", "host"), [("[::1]:80", "::1"), ("localhost:81", "localhost"), ("127.0.0.2:82", "127.0.0.2")]
)
def test_every_loopback_address_will_do(tmp_path: Path, listen: str, host: str) -> None:
    config = read(tmp_path, f'[server]\nurl = "https://x.example"\n[till]\nlisten = "{listen}"')
    assert config.address() == (host, int(listen[-2:]))


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        RIGHT,
        HOLDFAST_SERVER__URL="http://127.0.0.1:1",
        HOLDFAST_SYNC__INTERVAL_S="30",
        HOLDFAST_SYNC__AUTOMATIC="false",
        HOLDFAST_TERMINAL__DATA_DIR="/srv/till",
        HOLDFAST_CARDS__IDENTITY_PREFIXES='["https://loy.example/"]',
        HOLDFAST_CONFIG="/etc/other.toml",
        UNRELATED__KEY="1",
    )
    assert (config.server.url, config.sync.interval_s, config.sync.automatic) == ("http://127.0.0.1:1", 30, False)
    assert config.data_dir == Path("/srv/till")
    assert config.cards.identity_prefixes == ["https://loy.example/"]


def test_a_file_may_leave_to_the_environment_what_it_needs(tmp_path: Path) -> None:
    assert read(tmp_path, "", HOLDFAST_SERVER__URL="https://x.example").server.url == "https://x.example"


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    found = only(mistakes(tmp_path, RIGHT, HOLDFAST_SYNC__INTERVALL="3"))
    assert found.where == "HOLDFAST_SYNC__INTERVALL"
    assert "interval" in only(mistakes(tmp_path, RIGHT, HOLDFAST_SYNC__INTERVAL_S="often")).text


def test_a_file_that_is_not_there_not_text_or_not_toml_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", {})
    assert "--config" in caught.value.mistakes[0].cure
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "bytes.toml", {})
    assert "line 2" in only(mistakes(tmp_path, "[terminal]\nlanguage = \n")).text


values = st.recursive(
    st.one_of(
        st.integers(), st.floats(), st.booleans(), st.sampled_from(['"pcsc"', '"https://x"', '""', '"127.0.0.1:1"'])
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["terminal", "server", "sync", "till", "cards", "readers", "other"]),
        st.one_of(values, st.dictionaries(st.sampled_from(["url", "listen", "name", "driver", "command"]), values)),
    )
)
def test_no_document_makes_it_stumble(tmp_path: Path, document: dict[str, object]) -> None:
    lines = [f"{key} = {_toml(value)}" for key, value in document.items()]
    try:
        read(tmp_path, "\n".join(lines))
    except ConfigError as error:
        assert error.mistakes


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
