"""The catalogue is whole: every code has a check, a page, a place in a graph without circles."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.diagnosis import checks
from agent.diagnosis.catalogue import CATALOGUE, ORDER, closure, dependencies
from agent.diagnosis.checks_reader import reader_checks
from agent.diagnosis.combine import AREAS
from agent.diagnosis.situation import Reader

PAGES = Path(__file__).parents[2] / "docs" / "findings"
HEADINGS = ("## What you see", "## Why", "## Cure", "## If that did not help", "## How we know")


def test_every_code_is_checked_and_every_check_has_its_words() -> None:
    per_reader = reader_checks(Reader(name="any", driver="command"))
    assert set(checks.CHECKS) | set(per_reader) == set(CATALOGUE)


def test_dependencies_name_codes_and_reasons_that_exist_and_make_no_circle() -> None:
    for code, entry in CATALOGUE.items():
        for reason in entry.reasons:
            for edge in dependencies(code, reason):
                root, _, why = edge.partition(":")
                assert root in CATALOGUE, (code, edge)
                assert not why or why in CATALOGUE[root].reasons, (code, edge)
            assert code not in {edge.partition(":")[0] for edge in closure(code, reason)}, code


def test_only_storage_and_a_configuration_nobody_can_read_hide_a_finding_about_storage() -> None:
    for code in CATALOGUE:
        if code.startswith("storage."):
            assert {edge for edge in closure(code) if not edge.startswith("storage.")} <= {"config.invalid:unreadable"}


def test_every_area_has_its_place_in_the_order() -> None:
    assert {entry.area for entry in CATALOGUE.values()} <= set(AREAS)
    assert len(set(ORDER)) == len(CATALOGUE)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_a_page_that_explains_each_of_its_reasons(code: str) -> None:
    page = (PAGES / f"{code}.md").read_text()
    places = [page.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    for section in page.split("## ")[1:4]:
        for reason in CATALOGUE[code].reasons:
            assert f"- `{reason}`: " in section, (reason, section[:10])


def test_the_index_leads_to_every_page_and_no_page_is_left_over() -> None:
    index = (PAGES / "README.md").read_text()
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README"}
    assert pages == set(CATALOGUE)
    assert all(f"({code}.md)" in index for code in pages)
