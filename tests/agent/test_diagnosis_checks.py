"""Checks are pure: facts go in, a verdict comes out. One fact of a healthy till is spoilt at a time."""

from __future__ import annotations

import errno

import msgspec
import pytest

from agent.diagnosis import checks
from agent.diagnosis import facts as f
from agent.diagnosis.checks import judge
from agent.diagnosis.checks_reader import reader_checks
from agent.diagnosis.combine import combine
from agent.diagnosis.model import Finding, Report, Undecided
from agent.diagnosis.situation import Configuration, Ended, Exchanged, Mistake, NotStarted, Queue, Running
from tests.rigs.till_facts import NOW, SIGNED, cut_at, facts, known, line, reader, ready, saying, situation, unknown

DAY = 86_400.0
CUT = known(f.Tls(fault="cut", detail="Connection reset by peer"))
CERTIFICATE = f.Certificate(names=("other.example",), issuer="CN=Other", not_before=NOW - 99, not_after=NOW - 9)


def seen(given: f.Facts) -> Report:
    return combine(judge(given))


def the_one(given: f.Facts) -> Finding:
    """The only finding shown."""
    report = seen(given)
    assert len(report.shown) == 1, [(finding.code, finding.reason) for finding in report.shown]
    return report.shown[0]


def test_a_healthy_till_has_no_findings_and_nothing_undecided() -> None:
    report = seen(facts())
    assert (report.findings, report.undecided, report.worst) == ((), (), "ok")


def dialled(code: int, took_ms: float = 1.0) -> f.LineFacts:
    return cut_at("dials", dials=known((f.Dial(address="198.51.100.7", errno=code, took_ms=took_ms),)))


def resolved(error: str) -> f.LineFacts:
    return cut_at("resolved", resolved=known(f.Resolved(host="loyalty.example", error=error)))


def greeted(status: int, *, signed: bool = False, to: str | None = None, plain: object = None) -> f.LineFacts:
    answer = f.Answer(status=status, signed=signed, redirected_to=to)
    return line(greeting=known(answer), plain=plain or unknown("absent_here"))


def secured(fault: str, certificate: f.Certificate | None = CERTIFICATE) -> f.LineFacts:
    tls = msgspec.convert({"fault": fault, "detail": "a detail"}, f.Tls)
    return cut_at("tls", tls=known(msgspec.structs.replace(tls, certificate=certificate)), plain=unknown("absent_here"))


def no_link(*links: f.Link) -> f.LineFacts:
    return msgspec.structs.replace(resolved("EAI_AGAIN"), links=known(links))


def gateways(*found: f.Gateway) -> f.LineFacts:
    return msgspec.structs.replace(resolved("EAI_AGAIN"), gateways=known(found))


SILENT_BOX = f.Gateway(interface="eth0", address="192.0.2.1", answers=False)


