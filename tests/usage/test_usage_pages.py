"""The Overview and the rows behind it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from trackside.module import Subject
from trackside.runtime import Runtime
from trackside_modules.usage import contrib
from trackside_modules.usage.folding import fold

Pages = Callable[..., FlaskClient]


@pytest.fixture
def browser(signed_in_client: Pages) -> FlaskClient:
    return signed_in_client("viewer")


@pytest.fixture
def traffic(runtime: Runtime, post: Callable[..., Any], export: Callable[..., Any], now_ns: int) -> int:
    """Accept and fold 137 requests of the last hour, 12 of them failed; return how many."""
    minute = 60 * 10**9
    for place in range(25):
        user = {"trackside.user": f"user{place % 4}", "trackside.account": "acme"}
        point = {"time_unix_nano": now_ns - place * 2 * minute, "counts": [3, 2, 0], "attributes": user}
        post(export(point).SerializeToString())
    failed = {"time_unix_nano": now_ns, "counts": [0, 0, 12], "attributes": {"http.response.status_code": 503}}
    post(export(failed, service="billing").SerializeToString())
    fold.run(runtime, 1)
    return 137


def figure(page: str, key: str) -> str:
    found = re.search(rf'id="{key}".*?data-value>\s*([^<]*)', page, re.DOTALL)
    assert found, f"no figure {key}"
    return found[1].strip()


def test_before_the_first_request_the_page_says_how_to_send_it(browser: FlaskClient) -> None:
    page = browser.get("/usage/").text
    assert "Send your first request" in page
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost" in page
    assert "/v1/metrics" in page


@pytest.mark.parametrize("name", ["15m", "1h", "6h", "24h", "7d"])
def test_every_range_shows(browser: FlaskClient, traffic: int, name: str) -> None:
    answer = browser.get(f"/usage/?range={name}")
    assert answer.status_code == 200
    if name != "15m":
        assert figure(answer.text, "stat-calls") == str(traffic)


def test_the_total_is_the_sum_of_the_rows_behind_it(browser: FlaskClient, traffic: int) -> None:
    page = browser.get("/usage/").text
    assert figure(page, "stat-calls") == str(traffic)
    assert figure(page, "stat-errors") == "8.8%"
    assert figure(page, "stat-active") == "3"
    rows = browser.get("/usage/rows?range=1h").text
    body = rows[rows.index("<tbody>") :]
    assert (
        sum(
            int(cells[1])
            for cells in re.findall(
                r'num">(?:<span class="bad">)?(\d+)(?:</span>)?</td>\s*<td class="num">(\d+)</td>', body
            )
        )
        == traffic
    )


def test_a_service_narrows_the_page(browser: FlaskClient, traffic: int) -> None:
    page = browser.get("/usage/?service=billing").text
    assert figure(page, "stat-calls") == "12"
    assert "carry no user" in page


def test_the_refresh_is_the_same_part_of_the_page(browser: FlaskClient, traffic: int) -> None:
    part = browser.get("/usage/", headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div id="usage-live"')
    assert "<html" not in part
    assert figure(part, "stat-calls") == str(traffic)


def test_the_page_stands_without_redis(
    browser: FlaskClient, traffic: int, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trackside.redis import connect

    monkeypatch.setitem(runtime.redis.__dict__, "live", connect("unix:///nowhere/valkey.sock"))
    page = browser.get("/usage/").text
    assert figure(page, "stat-calls") == str(traffic)
    assert figure(page, "stat-active") == "3"
    assert "live counters are away" in page


@pytest.mark.parametrize(
    "query",
    [
        "range=1y",
        "route=x",
        "route=99999999999999999999",
        "status=9",
        "at=yesterday",
        "cursor=zz",
        "sort=user",
        "cursor=00",
        "at=0001-01-01T00:00:00%2B00:00",
    ],
)
def test_a_filter_that_is_none_is_refused(browser: FlaskClient, query: str) -> None:
    assert browser.get(f"/usage/rows?{query}").status_code == 422


def test_rows_come_in_pages(
    browser: FlaskClient, runtime: Runtime, post: Callable[..., Any], export: Callable[..., Any], now_ns: int
) -> None:
    points = [{"time_unix_nano": now_ns, "attributes": {"http.route": f"/r{n}"}} for n in range(60)]
    post(export(*points).SerializeToString())
    fold.run(runtime, 1)
    first = browser.get("/usage/rows").text
    link = re.search(r'rel="next" href="([^"]+)"', first)
    assert link
    second = browser.get(link[1].replace("&amp;", "&")).text
    routes = re.findall(r"/r\d+", re.sub(r'href="[^"]*"|<wbr>', "", first + second))
    assert len(set(routes)) == len(routes) == 60


@pytest.mark.parametrize("sort", ["minute", "-requests", "requests", "-longest"])
def test_rows_come_in_pages_by_any_order(
    browser: FlaskClient,
    post: Callable[..., Any],
    export: Callable[..., Any],
    now_ns: int,
    runtime: Runtime,
    sort: str,
) -> None:
    points = [
        {"time_unix_nano": now_ns, "counts": [0, n % 7 + 1, 0], "attributes": {"http.route": f"/r{n}"}}
        for n in range(60)
    ]
    post(export(*points).SerializeToString())
    fold.run(runtime, 1)
    first = browser.get(f"/usage/rows?sort={sort}").text
    link = re.search(r'rel="next" href="([^"]+)"', first)
    assert link
    second = browser.get(link[1].replace("&amp;", "&")).text
    calls = [int(found) for found in re.findall(r'num">200</td>\s*<td class="num">(\d+)</td>', first + second)]
    assert len(calls) == 60
    if "requests" in sort:
        assert calls == sorted(calls, reverse=sort.startswith("-"))


def test_every_figure_and_every_point_leads_to_rows(browser: FlaskClient, traffic: int) -> None:
    page = browser.get("/usage/").text
    for key in ("calls", "rate", "active", "errors", "p50", "p95", "p99"):
        link = re.search(rf'<a class="stat" href="([^"]+)" id="stat-{key}"', page)
        assert link, key
        assert browser.get(link[1].replace("&amp;", "&")).status_code == 200
    points = re.findall(r'<a href="([^"]+)"><time', page)
    assert len(points) > 40
    assert browser.get(points[-1].replace("&amp;", "&")).status_code == 200


def test_the_minute_that_is_not_over_is_said_to_be_so_far(browser: FlaskClient, traffic: int, clock: Any) -> None:
    clock.advance(timedelta(seconds=20))
    assert re.search(r'id="chart-requests"[^>]* data-unfinished', browser.get("/usage/").text)


def test_the_first_steps_stand_until_they_are_dismissed(browser: FlaskClient, traffic: int) -> None:
    assert "First steps" in browser.get("/usage/").text
    browser.post("/-/checklist/dismiss")
    assert "First steps" not in browser.get("/usage/").text


def test_an_environment_in_the_url_stays_in_the_links(browser: FlaskClient, traffic: int) -> None:
    page = browser.get("/usage/?env=staging").text
    assert 'href="/users/?env=staging"' in page
    assert re.search(r'href="/usage/\?[^"]*env=staging', page)
    assert 'href="/users/"' in browser.get("/usage/").text


def test_a_card_tells_the_last_day(runtime: Runtime, session: Any, traffic: int) -> None:
    from sqlalchemy import select

    from trackside.customers.models import Account, User

    user = session.scalar(select(User).where(User.external_id == "user1"))
    card = contrib.last_day(runtime, session, Subject("user", user.id, 1))
    assert card is not None
    assert card["calls"] == sum(card["hours"]) == 30
    account = session.scalar(select(Account).where(Account.external_id == "acme"))
    whole = contrib.last_day(runtime, session, Subject("account", account.id, 1))
    assert whole is not None
    assert whole["calls"] == 125


def test_the_period_before_is_compared(browser: FlaskClient, runtime: Runtime, traffic: int, clock: Any) -> None:
    clock.advance(timedelta(hours=1))
    page = browser.get("/usage/").text
    assert figure(page, "stat-calls") == "0"
    assert "100%" in page


def test_a_version_first_seen_is_a_mark_on_every_chart(
    browser: FlaskClient, runtime: Runtime, post: Callable[..., Any], export: Callable[..., Any], now_ns: int
) -> None:
    for sent in range(3):
        request = export({"time_unix_nano": now_ns + sent})
        attributes = request.resource_metrics[0].resource.attributes
        attributes.add(key="service.version").value.string_value = "2.4.1" if sent < 2 else "2.5.0"
        post(request.SerializeToString())
    fold.run(runtime, 1)
    page = browser.get("/usage/").text
    assert page.count("shop 2.4.1 first seen") == page.count("shop 2.5.0 first seen") == 3
    link = re.search(r'<li data-at="[^"]+"><a href="([^"]+)"', page)
    assert link
    assert "/<wbr>orders" in browser.get(link[1].replace("&amp;", "&")).text
