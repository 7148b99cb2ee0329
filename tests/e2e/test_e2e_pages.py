"""Every page there is: accessible, whole at the width of a phone, and without a complaint of the browser."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page

from trackside.testing.pages import VISITORS, find_pages
from trackside.testing.running import Up

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SEVERE = {"serious", "critical"}


@pytest.fixture(scope="session")
def pages(trackside: Up, owner: Any) -> dict[str, str]:
    """An address of each page, by its endpoint."""
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in owner["cookies"])
    return find_pages(trackside, cookie)


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['target']} {node['html'][:120]}"
        for each in found
        if each["impact"] in SEVERE
        for node in each["nodes"][:3]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_fits_a_phone_and_raises_no_complaint(
    theme: str, pages: dict[str, str], context_of: Callable[..., BrowserContext], complaints: Any
) -> None:
    member, visitor = context_of(theme), context_of(theme, signed_in=False)
    problems: list[str] = []
    for endpoint, path in pages.items():
        page = (visitor if endpoint in VISITORS else member).new_page()
        complaints.watch(page)
        page.goto(path)
        page.wait_for_load_state("load")
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            problems += [f"{path} at {size['width']}: {each}" for each in violations(page)]
        if overhang := page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"):
            problems.append(f"{path} scrolls sideways by {overhang} px at 390")
        page.close()
    assert not problems, "\n".join(problems)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_open_palette_is_accessible(theme: str, context_of: Callable[..., BrowserContext]) -> None:
    page = context_of(theme).new_page()
    page.goto("/")
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("option").first.wait_for()
    assert not violations(page)


def test_the_walk_finds_the_pages_one_knows(pages: dict[str, str]) -> None:
    usage = {"overview", "endpoints", "endpoint", "users", "user", "accounts", "account", "rows"}
    assert {f"usage.{name}" for name in usage} <= set(pages)
    assert {"users.index", "users.show", "accounts.show", "auth.sign_in", "auth.profile"} <= set(pages)