@pytest.mark.parametrize(
    ("line_facts", "code", "reason"),
    [
        (no_link(), "line.no_link", "none"),
        (no_link(f.Link(name="eth0", on=False, carrier=False)), "line.no_link", "off"),
        (no_link(f.Link(name="eth0", on=True, carrier=False)), "line.no_link", "unplugged"),
        (gateways(), "line.no_gateway", "no_route"),
        (gateways(SILENT_BOX), "line.no_gateway", "silent"),
        (resolved("EAI_NONAME"), "line.dns", "unknown_name"),
        (resolved("EAI_AGAIN"), "line.dns", "silent"),
        (resolved("EAI_SYSTEM"), "line.dns", "failed"),
        (cut_at("resolved", resolved=unknown("timeout")), "line.dns", "silent"),
        (dialled(errno.ECONNREFUSED), "line.tcp", "refused"),
        (dialled(errno.ETIMEDOUT, 2000.0), "line.tcp", "timeout"),
        (dialled(errno.EHOSTUNREACH, 3050.0), "line.tcp", "unreachable"),
        (dialled(errno.EHOSTUNREACH, 0.2), "line.tcp", "prohibited"),
        (secured("dates"), "line.tls", "dates"),
        (secured("name"), "line.tls", "name"),
        (secured("issuer"), "line.tls", "issuer"),
        (secured("version", None), "line.tls", "version"),
        (secured("not_tls", None), "line.tls", "not_tls"),
        (secured("cut", None), "line.tls", "cut"),
        (secured("silent", None), "centre.down", "silent"),
        (cut_at("tls", tls=unknown("timeout")), "centre.down", "silent"),
        (greeted(302, to="login.hotspot.example"), "line.portal", "redirect"),
        (greeted(511), "line.portal", "status_511"),
        (greeted(401), "line.portal", "refused"),
        (greeted(403), "line.portal", "refused"),
        (greeted(200), "line.portal", "unsigned"),
        (greeted(404), "line.portal", "unsigned"),
        (greeted(200, plain=known(f.Plain(status=200, token=False))), "line.portal", "page"),
        (greeted(503), "centre.down", "failing"),
        (greeted(429), "centre.down", "failing"),
        (greeted(500, signed=True), "centre.down", "error"),
        (greeted(503, signed=True), "centre.busy", "busy"),
        (greeted(429, signed=True), "centre.busy", "busy"),
        (greeted(401, signed=True), "centre.refused", "refused"),
        (greeted(403, signed=True), "centre.refused", "refused"),
        (greeted(426, signed=True), "centre.version", "too_old"),
        (line(greeting=known(f.NoAnswer(how="silent", detail=""))), "centre.down", "silent"),
        (line(greeting=known(f.NoAnswer(how="cut", detail="reset"))), "centre.down", "cut"),
        (line(greeting=unknown("timeout")), "centre.down", "silent"),
        (line(greeting=known(msgspec.structs.replace(SIGNED, protocol=9))), "centre.version", "too_old"),
        (line(greeting=known(msgspec.structs.replace(SIGNED, protocol=0))), "centre.version", "too_new"),
        (line(greeting=known(msgspec.structs.replace(SIGNED, offset_s=-420.0))), "clock.wrong", "far"),
        (line(greeting=known(msgspec.structs.replace(SIGNED, offset_s=90.0))), "clock.wrong", "drift"),
    ],
)
def test_each_break_of_the_line_has_one_cause_and_one_cure(line_facts: f.LineFacts, code: str, reason: str) -> None:
    finding = the_one(facts(line=line_facts))
    assert (finding.code, finding.reason) == (code, reason)
    assert finding.cure and finding.consequence


def test_a_certificate_out_of_its_dates_is_hidden_by_a_clock_that_is_proven_wrong() -> None:
    last = Exchanged(at=NOW - 60, outcome="ok", status=200, signed=True, centre_time_s=NOW + 40 * DAY)
    given = facts(line=secured("dates"), situation=situation(queue=Queue(last_exchange=last)))
    report = seen(given)
    assert [finding.code for finding in report.shown] == ["clock.wrong"]
    assert report.findings[-1].hidden_by == "clock.wrong"


def test_a_clock_is_only_as_wrong_as_the_round_trip_lets_one_say() -> None:
    slow_line = msgspec.structs.replace(SIGNED, offset_s=61.0, bound_s=2.0)
    assert seen(facts(line=line(greeting=known(slow_line)))).shown == ()


def test_unsigned_answers_never_say_that_the_centre_refuses_or_asks_for_another_version() -> None:
    for status in (401, 403, 426, 409):
        codes = {finding.code for finding in seen(facts(line=greeted(status))).findings}
        assert codes == {"line.portal"}


@pytest.mark.parametrize("status", [401, 403, 426, 429, 503])
def test_what_an_exchange_was_told_counts_only_when_it_was_signed(status: int) -> None:
    for signed in (True, False):
        last = Exchanged(at=NOW - 60, outcome="identity", status=status, signed=signed)
        report = seen(facts(situation=situation(queue=Queue(last_exchange=last))))
        assert len(report.shown) == signed


def test_a_portal_hides_the_wrong_certificate_that_comes_with_it() -> None:
    plain = known(f.Plain(status=302, token=False, redirected_to="login.hotspot.example"))
    report = seen(facts(line=cut_at("tls", tls=secured("issuer").tls, plain=plain)))
    assert [finding.code for finding in report.shown] == ["line.portal"]
    assert "login.hotspot.example" in report.shown[0].text
    assert [finding.hidden_by for finding in report.findings[1:]] == ["line.portal"]


def test_a_centre_on_this_machine_needs_no_network() -> None:
    here = known(f.Resolved(host="localhost", addresses=("127.0.0.1",)))
    links = known((f.Link(name="eth0", on=False, carrier=False),))
    assert seen(facts(line=line(resolved=here, links=links, gateways=known(())))).shown == ()


