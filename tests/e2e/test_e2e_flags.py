"""What a developer does with a flag, in a browser: make it, roll it out, switch it, see what happened, take it back."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

Contexts = Callable[..., BrowserContext]


def made(page: Page, key: str) -> None:
    page.goto("/flags/new")
    page.get_by_role("link", name=re.compile("^Release")).click()
    page.get_by_role("textbox", name="Key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(key)
    page.wait_for_load_state("load")  # what is typed before the scripts are there is not previewed


def sent(page: Page, send: Callable[[], None]) -> None:
    """Send a form and wait until the page it leads to is loaded: until then going to its #part takes the focus away."""
    with page.expect_navigation():
        send()


def test_a_flag_is_made_rolled_out_switched_and_taken_back(context_of: Contexts, complaints: Any) -> None:
    page = context_of().new_page()
    complaints.watch(page)
    made(page, "e2e/first")

    page.get_by_label("Rollout in percent").fill("25")
    expect(page.locator("#rollout-preview")).to_contain_text("25% of users get “on”, before 0%.")
    expect(page.get_by_role("slider", name="Rollout")).to_have_value("25")
    page.locator("#rollout-reason").fill("first quarter")
    sent(page, lambda: page.keyboard.press("Enter"))
    expect(page.locator("main")).to_contain_text("25% of users get “on”.")

    page.get_by_role("button", name="Switch on").first.focus()
    page.keyboard.press("Enter")
    page.locator("#switch-reason").fill("here we go")
    sent(page, lambda: page.keyboard.press("Enter"))
    expect(page.locator(".switch-state")).to_contain_text("25%")

    page.get_by_role("link", name="Targeting").click()
    page.get_by_role("button", name="Add a rule").click()
    page.get_by_label("Attribute", exact=True).fill("plan")
    page.get_by_label("Values", exact=True).fill("pro, team")
    expect(page.locator("#preview")).to_contain_text("where plan is one of “pro” or “team”")
    page.get_by_role("button", name="Another condition").click()
    expect(page.get_by_label("Attribute", exact=True)).to_have_count(2)  # the page that was sent has come
    expect(page.get_by_label("Values", exact=True).first).to_have_value("pro, team")
    page.get_by_role("button", name="Take this condition away").last.click()
    expect(page.get_by_label("Attribute", exact=True)).to_have_count(1)
    page.locator("#reason").fill("paying customers")
    sent(page, page.get_by_role("button", name="Save").click)
    expect(page.locator("main")).to_contain_text("All users where plan is one of “pro” or “team” get “on”.")

    page.get_by_role("link", name="History").click()
    expect(page.locator(".history > li").first).to_contain_text("paying customers")
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_role("dialog").get_by_label("Reason").fill("too early")
    sent(page, page.get_by_role("button", name="Go back").click)
    expect(page.locator("main")).not_to_contain_text("where plan")
    expect(page.locator("main")).to_contain_text("25% of users get “on”.")
    assert not complaints


def test_rules_are_edited_without_javascript(context_of: Contexts) -> None:
    page = context_of(script=False).new_page()
    made(page, "e2e/plain")
    page.get_by_role("link", name="Targeting").click()
    page.get_by_role("button", name="Add a rule").click()
    page.get_by_label("Attribute", exact=True).fill("plan")
    page.get_by_label("Values", exact=True).fill("pro")
    page.get_by_role("button", name="Preview", exact=True).last.click()
    expect(page.locator("#preview")).to_contain_text("All users where plan is “pro” get “on”.")
    page.locator("#reason").fill("paying customers")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text("All users where plan is “pro” get “on”.")
