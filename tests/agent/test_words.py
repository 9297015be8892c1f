import json
import re
import string
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from agent.diagnosis.catalogue import CATALOGUE
from agent.words import LANGUAGES, AmountError, Words, answer, decimals, format_amount, parse_amount, reason, say
from agent.words.numbers import counted
from agent.words.texts import texts
from loyalty import reasons
from loyalty.answer import Answer, Approved, Declined
from loyalty.decide import decide
from loyalty.facts import Counts, Facts, OwnRow
from loyalty.programme import Programme, from_document
from loyalty.request import Request
from loyalty.vectors import merged

ROOT = Path(__file__).parents[2]
NARROW = "\N{NARROW NO-BREAK SPACE}"
HARD = "\N{NO-BREAK SPACE}"
MOST = 160

OF_THE_TILL = [
    "card.unknown",
    "caller.key_used",
    "till.amount",
    "till.amount_range",
    "till.no_programme",
    "till.not_enrolled",
    "till.code_purpose",
    "till.code_needed",
    "till.reader_off",
    "burn.line_down",
    "burn.slow",
    "request.unauthorised",
    "request.origin",
    "request.body",
    "row.unknown",
]
OF_THE_CENTRE = [
    "account.unknown",
    "allowance.foreign",
    "burn.uncovered",
    "card.activated_twice",
    "fact.kept",
    "fact.member",
    "fact.tier",
    "fact.visits",
    "row.quarantined",
    "row.unreadable",
]


def codes_written_in(areas: str, *patterns: str) -> set[str]:
    """Codes that stand as strings in the sources, so that a new one without words is noticed here."""
    sources = [path for pattern in patterns for path in ROOT.glob(pattern)]
    assert sources, patterns
    return {code for path in sources for code in re.findall(rf'"((?:{areas})\.[a-z_]+)"', path.read_text())}


def codes() -> set[str]:
    return {
        *reasons.REASONS,
        *reasons.FLAGS_ONLY,
        reasons.MISTYPED,
        *codes_written_in("code", "loyalty/typed.py", "loyalty/codes.py"),
        *codes_written_in("token", "agent/token.py"),
        *codes_written_in("storage", "sync/*.py"),
        *codes_written_in("reader|camera|config", "drivers/*.py"),
        *(code for code in CATALOGUE if code.startswith(("reader.", "camera.", "storage."))),
        *OF_THE_TILL,
        *OF_THE_CENTRE,
    }


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