def test_a_line_that_is_down_is_a_warning_until_rows_have_waited_for_two_weeks() -> None:
    fresh = Queue(pending=12, oldest_pending_s=360.0)
    stale = Queue(pending=12, oldest_pending_s=15 * DAY)
    finding = the_one(facts(line=resolved("EAI_AGAIN"), situation=situation(queue=fresh)))
    assert finding.severity == "warning"
    assert "12 rows wait here safely, the oldest for 6 min" in finding.consequence
    assert the_one(facts(line=resolved("EAI_AGAIN"), situation=situation(queue=stale))).severity == "critical"


@pytest.mark.parametrize(("oldest_s", "severity"), [(2 * 3600.0, "info"), (2 * DAY, "warning"), (15 * DAY, "critical")])
def test_rows_that_wait_though_the_line_is_up_weigh_by_their_age(oldest_s: float, severity: str) -> None:
    finding = the_one(facts(situation=situation(queue=Queue(pending=3, oldest_pending_s=oldest_s))))
    assert (finding.code, finding.reason, finding.severity) == ("queue.old", "not_sent", severity)


def test_rows_that_wait_because_the_line_is_down_are_hidden_by_it() -> None:
    queue = Queue(pending=3, oldest_pending_s=2 * DAY)
    report = seen(facts(line=resolved("EAI_AGAIN"), situation=situation(queue=queue)))
    assert [finding.code for finding in report.shown] == ["line.dns"]
    assert [(finding.code, finding.hidden_by) for finding in report.findings[1:]] == [("queue.old", "line.dns")]


@pytest.mark.parametrize(("outcome", "reason"), [("ok", "not_acknowledged"), ("contract", "contract")])
def test_a_row_that_outlives_a_signed_exchange_is_stuck(outcome: str, reason: str) -> None:
    last = msgspec.convert({"at": NOW - 60, "outcome": outcome, "status": 409, "signed": True}, Exchanged)
    queue = Queue(pending=3, oldest_pending_s=3600.0, last_exchange=last)
    finding = the_one(facts(situation=situation(queue=queue)))
    assert (finding.code, finding.reason) == ("queue.stuck", reason)


def test_a_row_newer_than_the_last_exchange_is_not_stuck() -> None:
    last = Exchanged(at=NOW - 60, outcome="ok", status=200, signed=True)
    assert (
        seen(facts(situation=situation(queue=Queue(pending=1, oldest_pending_s=30.0, last_exchange=last)))).shown == ()
    )


@pytest.mark.parametrize(
    ("written", "code", "reason"),
    [
        (errno.ENOSPC, "storage.full", "blocks"),
        (errno.EDQUOT, "storage.full", "quota"),
        (errno.EFBIG, "storage.full", "size_limit"),
        (errno.EROFS, "storage.read_only", "file_system"),
        (errno.EACCES, "storage.read_only", "not_permitted"),
        (errno.ENOENT, "storage.absent", "missing"),
        (errno.ENOTDIR, "storage.absent", "not_a_folder"),
        (errno.EIO, "storage.failing", "io_error"),
    ],
)
def test_a_write_that_fails_is_named_by_its_own_errno(written: int, code: str, reason: str) -> None:
    finding = the_one(facts(written=known(f.Written(errno=written, median_ms=0.0))))
    assert (finding.code, finding.reason, finding.severity) == (code, reason, "critical")


def test_a_disk_without_inodes_is_not_taken_for_one_without_blocks() -> None:
    space = known(f.Space(free_bytes=9_000_000_000, total_bytes=10_000_000_000, free_inodes=0, total_inodes=64))
    finding = the_one(facts(space=space, written=known(f.Written(errno=errno.ENOSPC, median_ms=0.0))))
    assert (finding.code, finding.reason) == ("storage.full", "inodes")


def test_a_nearly_full_disk_is_a_warning() -> None:
    space = known(f.Space(free_bytes=100_000_000, total_bytes=10_000_000_000, free_inodes=10_000, total_inodes=20_000))
    finding = the_one(facts(space=space))
    assert (finding.code, finding.severity) == ("storage.low", "warning")


@pytest.mark.parametrize(
    ("written", "reason", "severity"),
    [(known(f.Written(errno=0, median_ms=350.0)), "slow", "warning"), (unknown("timeout"), "hung", "critical")],
)
def test_a_slow_disk_and_one_that_hangs_are_told_apart(written: object, reason: str, severity: str) -> None:
    finding = the_one(facts(written=written))
    assert (finding.code, finding.reason, finding.severity) == ("storage.slow_sync", reason, severity)


