"""What a person and a program get to see of a report, and the laws of combining verdicts."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from agent.diagnosis.catalogue import found
from agent.diagnosis.combine import combine
from agent.diagnosis.model import Clear, Finding, Missing, Report, Undecided, Verdict
from agent.diagnosis.report import render, to_json

LINE = {"waiting": "Sales go on.", "name": "eth0", "names": "eth0", "error": "EAI_AGAIN", "host": "h", "port": 443}
READER = {"name": "counter", "others": "the camera still works", "said": "words", "socket": "/s", "start": "start it"}


def line(code: str, reason: str, at: float = 10.0) -> Finding:
    return found(code, reason, at=at, scope="h", fields=LINE)


def reader(code: str, reason: str, scope: str, at: float = 10.0) -> Finding:
    return found(code, reason, at=at, scope=scope, covers=(scope,), fields=READER)


def doubt(code: str, why: str) -> Undecided:
    missing = Missing(fact="net.links", why=why, detail="may not be read")  # type: ignore[arg-type]
    return Undecided(code=code, missing=(missing,))


def printed(report: Report, *, verbose: bool = False) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=200), verbose=verbose)
    return out.getvalue()


def shown(*verdicts: Verdict) -> list[str]:
    return [finding.code for finding in combine(verdicts).shown]


def test_success_downstream_clears_only_what_was_seen_before_it() -> None:
    proof = Clear(code="centre.down", proven_at=20.0)
    assert shown(line("line.dns", "silent", at=10.0), proof) == []
    assert shown(line("line.dns", "silent", at=30.0), proof) == ["line.dns"]
    assert shown(line("line.dns", "silent", at=10.0), Clear(code="centre.down")) == ["line.dns"]


def test_success_of_one_reader_clears_nothing_of_another() -> None:
    proof = Clear(code="reader.faulty", scope="counter", proven_at=20.0)
    assert shown(reader("reader.gone", "said", "counter"), reader("reader.gone", "said", "back"), proof) == [
        "reader.gone"
    ]


def test_a_root_hides_its_symptoms_however_far_away_and_only_in_its_scope() -> None:
    report = combine(
        [line("line.no_link", "unplugged"), line("centre.down", "silent"), reader("reader.mute", "said", "counter")]
    )
    assert [finding.code for finding in report.shown] == ["reader.mute", "line.no_link"]
    assert report.findings[-1].hidden_by == "line.no_link"
    assert shown(reader("reader.gone", "said", "back"), reader("reader.mute", "said", "counter")) == [
        "reader.gone",
        "reader.mute",
    ]


def test_the_unknown_neither_hides_nor_clears_and_is_named_beside_its_symptom() -> None:
    report = combine([doubt("line.no_link", "denied"), line("line.dns", "silent")])
    (finding,) = report.shown
    assert "Cause not established: net.links could not be read (may not be read)." in finding.cause


def test_independent_roots_are_all_shown_those_that_stop_a_tap_first() -> None:
    verdicts = [line("line.dns", "silent"), reader("reader.gone", "said", "counter")]
    assert shown(*verdicts) == shown(*reversed(verdicts)) == ["reader.gone", "line.dns"]


def test_a_finding_says_state_consequence_and_next_step() -> None:
    service = found("reader.no_service", "stopped", at=1.0, covers=("counter",), fields=READER)
    out = printed(combine([service, reader("reader.mute", "said", "counter")]))
    assert out.splitlines()[:4] == [
        "[x] reader.no_service      The smart-card service is not running.",
        "    Taps by card do not work; the camera still works.",
        "    Fix: start it",
        "    1 more follow from this and are hidden:  holdfast doctor -v",
    ]
    assert "reader.mute" in printed(combine([service, reader("reader.mute", "said", "counter")]), verbose=True)


def test_all_well_is_one_cheerful_line() -> None:
    assert printed(combine([Clear(code="line.dns")])) == "[ok] Everything works. 1 checks in 0.0 s.\n"


def test_all_well_is_not_claimed_for_what_could_not_be_checked() -> None:
    out = printed(
        combine([Clear(code="line.dns"), doubt("line.no_link", "denied"), doubt("line.no_gateway", "denied")])
    )
    assert "[?] line.no_link, line.no_gateway: could not be checked: may not be read." in out
    assert "Everything works" not in out
    assert "Nothing wrong in the 1 checks that could be made" in out


def test_what_this_machine_does_not_have_is_passed_over_in_silence() -> None:
    assert "[?]" not in printed(combine([doubt("line.no_link", "absent_here")]))


def test_words_in_brackets_are_not_taken_for_colours() -> None:
    odd = found("reader.gone", "said", at=1.0, scope="[red]", fields={**READER, "name": "[bold]x[/bold]"})
    assert "[bold]x[/bold]" in printed(combine([odd]))


def test_json_has_every_field_that_is_promised_and_the_hidden_come_last() -> None:
    said = to_json(
        combine([line("centre.down", "silent"), line("line.dns", "silent"), doubt("storage.low", "timeout")])
    )
    said = json.loads(json.dumps(said))
    promised = {"code", "reason", "scope", "severity", "area", "text", "cause", "cure"}
    first, last = said["findings"]
    assert promised | {"depends_on", "hidden_by", "since"} <= set(first)
    assert (first["code"], first["hidden_by"], last["hidden_by"]) == ("line.dns", None, "line.dns")
    assert said["worst"] == "warning"
    assert said["undecided"][0]["missing"][0]["why"] == "timeout"


@pytest.mark.parametrize(("findings", "worst"), [([], "ok"), ([line("line.dns", "silent")], "warning")])
def test_the_worst_of_a_report_counts_what_is_shown(findings: list[Finding], worst: str) -> None:
    assert combine(findings).worst == worst
