"""A document's mistakes are told all at once, each with its line, its code and a cure."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from loyalty.check import check, table_of
from loyalty.mistakes import Mistake
from loyalty.programme import ProgrammeError, parse

FOLDER = Path(__file__).parent / "vectors"
GOOD = """\
[programme]
schema = 1
id = "corner"
version = 2
name = { en = "Corner", fr = "Coin", it = "Angolo" }
currency = "EUR"
time_zone = "Europe/Rome"
valid_from = 2026-01-01
valid_until = 2026-12-31
offline_valid_until = 2026-12-15

[[outlets]]
id = "roma-1"
region = "lazio"
country = "IT"

[[outlets]]
id = "lyon-1"
region = "rhone"
country = "FR"
time_zone = "Europe/Paris"

[[categories]]
id = "bread"
name = { en = "Bread", fr = "Pain", it = "Pane" }
products = ["b1"]

[[categories]]
id = "tobacco"
name = { en = "Tobacco", fr = "Tabac", it = "Tabacchi" }

[earning]
points = 1
per_minor = 100
minimum_minor = 500
excluded_categories = ["tobacco"]
[[earning.rates]]
categories = ["bread"]
points = 3
per_minor = 200

[tiers]
by = "spend"
window = "calendar_year"
[[tiers.levels]]
id = "silver"
name = { en = "Silver", fr = "Argent", it = "Argento" }
at = 100
times = [5, 4]
[[tiers.levels]]
id = "gold"
name = { en = "Gold", fr = "Or", it = "Oro" }
at = 200
times = [3, 2]

[[campaigns]]
id = "spring"
name = { en = "Spring", fr = "Printemps", it = "Primavera" }
gives = { points = 10 }
#campaign
[campaigns.when]
minimum_minor = 1000
#when

[[campaigns]]
id = "coded"
name = { en = "Code", fr = "Code", it = "Codice" }
priority = 5
gives = { points = 20 }
[campaigns.when]
code_batches = ["letters"]

[[batches]]
id = "letters"
use = "once"
releases = [{ at = 2026-02-01, upto = 10 }, { at = 2026-03-01, upto = 20 }]
ends = 2026-06-30
#batch

[[rewards]]
id = "cup"
kind = "goods"
name = { en = "Cup", fr = "Tasse", it = "Tazza" }
points = 100
#reward

[expiry]
kind = "rolling"
months = 12

[burning]
points = 10
value_minor = 50
minimum_points = 20

[[compensation]]
reason = "late"
max_points = 50
roles = ["cashier"]

