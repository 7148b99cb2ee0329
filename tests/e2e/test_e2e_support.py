"""What somebody of the support staff does all day, by keyboard alone: log, answer, solve, find again, merge."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, Page, Route, expect

from trackside.testing.running import Up

Contexts = Callable[..., BrowserContext]
LINE = "ada@obsidian.example Quokka exports come out empty !high bug -- Since **today** the file has no rows."


def logged(page: Page, line: str) -> str:
    """Log a line from whatever page is open, open what was logged, and return its number."""
    page.wait_for_load_state("load")  # keys do nothing before the scripts are there
    page.keyboard.press("c")
    box = page.get_by_role("textbox", name="Interaction in one line")
    expect(box).to_be_focused()
    page.keyboard.type(line)
    expect(page.locator("#understood")).to_contain_text(re.compile("Who.*What", re.DOTALL))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile(r"SUP-\d+ is logged"))).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#thread-title")).to_be_visible()
    page.wait_for_load_state("load")
    return page.url.split("/support/")[1].split("?")[0]


def change(page: Page, number: str) -> None:
    """Change an interaction on a page of its own, so that it is another version than what others have open."""
    page.goto(f"/support/{number}")
    page.wait_for_load_state("load")
    with page.expect_navigation():
        page.locator("#set-priority").select_option("urgent")
    page.close()


def rate(page: Page, customer: Page, number: str) -> None:
    """Make a link by which the customer rates an interaction, and let them: one click, then why."""
    page.goto(f"/support/{number}")
    page.wait_for_load_state("load")
    page.locator(".thread summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Make a link to rate it").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"A link to rate SUP-{number}")
    customer.goto(page.locator(".copyline code").inner_text())
    customer.get_by_role("button", name="Very good").focus()
    customer.keyboard.press("Enter")
    customer.get_by_role("textbox").press_sequentially("Quick and kind.")
    customer.keyboard.press("Tab")
    customer.keyboard.press("Enter")
    expect(customer.get_by_text("The people who helped you have it now.")).to_be_visible()
    page.goto(f"/support/{number}")
    expect(page.locator("#events")).to_contain_text("rated it 5 of 5: “Quick and kind.”")
    page.wait_for_load_state("load")


def test_an_interaction_is_logged_answered_solved_rated_found_and_merged_by_keyboard_alone(
    context_of: Contexts, complaints: Any
) -> None:
    page = context_of().new_page()
    complaints.watch(page)
    page.goto("/users/")
    number = logged(page, LINE)
    expect(page.locator("#thread-title")).to_have_text("Quokka exports come out empty")
    expect(page.locator(".bubble strong").first).to_have_text("today")

    page.keyboard.press("r")
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.keyboard.type("Hello Ada, it is mended.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".event.staff")).to_contain_text("it is mended")
    page.wait_for_load_state("load")

    page.keyboard.press("n")
    page.keyboard.type("The exporter lost its cursor.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".event.note")).to_contain_text("lost its cursor")
    page.wait_for_load_state("load")

    page.keyboard.press("e")
    expect(page.locator("[data-toasts]")).to_contain_text(f"SUP-{number} is solved.")
    page.wait_for_load_state("load")

    rate(page, context_of(signed_in=False).new_page(), number)
    page.keyboard.press("/")
    page.keyboard.type("qoukka exprots")
    page.keyboard.press("Enter")
    found = page.get_by_role("link", name="Quokka exports come out empty")
    expect(found.first).to_be_visible()
    page.wait_for_load_state("load")
    page.locator("body").press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#thread-title")).to_have_text("Quokka exports come out empty")

    other = logged(page, "ada@obsidian.example Quokka exports still come out empty")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Merge SUP-{other}")
    page.wait_for_load_state("load")
    page.get_by_label("By its number").press_sequentially(f"SUP-{number}")
    page.keyboard.press("Enter")
    expect(page.locator("#thread-title")).to_have_text("Quokka exports come out empty")
    expect(page.locator("#events")).to_contain_text(f"merged SUP-{other} into it")
    assert not complaints


def test_a_note_that_was_begun_is_a_note_when_one_comes_back_and_what_was_not_sent_is_there_again(
    context_of: Contexts,
) -> None:
    page = context_of().new_page()
    page.goto("/users/")
    number = logged(page, "ada@obsidian.example Drafts outlive a look elsewhere")
    message, note = page.get_by_role("textbox", name="Message"), page.get_by_role("radio", name="Note")
    page.keyboard.press("n")
    page.keyboard.type("They owe us money.")
    page.goto("/support/")
    page.goto(f"/support/{number}")
    expect(message).to_have_value("They owe us money.")
    expect(note).to_be_checked()

    page.route("**/write", lambda route: route.abort())
    message.press("Control+Enter")
    page.unroute("**/write")
    change(page.context.new_page(), number)
    page.goto(f"/support/{number}")
    expect(message).to_have_value("They owe us money.")
    expect(note).to_be_checked()
    page.wait_for_load_state("load")
    message.press("Control+Enter")
    expect(page.locator(".event.note")).to_contain_text("They owe us money.")
    expect(message).to_have_value("")


def test_what_was_refused_stands_in_the_thread_whichever_page_it_is_opened_by(context_of: Contexts) -> None:
    page = context_of().new_page()
    page.goto("/users/")
    number = logged(page, "ada@obsidian.example Refused texts are kept")
    message = page.get_by_role("textbox", name="Message")
    page.keyboard.press("n")
    page.keyboard.type("Seen on staging too.")
    change(page.context.new_page(), number)
    with page.expect_navigation():
        message.press("Control+Enter")
    expect(page.locator("#composer")).to_contain_text("since you opened it")
    expect(message).to_have_value("Seen on staging too.")
    page.goto(f"/support/{number}")
    expect(message).to_have_value("Seen on staging too.")
    expect(page.get_by_role("radio", name="Note")).to_be_checked()


def test_a_draft_of_the_servers_that_was_edited_comes_back_as_it_was_edited(context_of: Contexts) -> None:
    page = context_of().new_page()
    page.goto("/users/")
    number = logged(page, "ada@obsidian.example Loops are closed with a draft")

    def drafted(route: Route) -> None:
        found = route.fetch()
        route.fulfill(response=found, body=found.text().replace("data-body></", "data-body>Good news: it is done.</"))

    page.route(f"**/support/{number}", drafted)
    message = page.get_by_role("textbox", name="Message")
    page.goto(f"/support/{number}")
    expect(message).to_have_value("Good news: it is done.")
    page.wait_for_load_state("load")
    message.fill("Good news, Ada: it is done.")
    page.goto("/support/")
    page.goto(f"/support/{number}")
    expect(message).to_have_value("Good news, Ada: it is done.")


def test_the_desk_works_without_javascript(context_of: Contexts, trackside: Up) -> None:
    page = context_of(script=False).new_page()
    page.goto("/support/new")
    page.get_by_role("textbox", name="Interaction in one line").fill("eve@obsidian.example Plain as it is")
    page.get_by_role("button", name="Log it").click()
    expect(page.locator("#thread-title")).to_have_text("Plain as it is")
    page.get_by_role("textbox", name="Message").fill("Hello Eve")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("Hello Eve")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".event.staff")).to_contain_text("Hello Eve")
    page.locator("#set-priority").select_option("urgent")
    page.locator("form:has(#set-priority) button").click()
    expect(page.locator("#set-priority")).to_have_value("urgent")
    page.locator(".thread > header").get_by_role("button", name="Solve").click()
    expect(page.get_by_text("is solved.")).to_be_visible()
