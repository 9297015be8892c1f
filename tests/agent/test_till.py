"""The till on real files: what it answers, what is then on disk, and that nothing is there when it said no."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.opening import build_till
from agent.operations import Activation, Burn, CodeUse, Earning, Reversal
from agent.present import done_json
from agent.results import Done, NotDone, RefusedError
from agent.words import AmountError
from loyalty import typed
from loyalty.cose import DOCUMENT_MAX_BYTES, sign1
from loyalty.request import Line
from loyalty.rows import Activated, AllowanceClosed, AllowanceTaken, Caller, Kind, read_body, read_detail
from sync.files import StorageError
from sync.journal import JournalReader
from tests.rigs.shop import CARD, OTHER_CARD, Shop
from tests.rigs.small_disk import small_disk

BONUS = b"""
[[batches]]
id = "welcome"
use = "once"
releases = [{ at = 2026-01-01, upto = 50000 }]

[[campaigns]]
id = "voucher"
name = { en = "Voucher", fr = "Bon", it = "Buono" }
on = "code"
priority = 5
gives = { points = 15 }
when = { code_batches = ["welcome"] }
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def refused(code: str, work: object, *arguments: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        work(*arguments)  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


def done(result: Done | NotDone) -> Done:
    assert isinstance(result, Done), result
    return result


def declined(result: Done | NotDone) -> str:
    assert isinstance(result, NotDone), result
    return result.answer.reason


def earn(shop: Shop, amount_minor: int | None = 4_000, card: str = CARD, key: str | None = None, **more: object):
    asked = Earning(card=card, amount_minor=amount_minor, **more)  # type: ignore[arg-type]
    return shop.operations.earn(asked, Caller(pos_key="till", key=key) if key else None)


def activate(shop: Shop, code: str | None, card: str = CARD, key: str | None = None, **more: object):
    asked = Activation(card=card, code=code, **more)  # type: ignore[arg-type]
    return shop.operations.activate(asked, Caller(pos_key="till", key=key) if key else None)


def burn(shop: Shop, **asked: object):
    return shop.operations.burn(Burn(card=CARD, **asked), None)  # type: ignore[arg-type]


def reverse(shop: Shop, of: Done, **asked: object):
    return shop.operations.reverse(Reversal(seq=of.row.seq, **asked), None)  # type: ignore[arg-type]


# Activation


@pytest.mark.parametrize("way", ["signed", "typed", "assisted"])
def test_a_card_comes_to_life_by_qr_by_typed_code_and_with_staffs_help(shop: Shop, way: str) -> None:
    code = shop.print_code()
    text = {"signed": code.qr, "typed": code.typed, "assisted": None}[way]
    result = done(activate(shop, text, assisted=way == "assisted", operator="anna", first_name="Ada"))
    detail = read_detail(read_body(result.row.body))
    assert isinstance(detail, Activated) and (detail.way, detail.first_name) == (way, "Ada")
    assert (detail.code.id if detail.code else None) == (None if way == "assisted" else code.id.hex())
    card = shop.operations.card(CARD)
    assert card["known"] and card["status"] == "active" and card["balance"] == card["provisional"] == 20


@pytest.mark.parametrize("change", [str.lower, lambda text: text.replace("-", " "), lambda text: f"  {text} \n"])
def test_a_typed_code_is_taken_as_people_type_it(shop: Shop, change) -> None:
    done(activate(shop, change(shop.print_code().typed)))


def test_a_typed_code_that_begins_with_hf_is_no_signed_one(shop: Shop) -> None:
    number = typed.SYMBOLS.index("H") << 45 | typed.SYMBOLS.index("F") << 40 | 7
    assert typed.make(number).startswith("HF")
    hash_ = typed.stored_hash(typed.TypedCode(number=number), shop.identity.code_key)
    with shop.snapshot.writing():
        shop.snapshot.put_codes("welcome", "activation", [(hash_, secrets.token_bytes(16), 99)])
    done(activate(shop, typed.make(number)))


def test_typing_errors_are_named_and_nothing_is_written(shop: Shop) -> None:
    code = shop.print_code().typed
    other = "7" if code[0] != "7" else "8"
    refused("code.mistyped", activate, shop, other + code[1:])
    refused("code.length", activate, shop, code[:-2])
    refused("code.length", activate, shop, "")
    assert "place 1" in refused("code.symbol", activate, shop, "U" + code[1:]).text
    refused("code.unknown", activate, shop, shop.print_code(known=False).typed)
    refused("code.alien", activate, shop, "https://example.org/?x=1")
    refused("till.code_needed", activate, shop, None)
    assert shop.rows() == 0


def test_a_code_works_once_whichever_way_it_is_read(shop: Shop) -> None:
    code = shop.print_code()
    done(activate(shop, code.qr))
    refused("code.used", activate, shop, code.typed, OTHER_CARD)
    refused("code.used", activate, shop, code.qr, OTHER_CARD)
    assert shop.rows() == 1


@pytest.mark.parametrize("state", ["used", "void"])
def test_what_the_centre_said_of_a_code_counts_here(shop: Shop, state: str) -> None:
    code = shop.print_code()
    with shop.snapshot.writing():
        shop.snapshot.put_code_state(code.id, state)
    refused(f"code.{state}", activate, shop, code.qr)
    refused(f"code.{state}", activate, shop, code.typed)


def test_expired_foreign_torn_and_forged_codes_each_get_their_own_word(shop: Shop, tmp_path: Path) -> None:
    code = shop.print_code(lasts_s=3_600).qr
    refused("code.torn", activate, shop, code[:-3] + "...")
    refused("code.other_programme", activate, shop, shop.print_code(programme="elsewhere").qr)
    refused("code.bad_signature", activate, shop, forged(shop))
    stranger = Shop(tmp_path / "stranger")
    stranger_code = stranger.print_code().qr
    stranger.close()
    refused("code.bad_signature", activate, shop, stranger_code)  # same key id, another key
    refused("till.code_purpose", activate, shop, shop.print_code("bonus").qr)
    shop.clock.passes(7_200)
    refused("code.expired", activate, shop, code)
    assert shop.rows() == 0


def forged(shop: Shop) -> str:
    import base45

    message = bytearray(base45.b45decode(shop.print_code().qr[4:]))
    message[-1] ^= 1
    return "HF1:" + base45.b45encode(bytes(message)).decode()


def test_a_card_that_is_active_is_not_activated_again(shop: Shop) -> None:
    shop.member()
    assert declined(activate(shop, shop.print_code().typed)) == "card.already_active"
    assert shop.rows() == 0


# Earning


def test_points_by_amount_and_the_sum_of_the_breakdown_is_what_is_said(shop: Shop) -> None:
    shop.member(balance=100)
    result = done(earn(shop, 4_599, receipt="R1"))
    assert result.answer.points == 45 == sum(points for _, points in result.answer.breakdown)
    assert (result.view.balance, result.view.provisional) == (145, 45)
    told = done_json(result, CARD, shop.till.programme(), "en")
    assert told["provisional"] and told["row"]["seq"] == 1 and "45" in told["words"]["sentence"]


def test_points_by_lines_count_each_category_and_exclude_what_is_excluded(shop: Shop) -> None:
    shop.member()
    lines = (
        Line(no=1, amount_minor=1_000, category="fresh"),
        Line(no=2, amount_minor=2_000, category="tobacco"),
        Line(no=3, amount_minor=1_000),
    )
    assert done(earn(shop, 4_000, lines=lines)).answer.points == 15 + 0 + 10


def test_what_was_paid_with_vouchers_earns_nothing(shop: Shop) -> None:
    shop.member()
    assert done(earn(shop, 4_000, vouchers_minor=1_000)).answer.points == 30


def test_below_the_minimum_nothing_is_earned_but_the_purchase_is_kept(shop: Shop) -> None:
    shop.member()
    assert done(earn(shop, 99)).answer.points == 0
    assert shop.rows() == 1


def test_amounts_that_cannot_be_meant_are_refused_and_nothing_is_written(shop: Shop) -> None:
    shop.member()
    for amount_minor in (None, 0, -1, 10**12 + 1, 1 << 63, 10**30):
        assert declined(earn(shop, amount_minor)) == "request.amount"
    for text, code in (
        ("12.345", "till.amount"),
        ("12,3,4", "till.amount"),
        ("", "till.amount"),
        ("zwölf", "till.amount"),
        ("1e9", "till.amount"),
        ("-5", "till.amount_range"),
        ("9" * 40, "till.amount_range"),
    ):
        with pytest.raises(AmountError) as caught:
            earn(shop, None, amount=text)
        assert caught.value.code == code
    assert declined(earn(shop, 100, vouchers_minor=101)) == "request.vouchers"
    assert declined(earn(shop, 100, lines=(Line(no=1, amount_minor=99),))) == "request.lines"
    assert declined(earn(shop, 100, currency="USD")) == "request.currency"
    assert shop.rows() == 0


def test_a_basket_larger_than_a_row_is_refused_in_words_and_the_next_purchase_works(shop: Shop) -> None:
    shop.member()
    lines = tuple(Line(no=no, amount_minor=100, product=f"article-{no:010}") for no in range(1_000))
    with pytest.raises(RefusedError) as caught:
        earn(shop, 100_000, lines=lines)
    assert caught.value.code == "request.too_long" and shop.rows() == 0
    done(earn(shop, 100_000))


def test_a_receipt_earns_once(shop: Shop) -> None:
    shop.member()
    done(earn(shop, receipt="R1"))
    assert declined(earn(shop, receipt="R1")) == "earn.receipt_used"
    assert shop.rows() == 1


def test_a_card_nobody_knows_earns_nothing(shop: Shop) -> None:
    refused("card.unknown", earn, shop)
    refused("token.alien_code", earn, shop, 100, "uid:")
    assert shop.rows() == 0
    assert shop.operations.card(CARD) == {
        "card": CARD,
        "known": False,
        "status": "none",
        "account": None,
        "name": None,
        "tier": None,
        "balance": None,
        "provisional": 0,
    }


def test_a_uid_is_one_card_in_either_case(shop: Shop) -> None:
    shop.member()
    assert shop.operations.card(CARD.upper().replace("UID", "uid"))["known"]


def test_a_blocked_card_is_refused(shop: Shop) -> None:
    shop.member(status="blocked")
    assert declined(earn(shop)) == "card.blocked"


def test_only_rows_that_the_centre_has_not_counted_are_provisional(shop: Shop) -> None:
    shop.member(balance=100)
    first, second = done(earn(shop, 1_000)), done(earn(shop, 2_000))
    assert (second.view.balance, second.view.provisional) == (130, 30)
    shop.acknowledged(first.row.seq)
    assert shop.operations.card(CARD)["provisional"] == 20
    assert shop.operations.card(CARD)["balance"] == 130  # acknowledged is not yet in the centre's facts: still ours
    shop.acknowledged(second.row.seq)
    assert shop.operations.card(CARD)["provisional"] == 0


# The same request again


def test_the_same_key_gives_the_same_row_and_the_same_answer(shop: Shop) -> None:
    shop.member()
    lines = (Line(no=1, amount_minor=3_000, category="fresh"), Line(no=2, amount_minor=1_000))
    first = done(earn(shop, 4_000, key="k1", lines=lines, receipt="R1"))
    again = done(earn(shop, 4_000, key="k1", lines=lines, receipt="R1"))
    assert again.replayed and again.row == first.row and again.answer.points == first.answer.points
    assert shop.rows() == 1 and again.view.balance == first.view.balance


@pytest.mark.parametrize(
    "other",
    [
        {"amount_minor": 4_001},
        {"vouchers_minor": 1},
        {"receipt": "R2"},
        {"lines": (Line(no=1, amount_minor=4_000, category="fresh"),)},
        {"card": OTHER_CARD},
    ],
)
def test_the_same_key_with_other_content_is_refused(shop: Shop, other: dict[str, object]) -> None:
    shop.member()
    shop.member(OTHER_CARD)
    done(earn(shop, 4_000, key="k1", receipt="R1"))
    refused("caller.key_used", lambda: earn(shop, **{"amount_minor": 4_000, "key": "k1", "receipt": "R1", **other}))
    assert shop.rows() == 1


def test_a_key_of_an_earning_is_no_key_for_a_burn_or_an_activation(shop: Shop) -> None:
    account = shop.member(balance=100)
    shop.grant(account, 30)
    done(earn(shop, key="k1"))
    caller = Caller(pos_key="till", key="k1")
    refused("caller.key_used", lambda: shop.operations.burn(Burn(card=CARD, reward="coffee"), caller))
    refused("caller.key_used", lambda: activate(shop, shop.print_code().typed, key="k1"))


def test_a_burn_of_other_points_is_another_request(shop: Shop) -> None:
    account = shop.member(balance=100)
    shop.grant(account, 60)
    caller = Caller(pos_key="till", key="k1")
    first = done(shop.operations.burn(Burn(card=CARD, points=20), caller))
    assert done(shop.operations.burn(Burn(card=CARD, points=20), caller)).row == first.row
    refused("caller.key_used", lambda: shop.operations.burn(Burn(card=CARD, points=30), caller))


def test_an_activation_is_repeated_with_its_code_and_no_other(shop: Shop) -> None:
    code, other = shop.print_code(), shop.print_code()
    first = done(activate(shop, code.qr, key="k1", first_name="Ada"))
    again = done(activate(shop, code.typed, key="k1", first_name="Ada"))
    assert again.replayed and again.row == first.row
    refused("caller.key_used", lambda: activate(shop, other.qr, key="k1", first_name="Ada"))
    refused("caller.key_used", lambda: activate(shop, code.qr, key="k1", first_name="Eve"))
    assert shop.rows() == 1


def test_a_purchase_with_a_code_can_be_repeated_though_its_code_is_used_by_then(tmp_path: Path) -> None:
    shop = with_bonus(tmp_path)
    shop.member()
    code = shop.print_code("bonus").typed
    first = done(earn(shop, key="k1", codes=(code,)))
    assert first.answer.points == 55
    assert done(earn(shop, key="k1", codes=(code,))).row == first.row
    refused("caller.key_used", lambda: earn(shop, key="k1"))
    assert declined(earn(shop, key="k2", codes=(code,))) == "code.used"
    shop.acknowledged(1)
    assert declined(earn(shop, key="k2", codes=(code,))) == "code.used"
    shop.close()


def with_bonus(folder: Path, use: bytes = b'use = "once"') -> Shop:
    from agent.demo.world import PROGRAMME

    return Shop(folder, document=PROGRAMME.read_bytes() + BONUS.replace(b'use = "once"', use))


def test_a_code_is_used_as_often_as_the_programme_says(tmp_path: Path) -> None:
    shop = with_bonus(tmp_path, b'use = "times"\ntimes = 2')
    shop.member()
    shop.member(OTHER_CARD)
    code = shop.print_code("bonus").typed
    done(earn(shop, codes=(code,)))
    done(earn(shop, card=OTHER_CARD, codes=(code,)))
    assert declined(earn(shop, codes=(code,))) == "code.used_up"
    shop.close()


@pytest.mark.parametrize("state", ["used", "void"])
def test_a_bonus_code_that_the_centre_took_out_is_refused(tmp_path: Path, state: str) -> None:
    shop = with_bonus(tmp_path)
    shop.member()
    code = shop.print_code("bonus")
    with shop.snapshot.writing():
        shop.snapshot.put_code_state(code.id, state)
    assert declined(earn(shop, codes=(code.qr,))) == f"code.{state}"
    shop.close()


def test_a_bonus_code_alone_gives_its_points_once(tmp_path: Path) -> None:
    shop = with_bonus(tmp_path)
    shop.member()
    code = shop.print_code("bonus")
    assert done(shop.operations.use_codes(CodeUse(card=CARD, codes=(code.qr,)), None)).answer.points == 15
    assert declined(shop.operations.use_codes(CodeUse(card=CARD, codes=(code.typed,)), None)) == "code.used"
    refused("till.code_purpose", lambda: earn(shop, codes=(shop.print_code().typed,)))
    assert shop.rows() == 1
    shop.close()


# Burning


def details(shop: Shop, kind: Kind) -> list[object]:
    return [read_detail(read_body(row.body)) for row in shop.journal.rows_of_kind(kind)]


def test_a_burn_needs_an_allowance_and_enough_points(shop: Shop) -> None:
    account = shop.member(balance=40)
    assert declined(burn(shop, reward="coffee")) == "burn.allowance"
    assert declined(burn(shop, reward="bag")) == "burn.balance"
    assert declined(burn(shop, points=25)) == "burn.step"
    assert declined(burn(shop, points=10)) == "burn.minimum"
    assert declined(burn(shop, reward="yacht")) == "burn.reward"
    assert shop.rows() == 0
    shop.grant(account, 30)
    assert done(burn(shop, reward="coffee")).view.balance == 10


def test_a_burn_takes_the_allowance_once_and_closes_it_when_it_is_spent(shop: Shop) -> None:
    account = shop.member(balance=200)
    granted = shop.grant(account, 50)
    done(burn(shop, points=20))
    assert details(shop, Kind.allowance_taken) == [AllowanceTaken(allowance=granted, grant=b"grant")]
    assert not details(shop, Kind.allowance_closed)
    assert declined(burn(shop, points=40)) == "burn.allowance"  # 30 are left, computed from the rows
    done(burn(shop, points=30))
    assert len(details(shop, Kind.allowance_taken)) == 1
    assert details(shop, Kind.allowance_closed) == [AllowanceClosed(allowance=granted, spent=50)]
    assert declined(burn(shop, points=20)) == "burn.allowance"


def test_what_is_left_of_an_allowance_survives_a_restart(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    account = shop.member(balance=200)
    shop.grant(account, 50)
    done(burn(shop, points=20))
    shop.journal.close()
    shop._open()
    assert declined(burn(shop, points=40)) == "burn.allowance"
    done(burn(shop, points=30))
    shop.close()


def test_an_allowance_ends_before_the_centre_takes_it_back_and_a_clock_set_back_does_not_help(shop: Shop) -> None:
    account = shop.member(balance=100)
    granted = shop.grant(account, 30, lifetime_s=600)
    shop.clock.passes(594)
    shop.clock.wall_ms -= 86_400_000
    assert declined_or_done(shop) == "done"
    granted = shop.grant(account, 30, lifetime_s=600)
    shop.clock.passes(596)
    assert declined_or_done(shop) == "burn.allowance"
    before = shop.rows()
    assert shop.till.close_spent_allowances() == 1
    assert details(shop, Kind.allowance_closed)[-1] == AllowanceClosed(allowance=granted, spent=0)
    assert shop.till.close_spent_allowances() == 0
    assert shop.rows() == before + 1


def declined_or_done(shop: Shop) -> str:
    result = burn(shop, reward="coffee")
    return "done" if isinstance(result, Done) else result.answer.reason


def test_an_allowance_of_an_earlier_boot_counts_by_the_wall_clock(shop: Shop) -> None:
    account = shop.member(balance=100)
    shop.grant(account, 30, lifetime_s=600)
    shop.clock.boot, shop.clock.boottime_ms = b"C" * 16, 30_000
    shop.clock.wall_ms += 596_000
    assert declined_or_done(shop) == "burn.allowance"
    shop.clock.wall_ms -= 100_000
    assert declined_or_done(shop) == "done"


def test_an_allowance_of_another_branch_is_not_used_and_not_closed_here(shop: Shop) -> None:
    account = shop.member(balance=100)
    shop.grant(account, 30, epoch=2)
    assert declined_or_done(shop) == "burn.allowance"
    assert shop.till.close_spent_allowances() == 0 and shop.rows() == 0


def test_an_operation_of_several_rows_is_all_there_or_not_at_all(shop: Shop) -> None:
    account = shop.member(balance=100)
    shop.grant(account, 30)
    endless = Caller(pos_key="till", key="k" * 20_000)  # the allowance is taken first; the burn's row is too long
    refused("request.too_long", shop.operations.burn, Burn(card=CARD, reward="coffee"), endless)
    assert shop.rows() == 0 and shop.operations.card(CARD)["balance"] == 100
    done(burn(shop, reward="coffee"))
    assert len(details(shop, Kind.allowance_taken)) == 1


# Taking back


def test_a_reversal_takes_back_the_whole_once(shop: Shop) -> None:
    shop.member(balance=100)
    earned = done(earn(shop))
    back = done(reverse(shop, earned, whole=True, reason="wrong card"))
    assert (back.answer.points, back.view.balance) == (-40, 100)
    assert declined(reverse(shop, earned, whole=True)) == "reversal.already"
    assert shop.rows() == 2


def test_parts_by_amount_and_by_line_sum_to_the_whole(shop: Shop) -> None:
    shop.member()
    lines = (Line(no=1, amount_minor=3_000, category="fresh"), Line(no=2, amount_minor=1_050))
    earned = done(earn(shop, 4_050, lines=lines))
    parts = [
        reverse(shop, earned, amount_minor=777),
        reverse(shop, earned, lines=(Line(no=2, amount_minor=100),)),
        reverse(shop, earned, whole=True),
    ]
    assert sum(done(part).answer.points for part in parts) == -earned.answer.points
    assert shop.operations.card(CARD)["balance"] == 0


def test_more_than_is_left_and_lines_that_are_not_there_are_refused(shop: Shop) -> None:
    shop.member()
    earned = done(earn(shop, 4_000))
    assert declined(reverse(shop, earned, amount_minor=4_001)) == "reversal.too_much"
    assert declined(reverse(shop, earned, lines=(Line(no=9, amount_minor=1),))) == "reversal.line"
    assert declined(reverse(shop, earned, amount_minor=0)) == "request.amount"
    done(reverse(shop, earned, amount_minor=3_000))
    assert declined(reverse(shop, earned, amount_minor=1_001)) == "reversal.too_much"
    assert shop.rows() == 2


def test_a_burn_and_an_activation_can_be_taken_back_and_a_reversal_cannot(shop: Shop) -> None:
    account = shop.member(balance=100)
    shop.grant(account, 30)
    burned = done(burn(shop, reward="coffee"))
    back = done(reverse(shop, burned, whole=True))
    assert back.answer.points == 30
    refused("row.unknown", reverse, shop, back)
    activated = done(activate(shop, shop.print_code().typed, OTHER_CARD))
    assert done(reverse(shop, activated, whole=True)).answer.points == -20


def test_rows_that_are_not_there_cannot_be_taken_back(shop: Shop) -> None:
    for seq in (0, -1, 99, 1 << 63, 1 << 70):
        refused("row.unknown", shop.operations.reverse, Reversal(seq=seq, whole=True), None)
    for event in ("", "zz", "00" * 16, "00" * 40):
        refused("row.unknown", shop.operations.reverse, Reversal(event_id=event, whole=True), None)
    refused("row.unknown", shop.operations.reverse, Reversal(whole=True), None)


# What the till knows


def test_without_a_programme_the_till_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path, document=b"not a programme")
    shop.member()
    refused("till.no_programme", earn, shop)
    assert shop.till.money() == {"currency": None, "exponent": None}
    shop.close()


def test_a_programme_that_the_centre_did_not_sign_is_as_if_it_were_not_there(shop: Shop) -> None:
    from agent.demo.world import PROGRAMME

    generous = PROGRAMME.read_bytes().replace(b"version = 1", b"version = 2").replace(b"points = 1\n", b"points = 99\n")
    signed = sign1(generous, shop.keys["code"], shop.kid("programme"), max_bytes=DOCUMENT_MAX_BYTES)
    with shop.snapshot.writing():
        shop.snapshot.put_programme(2, signed)
    assert shop.till.programme().version == 1


def test_facts_that_do_not_fit_our_chain_are_not_used_and_said_to_be_unknown(shop: Shop) -> None:
    done(activate(shop, shop.print_code().typed, OTHER_CARD))
    account = shop.member(balance=500)
    with shop.snapshot.writing():
        shop.snapshot._db.execute("UPDATE members SET watermark_hash = ?", (b"x" * 32,))
    assert shop.operations.card(CARD)["balance"] is None
    shop.grant(account, 30)
    assert declined(burn(shop, reward="coffee")) == "burn.unknown"
    result = done(earn(shop))
    assert "facts.unknown" in result.answer.flags and result.view.balance is None


def test_a_snapshot_that_is_thrown_away_or_replaced_never_stops_the_till(tmp_path: Path) -> None:
    shop, other = Shop(tmp_path / "till"), Shop(tmp_path / "other")
    shop.member(balance=70)
    shop.close()
    till = build_till(shop.identity, shop.folder)
    assert till.who(shop.token(CARD)).balance == 70
    for path in shop.folder.glob("snapshot.db*"):
        path.unlink()
    assert till.who(shop.token(CARD)).balance == 70
    other.close()
    (other.folder / "snapshot.db").rename(shop.folder / "snapshot.db")
    assert not till.who(shop.token(CARD)).known
    till.journal.close()


def test_a_quote_is_the_same_decision_and_writes_nothing(shop: Shop) -> None:
    shop.member()
    answer, request, view = shop.operations.quote(Earning(card=CARD, amount_minor=4_000))
    assert shop.rows() == 0 and request.amount_minor == 4_000 and view["balance"] == 0
    assert done(earn(shop)).answer == answer


def test_the_journal_tells_the_centres_word_on_each_row(shop: Shop) -> None:
    shop.member()
    for _ in range(3):
        done(earn(shop))
    shop.acknowledged(2)
    assert [row["outcome"] for row in shop.operations.journal(pending=False, limit=10)] == [
        "applied",
        "applied",
        "pending",
    ]
    assert [row["seq"] for row in shop.operations.journal(pending=True, limit=10)] == [3]
    assert [row["seq"] for row in shop.operations.journal(pending=False, limit=1)] == [3]


def test_a_full_disk_leaves_nothing_of_an_operation_and_the_next_one_works(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as folder:
        shop = Shop(folder)
        account = shop.member(balance=500)
        shop.grant(account, 60)
        done(earn(shop, receipt="R1"))
        before = shop.rows()
        filler = folder / "filler"
        fill(filler)
        codes = fail_until_full(shop)
        assert codes == {"storage.full"}
        kept = shop.rows()
        filler.unlink()
        assert kept >= before
        done(earn(shop, receipt="last"))
        assert declined(earn(shop, receipt="last")) == "earn.receipt_used"
        done(burn(shop, points=60))
        assert JournalReader.open(folder).verify() == shop.rows()
        shop.close()


def fill(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 4_096)
    os.close(handle)


def fail_until_full(shop: Shop) -> set[str]:
    """Earns until the disk takes no more, then three times more: each fails, and no row is half there."""
    codes: set[str] = set()
    failures = 0
    for number in range(500):
        before = shop.rows()
        try:
            done(earn(shop, receipt=f"F{number}"))
        except StorageError as error:
            codes.add(error.code)
            assert shop.rows() == before
            failures += 1
        if failures == 3:
            return codes
    raise AssertionError("the disk was never full")