[approvals]
points_over = 1000
roles = ["owner"]
"""
LETTERS = "releases = [{ at = 2026-02-01, upto = 10 }, { at = 2026-03-01, upto = 20 }]"
SECOND = """
[[campaigns]]
id = "second"
name = { en = "Second", fr = "Second", it = "Secondo" }
"""

ERRORS = [
    ("syntax", "[programme]", "[programme"),
    ("schema", "schema = 1", "schema = 2"),
    ("schema", "schema = 1", "schema = true"),
    ("unknown_key", "version = 2", "version = 2\ncolour = 3"),
    ("type", "version = 2", 'version = "two"'),
    ("type", "per_minor = 100", "per_minor = 66.6"),
    ("type", 'id = "corner"', 'id = "Corner Shop"'),
    ("type", "valid_from = 2026-01-01", 'valid_from = "2026-01-01"'),
    ("type", "#campaign", 'on = "tuesday"'),
    ("type", "#when", "first_purchase = false"),
    ("type", "#when", 'hours = [["25:00", "26:00"]]'),
    ("type", "#when", 'weekdays = "mon"'),
    ("missing", 'currency = "EUR"\n', ""),
    ("missing", "gives = { points = 10 }\n", ""),
    ("missing", 'use = "once"', 'use = "times"'),
    ("missing", 'window = "calendar_year"', 'window = "rolling"'),
    ("missing", "#when", 'basket = [{ categories = ["bread"] }]'),
    ("missing", "#when", "basket = [{ quantity = 2 }]"),
    ("missing", "gives = { points = 10 }", "gives = { discount = { valid_days = 3 } }"),
    ("bounds", "version = 2", "version = 0"),
    ("bounds", "#campaign", "priority = 1001"),
    ("bounds", 'products = ["b1"]', 'products = [""]'),
    ("bounds", "valid_until = 2026-12-31", "valid_until = 9999-12-31"),
    ("words", 'it = "Pane"', 'it = ""'),
    ("words", ', it = "Pane"', ""),
    ("duplicate_id", 'id = "lyon-1"', 'id = "roma-1"'),
    ("duplicate_id", 'id = "gold"', 'id = "silver"'),
    ("product_twice", 'it = "Tabacchi" }', 'it = "Tabacchi" }\nproducts = ["b1"]'),
    ("rate_overlap", 'categories = ["bread"]', 'categories = ["bread", "bread"]'),
    ("rate_excluded", 'categories = ["bread"]', 'categories = ["bread", "tobacco"]'),
    ("currency", '"EUR"', '"EURO"'),
    ("currency", '"EUR"', '"DEM"'),
    ("country", '"IT"', '"UK"'),
    ("time_zone", '"Europe/Rome"', '"Europe/Roma"'),
    ("time_zone", '"Europe/Rome"', '"Europe"'),
    ("offset_given", "valid_from = 2026-01-01", "valid_from = 2026-01-01T00:00:00Z"),
    ("window_order", "valid_until = 2026-12-31", "valid_until = 2025-12-31"),
    ("window_order", "offline_valid_until = 2026-12-15", "offline_valid_until = 2027-01-02"),
    ("window_order", "#when", "starts = 2026-05-02T10:00:00\nends = 2026-05-02T10:00:00"),
    ("window_order", "#when", "starts = 2026-03-29T02:10:00\nends = 2026-03-29T02:50:00"),
    ("window_order", "#when", 'hours = [["09:00", "09:00"]]'),
    ("window_order", "ends = 2026-06-30", "ends = 2026-02-15"),
    ("window_order", "#reward", "starts = 2026-05-02\nends = 2026-05-01"),
    ("window_outside", "#when", "starts = 2027-01-01"),
    ("window_outside", "#reward", "ends = 2025-12-31"),
    ("unknown_category", 'categories = ["bread"]', 'categories = ["brad"]'),
    ("unknown_outlet", "#when", 'outlets = ["roma-2"]'),
    ("unknown_region", "#batch", 'regions = ["latium"]'),
    ("unknown_country", "#when", 'countries = ["DE"]'),
    ("unknown_tier", "#reward", 'tiers = ["platinum"]'),
    ("unknown_reward", "{ points = 10 }", '{ voucher = { reward = "pot", valid_days = 9 } }'),
    ("unknown_batch", "#when", 'code_batches = ["post"]'),
    ("tier_order", "at = 200", "at = 100"),
    ("tier_ratio", "times = [3, 2]", "times = [6, 5]"),
    ("tier_ratio", "times = [5, 4]", "times = [1, 2]"),
    ("percent", "{ points = 10 }", "{ discount = { percent = 101, valid_days = 3 } }"),
    ("percent", "#reward", "percent = 0"),
    ("multiplier", "{ points = 10 }", "{ times = [1, 1] }"),
    ("multiplier", "{ points = 10 }", "{ times = [101, 1] }"),
    ("points_range", "{ points = 10 }", "{ points = 0 }"),
    (
        "points_range",
        "per_minor = 100",
        "per_minor = 1\n#x",
    ),
    ("gives_nothing", "{ points = 10 }", "{ max_points = 5 }"),
    ("scope_without_effect", "{ points = 10 }", '{ points = 10, categories = ["bread"] }'),
    ("visits_shape", "#when", "visits = { at_least = 2 }"),
    ("visits_shape", "#when", "visits = { at_least = 2, every = 3, days = 9 }"),
    ("spend_shape", "#when", 'spend = { at_least_minor = 2, days = 9, within = "month" }'),
    ("unreachable", "#when", "outlets = []"),
    ("unreachable", "{ points = 10 }", '{ per_item = 1, categories = ["tobacco"] }'),
    ("unreachable", "{ points = 10 }", "{ per_item = 1, products = [] }"),
    ("unreachable", "{ points = 10 }", "{ points = 10, max_points = 0 }"),
    ("unreachable", "#when", "first_purchase = true\nvisits = { every = 2, days = 9 }"),
    ("unreachable", "#when", 'first_purchase = true\ntiers = ["gold"]'),
    ("unreachable", "#when", 'weekdays = ["mon"]\nstarts = 2026-05-05\nends = 2026-05-06'),
    ("unreachable", "#campaign", 'on = "activation"'),
    ("unreachable", "#campaign", 'on = "code"'),
    (
        "unreachable",
        "#campaign",
        'budget = { kind = "hard", unit = "points", total = 90, per_outlet = 9 }',
    ),
    (
        "unreachable",
        "#when",
        'basket = [{ categories = ["bread"], amount_minor = 1000000000000 }, { products = ["b1"], amount_minor = 1 }]',
    ),
    ("unreachable", "version = 2", "version = 2\nstack_limit = 0"),
    ("contradiction", "#when", 'tags_any = ["vip"]\ntags_none = ["vip"]'),
    ("contradiction", "#when", 'outlets = ["roma-1"]\nregions = ["rhone"]'),
    ("budget_shape", "#campaign", 'budget = { kind = "hard", unit = "times", total = 90 }'),
    ("budget_shape", "#campaign", 'budget = { kind = "soft", unit = "times", total = 90, per_outlet = 9 }'),
    ("budget_split", "#campaign", 'budget = { kind = "hard", unit = "times", total = 90, per_outlet = 46 }'),
    ("batch_shared", "#when", 'code_batches = ["letters"]'),
    ("batch_unused", 'code_batches = ["letters"]', 'tags_any = ["vip"]'),
    ("release_order", LETTERS, "releases = [{ at = 2026-03-01, upto = 10 }, { at = 2026-02-01, upto = 20 }]"),
    ("release_order", LETTERS, "releases = [{ at = 2026-02-01, upto = 10 }, { at = 2026-03-01, upto = 10 }]"),
    ("flash_shape", "#batch", "times = 2"),
    ("flash_shape", "ends = 2026-06-30", 'ends = 2026-03-01\nflash = { from = "release", hours = 720 }'),
    ("look_back", "#when", "spend = { at_least_minor = 2, days = 401 }"),
    ("look_back", 'window = "calendar_year"', 'window = "rolling"\ndays = 401'),
    ("expiry_shape", "months = 12", "months = 12\ndays = 3"),
    ("expiry_shape", "months = 12", 'on = "12-31"'),
    ("expiry_shape", 'kind = "rolling"\nmonths = 12', 'kind = "fixed"'),
    ("burn_shape", "minimum_points = 20", "minimum_points = 25"),
    ("approval_shape", "points_over = 1000\n", ""),
    ("approval_shape", 'roles = ["owner"]', "roles = []"),
    ("approval_gap", 'max_points = 50\nroles = ["cashier"]', 'max_points = 1001\nroles = ["owner"]'),
]

WARNINGS = [
    ("unknown_product", "{ points = 10 }", '{ per_item = 1, products = ["b9"] }'),
    ("campaign_tie", "#campaign", 'priority = 5\nstacking = "exclusive"'),
    ("overlap", "{ points = 10 }", "{ times = [2, 1] }"),
    ("shadowed", "priority = 5\n", "priority = -5\n"),
    ("gap_bound", "#when", "starts = 2026-03-29T02:30:00"),
    ("gap_bound", "#when", "ends = 2026-10-25T02:30:00"),
    ("almost_free", "points = 100\n#reward", "points = 4\n#reward"),
    ("generous", "value_minor = 50", "value_minor = 100"),
    ("expiry_before_use", "months = 12", "days = 3"),
    ("unused", 'categories = ["bread"]', "categories = []"),
    ("unused", "times = [3, 2]", ""),
    ("unused", "#reward", "outlets = []"),
]
EXTRA = {
    "overlap": SECOND + "gives = { times = [3, 2] }\n",
    "shadowed": SECOND
    + 'stacking = "exclusive"\npriority = 9\ngives = { points = 1 }\nwhen = { code_batches = ["letters"] }\n',
}


def found(text: str, **how: object) -> list[Mistake]:
    return check(text.encode(), **how)  # type: ignore[arg-type]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_a_good_document_has_no_mistakes() -> None:
    assert found(GOOD) == []
    assert parse(GOOD.encode()).id == "corner"


@pytest.mark.parametrize(("cause", "old", "new"), ERRORS, ids=[f"{e[0]}-{i}" for i, e in enumerate(ERRORS)])
def test_an_error_is_told_by_its_code(cause: str, old: str, new: str) -> None:
    text = changed(old, new)
    if cause == "points_range" and "#x" in new:
        text = text.replace("points = 1\n", "points = 9999999\n", 1)
    errors = [mistake for mistake in found(text) if not mistake.warning]
    assert f"document.{cause}" in {mistake.code for mistake in errors}
    assert all(mistake.cure and mistake.text for mistake in errors)
    with pytest.raises(ProgrammeError) as raised:
        parse(text.encode())
    assert raised.value.mistakes == errors


@pytest.mark.parametrize(("cause", "old", "new"), WARNINGS, ids=[f"{w[0]}-{i}" for i, w in enumerate(WARNINGS)])
def test_a_warning_is_told_and_does_not_refuse(cause: str, old: str, new: str) -> None:
    if cause == "unused" and "bread" in old:
        text = GOOD.replace('products = ["b1"]\n', "").replace(old, new)
    else:
        text = changed(old, new) + EXTRA.get(cause, "")
    mistakes = found(text)
    assert f"document.{cause}" in {mistake.code for mistake in mistakes if mistake.warning}


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    text = changed('"EUR"', '"XXX"').replace("points = 3\n", "points = 3.5\n").replace("#when", "colour = 1")
    told = {(mistake.line, mistake.code) for mistake in found(text)}
    assert told == {
        (6, "document.currency"),
        (_line(text, "points = 3.5"), "document.type"),
        (_line(text, "colour = 1"), "document.unknown_key"),
    }


def test_a_decimal_has_the_cure_that_needs_none() -> None:
    (mistake,) = found(changed("per_minor = 100", "per_minor = 66.6"))
    assert mistake.cure == "there are no decimals: write 1.5 points per euro as 3 per 200"


def test_a_name_that_is_nearly_right_is_offered() -> None:
    mistakes = found(changed('categories = ["bread"]', 'categories = ["brad"]'))
    assert any("'bread'" in mistake.cure for mistake in mistakes)


def test_lines_are_right_after_strings_lists_and_comments_of_many_lines() -> None:
    text = changed('products = ["b1"]', 'products = [\n  "b1", # ] not yet\n  """\\\n  b]2""",\n]\ncolour = "\\"#"')
    (mistake,) = [m for m in found(text) if m.code == "document.unknown_key"]
    assert mistake.line == _line(text, "colour")


def test_a_key_of_a_second_table_of_a_list_has_its_own_line() -> None:
    text = changed('time_zone = "Europe/Paris"', 'time_zone = "Europe/Pari"')
    (mistake,) = found(text)
    assert mistake.line == _line(text, "Europe/Pari")
    assert mistake.text.startswith("outlets[2].time_zone")


def test_what_cannot_be_read_is_told_by_its_line() -> None:
    (mistake,) = check(GOOD.encode() + b'\nx = "\xff"\n')
    assert (mistake.code, mistake.line) == ("document.syntax", GOOD.count("\n") + 2)
    (mistake,) = found(changed("version = 2", "version = 2 3"))
    assert (mistake.code, mistake.line) == ("document.syntax", 4)


def test_a_document_over_a_mebibyte_is_not_read() -> None:
    (mistake,) = check(b"#" * (1 << 20) + b"\n")
    assert mistake.code == "document.too_large"


def test_terminals_without_a_line_need_a_fortnight() -> None:
    soon = datetime(2026, 12, 2, tzinfo=UTC)
    assert [m.code for m in found(GOOD, now=soon)] == ["document.offline_short"]
    assert found(GOOD, now=datetime(2026, 11, 30, tzinfo=UTC)) == []


def test_a_version_is_never_loaded_twice() -> None:
    loaded = [table_of(GOOD.encode())]
    assert [m.code for m in found(GOOD, loaded=loaded)] == ["document.version_not_newer"]
    assert found(changed("version = 2", "version = 3"), loaded=loaded) == []


def test_an_id_is_never_used_again_for_something_else() -> None:
    loaded = [table_of(GOOD.encode())]
    other = changed("version = 2", "version = 3").replace('use = "once"', 'use = "per_member"\ntimes = 1')
    assert [m.code for m in found(other, loaded=loaded)] == ["document.id_reused"]
    without = GOOD.replace('id = "cup"', 'id = "mug"')
    back = changed("version = 2", "version = 4")
    assert [m.code for m in found(back, loaded=[*loaded, table_of(without.replace("n = 2", "n = 3").encode())])] == [
        "document.id_reused"
    ]


@pytest.mark.parametrize("name", ["cafe", "grocer", "perfumery"])
def test_the_worked_programmes_load_with_warnings_only(name: str) -> None:
    data = (FOLDER / f"{name}.toml").read_bytes()
    assert [mistake for mistake in check(data) if not mistake.warning] == []
    assert parse(data).version


@pytest.mark.parametrize("wild", [b"", b"programme = 3", b"[[programme]]", b"outlets = [1]\nearning = 2\ntiers = []"])
def test_a_document_of_the_wrong_shape_is_told_not_raised(wild: bytes) -> None:
    assert {mistake.code for mistake in check(wild)} <= {"document.type", "document.missing", "document.unknown_key"}
    assert check(wild)


@pytest.mark.parametrize("value", ["3", '"x"', "[]", "{}", "true", "1.5", "2026-05-05", "[3]", None])
def test_no_line_that_is_wrong_or_missing_makes_the_check_fail(value: str | None) -> None:
    lines = GOOD.splitlines()
    for i, line in enumerate(lines):
        if " = " in line or value is None:
            other = [] if value is None else [line.split(" = ")[0] + f" = {value}"]
            for mistake in found("\n".join([*lines[:i], *other, *lines[i + 1 :]])):
                assert mistake.code.startswith("document.")


def _line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("name", ["cafe", "grocer", "perfumery"])
def test_the_documented_programmes_are_those_of_the_vectors(name: str) -> None:
    documented = Path(__file__).parents[2] / "docs" / "programmes" / f"{name}.toml"
    assert documented.read_bytes() == (FOLDER / f"{name}.toml").read_bytes()
