"""Every page there is: accessible, whole at the width of a phone, and without a complaint of the browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page

from trackside.testing.pages import VISITORS, find_pages
from trackside.testing.running import Up

WIDE, NARROW = (1440, 900), (390, 844)
SEVERE = {"serious", "critical"}
AXE = Axe().axe_script
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules of axe that look at colours: what else it finds is the same in both themes."""
FRAMES = {"usage.overview", "auth.sign_in", "patterns.index"}
"""Pages with all that shows on a phone alone: elsewhere a colour that is right at the width of a desk is so at both."""


@pytest.fixture(scope="package")
def pages(trackside: Up, owner: Any) -> dict[str, str]:
    """An address of each page, by its endpoint."""
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in owner["cookies"])
    return find_pages(trackside, cookie)


def violations(page: Page, *, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> list[str]:
    """Return what axe finds, by all of its rules, `only` by these, or `without` these."""
    options: dict[str, Any] = {"resultTypes": ["violations"], "rules": {rule: {"enabled": False} for rule in without}}
    if only:
        options["runOnly"] = {"type": "rule", "values": list(only)}
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['target']} {node['html'][:120]}"
        for each in found
        if each["impact"] in SEVERE
        for node in each["nodes"][:3]
    ]


def problems_of(page: Page, *, is_frame: bool) -> Iterator[str]:
    """Look at an open page at both widths in both themes, and tell what is wrong with it."""
    for width, height in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": height})
        with_colours = is_frame or width == WIDE[0]
        page.emulate_media(color_scheme="light")
        found = violations(page, without=() if with_colours else OF_COLOURS)
        yield from (f"at {width}: {each}" for each in found)
        if with_colours:
            page.emulate_media(color_scheme="dark")
            yield from (f"at {width}, dark: {each}" for each in violations(page, only=OF_COLOURS))
    if overhang := page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"):
        yield f"scrolls sideways by {overhang} px at {width}"


def test_every_page_is_accessible_in_both_themes_fits_a_phone_and_raises_no_complaint(
    pages: dict[str, str], context_of: Callable[..., BrowserContext], complaints: Any
) -> None:
    member, visitor = context_of(), context_of(signed_in=False)
    problems: list[str] = []
    for endpoint, path in pages.items():
        page = (visitor if endpoint in VISITORS else member).new_page()
        complaints.watch(page)
        page.goto(path)
        page.wait_for_load_state("load")
        problems += [f"{path} {each}" for each in problems_of(page, is_frame=endpoint in FRAMES)]
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
