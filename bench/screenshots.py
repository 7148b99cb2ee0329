"""Take a picture of every page, in both themes and at both widths, of a `trackside up` with demo traffic of its own.

.venv/bin/python bench/screenshots.py FOLDER
"""

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from trackside.testing import browser as chromium
from trackside.testing.pages import VISITORS, find_pages
from trackside.testing.running import Up, up

WIDTHS = {1440: 900, 390: 844}
MOVES_FOR = 20
"""Seconds of traffic before the first picture."""


def take(running: Up, browser: Browser, folder: Path) -> int:
    """Write `<page>-<theme>-<width>.png` for every page into `folder`; return how many."""
    context = browser.new_context(base_url=running.url)
    page = context.new_page()
    page.goto(running.link())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/link/" not in url)
    state = context.storage_state()
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in state["cookies"])
    pages, taken = find_pages(running, cookie), 0
    for theme in ("light", "dark"):
        for width, height in WIDTHS.items():
            size = {"width": width, "height": height}
            member = browser.new_context(
                base_url=running.url, viewport=size, color_scheme=theme, reduced_motion="reduce", storage_state=state
            )
            visitor = browser.new_context(base_url=running.url, viewport=size, color_scheme=theme)
            for name, path in pages.items():
                page = (visitor if name in VISITORS else member).new_page()
                page.goto(path)
                page.wait_for_timeout(300)
                page.screenshot(path=folder / f"{name.replace(' ', '-')}-{theme}-{width}.png", full_page=True)
                page.close()
                taken += 1
            member.close()
            visitor.close()
    return taken


def main() -> int:
    """Take them into the folder given."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    folder, found = Path(sys.argv[1]), chromium.find()
    if found is None:
        print("no Chromium or Chrome found")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        up(Path(data) / "data", environ={"TRACKSIDE_DEVELOPMENT": "1"}) as running,
        sync_playwright() as playwright,
    ):
        time.sleep(MOVES_FOR)
        browser = playwright.chromium.launch(
            executable_path=found.path, chromium_sandbox=False, args=list(chromium.ARGUMENTS)
        )
        print(f"{take(running, browser, folder)} pictures in {folder}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