# The files


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_keys_of_english(language: str) -> None:
    assert texts(language).keys() == texts("en").keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_key_wants_the_same_fields_in_every_language(language: str) -> None:
    english = {key: fields_of(text) for key, text in texts("en").items()}
    assert {key: fields_of(text) for key, text in texts(language).items()} == english


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", sorted(codes()))
def test_every_code_has_its_sentence(language: str, code: str) -> None:
    assert f"reason.{code}" in texts(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_is_long_and_none_is_empty(language: str) -> None:
    assert [key for key, text in texts(language).items() if not 0 < len(text) <= MOST] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reason_is_one_or_more_whole_sentences(language: str) -> None:
    said = {key: text for key, text in texts(language).items() if key.startswith("reason.")}
    assert [key for key, text in said.items() if not text[0].isupper() or text[-1] != "."] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_stays_behind_the_counter_is_not_said(language: str) -> None:
    jargon = re.compile(r"\b(rows?|exchange[sd]?|sync(?! now)|outcome|payload|null|token|uid|driver|PC/SC)\b", re.I)
    assert [key for key, text in texts(language).items() if jargon.search(text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_apostrophes_are_curved_and_no_space_is_double(language: str) -> None:
    assert [key for key, text in texts(language).items() if "'" in text or "  " in text] == []


def test_french_has_narrow_spaces_where_it_wants_them() -> None:
    wrong = re.compile(rf"(?<!{NARROW})[;:!?»%]|«(?!{NARROW})")
    assert [key for key, text in texts("fr").items() if wrong.search(text)] == []


@pytest.mark.parametrize("language", ["en", "it"])
def test_other_languages_have_no_space_before_a_mark(language: str) -> None:
    assert [key for key, text in texts(language).items() if re.search(r"\s[;:!?,.]", text)] == []


@pytest.mark.parametrize("language", ["fr", "it"])
def test_no_english_is_left_standing(language: str) -> None:
    worded = {key for key in texts("en") if key.startswith(("reason.", "sentence.", "tail.", "almost.", "declined."))}
    assert {key for key in worded if texts(language)[key] == texts("en")[key]} <= {"sentence.given"}


# Saying


def test_fields_are_filled_in() -> None:
    assert say("en", "line.base", points="40", paid="40.00 EUR") == "40 for 40.00 EUR"
    assert say("fr", "line.tier", name="Or", points="10") == f"Membre Or{NARROW}: 10 de plus"
    assert say("it", "line.cap_day", points="3") == "3 in meno: massimo per giorno"


def test_a_field_may_hold_braces() -> None:
    assert say("en", "line.campaign", name="{x} {0}", points="3") == "{x} {0}: 3"


def test_an_unknown_key_field_or_language_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        say("en", "line.nowhere")
    with pytest.raises(KeyError):
        say("en", "line.base", points="40")
    with pytest.raises(KeyError, match="no words in 'de'"):
        say("de", "line.base")
    with pytest.raises(KeyError):
        reason("../en", "code.used")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_code_without_words_is_named_in_a_general_sentence(language: str) -> None:
    assert "moon.full" in reason(language, "moon.full")
    assert "till.amount" in reason(language, "till.amount")  # its fields are missing


def test_a_reason_is_said_in_the_language_asked_for() -> None:
    assert reason("en", "reader.read_failed") == "The card was taken away too soon: hold it again."
    assert reason("fr", "reader.read_failed") == f"La carte a été retirée trop vite{NARROW}: reposez-la."
    assert reason("it", "reader.read_failed") == "La carta è stata tolta troppo presto: appoggiala di nuovo."


@pytest.mark.parametrize(
    ("language", "none", "one", "many"),
    [
        ("en", "0 points", "1 point", "1,240 points"),
        ("fr", "0 point", "1 point", f"1{NARROW}240 points"),
        ("it", "0 punti", "1 punto", "1.240 punti"),
    ],
)
def test_a_noun_agrees_with_its_number(language: str, none: str, one: str, many: str) -> None:
    assert [counted(n, "points", language) for n in (0, 1, 1240)] == [none, one, many]


# Money


@pytest.mark.parametrize(
    ("minor", "currency", "language", "shown"),
    [
        (4000, "EUR", "en", "40.00 EUR"),
        (124050, "EUR", "en", "1,240.50 EUR"),
        (124050, "EUR", "fr", f"1{NARROW}240,50{HARD}EUR"),
        (124050, "EUR", "it", f"1.240,50{HARD}EUR"),
        (5, "EUR", "en", "0.05 EUR"),
        (1250, "TND", "en", "1.250 TND"),
        (1250, "JPY", "en", "1,250 JPY"),
        (-450, "EUR", "it", f"-4,50{HARD}EUR"),
        (0, "JPY", "fr", f"0{HARD}JPY"),
    ],
)
def test_amounts_are_written_as_the_language_and_the_currency_do(
    minor: int, currency: str, language: str, shown: str
) -> None:
    assert format_amount(minor, currency, language) == shown


@given(
    minor=st.integers(0, 10**12),
    currency=st.sampled_from(["EUR", "USD", "TND", "JPY", "XOF", "CLF", "KWD"]),
    language=st.sampled_from(LANGUAGES),
)
def test_an_amount_that_was_written_is_read_back(minor: int, currency: str, language: str) -> None:
    shown = format_amount(minor, currency, language).removesuffix(currency)
    ungrouped = shown.replace({"en": ",", "fr": NARROW, "it": "."}[language], "")
    assert parse_amount(ungrouped, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.50", "EUR", 1250),
        ("12,50", "EUR", 1250),
        ("12.5", "EUR", 1250),
        (" 12 ", "EUR", 1200),
        ("0", "EUR", 0),
        ("1,234", "TND", 1234),
        ("500", "JPY", 500),
        ("10000000000", "EUR", 10**12),
        ("007", "EUR", 700),
    ],
)
def test_amounts_are_taken_as_people_type_them(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "code"),
    [
        (text, "EUR", "till.amount")
        for text in ("", "twelve", "12.505", "1,234", "1.234,50", "1 000", "12.", ".5", "1e3")
    ]
    + [("12.5", "JPY", "till.amount"), ("٣", "EUR", "till.amount"), ("+5", "EUR", "till.amount")]
    + [(text, "EUR", "till.amount_range") for text in ("-5", "10000000000.01", "9" * 5000)],
)
def test_what_is_no_amount_is_refused_with_its_code(text: str, currency: str, code: str) -> None:
    with pytest.raises(AmountError) as caught:
        parse_amount(text, currency)
    assert caught.value.code == code


@given(text=st.text(max_size=40), currency=st.sampled_from(["EUR", "TND", "JPY"]))
def test_any_text_is_an_amount_within_bounds_or_a_value_error(text: str, currency: str) -> None:
    try:
        assert 0 <= parse_amount(text, currency) <= 10**12
    except ValueError as error:
        assert isinstance(error, AmountError)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("currency", ["EUR", "TND", "JPY", "CLF"])
def test_the_example_of_a_refused_amount_is_an_amount(language: str, currency: str) -> None:
    with pytest.raises(AmountError) as caught:
        parse_amount("much", currency)
    fields = caught.value.fields(language)
    assert parse_amount(str(fields["example"]), currency) > 0
    assert str(fields["example"]) in reason(language, caught.value.code, **fields)
    assert fields["decimals"] == decimals(currency)


# Answers

FOLDER = ROOT / "tests/loyalty/vectors"
DOCUMENTS = {name: tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in ("cafe", "grocer", "perfumery")}
VECTORS = [
    json.loads(line) for name in ("vectors", "more") for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()
]


def programme_of(named: Any) -> Programme:
    if isinstance(named, str):
        return from_document(DOCUMENTS[named])
    return from_document(merged(DOCUMENTS[named["base"]], named["patch"]))


def decided(vector: dict[str, Any]) -> tuple[Programme, Request, Answer]:
    programme, request = programme_of(vector["programme"]), convert(vector["request"], Request)
    priced_by = programme_of(vector["entry_programme"]) if "entry_programme" in vector else None
    facts, rows = convert(vector["facts"], Facts), convert(vector.get("own_rows", []), list[OwnRow])
    now = datetime.fromisoformat(vector["now"])
    return programme, request, decide(programme, facts, rows, request, now, entry_programme=priced_by)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_every_decision_can_be_said_in_every_language(vector: dict[str, Any]) -> None:
    programme, request, decision = decided(vector)
    for language in LANGUAGES:
        for known in (request, None):
            said = answer(language, decision, programme, provisional=True, name="Fiorella", request=known)
            check_said(said, decision)


def check_said(said: Words, decision: Answer) -> None:
    every = [said.verdict, said.sentence, *said.lines, *said.almost]
    assert not [text for text in every if not text or "{" in text or len(text) > MOST]
    assert len(said.almost) == len(decision.almost)
    assert len(said.lines) >= len(decision.breakdown)
    for (_, points), line in zip(decision.breakdown, said.lines, strict=False):
        assert str(abs(points)) in re.sub(r"\D", "", line)


GROCER = from_document(DOCUMENTS["grocer"])
COUNTS = Counts(day="2026-05-12")


def approved(points: int, *breakdown: tuple[str, int], **more: Any) -> Approved:
    return Approved(points=points, breakdown=breakdown, counts=COUNTS, **more)


def said_of(decision: Answer, language: str = "en", **more: Any) -> Words:
    given = {"provisional": False, "name": "Fiorella"} | more
    return answer(language, decision, GROCER, **given)


def test_a_purchase_says_its_points_and_for_what() -> None:
    purchase = Request(kind="earn", amount_minor=4000)
    said = said_of(approved(40, ("earn.base", 40)), provisional=True, request=purchase)
    assert said == Words(
        verdict="Yes, provisional",
        sentence="40 points for Fiorella. The centre will confirm.",
        lines=("40 for 40.00 EUR",),
    )


def test_what_was_paid_leaves_vouchers_out() -> None:
    purchase = Request(kind="earn", amount_minor=4000, vouchers_minor=500)
    assert said_of(approved(35, ("earn.base", 35)), request=purchase).lines == ("35 for 35.00 EUR",)


def test_final_provisional_and_quoted_are_told_apart() -> None:
    one = approved(1, ("earn.base", 1))
    sayings = [said_of(one, language, provisional=p) for language in LANGUAGES for p in (True, False, None)]
    assert len({said.verdict for said in sayings}) >= 7  # "Possible" is a word of two languages
    assert len({said.sentence for said in sayings}) == 9
    assert said_of(one).sentence == "1 point for Fiorella."


def test_a_held_answer_does_not_promise_that_the_centre_confirms() -> None:
    held = said_of(approved(9, ("earn.base", 9), flags=("approval.held",)), provisional=True)
    assert held.sentence == "9 points for Fiorella. The points wait until the centre agrees."
    assert held.lines == ("9 for the purchase",)


def test_a_member_without_a_name_is_this_card() -> None:
    assert said_of(approved(51, ("earn.base", 51)), "fr", name=None).sentence == "51 points pour cette carte."


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "No points this time for Fiorella."),
        ("fr", "Pas de points cette fois pour Fiorella."),
        ("it", "Niente punti questa volta per Fiorella."),
    ],
)
def test_no_points_is_said_as_such(language: str, sentence: str) -> None:
    assert said_of(approved(0, ("earn.base", 0)), language).sentence == sentence


