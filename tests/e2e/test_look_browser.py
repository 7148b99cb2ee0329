"""The components in a real browser: drawn, themed, found by keyboard, alive; and without script."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from threading import Thread

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from werkzeug.serving import make_server

from trackside.auth.models import Member
from trackside.clock import SystemClock
from trackside.runtime import Runtime
from trackside.settings import Settings

WIDTHS = (1440, 390)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Give settings of development, where the patterns are."""
    return replace(settings, development=True)


@pytest.fixture
def clock() -> SystemClock:
    """Give the real clock: live parts move."""
    return SystemClock()


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """Serve the app on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def patterns(page: Page, url: str) -> Page:
    """Open the page that shows every component, its charts drawn."""
    page.goto(f"{url}/-/patterns")
    page.wait_for_selector("#sample-requests canvas")
    return page


def told(page: Page) -> list[str]:
    """Return what the page's console says from now on, refusals of the content security policy included."""
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_among_the_components(page: Page, url: str, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="light" if theme == "light" else "dark")
    page.goto(f"{url}/-/patterns")
    page.wait_for_selector("#sample-requests canvas")
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_nothing_of_a_page_breaks_the_content_security_policy(page: Page, url: str) -> None:
    said = told(page)
    page.goto(f"{url}/-/patterns")
    page.wait_for_selector("#sample-requests canvas")
    page.hover("#sample-requests .chart-plot")
    page.hover("#sample-requests .marks li >> nth=1")
    assert said == []


def test_a_chart_shows_its_table_when_asked(patterns: Page) -> None:
    table = patterns.locator("#sample-requests .chart-data")
    assert (table.bounding_box() or {}).get("height", 99) <= 2
    patterns.click("#sample-requests [data-table]")
    assert (table.bounding_box() or {"height": 0})["height"] > 200
    assert patterns.get_attribute("#sample-requests [data-table]", "aria-pressed") == "true"


def test_marks_stand_on_the_chart_apart_and_in_order(patterns: Page) -> None:
    places = patterns.eval_on_selector_all(
        "#sample-requests .marks li.placed", "all => all.map(each => each.getBoundingClientRect().left)"
    )
    assert len(places) == 4
    assert all(right - left >= 24 for left, right in pairwise(places))


def test_a_live_part_changes_without_its_chart_being_drawn_anew(patterns: Page) -> None:
    state = patterns.locator('[data-live-state="sample-live"]')
    expect(state).to_have_text("Live")
    patterns.evaluate("document.querySelector('#sample-pulse canvas').mine = true")
    last = patterns.locator("#sample-pulse tbody tr:last-child time")
    before = last.get_attribute("datetime")
    assert before
    expect(last).not_to_have_attribute("datetime", before)
    assert patterns.evaluate("document.querySelector('#sample-pulse canvas').mine")


def test_a_live_part_says_when_it_has_lost_the_server(patterns: Page) -> None:
    state = patterns.locator('[data-live-state="sample-live"]')
    expect(state).to_have_text("Live")
    patterns.context.set_offline(True)
    expect(state).to_have_text("Reconnecting")
    patterns.context.set_offline(False)
    expect(state).to_have_text("Live")


def test_a_theme_is_taken_at_once_and_kept(patterns: Page, url: str) -> None:
    patterns.click(".page-header button[value=dark]")
    expect(patterns.locator("html")).to_have_attribute("data-theme", "dark")
    assert patterns.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(18, 20, 23)"
    while not any(cookie.get("name") == "trackside_theme" for cookie in patterns.context.cookies()):
        patterns.wait_for_timeout(20)
    patterns.goto(f"{url}/-/patterns")
    assert patterns.get_attribute("html", "data-theme") == "dark"


def test_rows_are_walked_by_keyboard(patterns: Page) -> None:
    patterns.keyboard.press("j")
    patterns.keyboard.press("j")
    assert patterns.evaluate("document.activeElement.textContent") == "Blue Heron Analytics"
    patterns.keyboard.press("k")
    assert patterns.evaluate("document.activeElement.textContent") == "Acme Robotics"


def test_the_shortcuts_are_told_and_closed_by_keyboard(patterns: Page) -> None:
    patterns.keyboard.press("?")
    expect(patterns.locator("#keyboard-help")).to_be_visible()
    patterns.keyboard.press("Escape")
    expect(patterns.locator("#keyboard-help")).to_be_hidden()


def test_a_question_comes_before_what_cannot_be_undone(patterns: Page) -> None:
    patterns.click("text=Delete…")
    expect(patterns.locator("#ask")).to_be_visible()
    assert patterns.evaluate("document.activeElement.textContent.trim()") == "Cancel"
    patterns.keyboard.press("Enter")
    expect(patterns.locator("#ask")).to_be_hidden()


def test_the_palette_finds_and_opens(
    page: Page,
    url: str,
    runtime: Runtime,
    member: Callable[..., Member],
    signed_in_client: Callable[..., FlaskClient],
) -> None:
    cookie = signed_in_client().get_cookie("trackside_session")
    assert cookie
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": url}])
    page.goto(f"{url}/-/patterns")
    page.keyboard.press("Control+k")
    page.keyboard.type("accounts")
    expect(page.locator(".palette .hit[aria-selected=true]")).to_contain_text("Accounts")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/")


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_reached_without_script(browser: Browser, url: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/-/patterns")
    assert page.locator("#sample-requests .chart-data").bounding_box()["height"] > 200  # type: ignore[index]
    if width < 800:
        page.click("[popovertarget=sidebar]")
    expect(page.locator("#sidebar .find")).to_be_visible()
    page.keyboard.press("Escape")
    page.click("text=Delete…")
    expect(page.locator("#ask")).to_be_visible()
    page.click("#ask >> text=Cancel")
    page.click(".page-header button[value=dark]")
    assert page.get_attribute("html", "data-theme") == "dark"
    context.close()
