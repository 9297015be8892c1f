"""The page before the real thing: the demonstration's agent, centre, line and reader, each its own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from agent.demo.world import World, free_port, random_uid
from drivers import lines
from tests.browser.test_page import CHROMIUM, QUIET
from tests.rigs.need import need

PATIENCE_MS = 30_000
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the world's open logs


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    need(CHROMIUM.exists(), "chromium")
    world = World(tmp_path_factory.mktemp("world"), till_port=free_port())
    try:
        world.build()
        yield world
    finally:
        world.remote._http.close()
        world.close()


@pytest.fixture(scope="module")
def page(world: World) -> Iterator[Page]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1024, "height": 600})
        with page.expect_response("**/api/v1/stream"):
            page.goto(f"http://127.0.0.1:{world.till_port}/")
        yield page
        browser.close()


def hold(world: World, uid: str) -> None:
    """A card is held to the reader and taken away."""
    world.present(lines.Reading(kind="card", scope="counter", uid=uid, tag="type2"))
    world.present(lines.Removed(scope="counter"))


def show(world: World, number: int) -> None:
    """A printed code is held to the camera."""
    world.present(lines.Reading(kind="code", scope="camera", symbology="QRCode", text=world.codes[number].qr))


def finish(page: Page) -> None:
    """Next, once the page listens again."""
    page.wait_for_timeout(450)
    page.locator("#next").click()


def test_a_day_at_the_counter(world: World, page: Page) -> None:
    """A new card is activated by a scanned code, earns, earns with the line cut, is reversed; the centre agrees."""
    uid = random_uid()
    hold(world, uid)
    expect(page.locator("[data-view=unknown]")).to_be_visible()
    show(world, 0)
    expect(page.locator("[data-view=answer]")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("Yes, final")
    finish(page)
    expect(page.locator("[data-view=pad]")).to_be_visible()

    page.keyboard.type("2550")
    expect(page.locator("#tall strong")).not_to_be_empty()
    promised = page.locator("#tall strong").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#number")).to_have_text(f"+{promised}")
    expect(page.locator("#lines li").first).not_to_be_empty()
    expect(page.locator("#verdict")).to_contain_text("Yes, final")
    finish(page)

    world.line.cut()
    hold(world, uid)
    expect(page.locator("[data-view=pad]")).to_be_visible()
    page.keyboard.type("1000")
    expect(page.locator("#tall strong")).not_to_be_empty()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Yes, provisional")
    expect(page.locator("#line")).to_contain_text("1 to send")
    expect(page.locator("#line")).to_contain_text("No line")
    page.wait_for_timeout(450)
    page.locator("#reverse-this").click()
    page.get_by_role("button", name="The amount was wrong").click()
    expect(page.locator("#number")).to_contain_text("\u2212")
    finish(page)
    expect(page.locator("#last")).to_contain_text("reversed")

    world.line.restore()
    world.remote.post("/sync")
    expect(page.locator("#line")).to_contain_text("Line up, all sent")
    balance = world.remote.get(f"/cards/uid:{uid}")
    assert balance["provisional"] == 0
    assert world.centre("/accounts")[0]["balance"] == balance["balance"]


def test_a_code_used_before_is_refused_in_words(world: World, page: Page) -> None:
    hold(world, random_uid())
    expect(page.locator("[data-view=unknown]")).to_be_visible()
    show(world, 0)
    expect(page.locator("#verdict")).to_have_text("No")
    expect(page.locator("#sentence")).to_contain_text("used")


def test_a_code_typed_as_printed_activates(world: World, page: Page) -> None:
    hold(world, random_uid())
    expect(page.locator("[data-view=unknown]")).to_be_visible()
    page.locator("[data-act=activate]").click()
    page.keyboard.type(world.codes[1].typed)
    page.keyboard.press("Enter")
    expect(page.locator("[data-view=answer] .verdict")).to_contain_text("Yes")


def test_a_torn_chip_and_a_foreign_code_change_nothing(world: World, page: Page) -> None:
    rows = world.remote.get("/status")["rows"]
    page.keyboard.press("Escape")
    world.present(lines.Reading(kind="code", scope="camera", symbology="QRCode", text="WIFI:T:WPA;S:Guests;P:x;;"))
    expect(page.locator("#hint")).not_to_be_empty()
    world.present(lines.Reading(kind="card", scope="counter", uid="08a1b2c3", tag="type4", ndef_state="torn"))
    expect(page.locator("#hint")).not_to_be_empty()
    assert world.remote.get("/status")["rows"] == rows