def test_a_declined_answer_says_why_that_nothing_moved_and_what_is_close() -> None:
    said = said_of(Declined(reason="burn.balance", almost=(("burn.money", "points", 120, 150),)), "it")
    assert said == Words(
        verdict="Non ancora",
        sentence="I punti non bastano ancora. Proponi un premio più piccolo, vedi Premi.",
        lines=("Nulla è stato dato né tolto.",),
        almost=("Ancora 30 punti per «Sconto con i punti»",),
    )
    assert said_of(Declined(reason="card.blocked")).verdict == "No"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "1 of 3 purchases this month for “Three visits, one present”"),
        ("fr", f"Achat 1 sur 3 ce mois-ci pour «{NARROW}Trois achats, un cadeau{NARROW}»"),
        ("it", "Acquisto 1 su 3 questo mese per «Tre spese, un regalo»"),
    ],
)
def test_visits_of_a_month_are_counted_in_each_language(language: str, text: str) -> None:
    rule = next(one.rule for one in GROCER.campaigns if GROCER.names[one.rule]["en"] == "Three visits, one present")
    close = approved(3, ("earn.base", 3), almost=((rule, "visits", 1, 3),))
    assert said_of(close, language).almost == (text,)


def test_a_flag_is_said_after_the_lines() -> None:
    said = said_of(approved(3, ("earn.base", 3), flags=("facts.unknown",)))
    assert said.lines == ("3 for the purchase", reason("en", "facts.unknown"))