def test_nothing_hides_a_full_disk_and_it_hides_the_queue_that_stands_still() -> None:
    queue = Queue(pending=3, oldest_pending_s=2 * DAY)
    full = known(f.Written(errno=errno.ENOSPC, median_ms=0.0))
    report = seen(facts(written=full, line=resolved("EAI_AGAIN"), situation=situation(queue=queue)))
    assert [finding.code for finding in report.shown] == ["storage.full", "line.dns"]
    assert report.findings[-1].hidden_by == "storage.full"


def test_the_worst_mistake_of_the_configuration_is_shown_with_its_cure() -> None:
    mistakes = (
        Mistake(where="agent.toml line 3", text="unknown key intervall_s", cure="write interval_s", fatal=False),
        Mistake(where="agent.toml line 9", text="no data_dir", cure='set data_dir = "/var/lib/holdfast"'),
    )
    finding = the_one(facts(situation=situation(mistakes=mistakes)))
    assert (finding.code, finding.severity, finding.cure) == ("config.invalid", "critical", mistakes[1].cure)


def test_without_a_configuration_one_finding_stands_for_all_that_could_not_be_checked() -> None:
    broken = situation(mistakes=(Mistake(where="agent.toml line 1", text="not TOML", cure="correct line 1"),))
    given = facts(
        situation=msgspec.structs.replace(broken, configuration=None),
        line=cut_at("resolved"),
        space=unknown("skipped"),
        written=unknown("skipped"),
        port=unknown("skipped"),
    )
    finding = the_one(given)
    assert (finding.code, finding.reason) == ("config.invalid", "unreadable")
    doubts = [doubt for doubt in seen(given).undecided if doubt.code.startswith(("storage.", "line."))]
    assert len(doubts) > 8
    assert {doubt.hidden_by for doubt in doubts} == {"config.invalid"}


@pytest.mark.parametrize("url", ["loyalty.example", "https://", "ftp://loyalty.example", "https://x:port"])
def test_an_address_that_is_not_one_is_a_mistake_of_the_configuration(url: str) -> None:
    base = situation()
    wrong = msgspec.structs.replace(base, configuration=Configuration(data_dir="/d", server_url=url))
    assert the_one(facts(situation=wrong, line=line())).reason == "server_url"


def test_a_taken_port_names_who_holds_it_and_our_own_till_does_not_count() -> None:
    taken = known(f.Port(errno=errno.EADDRINUSE, holder="nginx (812)"))
    finding = the_one(facts(port=taken))
    assert finding.code == "till.port_in_use"
    assert "nginx (812)" in finding.cause
    assert seen(facts(port=taken, situation=situation(till_listening=True))).shown == ()
    assert the_one(facts(port=known(f.Port(errno=errno.EADDRNOTAVAIL)))).reason == "listen"


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ECONNREFUSED])
def test_a_dead_socket_means_that_the_service_is_stopped_and_hides_what_the_reader_says(code: int) -> None:
    given = facts(reader(child=saying("reader.not_present")), socket=known(f.Socket(errno=code)))
    report = seen(given)
    assert [(finding.code, finding.reason) for finding in report.shown] == [("reader.no_service", "stopped")]
    assert [finding.hidden_by for finding in report.findings[1:]] == ["reader.no_service"]


def test_a_stopped_service_does_not_hide_a_reader_that_does_not_use_it() -> None:
    plain = reader("wall", "nfcpy", saying("reader.not_present"))
    report = seen(facts(reader(child=saying("reader.no_service")), plain, socket=known(f.Socket(errno=111))))
    assert [finding.code for finding in report.shown] == ["reader.no_service", "reader.not_present"]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"pcscd_installed": known(False)}, "not_installed"),
        ({"missing_libraries": known((f.MissingLibrary(file="/etc/x", library="/no.so"),))}, "misconfigured"),
        ({"service": known(f.Service(active="failed", result="exit-code"))}, "failed"),
        ({"service": known(f.Service(active="inactive", result="success"))}, "stopped"),
        ({"pcscd_installed": unknown("crashed")}, "stopped"),
    ],
)
def test_why_the_service_is_down_decides_the_cure(spoilt: dict[str, object], reason: str) -> None:
    finding = the_one(facts(socket=known(f.Socket(errno=errno.ENOENT)), **spoilt))
    assert (finding.code, finding.reason) == ("reader.no_service", reason)


def test_a_service_that_listens_but_does_not_serve_is_no_healthy_one() -> None:
    assert the_one(facts(reader(child=saying("reader.no_service")))).reason == "not_answering"


