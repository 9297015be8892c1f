"""The cashier page in a real browser, before a stand-in of the local API that answers from a can.

`test_page_real.py` drives the same page before the real agent, centre and reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent.web import pages
from tests.browser.stand_in import BLOCKED, CODE, FIORELLA, STRANGER, TEO, Serving, Till, reader
from tests.rigs.need import need

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
STATIC = Path(pages.HERE) / "static"
MISFITS = """() => [...document.querySelectorAll('.till *')].filter(node => !node.closest('svg')).flatMap(node => {
  const box = node.getBoundingClientRect();
  const name = `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 30)}`;
  if (!box.width || !box.height) return [];
  const wrong = [];
  if (box.right > innerWidth + 1 || box.bottom > innerHeight + 1) wrong.push(`outside: ${name}`);
  const block = getComputedStyle(node).display !== 'inline' && node.tagName !== 'INPUT';
  if (block && node.scrollWidth > node.clientWidth + 1) wrong.push(`clipped: ${name}`);
  if (node.matches('.col') && node.scrollHeight > node.clientHeight + 2) wrong.push(`too tall: ${name}`);
  if (node.tagName === 'BUTTON' && Math.min(box.width, box.height) < 44) wrong.push(`small: ${name}`);
  if (parseFloat(getComputedStyle(node).fontSize) < 16) wrong.push(`tiny: ${name}`);
  return wrong;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(CHROMIUM.exists(), "chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def serving() -> Iterator[Serving]:
    serving = Serving(Till())
    yield serving
    serving.stop()


@pytest.fixture
def till(serving: Serving) -> Till:
    return serving.till


@pytest.fixture
def page(browser: Browser, serving: Serving) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1024, "height": 600})
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: broken.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(serving.url)
    expect(page.locator("[data-view=idle]")).to_be_visible()
    wait_for_stream(page, serving.till)
    yield page
    context.close()
    assert broken == []


def wait_for_stream(page: Page, till: Till, heard: int = 0) -> None:
    """Until the page hears events, having heard `heard` beginnings before."""
    for _ in range(200):
        if till.hellos > heard:
            return
        page.wait_for_timeout(25)
    raise AssertionError("the page never asked for its events")


def reload(page: Page, till: Till) -> None:
    """The page is loaded again and hears events again."""
    heard = till.hellos
    page.reload()
    wait_for_stream(page, till, heard)


def tap(page: Page, till: Till, card: str, view: str = "pad") -> None:
    """A card is held to the reader, and the page has shown it."""
    till.tap(card)
    expect(page.locator(f"[data-view={view}]")).to_be_visible()


def give(page: Page, till: Till, amount: str = "2550") -> None:
    """Fiorella's purchase, given and answered."""
    tap(page, till, FIORELLA)
    page.keyboard.type(amount)
    expect(page.locator("#tall strong")).not_to_be_empty()
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=answer]")).to_be_visible()


def after_the_deaf_moment(page: Page) -> None:
    page.wait_for_timeout(450)


# -- what is served ----------------------------------------------------------------------------------------------------


def test_the_page_comes_with_a_session_and_a_policy_that_lets_nothing_else_in(serving: Serving) -> None:
    answer = httpx.get(serving.url)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    cookie = answer.headers["set-cookie"]
    assert re.match(r"holdfast_session=\w+;", cookie)
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie


def test_only_the_named_origins_may_show_the_page_in_a_frame() -> None:
    assert "frame-ancestors http://127.0.0.1:9" in pages.policy(["http://127.0.0.1:9"])


def test_a_file_that_the_browser_holds_is_not_sent_again(serving: Serving) -> None:
    first = httpx.get(f"{serving.url}/static/till.css")
    again = httpx.get(f"{serving.url}/static/till.css", headers={"If-None-Match": first.headers["etag"]})
    assert first.headers["content-type"].startswith("text/css")
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["till.html", "nothing.js", "..%2Fpages.py"])
def test_nothing_but_the_page_s_own_files_is_served(serving: Serving, name: str) -> None:
    assert httpx.get(f"{serving.url}/static/{name}").status_code == 404


def test_the_page_is_small_and_takes_no_text_for_markup() -> None:
    script = (STATIC / "till.js").read_text()
    document = (STATIC / "till.html").read_text()
    assert len(script.encode()) < 25_000
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert not re.search(r"\sstyle=|\son\w+=|<style|https?://", document)


