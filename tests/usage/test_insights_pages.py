"""The pages Patterns, Errors and Wrong turns: what they show, refuse and export."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.runtime import Runtime
from trackside_modules.usage.models import (
    UsageEndpoint,
    UsageError,
    UsageErrorHour,
    UsageFollow,
    UsageSample,
    UsageVersion,
)
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage import reach

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)  # a Monday, where the tests' clock stands
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAGES = ("/usage/patterns", "/usage/errors", "/usage/wrong-turns")
NASTY = '<b>=HYPERLINK("x")</b>'


@pytest.fixture
def browser(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in_client("viewer")


@pytest.fixture
def full(runtime: Runtime, session: Session, history: Callable[..., None]) -> int:
    """Count some weeks of calls, with errors and wrong turns; return the number of a group of errors."""
    now = runtime.clock.now()
    calls = [(now - place * 7 * HOUR, "shop", place % 5, 200) for place in range(1, 120)]
    calls += [(now - place * HOUR, "shop", 1, 503, "/orders") for place in range(1, 9)]
    calls += [(now - 2 * HOUR, "billing", place % 4, 404, UNMATCHED) for place in range(12)]
    history([*calls, (now - HOUR, "shop", 2, 429, "/orders")], now)
    ends = {it.route: it.id for it in session.scalars(select(UsageEndpoint))}
    users = {it.external_id: it for it in session.scalars(select(User))}
    session.add(account := Account(external_id="acme", name=NASTY, source="usage"))
    session.flush()
    users["user1"].account_id = account.id
    users["user1"].name = NASTY
    packed = reach.pack([users["user1"].id])
    seen = {"first_seen_at": now - 5 * HOUR, "last_seen_at": now}
    about = {"env_id": 1, "service": "shop", "endpoint_id": ends["/orders"], "status": 503}
    error = UsageError(key=b"1", error="KeyError", message=NASTY, calls=8, users=packed, **about, **seen)
    session.add(error)
    session.flush()
    session.add(UsageErrorHour(env_id=1, error_id=error.id, at=now - 3 * HOUR, calls=8, users=packed))
    common = {"env_id": 1, "at": now - HOUR, "user_id": users["user1"].id, "micros": 9, "message": "", "trace": ""}
    session.add(
        UsageSample(endpoint_id=ends["/orders"], status=503, path="/orders", error="", error_id=error.id, **common)
    )
    session.add(UsageSample(endpoint_id=ends[UNMATCHED], status=404, path="/order", error="", **common))
    for version, ago in (("1.0", 90 * DAY), ("2.0", 5 * HOUR)):
        session.add(UsageVersion(env_id=1, service="shop", version=version, first_seen_at=now - ago))
    session.add(
        UsageFollow(env_id=1, day=now.date(), from_endpoint=ends["/orders"], to_endpoint=ends[UNMATCHED], calls=3)
    )
    session.add(
        UsageFollow(env_id=1, day=now.date(), from_endpoint=ends["/orders"], to_endpoint=ends["/orders"], calls=1)
    )
    session.commit()
    return error.id


def test_the_pages_show_before_anything_was_counted(browser: FlaskClient) -> None:
    for page in PAGES:
        answer = browser.get(page)
        assert answer.status_code == 200
        assert "yet" in answer.text


def test_patterns_show_the_week_its_users_and_who_they_are(browser: FlaskClient, full: int) -> None:
    page = browser.get("/usage/patterns").text
    assert page.count('class="l') > 7 * 24
    assert "Most on <strong>" in page
    assert "New in the week of" in page
    for measure in ("requests", "failed", "users"):
        assert browser.get(f"/usage/patterns?measure={measure}&weeks=13&service=shop").status_code == 200
    assert "75%" in page
    after = browser.get(f"/usage/patterns?after={orders(browser)}").text
    assert "After GET /orders" in after
    assert "again" in after
    people = browser.get("/usage/patterns/users?week=2026-06-08&kind=active").text
    assert "user2" in people
    assert NASTY not in people
    assert "Nobody" in browser.get("/usage/patterns/users?week=2026-06-08&kind=new").text
    assert "user2" in browser.get("/usage/patterns/users?week=2026-06-08&service=shop").text


def orders(browser: FlaskClient) -> int:
    """Return the number of the endpoint /orders, as the page links to it."""
    found = re.search(r"after=(\d+)#next", browser.get("/usage/patterns").text)
    assert found
    return int(found[1])


def test_errors_show_what_fails_in_groups(browser: FlaskClient, full: int) -> None:
    page = browser.get("/usage/errors").text
    assert "KeyError" in page
    assert "since 2.0" in page
    assert "New</span>" in page
    assert NASTY not in page
    for query in ("status=4", "status=503&new=1", "q=nothing", "sort=-first", "route=1", "service=shop&range=7d"):
        assert browser.get(f"/usage/errors?{query}").status_code == 200
    assert "Take a filter away" in browser.get("/usage/errors?q=nothing").text
    one = browser.get(f"/usage/errors/{full}").text
    assert "KeyError" in one
    assert "came with it" in one
    assert NASTY not in one


def test_wrong_turns_show_who_took_them_and_what_to_say(browser: FlaskClient, full: int) -> None:
    page = browser.get("/usage/wrong-turns").text
    assert "They call GET /order; /orders exists." in page
    assert "3 wrong turns carried no user" in page
    assert NASTY not in page
    for query in ("kind=nowhere", "by=account", "sort=-turns", "q=user1", "range=30d&service=shop"):
        assert browser.get(f"/usage/wrong-turns?{query}").status_code == 200
    assert "Take a filter away" in browser.get("/usage/wrong-turns?q=nobody").text


def rows_of(browser: FlaskClient, path: str) -> list[dict[str, Any]]:
    """Return an export's rows, the same as CSV and JSON."""
    joined = f"{path}{'&' if '?' in path else '?'}format="
    found: list[dict[str, Any]] = browser.get(f"{joined}json").json  # type: ignore[assignment]
    text = browser.get(f"{joined}csv").text
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(found)
    assert "\n=HYPER" not in text
    return found