def test_points_as_money_and_goodwill_have_their_own_sentences() -> None:
    burn = approved(-500, ("burn.money", -500), effects=(("money_off", "burn.money", 500),))
    assert said_of(burn).sentence == "5.00 EUR off for Fiorella, at 500 points."
    assert said_of(burn).lines == ("5.00 EUR off for 500 points",)
    assert said_of(approved(20, ("goodwill.wait", 20))).sentence == "20 points for Fiorella, with our apologies."


def test_a_reward_is_followed_by_the_thanks_of_the_programme() -> None:
    thanked = next(reward for reward in GROCER.rewards.values() if reward.thanks)
    burn = approved(-150, (thanked.rule, -150), effects=(("reward", thanked.rule, 1),))
    assert said_of(burn, "fr").sentence.endswith(thanked.thanks["fr"])
    assert thanked.thanks["fr"] not in said_of(burn, "fr", provisional=None).sentence


def test_a_return_says_whether_points_come_or_go() -> None:
    part = ((1, 500, 1),)
    back = approved(-12, ("earn.base", -10), ("cap.day", 2), ("tier.gone", -4), part=part)
    said = said_of(back)
    assert said.sentence == "12 points taken back from Fiorella."
    assert said.lines == (
        "Purchase: 10 taken back",
        "The most for one day: 2 given back",
        "gone: 4 taken back",  # a tier of an older document, which nothing names any more
    )
    assert said_of(approved(150, ("reverse.burn.money", 150))).sentence == "150 points given back to Fiorella."
    assert said_of(approved(0, part=part)).sentence == "The return is noted; the points stay as they are."


def test_an_activation_says_that_the_card_is_active() -> None:
    assert said_of(approved(0), request=Request(kind="activate")).sentence == "The card is active."
    welcome = said_of(approved(1000, ("campaign.x", 1000)), "fr", request=Request(kind="activate"))
    assert welcome.sentence == f"La carte est active{NARROW}: 1{NARROW}000 points pour Fiorella."


def test_a_voucher_is_called_by_its_reward() -> None:
    reward = next(iter(GROCER.rewards.values()))
    gift = approved(0, effects=(("voucher", "campaign.x", reward.id, "2026-07-10"),))
    assert said_of(gift).lines == (f"A voucher for later: {reward.name['en']}, until 10 July 2026",)


def test_what_follows_is_said_with_its_last_day() -> None:
    effects = (
        ("discount", "campaign.x", "percent", 10, "2026-06-01"),
        ("discount", "campaign.x", "amount_minor", 500, "2026-06-11"),
        ("referral", "referral.referrer", "m2", 100),
    )
    said = {language: said_of(approved(0, effects=effects), language).lines for language in LANGUAGES}
    assert said["en"][0] == "10% off a later purchase, until 1 June 2026"
    assert said["fr"][0] == f"10{NARROW}% de remise sur un prochain achat, jusqu’au 1er juin 2026"
    assert said["it"][1] == f"5,00{HARD}EUR di sconto su un prossimo acquisto, scadenza 11 giugno 2026"
    assert said["en"][2] == "100 for the friend who spoke of us"