def test_every_word_is_there_in_three_languages_and_none_is_unused() -> None:
    said = pages.words()
    used = (STATIC / "till.js").read_text() + (STATIC / "till.html").read_text()
    stems = set(re.findall(r"`([\w.]+\.)\$\{", used))
    for key in said["en"]:
        base = re.sub(r"\.(one|other)$", "", key)
        named = f"'{base}'" in used or f'"{base}"' in used
        assert named or any(base.startswith(stem) for stem in stems) or base.endswith(".body"), key
    for key in re.findall(r'data-(?:w|label)="([^"]+)"', used) + re.findall(r"word\('([^']+)'", used):
        assert all(key in said[language] for language in pages.LANGUAGES), key


def test_french_signs_keep_their_narrow_space() -> None:
    assert pages.french("« Oui » : non ?") == "«\u202fOui\u202f»\u202f: non\u202f?"


# -- a purchase --------------------------------------------------------------------------------------------------------


def test_a_purchase_is_given_as_quoted_and_its_answer_becomes_final(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    expect(page.locator("[data-view=pad] .name")).to_have_text("Fiorella")
    expect(page.locator("[data-view=pad] .num")).to_contain_text("1,240")
    expect(page.locator("[data-view=pad] .held")).to_contain_text("48 of them provisional")
    expect(page.locator("[data-view=pad]")).to_contain_text("Coffee, 150")
    expect(page.locator("#heard")).to_have_text("Fiorella. 1,240 points. 48 of them provisional")
    page.keyboard.type("2550")
    assert page.locator("#amount").input_value() == "25.50"
    expect(page.locator("#tall")).to_have_text(re.compile(r"Give\s*51\s*points"))
    page.locator("#tall").click()
    expect(page.locator("#verdict")).to_contain_text("Yes, provisional")
    expect(page.locator("#rule")).to_have_class("rule dash")
    expect(page.locator("#number")).to_have_text("+51")
    expect(page.locator("#lines li")).to_have_count(3)
    expect(page.locator("#sentence")).to_have_text("51 points for Fiorella. The centre will confirm.")
    expect(page.locator("#heard")).to_contain_text("Yes, provisional. 51 points for Fiorella")
    till.settle("applied")
    expect(page.locator("#verdict")).to_contain_text("Yes, final")
    expect(page.locator("#rule")).to_have_class("rule")
    assert till.asked[0][1] == {"card": FIORELLA, "amount_minor": 2550}


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("5", "0.05"), ("25,5", "25.50"), ("12.345", "12.34"), ("007", "0.07"), ("2550\b", "2.55"), ("1.\b2", "0.12")],
)
def test_amounts_are_typed_with_or_without_their_decimals(page: Page, till: Till, typed: str, shown: str) -> None:
    tap(page, till, FIORELLA)
    for key in typed:
        page.keyboard.press("Backspace" if key == "\b" else key)
    assert page.locator("#amount").input_value() == shown