def test_every_table_is_exported_as_shown(browser: FlaskClient, full: int) -> None:
    weeks = rows_of(browser, "/usage/patterns?weeks=4")
    assert [it["week"] for it in weeks] == ["2026-05-25", "2026-06-01", "2026-06-08", "2026-06-15"]
    assert weeks[2]["active"] == 4
    steps = rows_of(browser, "/usage/patterns?what=next")
    assert [(it["after"], it["next"], it["times"], it["share"]) for it in steps] == [
        ("GET /orders", f"GET {UNMATCHED}", 3, 0.75)
    ]
    people = rows_of(browser, "/usage/patterns/users?week=2026-06-08&kind=active")
    assert {it["user"] for it in people} == {"user1", "user2", "user3", "user4"}
    (group,) = rows_of(browser, "/usage/errors")
    assert (group["error"], group["failures"], group["users"], group["new"]) == ("KeyError", 8, 1, True)
    failing = rows_of(browser, "/usage/errors?what=endpoints")
    assert [(it["route"], it["server_errors"]) for it in failing] == [("/orders", 8), (UNMATCHED, 0)]
    turns = rows_of(browser, "/usage/wrong-turns")
    assert {it["id"]: (it["nowhere"], it["limited"]) for it in turns} == {
        "user1": (3, 0),
        "user2": (3, 1),
        "user3": (3, 0),
    }


WRONG = (
    "/usage/patterns?weeks=5",
    "/usage/patterns?measure=x",
    "/usage/patterns/users?week=2026-13-01",
    "/usage/patterns/users?week=0001-01-01",
    "/usage/patterns/users?week=2026-06-08&kind=x",
    "/usage/patterns/users?week=2026-06-08&cursor=1",
    "/usage/errors?status=6",
    "/usage/errors?route=x",
    "/usage/errors?cursor=1.2.3",
    "/usage/errors?sort=calls",
    "/usage/errors?format=xml",
    "/usage/wrong-turns?kind=x",
    "/usage/wrong-turns?by=x",
    "/usage/wrong-turns?cursor=1.2.99999999999999999999",
    "/usage/wrong-turns?q=%00",
)
GONE = (
    "/usage/patterns?after=99999",
    "/usage/errors/99",
    "/usage/errors/99999999999999999999",
    "/usage/patterns/users?week=2026-06-09",
)


def test_what_cannot_be_is_refused_and_what_is_not_there_not_found(browser: FlaskClient, full: int) -> None:
    for paths, status in ((WRONG, 422), (GONE, 404)):
        assert {path: browser.get(path).status_code for path in paths} == dict.fromkeys(paths, status)