def test_a_socket_closed_to_us_is_a_matter_of_permission() -> None:
    finding = the_one(facts(socket=known(f.Socket(errno=errno.EACCES))))
    assert (finding.code, finding.reason) == ("reader.not_permitted", "socket")


@pytest.mark.parametrize("code", sorted(reader_checks(reader(driver="command"))))
def test_every_word_of_a_driver_becomes_the_finding_of_that_name(code: str) -> None:
    if code in ("reader.driver_failed", "reader.faulty"):
        code = "reader.of_its_own"
    finding = the_one(facts(reader(driver="command", child=saying(code))))
    assert finding.code == ("reader.faulty" if code == "reader.of_its_own" else code)
    assert finding.scope == "counter"
    assert "words of the driver" in finding.cause + finding.cure


@pytest.mark.parametrize(
    ("driver", "code"), [("camera", "reader.gone"), ("nfcpy", "reader.no_service"), ("pcsc", "line.dns")]
)
def test_a_word_that_no_check_of_that_kind_of_reader_knows_is_not_lost(driver: str, code: str) -> None:
    finding = the_one(facts(reader("odd", driver, saying(code))))
    assert finding.code == "reader.faulty"
    assert code in finding.text


def test_a_driver_without_heartbeat_is_mute() -> None:
    finding = the_one(facts(reader(child=ready(at=NOW - 60))))
    assert (finding.code, finding.reason) == ("reader.mute", "no_heartbeat")
    assert (the_one(facts(reader(child=Running(started_at=NOW - 30))))).code == "reader.mute"
    assert seen(facts(reader(child=Running(started_at=NOW - 3)))).shown == ()


def test_a_driver_that_crashed_is_told_with_its_signal() -> None:
    finding = the_one(facts(reader(child=Ended(exit_code=-11, at=NOW - 2))))
    assert finding.code == "reader.driver_failed"
    assert "SIGSEGV" in finding.text
    assert seen(facts(reader(child=Ended(exit_code=0, at=NOW - 2)))).shown == ()


def test_a_reader_that_fails_beside_a_working_one_is_a_warning() -> None:
    alone = the_one(facts(reader(child=saying("reader.gone"))))
    beside = the_one(facts(reader(child=saying("reader.gone")), reader("back", "nfcpy")))
    assert (alone.severity, beside.severity) == ("critical", "warning")
    assert "back and typed numbers still work" in beside.consequence


def test_a_good_reading_after_the_fault_clears_it_and_one_before_does_not() -> None:
    fault = saying("reader.gone", at=NOW - 50).faults
    for last_reading_at, shown in ((NOW - 10, 0), (NOW - 100, 1)):
        child = ready(faults=fault, last_reading_at=last_reading_at)
        assert len(seen(facts(reader(child=child))).shown) == shown


def test_without_an_agent_a_missing_device_file_is_found_and_the_rest_is_undecided() -> None:
    cam = reader("cam", "camera", NotStarted(), device="/dev/video0")
    node = f.Node(reader="cam", path="/dev/video0", exists=False, permitted=False)
    report = seen(facts(cam, nodes=known((node,))))
    assert [(finding.code, finding.reason) for finding in report.shown] == [("camera.absent", "node")]
    assert all("no agent runs" in doubt.missing[0].detail for doubt in report.undecided)
    assert report.undecided


def test_a_device_file_that_may_not_be_opened_is_named() -> None:
    node = f.Node(reader="wall", path="/dev/ttyUSB0", exists=True, permitted=False)
    finding = the_one(facts(reader("wall", "nfcpy"), nodes=known((node,))))
    assert (finding.code, finding.reason) == ("reader.not_permitted", "node")


def test_a_check_that_crashes_is_undecided_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(given: f.Facts) -> Undecided:
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(checks.CHECKS, "storage.low", broken)
    report = seen(facts(written=known(f.Written(errno=errno.EROFS, median_ms=0.0))))
    assert [finding.code for finding in report.shown] == ["storage.read_only"]
    crashed = [doubt for doubt in report.undecided if doubt.code == "storage.low"]
    assert crashed[0].missing[0].why == "crashed"
    assert "planted" in crashed[0].missing[0].detail


def test_facts_survive_a_trip_through_json_and_are_judged_alike() -> None:
    given = facts(reader(child=saying("reader.gone")), line=greeted(302, to="login.example"))
    again = msgspec.json.decode(msgspec.json.encode(given), type=f.Facts)
    assert judge(again) == judge(given)