def test_enter_before_the_quote_is_kept_for_it(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Yes, provisional")
    assert len(till.rows) == 1


def test_a_double_press_is_one_row_and_does_not_dismiss_the_answer(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    expect(page.locator("#tall strong")).to_have_text("51")
    page.evaluate("document.querySelector('#tall').click(); document.querySelector('#tall').click()")
    expect(page.locator("[data-view=answer]")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=answer]")).to_be_visible()
    assert len(till.asked) == 1
    after_the_deaf_moment(page)
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=idle]")).to_be_visible()


def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_key(page: Page, till: Till) -> None:
    till.cut_answers = 1
    give(page, till)
    assert len(till.asked) == 2
    assert len(till.rows) == 1
    expect(page.locator("#answer-note")).to_contain_text("Nothing was doubled")


def test_a_reload_between_press_and_answer_is_still_one_row(page: Page, till: Till) -> None:
    till.cut_answers = 1_000
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    page.keyboard.press("Enter")
    expect(page.locator("#tall")).to_contain_text("Still saving")
    page.reload()
    expect(page.locator("#tall")).to_contain_text("aving")
    till.cut_answers = 0
    expect(page.locator("#number")).to_have_text("+51")
    assert len(till.rows) == 1


def test_a_reload_keeps_what_was_typed_and_its_key(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    key = page.evaluate("JSON.parse(sessionStorage.entry).key")
    page.reload()
    expect(page.locator("#tall strong")).to_have_text("51")
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=answer]")).to_be_visible()
    assert [asked for asked, _ in till.asked] == [key]


def test_an_agent_that_starts_again_costs_neither_entry_nor_session(page: Page, serving: Serving) -> None:
    till = serving.till
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    serving.stop()
    expect(page.locator("#line")).to_contain_text("One moment, starting again")
    till.sessions.given.clear()
    serving.start()
    expect(page.locator("#line")).to_contain_text("Line up", timeout=15_000)
    expect(page.locator("#tall strong")).to_have_text("51")
    page.keyboard.press("Enter")
    expect(page.locator("#number")).to_have_text("+51")


def test_the_centre_s_other_number_replaces_ours_and_shows_both(page: Page, till: Till) -> None:
    give(page, till)
    till.settle("adjusted", 39)
    expect(page.locator("#verdict")).to_contain_text("Changed by the centre")
    expect(page.locator("#number")).to_have_text("+39")
    expect(page.locator("#was")).to_have_text("+51")
    expect(page.locator("#sentence")).to_have_text("The centre counted +39, not +51.")


def test_a_second_card_over_a_typed_amount_asks_whose_it_is(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    till.tap(TEO)
    expect(page.locator("#second")).to_be_visible()
    page.keyboard.type("9")
    page.get_by_role("button", name="Change to Teo").click()
    expect(page.locator("[data-view=pad] .name")).to_have_text("Teo")
    assert page.locator("#amount").input_value() == "25.50"
    assert till.asked == []


def test_a_card_tapped_with_nothing_typed_is_the_next_member(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    till.tap(TEO)
    expect(page.locator("[data-view=pad] .name")).to_have_text("Teo")
    expect(page.locator("#second")).to_be_hidden()


# -- other acts --------------------------------------------------------------------------------------------------------


def test_a_reward_is_two_touches_and_one_row(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.get_by_role("button", name="Rewards").click()
    expect(page.locator("[data-reward=basket]")).to_contain_text("260 points more")
    page.locator("[data-reward=basket]").click(force=True)
    page.locator("[data-reward=coffee]").dblclick()
    expect(page.locator("#number")).to_have_text("\u2212150")
    assert [body for _, body in till.asked] == [{"card": FIORELLA, "reward": "coffee"}]


def test_points_beyond_the_balance_are_refused_in_words_and_can_be_corrected(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.get_by_role("button", name="Rewards").click()
    page.get_by_role("button", name="Use points instead").click()
    page.keyboard.type("1300")
    expect(page.locator("#tall")).to_have_text(re.compile(r"Use\s*1,300\s*points"))
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_have_text("No")
    expect(page.locator("#sentence")).to_have_text("60 points more")
    after_the_deaf_moment(page)
    page.get_by_role("button", name="Correct it").click()
    assert page.locator("#amount").input_value() == "1,300"


def test_an_unknown_card_is_activated_by_a_typed_code_after_a_wrong_one(page: Page, till: Till) -> None:
    tap(page, till, STRANGER, "unknown")
    page.get_by_role("button", name="Activate it with").click()
    page.keyboard.type("WRONG-CODE")
    page.keyboard.press("Enter")
    expect(page.locator("#sentence")).to_have_text("This code is not of our programme.")
    after_the_deaf_moment(page)
    page.keyboard.press("Enter")
    page.locator("#code").fill(CODE)
    page.keyboard.press("Enter")
    expect(page.locator("#number")).to_have_text("+20")
    after_the_deaf_moment(page)
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=pad] .name")).to_have_text("Ada")


def test_an_unknown_card_is_activated_by_a_code_held_to_the_camera(page: Page, till: Till) -> None:
    tap(page, till, STRANGER, "unknown")
    till.show(CODE)
    expect(page.locator("#number")).to_have_text("+20")
    assert till.asked[0][1] == {"card": STRANGER, "code": CODE}


def test_an_unknown_card_is_activated_by_staff_who_name_themselves(page: Page, till: Till) -> None:
    tap(page, till, STRANGER, "unknown")
    page.get_by_role("button", name="There is no code").click()
    page.get_by_role("button", name="Activate the card").click()
    expect(page.locator("#operator")).to_be_focused()
    page.keyboard.type("4")
    page.locator("#first-name").fill("Mia")
    page.keyboard.press("Enter")
    expect(page.locator("#whose")).to_have_text("Mia")
    assert till.asked[0][1] == {"card": STRANGER, "assisted": True, "operator": "4", "first_name": "Mia"}


def test_a_blocked_card_found_by_its_number_goes_no_further(page: Page, till: Till) -> None:
    page.get_by_role("button", name="Type the card").click()
    page.keyboard.type(BLOCKED)
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=blocked]")).to_contain_text("This card is blocked")
    expect(page.locator("#tall")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("[data-view=idle]")).to_be_visible()


def test_the_last_answer_can_be_reversed_once_even_after_a_reload(page: Page, till: Till) -> None:
    give(page, till)
    after_the_deaf_moment(page)
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#last")).to_contain_text("Fiorella +51")
    page.get_by_role("button", name="Reverse it").click()
    page.get_by_role("button", name="The amount was wrong").click()
    expect(page.locator("#number")).to_have_text("\u221251")
    event = next(iter(till.rows.values()))["row"]["event_id"]
    assert till.asked[1][1] == {"event_id": event, "whole": True, "reason": "amount_wrong"}
    after_the_deaf_moment(page)
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#last")).to_contain_text("reversed")
    expect(page.locator("#reverse-last")).to_be_hidden()


def test_a_torn_card_says_what_to_do_and_changes_nothing(page: Page, till: Till) -> None:
    tap(page, till, FIORELLA)
    page.keyboard.type("2550")
    till.refuse("reader.read_failed", "torn")
    expect(page.locator("#hint")).to_have_text("Held too short? Tap again.")
    assert page.locator("#amount").input_value() == "25.50"


def test_names_are_text_whatever_they_contain(page: Page, till: Till) -> None:
    name = "<img src=x onerror=alert(1)><b>Eve"
    till.cards[TEO]["name"] = name
    tap(page, till, TEO)
    expect(page.locator("[data-view=pad] .name")).to_have_text(name)
    assert page.locator("[data-view=pad] img").count() == 0


# -- the strip, languages, fit -----------------------------------------------------------------------------------------


def test_the_strip_says_line_unsent_age_and_readers_in_words(page: Page, till: Till) -> None:
    expect(page.locator("#line")).to_contain_text("Line up, all sent")
    expect(page.locator("#reader")).to_contain_text("2 readers ready")
    till.set_line("down")
    expect(page.locator("#line")).to_contain_text("No line, 12 to send, oldest 2 h 10")
    expect(page.locator("#news")).to_contain_text("Carry on as usual.")
    till.readers = [reader("pcsc", "faulty", "reader.gone")]
    till.say("reader", {})
    expect(page.locator("#reader")).to_contain_text("Reader not answering")
    expect(page.locator("#news")).to_contain_text("Type the number instead. To help: pull the reader’s plug")


def test_a_language_takes_effect_at_once_and_stays(page: Page, till: Till) -> None:
    page.get_by_role("button", name="Français").click()
    expect(page.locator("h1:visible")).to_have_text("Posez la carte")
    expect(page.locator("#line")).to_contain_text("En ligne, tout est envoyé")
    assert page.locator("html").get_attribute("lang") == "fr"
    reload(page, till)
    give(page, till)
    expect(page.locator("#sentence")).to_have_text("51 points pour Fiorella. Le siège confirmera.")
    page.get_by_role("button", name="Suivant").focus()
    expect(page.locator("#whose")).to_have_text(re.compile(r"Fiorella, 25,50\s€"))


@pytest.mark.parametrize(
    ("language", "theme", "width", "height"),
    [("en", "light", 1024, 600), ("fr", "dark", 1024, 600), ("it", "light", 1024, 600), ("fr", "light", 1280, 800)],
)
def test_every_state_fits(page: Page, till: Till, language: str, theme: str, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.locator(f"[data-lang={language}]").click()
    misfits: dict[str, list[str]] = {}

    def look(state: str) -> None:
        if found := page.evaluate(MISFITS):
            misfits[state] = found

    till.set_line("down")
    expect(page.locator("#news")).to_be_visible()
    look("idle")
    give(page, till)
    look("answer")
    till.settle("adjusted", -39)
    expect(page.locator("#was")).to_be_visible()
    look("changed")
    tap(page, till, FIORELLA)
    page.keyboard.type("99999999")
    expect(page.locator("#tall strong")).not_to_be_empty()
    look("pad")
    till.tap(TEO)
    expect(page.locator("#second")).to_be_visible()
    look("second card")
    page.keyboard.press("Escape")
    page.locator("[data-act=rewards]:visible").click()
    look("rewards")
    tap(page, till, STRANGER, "unknown")
    look("unknown")
    page.locator("[data-act=assist]").click()
    look("assisted")
    page.keyboard.press("Escape")
    page.locator("[data-act=activate]").click()
    look("code")
    page.locator("#code").fill("WRONG")
    page.keyboard.press("Enter")
    expect(page.locator(".declined")).to_be_visible()
    look("declined")
    assert misfits == {}
