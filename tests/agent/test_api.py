"""The local API of a real agent process: what it answers, to whom, and that nothing sent to it makes it fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.lines import Health, Reading, Removed
from tests.rigs.shop import Shop
from tests.rigs.terminal import Terminal

KNOWN = 8


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("api") / "till", start_ms=time.time_ns() // 1_000_000)
    for number in range(KNOWN):
        made.member(card(number), name="Fiorella", balance=1_000)
    made.journal.close()
    yield made
    made.close()


@pytest.fixture(scope="module")
def terminal(shop: Shop) -> Iterator[Terminal]:
    with Terminal(shop.folder.parent, shop.folder) as running:
        running.ready()
        yield running


@pytest.fixture(scope="module")
def pos_key(terminal: Terminal) -> str:
    made = terminal.command("pos-key", "new", "software", "--json")
    key: str = json.loads(made.stdout)["key"]
    return key


def card(number: int) -> str:
    return f"uid:04a1b2c3d4e5{number:02x}"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["code"], told["status"]) == (status, code, status), told
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert told["type"] == "about:blank" and told["title"] and told["detail"]
    return told


# Answers


def test_status_tells_of_line_queue_and_readers(terminal: Terminal, shop: Shop) -> None:
    status = terminal.status()
    assert status["terminal"] == shop.identity.terminal.hex()
    assert (status["outlet"], status["currency"], status["exponent"], status["programme"]) == ("harbour", "EUR", 2, 1)
    assert status["epoch"] == 1 and status["findings"] == [] and status["language"] == "en"
    reader = {"name": "counter", "driver": "replay", "state": "ready", "code": None, "text": None}
    assert status["readers"] == [reader]


def test_a_purchase_is_quoted_earned_found_again_and_taken_back(terminal: Terminal) -> None:
    asked = {"card": card(0), "amount_minor": 4_000, "receipt": "R-100"}
    quoted = terminal.http.post("/quote", json=asked)
    assert quoted.status_code == 200 and quoted.json()["decision"]["points"] == 40
    earned = terminal.http.post("/earnings", json=asked, headers={"Accept-Language": "fr-CH, en"})
    told = earned.json()
    assert earned.status_code == 201 and told["decision"] == quoted.json()["decision"]
    assert told["provisional"] and not told["replayed"] and told["card"]["balance"] == 1_040
    assert told["card"]["provisional"] == 40 and "points" in told["words"]["sentence"]
    assert told["words"] != quoted.json()["words"]
    found = terminal.http.get("/receipts/R-100").json()
    assert (found["seq"], found["event_id"], found["outcome"]) == (*told["row"].values(), "pending")
    listed = terminal.http.get("/journal", params={"pending": True}).json()
    assert found in listed
    back = terminal.http.post("/reversals", json={"event_id": told["row"]["event_id"], "whole": True})
    assert back.status_code == 201 and back.json()["decision"]["points"] == -40


def test_the_same_key_gives_the_same_row_and_other_content_is_refused(terminal: Terminal) -> None:
    asked, headers = {"card": card(0), "amount_minor": 500}, {"Idempotency-Key": "k" * 300}
    first = terminal.http.post("/earnings", json=asked, headers=headers)
    again = terminal.http.post("/earnings", json=asked, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["replayed"] and again.json()["row"] == first.json()["row"]
    problem(
        terminal.http.post("/earnings", json={**asked, "amount_minor": 501}, headers=headers), 422, "caller.key_used"
    )
    other = terminal.http.post("/earnings", json=asked, headers={"Idempotency-Key": "k" * 299 + "x"})
    assert other.status_code == 201 and other.json()["row"] != first.json()["row"]


def test_refusals_are_problems_with_stable_codes_and_words_in_the_language_asked_for(terminal: Terminal) -> None:
    stranger = {"card": "uid:04ffffffffff01", "amount_minor": 100}
    problem(terminal.http.post("/earnings", json=stranger), 404, "card.unknown")
    told = problem(terminal.http.post("/earnings", json={"card": card(0), "amount_minor": 0}), 409, "request.amount")
    assert told["decision"]["decision"] == "declined" and told["words"]["sentence"] == told["detail"]
    body = {"card": card(0), "amount": "1,234.50"}
    english = problem(terminal.http.post("/earnings", json=body), 422, "till.amount")["detail"]
    italian = terminal.http.post("/earnings", json=body, headers={"Accept-Language": "it"}).json()["detail"]
    assert english != italian
    problem(terminal.http.post("/activations", json={"card": "uid:04aabbccddee01", "code": "x"}), 409, "code.length")
    problem(terminal.http.post("/reversals", json={"seq": 99_999, "whole": True}), 404, "row.unknown")
    problem(terminal.http.get("/receipts/none"), 404, "row.unknown")
    problem(terminal.http.post("/burns", json={"card": card(0), "points": 10_000_000}), 409, "burn.balance")
    assert terminal.http.get("/nothing-here").status_code == 404
    problem(terminal.http.delete("/status"), 405, "http.405")


def test_a_burn_without_line_says_that_the_line_is_needed(terminal: Terminal) -> None:
    told = terminal.http.post("/burns", json={"card": card(1), "reward": "coffee"}).json()
    assert told["code"] in ("burn.line_down", "burn.slow")
    rewards = {reward["id"]: reward for reward in terminal.http.get("/rewards", params={"card": card(1)}).json()}
    assert (
        rewards["coffee"]["available"] and rewards["coffee"]["needs_line"] and rewards["bag"]["name"] == "A canvas bag"
    )


def test_a_body_that_is_no_request_is_told_what_is_wrong(terminal: Terminal) -> None:
    for body in (b"", b"{", b"[]", b'{"card": 5}', b'{"card": "x", "amont": 3}', b"\xff\xfe", b'{"card": "\\ud800"}'):
        told = problem(terminal.http.post("/earnings", content=body), 422, "request.body")
        assert told["detail"]
    problem(terminal.http.post("/earnings", content=b" " * (2 << 20)), 413, "http.413")
    problem(terminal.http.get("/journal", params={"limit": "many"}), 422, "request.body")


def test_a_basket_beyond_one_row_is_refused_in_words(terminal: Terminal) -> None:
    lines = [{"no": no, "amount_minor": 100, "product": "x" * 20} for no in range(1_000)]
    told = problem(
        terminal.http.post("/earnings", json={"card": card(0), "amount_minor": 100_000, "lines": lines}),
        409,
        "request.too_long",
    )
    assert "items" in told["detail"]


# Who may ask


def test_over_tcp_nobody_is_heard_without_key_or_session(terminal: Terminal, pos_key: str) -> None:
    url = f"{terminal.url}/api/v1/status"
    problem(httpx.get(url), 401, "request.unauthorised")
    problem(httpx.get(url, headers={"Authorization": "Bearer hfp_wrong"}), 401, "request.unauthorised")
    assert httpx.get(url, headers={"Authorization": f"Bearer {pos_key}"}).status_code == 200
    assert terminal.command("pos-key", "remove", "software").returncode == 0
    problem(httpx.get(url, headers={"Authorization": f"Bearer {pos_key}"}), 401, "request.unauthorised")


def test_the_page_has_a_session_and_foreign_hosts_and_origins_get_nothing(terminal: Terminal) -> None:
    with httpx.Client(base_url=terminal.url) as page:
        said = page.get("/")
        assert said.status_code == 200 and "SameSite=strict" in said.headers["set-cookie"].replace("Strict", "strict")
        assert page.get("/api/v1/status").status_code == 200
        assert page.get("/api/v1/status", headers={"Origin": terminal.url}).status_code == 200
        for headers in (
            {"Host": "evil.example"},
            {"Host": f"evil.example:{terminal.port}"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"https://127.0.0.1:{terminal.port}"},
        ):
            problem(page.get("/api/v1/status", headers=headers), 403, "request.origin")
            problem(page.post("/api/v1/earnings", headers=headers, json={"card": card(0)}), 403, "request.origin")


def test_health_metrics_and_the_interfaces_description_are_there(terminal: Terminal) -> None:
    assert httpx.get(f"{terminal.url}/healthz").json() == {"status": "ok"}
    metrics = httpx.get(f"{terminal.url}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    values = dict(line.split() for line in metrics.text.splitlines() if not line.startswith("#"))
    assert values["holdfast_readers_ready"] == "1" and int(values["holdfast_journal_rows_total"]) >= 1
    described = terminal.http.get("/openapi.json").json()
    assert {"/api/v1/status", "/api/v1/earnings", "/api/v1/stream"} <= described["paths"].keys()


def test_a_path_that_is_not_there_is_a_problem_too(terminal: Terminal) -> None:
    for path in ("/nothing", "/nothing/below", "/nothing.json"):
        problem(terminal.http.get(path), 404, "http.404")


# The stream


def test_a_tap_a_decision_and_a_reader_are_told_to_everyone_who_listens(terminal: Terminal) -> None:
    with terminal.events() as first, terminal.events() as second:
        terminal.present(Reading(kind="card", scope="c", uid=card(2)[4:], tag="type2"), Removed(scope="c"))
        for events in (first, second):
            tap = events.next("tap")
            assert tap["reader"] == "counter" and tap["card"]["card"] == card(2) and tap["card"]["name"] == "Fiorella"
        earned = terminal.http.post("/earnings", json={"card": card(2), "amount_minor": 700}).json()
        assert first.next("decision")["row"] == earned["row"]
        terminal.present(Health(state="faulty", code="reader.gone", text="unplugged"))
        assert first.next("reader")["code"] == "reader.gone"
        assert terminal.status()["findings"][0]["code"] == "reader.gone"
        terminal.present(Health(state="ready"))
        assert second.next("reader")["state"] == "faulty" and second.next("reader")["state"] == "ready"


def test_what_is_no_card_is_refused_in_words_on_the_stream(terminal: Terminal) -> None:
    with terminal.events() as events:
        terminal.present(Reading(kind="code", scope="cam", symbology="QRCode", text="WIFI:T:WPA;S:x;;"))
        assert events.next("tap")["refused"]["code"] == "token.alien_code"
        terminal.present(Reading(kind="card", scope="c", uid="08112233", tag="type2"))
        assert events.next("tap")["refused"]["code"] == "token.random_uid"


def test_a_card_that_lies_there_is_one_tap_and_counts_again_when_it_comes_back(terminal: Terminal) -> None:
    reading = Reading(kind="card", scope="c", uid=card(3)[4:], tag="type2")
    with terminal.events() as events:
        terminal.present(reading, reading, reading, Removed(scope="c"), reading)
        first, second = events.next("tap"), events.next("tap")
        assert first["card"]["card"] == second["card"]["card"] == card(3)
        terminal.present(Removed(scope="c"), Reading(kind="card", scope="c", uid=card(4)[4:], tag="type2"))
        assert events.next("tap")["card"]["card"] == card(4)


# Whatever is sent

WORDS = ["card", "amount_minor", "amount", "lines", "vouchers_minor", "receipt", "codes", "code", "points", "reward"]
WORDS += ["seq", "event_id", "whole", "operator", "first_name", "assisted", "approval", "no", "quantity", "reason"]
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 70), max_value=1 << 70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from([card(5), "num:4006381333931", "HF1:ABC", "HF000-00000-0", "coffee", "00" * 16]),
)
names = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
shallow = st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(names, plain, max_size=4))
anything = st.one_of(shallow, st.lists(shallow, max_size=3), st.dictionaries(names, shallow, max_size=4))
line = st.fixed_dictionaries(
    {"no": st.integers(-1, 1 << 70), "amount_minor": st.integers(-5, 10_000)},
    optional={"quantity": st.one_of(st.none(), st.integers(-2, 1 << 70)), "category": st.text(max_size=9)},
)
nearly = st.fixed_dictionaries(
    {"card": st.sampled_from([card(5), card(6), "x"])},
    optional={
        "amount_minor": st.integers(-1, 10_000),
        "amount": st.text("0123456789.,- ", max_size=9),
        "lines": st.lists(line, max_size=3),
        "vouchers_minor": st.integers(-1, 1 << 70),
        "receipt": st.text(max_size=30),
        "codes": st.lists(st.text(max_size=15), max_size=2),
        "operator": st.text(max_size=9),
    },
)
returns = st.fixed_dictionaries(
    {"seq": st.integers(-1, 40)},
    optional={
        "whole": st.booleans(),
        "amount_minor": st.integers(-1, 1 << 70),
        "lines": st.lists(line, max_size=2),
        "reason": st.text(max_size=9),
    },
)
PATHS = ["earnings", "quote", "activations", "burns", "code-uses", "reversals", "sync"]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(PATHS[:-1]), anything)
def test_no_body_makes_it_fail(terminal: Terminal, path: str, body: Any) -> None:
    check(terminal.http.post(f"/{path}", content=json.dumps(body).encode()))


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(["earnings", "quote"]), nearly, st.one_of(st.none(), st.sampled_from("abc")))
def test_no_purchase_makes_it_fail(terminal: Terminal, path: str, body: Any, key: str | None) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    check(terminal.http.post(f"/{path}", content=json.dumps(body).encode(), headers=headers))


@settings(max_examples=60, deadline=None)
@given(returns)
def test_no_return_makes_it_fail(terminal: Terminal, body: Any) -> None:
    check(terminal.http.post("/reversals", content=json.dumps(body).encode()))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["cards", "receipts"]), st.binary(min_size=1, max_size=12))
def test_no_path_makes_it_fail(terminal: Terminal, path: str, tail: bytes) -> None:
    check(terminal.http.get(f"/{path}/" + "".join(f"%{byte:02x}" for byte in tail)))


def test_a_body_nested_without_end_is_refused(terminal: Terminal) -> None:
    for body in (b"[" * 200_000, b'{"card":' * 100_000, b'{"card": "x", "approval":' + b"[" * 50_000):
        check(terminal.http.post("/earnings", content=body))


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500 or answer.json()["code"] in ("sync.not_ready",), answer.text


def test_after_all_that_the_books_are_whole_and_nobody_met_a_bug(terminal: Terminal) -> None:
    """Last on purpose: it looks at what the others left."""
    verified = terminal.command("journal", "verify", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["rows"] == terminal.status()["rows"]
    assert "Traceback" not in terminal.log(), terminal.log()[-3_000:]
