"""What a person does first: sign in by the printed link, look, find, and leave."""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from trackside.demo.people import people
from trackside.testing.running import Up

Contexts = Callable[..., BrowserContext]


def calls(page: Page) -> int:
    """Return the requests that the Overview shows."""
    return int(page.locator("#stat-calls [data-value]").inner_text().replace(",", ""))


def sign_out(page: Page) -> None:
    page.locator(".sidebar summary", has_text="account menu").click()
    page.get_by_role("button", name="Sign out").click()


def status_of(url: str, cookie: str) -> tuple[int, str]:
    """Ask for `url` with a cookie and no browser; return the status and where it sends us."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:  # type: ignore[override]
            return None

    request = urllib.request.Request(url, headers={"Cookie": cookie})
    try:
        answer = urllib.request.build_opener(Stay).open(request, timeout=60)
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location") or ""
    return answer.status, ""


def test_one_signs_in_by_the_link_sees_traffic_finds_a_user_and_leaves_for_good(
    trackside: Up, context_of: Contexts, complaints: list[str]
) -> None:
    context = context_of(signed_in=False)
    page = context.new_page()
    complaints.watch(page)  # type: ignore[attr-defined]
    page.goto(trackside.link())
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.locator("#stat-calls")).to_be_visible()
    before = calls(page)
    page.wait_for_function(
        "before => Number(document.querySelector('#stat-calls [data-value]').textContent.replace(/,/g, '')) > before",
        arg=before,
    )

    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Search or jump")
    palette.get_by_role("combobox").fill("maya")
    expect(palette.get_by_role("option", name="Maya Okafor")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Maya Okafor")
    expect(page.locator("main")).to_contain_text("Brightwater Foods")

    page.get_by_role("link", name="Users").first.click()
    page.get_by_role("searchbox").or_(page.get_by_label("Search users")).first.fill("bulk")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Bulk importer").click()
    expect(page.locator("main")).to_contain_text("Kestrel Parts")

    shown = page.locator("html")
    page.locator(".sidebar summary", has_text="account menu").click()
    page.get_by_role("button", name="Dark").click()
    expect(shown).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(shown).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"

    cookie = "; ".join(f"{each['name']}={each['value']}" for each in context.cookies())
    assert status_of(f"{trackside.url}/profile", cookie)[0] == 200
    sign_out(page)
    expect(page).to_have_url(re.compile("/sign-in"))
    status, target = status_of(f"{trackside.url}/profile", cookie)
    assert (status, "/sign-in" in target) == (302, True)
    page.goto("/profile")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto(trackside.link())
    expect(page.locator("main")).to_contain_text("used")
    assert not complaints


def test_everything_works_without_javascript(trackside: Up, context_of: Contexts, join: Callable[..., str]) -> None:
    page = context_of(signed_in=False, script=False).new_page()
    email = join(page, "viewer")
    sign_out(page)
    page.locator("[name=email]").fill(email)
    page.locator("[name=password]").fill("correct horse battery staple")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.locator("figure table").first).to_be_attached()
    before = calls(page)
    deadline = time.monotonic() + 180
    while calls(page) <= before:
        assert time.monotonic() < deadline, f"{before} requests, and no more"
        page.wait_for_timeout(250)
        page.reload()
    page.get_by_role("link", name="24 h").click()
    expect(page).to_have_url(re.compile("range=24h"))

    page.get_by_role("link", name="Users").first.click()
    assert page.locator("tbody tr").count() == min(len(people()), 50)
    page.get_by_label("Search users").fill("okafor")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Maya Okafor").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Maya Okafor")
    page.goto("/-/palette?q=kestrel")
    page.get_by_role("link", name="Kestrel Parts").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kestrel Parts")
