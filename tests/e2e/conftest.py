"""One whole Trackside for all browser tests, started as people start it, with the demo's traffic."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from trackside.testing.running import Up, up

WIDE, NARROW = (1440, 900), (390, 844)
PASSWORD = "correct horse battery staple"
PATIENCE = 180_000
"""Milliseconds to wait for anything: how quick this machine is today is no fact about Trackside."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def trackside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A `trackside up` with demo traffic, in a folder of its own; the page of components is shown too.

    It ends with the last browser test: its traffic would slow down all others.
    """
    data = tmp_path_factory.mktemp("up") / "data"
    with up(data, environ={"TRACKSIDE_DEVELOPMENT": "1"}) as running:
        yield running


@pytest.fixture(scope="package")
def join(trackside: Up) -> Callable[..., str]:
    """Sign a new member of a role in with the browser given; `join(page, "viewer")` returns their address."""
    numbers = count(1)

    def sign_in(page: Page, role: str = "owner") -> str:
        email = f"{role}{next(numbers)}@example.com"
        made = trackside.json("member", "create", email, "--role", role)
        page.goto(made["link"])
        page.get_by_label("name").fill(f"Robin {role.capitalize()}")
        page.get_by_label("password").fill(PASSWORD)
        page.get_by_role("button", name="Create my account").click()
        page.wait_for_url(lambda url: "/link/" not in url)
        return email

    return sign_in


@pytest.fixture(scope="package")
def owner(browser: Browser, join: Callable[..., str]) -> Any:
    """Cookies of a signed-in owner, for contexts of other tests."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    join(context.new_page(), "owner")
    state = context.storage_state()
    context.close()
    return state


class Complaints(list[str]):
    """What the browser complained about: errors in the console, refusals of the content security policy, exceptions."""

    def watch(self, page: Page) -> None:
        """Write down what `page` complains about from now on."""
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.append(f"{page.url}: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        # An error page is an error to the browser too; that of any file of a page is one to us.
        its_own = message.location.get("url") == (message.page.url if message.page else "")
        if message.type in {"error", "warning"} and not (its_own and "Failed to load resource" in message.text):
            self.append(f"{message.page.url if message.page else ''}: {message.text}")


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def context_of(browser: Browser, trackside: Up, owner: Any) -> Iterator[Callable[..., BrowserContext]]:
    """Make contexts: `context_of(theme="dark", size=NARROW)`; signed in as the owner unless `signed_in=False`."""
    made: list[BrowserContext] = []

    def make(
        theme: str = "light", size: tuple[int, int] = WIDE, *, signed_in: bool = True, script: bool = True
    ) -> BrowserContext:
        context = browser.new_context(
            base_url=trackside.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if theme == "dark" else "light",
            java_script_enabled=script,
            reduced_motion="reduce",
            storage_state=owner if signed_in else None,
        )
        context.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
        context.set_default_timeout(PATIENCE)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()
