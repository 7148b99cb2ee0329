"""Endpoints, users and accounts: what the tables say is what was sent."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold

Send = Callable[..., int]
MINUTE = 60 * 10**9


@pytest.fixture
def browser(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in_client("developer")


@pytest.fixture
def send(runtime: Runtime, post: Callable[..., Any], export: Callable[..., Any], now_ns: int) -> Send:
    """Send `calls` requests of a route by a user, some minutes ago, and count them."""

    def put(
        route: str = "/orders",
        user: str = "",
        calls: int = 1,
        *,
        status: int = 200,
        ago: int = 0,
        account: str = "",
        service: str = "shop",
        slow: bool = False,
    ) -> int:
        attributes: dict[str, Any] = {"http.route": route, "http.response.status_code": status}
        attributes |= {"trackside.user": user} if user else {}
        attributes |= {"trackside.account": account} if account else {}
        point = {"time_unix_nano": now_ns - ago * MINUTE, "counts": [calls, 0, 0], "attributes": attributes}
        if slow:
            point |= {"counts": [0, calls, 0], "bounds": [2.0, 4.0]}
        answer = post(export(point, service=service).SerializeToString())
        assert answer.status.startswith("200")
        fold.run(runtime, 1)
        return calls

    return put


@pytest.fixture
def traffic(send: Send) -> None:
    """Three users of two accounts, one without, some nobody; two services, failures and wrong turns."""
    send("/orders", "ada", 40, account="acme")
    send("/orders", "ada", 4, status=503, account="acme", ago=30)
    send("/orders", "bob", 10, account="acme", ago=90)
    send("/orders", "eve", 7)
    send("/orders", "eve", 3, status=404)
    send("/prices", "bob", 5, service="billing", slow=True, account="acme")
    send("/prices", calls=6, service="billing", status=429)


def cells(page: str, first: str) -> list[str]:
    """Return the texts of the row of a table whose first cell holds `first`."""
    for row in re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", page, re.DOTALL):
        texts = [
            " ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        if first in texts[0].replace(" ", ""):
            return texts
    raise AssertionError(f"no row {first}")


def figure(page: str, label: str) -> str:
    found = re.search(rf'stat-label">{label}</span>\s*<span class="stat-value" data-value>([^<]*)', page)
    assert found, f"no figure {label}"
    return found[1].strip()


def download(browser: FlaskClient, path: str, kind: str = "json") -> Any:
    answer = browser.get(f"{path}{'&' if '?' in path else '?'}format={kind}")
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text) if kind == "json" else list(csv.DictReader(io.StringIO(answer.text)))


def test_endpoints_show_what_was_called(browser: FlaskClient, traffic: None) -> None:
    page = browser.get("/usage/endpoints").text
    row = cells(page, "/orders")
    assert row[1] == "64"
    assert "3" in row  # users
    assert "6.2%" in row or "6.3%" in row  # 4 of 64 failed
    assert cells(page, "/prices")[1] == "11"


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_holds_what_the_table_shows(browser: FlaskClient, traffic: None, kind: str) -> None:
    rows = {row["route"]: row for row in download(browser, "/usage/endpoints", kind)}
    assert {route: int(row["calls"]) for route, row in rows.items()} == {"/orders": 64, "/prices": 11}
    assert (int(rows["/orders"]["server_errors"]), int(rows["/orders"]["client_errors"])) == (4, 3)
    assert int(rows["/orders"]["users"]) == 3
    assert int(rows["/prices"]["users"]) == 1


def test_a_cell_that_looks_like_a_formula_is_quoted(browser: FlaskClient, send: Send) -> None:
    send("/x", "=cmd()", 2)
    assert [row["external_id"] for row in download(browser, "/usage/users", "csv")] == ["'=cmd()"]
    assert [row["external_id"] for row in download(browser, "/usage/users", "json")] == ["=cmd()"]


def test_endpoints_are_sorted_as_asked(browser: FlaskClient, traffic: None) -> None:
    by: dict[str, Callable[[Any], Any]] = {
        "calls": lambda row: row["calls"],
        "endpoint": lambda row: row["route"],
        "users": lambda row: row["users"],
        "p95": lambda row: row["p95_ms"],
        "errors": lambda row: row["server_errors"] / row["calls"],
        "refused": lambda row: row["client_errors"] / row["calls"],
    }
    for sort in (*by, *(f"-{each}" for each in by), "change"):
        rows = download(browser, f"/usage/endpoints?sort={sort}")
        assert len(rows) == 2
        if key := by.get(sort.removeprefix("-")):
            assert rows == sorted(rows, key=key, reverse=sort.startswith("-")), sort
        assert browser.get(f"/usage/endpoints?sort={sort}").status_code == 200


def test_endpoints_are_searched_and_narrowed(browser: FlaskClient, traffic: None) -> None:
    assert [row["route"] for row in download(browser, "/usage/endpoints?q=pric")] == ["/prices"]
    assert [row["route"] for row in download(browser, "/usage/endpoints?service=billing")] == ["/prices"]
    assert "No endpoint matches" in browser.get("/usage/endpoints?q=nothing").text
    assert "No endpoint matches" in browser.get("/usage/endpoints?service=none").text


def test_endpoints_come_in_pages(browser: FlaskClient, post: Any, export: Any, runtime: Runtime, now_ns: int) -> None:
    points = [{"time_unix_nano": now_ns, "attributes": {"http.route": f"/r{n}"}} for n in range(60)]
    post(export(*points).SerializeToString())
    fold.run(runtime, 1)
    first = browser.get("/usage/endpoints?sort=endpoint").text
    second = browser.get("/usage/endpoints?sort=endpoint&cursor=50").text
    routes = re.findall(r"/(?:<wbr>)?r\d+</a>", first + second)
    assert len(routes) == len(set(routes)) == 60
    assert "First page" in second


def test_an_endpoint_tells_whom_it_serves_and_what_it_answers(browser: FlaskClient, traffic: None) -> None:
    link = re.search(
        r'href="(/usage/endpoints/\d+[^"]*)"><span class="muted">GET</span> /<wbr>orders',
        browser.get("/usage/endpoints").text,
    )
    assert link
    page = browser.get(link[1].replace("&amp;", "&")).text
    assert figure(page, "Requests") == "64"
    assert figure(page, "Users") == "3"
    assert {status: cells(page, status)[1] for status in ("200", "404", "503")} == {"200": "57", "404": "3", "503": "4"}
    assert cells(page, "ada")[1:3] == ["44", "4"]  # ranked by failures, since there are some
    assert "eve" not in page[page.index("Who is affected") :]
    calls = browser.get(link[1].replace("&amp;", "&") + ("&" if "?" in link[1] else "?") + "by=calls").text
    assert cells(calls, "eve")[1] == "10"
    assert cells(calls, "acme")[1] == "54"
    assert '<figure class="heat">' in page


def test_users_show_what_they_called(browser: FlaskClient, traffic: None) -> None:
    rows = {row["external_id"]: row for row in download(browser, "/usage/users")}
    told = {
        name: (row["calls"], row["server_errors"], row["client_errors"], row["wrong_turns"], row["slow"])
        for name, row in rows.items()
    }
    assert told == {"ada": (44, 4, 0, 0, 0), "bob": (15, 0, 0, 0, 5), "eve": (10, 0, 3, 0, 0)}
    page = browser.get("/usage/users").text
    assert figure(page, "Users that called") == "3"
    assert figure(page, "Their requests") == "69"
    assert "6 more of nobody known" in page
    assert cells(page, "ada")[1:3] == ["acme", "44"]


def test_users_are_those_of_one_service_or_account(browser: FlaskClient, traffic: None) -> None:
    assert {row["external_id"]: row["calls"] for row in download(browser, "/usage/users?service=billing")} == {"bob": 5}
    account = re.search(r"/usage/accounts/(\d+)", browser.get("/usage/accounts").text)
    assert account
    found = {row["external_id"] for row in download(browser, f"/usage/users?account={account[1]}")}
    assert found == {"ada", "bob"}


def test_accounts_show_what_their_users_called(browser: FlaskClient, traffic: None) -> None:
    rows = download(browser, "/usage/accounts")
    assert [(row["external_id"], row["users"], row["calls"], row["server_errors"]) for row in rows] == [
        ("acme", 2, 59, 4)
    ]
    assert "16 more of no account" in browser.get("/usage/accounts").text


def test_users_and_accounts_are_sorted_as_asked(browser: FlaskClient, traffic: None) -> None:
    for sort in ("name", "-name", "seen", "-first", "-wrong", "users", "-slow", "errors"):
        assert len(download(browser, f"/usage/accounts?sort={sort}")) == 1
        rows = [row["external_id"] for row in download(browser, f"/usage/users?sort={sort}")]
        assert sorted(rows) == ["ada", "bob", "eve"]
        if "name" in sort:
            assert rows == sorted(rows, reverse=sort == "-name")


def test_a_merged_user_counts_for_who_remains(browser: FlaskClient, traffic: None, runtime: Runtime) -> None:
    with runtime.database.session() as session:
        from sqlalchemy import select

        from trackside.customers.models import User

        bob, eve = (session.scalar(select(User).where(User.external_id == name)) for name in ("bob", "eve"))
        eve.merged_into = bob.id
        ids = bob.id, eve.id
    assert {row["external_id"]: row["calls"] for row in download(browser, "/usage/users")} == {"ada": 44, "bob": 25}
    answer = browser.get(f"/usage/users/{ids[1]}?range=24h")
    assert answer.headers["Location"].startswith(f"/usage/users/{ids[0]}?")
    assert figure(browser.get(f"/usage/users/{ids[0]}").text, "Requests") == "25"


def test_an_erased_user_keeps_the_numbers_without_a_name(browser: FlaskClient, traffic: None, runtime: Runtime) -> None:
    with runtime.database.session() as session:
        from sqlalchemy import select

        from trackside.auth.audit import SYSTEM
        from trackside.customers import erase
        from trackside.customers.models import User

        eve = session.scalar(select(User).where(User.external_id == "eve"))
        erase.erase(session, eve, SYSTEM, now=runtime.clock.now())
        number = eve.id
    page = browser.get("/usage/users").text
    assert f"Erased user {number}" in page
    assert ">eve<" not in page
    assert "without a name" in browser.get(f"/usage/users/{number}").text


def test_a_user_has_a_page(browser: FlaskClient, traffic: None) -> None:
    link = re.search(
        r'<a href="(/usage/users/\d+[^"]*)"><span class="clip" title="eve">', browser.get("/usage/users").text
    )
    assert link
    page = browser.get(link[1].replace("&amp;", "&")).text
    assert figure(page, "Requests") == "10"
    assert figure(page, "Refused") == "30%"
    assert cells(page, "/orders")[1] == "10"
    assert "1 of the last 90 days" in page
    assert re.search(r'href="/users/\d+[^"]*"[^>]*>.*?Profile', page, re.DOTALL)


def test_an_account_has_a_page(browser: FlaskClient, traffic: None) -> None:
    link = re.search(r'href="(/usage/accounts/\d+[^"]*)"', browser.get("/usage/accounts").text)
    assert link
    page = browser.get(link[1].replace("&amp;", "&")).text
    assert figure(page, "Requests") == "59"
    assert cells(page, "ada")[1] == "44"
    assert cells(page, "/prices")[1] == "5"


def test_every_range_of_every_page_shows(browser: FlaskClient, traffic: None) -> None:
    for path in ("/usage/", "/usage/endpoints", "/usage/endpoints/1", "/usage/users", "/usage/users/1", "/usage/rows"):
        for span in ("15m", "30d", "13mo", "custom&from=2000-01-01&to=2000-01-09"):
            assert browser.get(f"{path}?range={span}").status_code == 200, (path, span)


WRONG = (
    "range=1y",
    "range=custom",
    "from=yesterday",
    "from=2026-01-02&to=2026-01-01",
    "from=2200-01-01",
    "from=0001-01-01T00:00:00",
    "compare=maybe",
    "service=%00",
    "sort=colour",
    "format=xml",
    "service=" + "x" * 300,
)


def test_a_filter_that_is_none_is_refused_everywhere(browser: FlaskClient) -> None:
    paths = [f"{page}?{query}" for page in ("endpoints", "users", "rows") for query in WRONG]
    paths += ["endpoints?cursor=-1", "users?cursor=a", "users?account=x", "rows?by=year", "rows?status=12"]
    assert {path: browser.get(f"/usage/{path}").status_code for path in paths} == dict.fromkeys(paths, 422)


def test_what_is_not_there_is_not_found(browser: FlaskClient) -> None:
    paths = ["endpoints/9", "users/99", "accounts/9", f"endpoints/{10**30}", f"users/{10**30}"]
    assert {path: browser.get(f"/usage/{path}").status_code for path in paths} == dict.fromkeys(paths, 404)


def test_exports_of_customers_take_the_permission_for_it(signed_in_client: Any, traffic: None) -> None:
    viewer = signed_in_client("viewer")
    assert viewer.get("/usage/users").status_code == 200
    assert viewer.get("/usage/users?format=csv").status_code == 403
    assert viewer.get("/usage/endpoints?format=csv").status_code == 200


def test_nobody_sees_usage_without_signing_in(client: FlaskClient) -> None:
    for path in ("endpoints", "users", "accounts", "rows"):
        assert client.get(f"/usage/{path}").status_code == 302


def test_filters_stay_when_one_follows_links(browser: FlaskClient, traffic: None) -> None:
    page = browser.get("/usage/endpoints?env=production&range=7d&service=shop&compare=off").text
    link = re.search(r'href="(/usage/endpoints/\d+\?[^"]*)"', page)
    assert link
    for part in ("env=production", "range=7d", "service=shop", "compare=off"):
        assert part in link[1]
    assert "Change" not in page


def test_the_rows_behind_a_number_add_up_to_it(browser: FlaskClient, traffic: None) -> None:
    for by in ("minute", "hour", "day"):
        assert sum(row["calls"] for row in download(browser, f"/usage/rows?range=24h&by={by}")) == 75
    assert sum(row["calls"] for row in download(browser, "/usage/rows?range=24h&status=404")) == 3
    assert sum(row["calls"] for row in download(browser, "/usage/rows?range=24h&status=5&route=1")) == 4


def test_the_period_before_is_told(browser: FlaskClient, traffic: None, clock: Any) -> None:
    clock.advance(timedelta(hours=6))
    rows = {row["route"]: row for row in download(browser, "/usage/endpoints?range=6h")}
    assert (rows["/orders"]["calls"], rows["/orders"]["calls_before"]) == (0, 64)
    assert download(browser, "/usage/endpoints?range=6h&compare=off") == []
