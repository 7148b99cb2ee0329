"""How long after its 202 a request shows on the open Overview, in a real browser beside a running demo.

    .venv/bin/python bench/live.py [--times 60]

A `trackside up` of its own with the demo's traffic, an Overview held open by Chromium, and single events posted at
random moments. Timed from the answer of `POST /v1/events` until the page shows the new count. Printed:
median, p95 and the longest, in seconds.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from trackside.testing import browser
from trackside.testing.running import Up, up

LIMIT = 2.0
SERVICE = "live-bench"
SHOWS = "n => document.querySelector('#stat-calls [data-value]')?.textContent.replaceAll(',', '') === String(n)"


def post(running: Up, key: str) -> float:
    """Send one event; return the moment at which it was accepted."""
    event = {
        "ts": datetime.now(UTC).isoformat(),
        "method": "GET",
        "route": "/live",
        "status": 200,
        "duration_ms": 12.5,
        "user": "live-user",
        "service": SERVICE,
    }
    request = urllib.request.Request(
        f"{running.url}/v1/events",
        json.dumps({"batch_id": random.randbytes(8).hex(), "events": [event]}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202, answer.status
    return time.perf_counter()


def sign_in(running: Up, page: Page) -> None:
    """Sign a new member in, by the link that a person would get."""
    page.goto(running.json("member", "create", "live@example.com", "--role", "viewer")["link"])
    page.get_by_label("name").fill("Live Bench")
    page.get_by_label("password").fill("correct horse battery staple")
    page.get_by_role("button", name="Create my account").click()
    page.wait_for_url(lambda url: "/link/" not in url)


def measure(running: Up, page: Page, times: int) -> list[float]:
    """Return the seconds from acceptance to page of `times` events."""
    key = running.json("key", "create", "--env", "production", "--kind", "ingest", "--name", "live")["key"]
    post(running, key)
    address = f"{running.url}/usage/?env=production&range=24h&service={SERVICE}"
    page.goto(address)
    while not page.evaluate(SHOWS, 1):
        time.sleep(0.5)
        page.goto(address)
    took = []
    for sent in range(2, times + 2):
        time.sleep(random.uniform(0.2, 2.2))
        accepted = post(running, key)
        page.wait_for_function(SHOWS, arg=sent, timeout=30_000, polling=10)
        took.append(time.perf_counter() - accepted)
    return took


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--times", type=int, default=60)
    times = asked.parse_args().times
    found = browser.find()
    if found is None:
        raise SystemExit("no Chromium here: install one")
    with ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="trackside-bench-"))
        running = held.enter_context(up(Path(folder) / "data"))
        play = held.enter_context(sync_playwright())
        chromium = play.chromium.launch(
            executable_path=str(found.path), args=list(browser.ARGUMENTS), chromium_sandbox=False
        )
        page = chromium.new_page()
        sign_in(running, page)
        took = measure(running, page, times)
        chromium.close()
    p95 = statistics.quantiles(took, n=20)[-1]
    print(f"from acceptance to the open page, {times} events: median {statistics.median(took):.2f} s,", end=" ")
    print(f"p95 {p95:.2f} s (aim {LIMIT:g}), longest {max(took):.2f} s")


if __name__ == "__main__":
    main()
