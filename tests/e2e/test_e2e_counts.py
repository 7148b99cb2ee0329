"""The numbers on the page: equal to what was sent, and there without a reload; how soon is printed."""

import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from playwright.sync_api import Browser, BrowserContext, Page, expect
from werkzeug.serving import make_server

from trackside.demo import COUNT_FILE, SERVICE
from trackside.demo.count import read_count
from trackside.testing.running import Up

Contexts = Callable[..., BrowserContext]
ONLY_STREAM = """
window.opened = 0;
window.EventSource = class extends EventSource {
  constructor(url) { super(url); this.addEventListener("open", () => { window.opened += 1; }); }
};
const wait = window.setTimeout;
window.setTimeout = (what, ms = 0, ...rest) => wait(what, ms > 1000 ? ms * 300 : ms, ...rest);
"""
PATIENCE = 180
"""Seconds; on a machine that does much else the fold may have a backlog."""
OVERVIEW = "/usage/?env=production&range=24h&service="


def calls(page: Page) -> int:
    return int(page.locator("#stat-calls [data-value]").inner_text().replace(",", ""))


@pytest.fixture
def shop(trackside: Up) -> Iterator[str]:
    """Run a Flask app as its owner would: OpenTelemetry's own instrumentation, exporting every second; its address."""
    key = trackside.json("key", "create", "--env", "production", "--kind", "ingest", "--name", "shop")["key"]
    exporter = OTLPMetricExporter(f"{trackside.url}/v1/metrics", headers={"Authorization": f"Bearer {key}"})
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000)
    provider = MeterProvider([reader], Resource.create({"service.name": "shop"}))
    app = Flask("shop")
    app.add_url_rule("/orders/<number>", "order", lambda number: {"number": number})
    FlaskInstrumentor().instrument_app(app, meter_provider=provider)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    provider.shutdown()


def test_a_request_shows_on_the_open_overview_without_a_reload(
    trackside: Up, shop: str, context_of: Contexts, capsys: pytest.CaptureFixture[str]
) -> None:
    page = context_of().new_page()
    urllib.request.urlopen(f"{shop}/orders/1").read()
    page.goto(f"{OVERVIEW}shop")
    deadline = time.monotonic() + PATIENCE
    while page.locator("#stat-calls").count() == 0 or calls(page) != 1:
        assert time.monotonic() < deadline, page.locator("main").inner_text()[:300]
        page.wait_for_timeout(200)
        page.reload()
    took = []
    for sent in range(2, 10):
        began = time.monotonic()
        urllib.request.urlopen(f"{shop}/orders/{sent}").read()
        expect(page.locator("#stat-calls [data-value]")).to_have_text(str(sent))
        took.append(time.monotonic() - began)
    with capsys.disabled():
        told = f"a request shows on the Overview after {median(took):.2f} s, at most {max(took):.2f} s"
        print(f"\n{told}", file=sys.stderr)  # which is also shown of a process beside


def test_the_stream_alone_tells_of_a_request(browser: Browser, trackside: Up, owner: Any) -> None:
    """Asking by the clock is put off for minutes, so what shows was told by `trackside stream`."""
    # A context without routes: intercepted requests are not streamed.
    context = browser.new_context(base_url=trackside.url, storage_state=owner)
    page = context.new_page()
    page.add_init_script(ONLY_STREAM)
    page.goto("/usage/?env=production&range=24h")
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate("window.opened"):
        assert time.monotonic() < deadline, "the stream was not opened"
        page.wait_for_timeout(50)
    expect(page.locator('[data-live-state="usage-live"]')).to_have_text("Live")
    before = calls(page)
    expect(page.locator("#stat-calls [data-value]")).not_to_have_text(f"{before:,}")
    assert page.evaluate("window.opened") == 1, "the stream was lost meanwhile, which is a reason to ask"
    context.close()


def test_the_overviews_total_equals_the_generators_own_count(trackside: Up, context_of: Contexts) -> None:
    trackside.command("demo", "pause")
    sent = read_count(trackside.data / COUNT_FILE)
    assert not sent.running
    assert sent.total > 0
    page = context_of().new_page()
    try:
        deadline = time.monotonic() + PATIENCE
        # The demo's invented past ends where its traffic begins.
        page.goto(f"/usage/?env=production&from={quote(sent.since)}&service={SERVICE}")
        while calls(page) != sent.total:
            assert time.monotonic() < deadline, f"{calls(page)} on the page, {sent.total} sent"
            page.wait_for_timeout(200)
            page.reload()
        page.wait_for_timeout(1500)
        page.reload()
        assert calls(page) == sent.total
        for route, number in sent.routes.items():
            row = page.locator("tbody tr", has=page.locator("th", has_text=route))
            if row.count() == 1:
                assert row.locator("td").first.inner_text() == f"{number:,}"
    finally:
        trackside.command("demo", "resume")
