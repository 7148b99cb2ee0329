"""The pages and the management API of rate limits, and what becomes of a crossing."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from sqlalchemy import func, select

from trackside.auth.audit import SYSTEM
from trackside.auth.models import AuditEntry
from trackside.clock import FrozenClock
from trackside.customers import service as customers
from trackside.customers.kinds import ACCOUNT, USER
from trackside.events import QuotaApproached, QuotaReached
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold
from trackside_modules.usage.models.quota import UsageQuota, UsageQuotaCrossing
from trackside_modules.usage.quota import book, crossings, door, jobs, queries, requests, service
from trackside_modules.usage.quota.counters import Counters

Browsers = Callable[..., FlaskClient]
FORM = {
    "policy": "api",
    "scope": "default",
    "whom": "",
    "kind": "window",
    "amount": "1,000",
    "every": "2",
    "unit": "3600",
    "burst": "",
    "shared_by": "account",
    "counts": "checks",
}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, an id is looked up before its first check."""
    monkeypatch.setattr(book, "PATIENCE", 60.0)
    monkeypatch.setattr(book, "FIRST", 5.0)


@pytest.fixture
def limit(runtime: Runtime) -> Callable[..., int]:
    """Make a limit: 10 per hour unless told otherwise."""

    def make(**given: Any) -> int:
        values: dict[str, Any] = {"policy": "api", "scope": "default", "shared_by": "account", "counts": "checks"}
        values |= {"kind": "window", "amount": 10, "seconds": 3600} | given
        with runtime.database.session() as session:
            return service.create(session, SYSTEM, 1, values, now=runtime.clock.now()).id

    return make


@pytest.fixture
def acme(runtime: Runtime) -> int:
    """Acme with Ada; its number."""
    now = runtime.clock.now()
    with runtime.database.session() as session:
        made = customers.create(session, ACCOUNT, SYSTEM, "acme", {"name": "Acme <b>", "plan": "pro"}, now=now)
        customers.create(session, USER, SYSTEM, "ada", {"account": "acme"}, now=now)
        return made.id


@pytest.fixture
def heard(runtime: Runtime) -> list[Any]:
    """The events that were announced."""
    found: list[Any] = []
    for kind in (QuotaApproached, QuotaReached):
        runtime.events.subscribe(kind, found.append)
    return found


def use(runtime: Runtime, cost: int, **whom: str) -> bool:
    return door.build(runtime).answer(1, door.Check(policy="api", cost=cost, **whom)).allowed


def rows(runtime: Runtime) -> list[UsageQuotaCrossing]:
    with runtime.database.session() as session:
        return list(session.scalars(select(UsageQuotaCrossing).order_by(UsageQuotaCrossing.id)))


def test_an_empty_page_teaches_the_first_step(signed_in_client: Browsers) -> None:
    page = signed_in_client("viewer").get("/usage/limits").text
    assert "No rate limits yet" in page
    assert "/v1/quota/check" in page
    assert "New limit" not in page
    assert "New limit" in signed_in_client("developer").get("/usage/limits").text


def test_a_limit_is_made_edited_and_deleted_and_all_of_it_is_audited(
    signed_in_client: Browsers, runtime: Runtime, acme: int
) -> None:
    browser = signed_in_client("developer")
    assert browser.post("/usage/limits/new", data=FORM).status_code == 302
    assert browser.post("/usage/limits/new", data={**FORM, "scope": "account", "whom": "acme"}).status_code == 302
    with runtime.database.session() as session:
        made = session.scalars(select(UsageQuota).order_by(UsageQuota.id)).all()
        assert [(each.amount, each.seconds, each.account_id) for each in made] == [
            (1000, 7200, None),
            (1000, 7200, acme),
        ]
        number = made[0].id
    assert "1,000 per 2 hours" in browser.get("/usage/limits/all").text
    form = {name: value for name, value in FORM.items() if name not in ("policy", "scope", "whom")}
    rate = {**form, "kind": "gcra", "amount": "5", "every": "1", "unit": "1", "burst": "20"}
    assert browser.post(f"/usage/limits/{number}", data={**rate, "version": "1"}).status_code == 302
    late = browser.post(f"/usage/limits/{number}", data={**form, "version": "1"})
    assert late.status_code == 412
    assert "Someone changed this meanwhile" in late.text
    assert "5 per second, 20 at once" in browser.get("/usage/limits/all").text
    assert browser.post(f"/usage/limits/{number}/delete", data={"version": "1"}).status_code == 412
    assert browser.post(f"/usage/limits/{number}/delete", data={"version": "2"}).status_code == 302
    with runtime.database.session() as session:
        actions = session.scalars(select(AuditEntry.action).where(AuditEntry.object_kind == "limit").order_by("id"))
        assert list(actions) == ["limit.created", "limit.created", "limit.edited", "limit.deleted"]


WRONG: list[tuple[dict[str, str], str]] = [
    ({"policy": "Api calls"}, "Use 1 to 60 of a to z"),
    ({"amount": "0"}, "Use a whole number"),
    ({"amount": "9" * 40}, "Use a whole number"),
    ({"amount": "-5"}, "Use a whole number"),
    ({"every": "40", "unit": "86400"}, "Use a whole number"),
    ({"unit": "7"}, "Use a whole number"),
    ({"kind": "gcra"}, "Use a whole number"),
    ({"kind": "gcra", "burst": "5", "counts": "requests"}, "windows only"),
    ({"counts": "requests", "every": "1", "unit": "1"}, "whole minutes"),
    ({"kind": "leaky"}, "Choose one of"),
    ({"scope": "plan"}, "cannot be empty"),
    ({"scope": "user", "whom": "nobody"}, "There is no user"),
    ({"whom": "acme"}, "leave this empty"),
]


def test_a_wrong_form_comes_back_with_what_was_typed_and_why(signed_in_client: Browsers) -> None:
    browser = signed_in_client("admin")
    for given, words in WRONG:
        answer = browser.post("/usage/limits/new", data={**FORM, **given})
        assert (answer.status_code, words in answer.text) == (422, True), (given, words)
    assert browser.post("/usage/limits/new", data={**FORM, "env_id": "2"}).status_code == 422
    assert browser.post("/usage/limits/new", data=FORM).status_code == 302
    again = browser.post("/usage/limits/new", data=FORM)
    assert (again.status_code, "has a limit for the same already" in again.text) == (409, True)


def test_another_environments_limit_is_not_there(signed_in_client: Browsers, limit: Callable[..., int]) -> None:
    browser, number = signed_in_client("owner"), limit()
    assert browser.get(f"/usage/limits/{number}").status_code == 200
    assert browser.get(f"/usage/limits/{number}?env=staging").status_code == 404
    assert browser.post(f"/usage/limits/{number}/delete?env=staging", data={"version": "1"}).status_code == 404
    for path in ("/usage/limits?cursor=x", "/usage/limits/crossings?cursor=9-x", "/usage/limits?near=maybe"):
        assert browser.get(path).status_code == 422, path
    for path in (
        "/usage/limits?cursor=999999999",
        "/usage/limits/crossings?cursor=99999999999999999-9",
        "/usage/limits?q=%25",
    ):
        assert browser.get(path).status_code in (200, 422), path


def test_the_page_shows_who_is_nearest_and_what_they_may_use(
    signed_in_client: Browsers, runtime: Runtime, limit: Callable[..., int], acme: int
) -> None:
    limit()
    limit(scope="plan", plan="pro", amount=100)
    use(runtime, 10, user="somebody")
    use(runtime, 95, account="acme")
    use(runtime, 6, account="acme")
    page = signed_in_client("viewer").get("/usage/limits").text
    assert page.index("unknown id") < page.index("Acme &lt;b&gt;")
    assert "<b>" not in page
    assert "95 of 100" in page
    assert re.search(r'<td class="num wide">1</td>', page)  # the refusal
    assert "Nobody matches" in signed_in_client("viewer").get("/usage/limits?q=somebody").text
    found = signed_in_client("viewer").get("/usage/limits?q=acm&near=on").text
    assert "1 line of 1" in found


def test_the_page_says_when_redis_is_away(
    signed_in_client: Browsers, runtime: Runtime, limit: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit()
    monkeypatch.setattr(Counters, "now", lambda _: (_ for _ in ()).throw(redis.ConnectionError()))
    answer = signed_in_client("viewer").get("/usage/limits")
    assert answer.status_code == 200
    assert "Redis is away" in answer.text


def test_a_crossing_is_stored_and_announced_once_whoever_tells_it(
    runtime: Runtime, limit: Callable[..., int], acme: int, heard: list[Any], redis_client: redis.Redis
) -> None:
    number = limit()
    mine = door.build(runtime)
    mine.answer(1, door.Check(policy="api", cost=0, user="ada"))
    mine.book.close()  # else its thread might be the first to tell
    for cost in (7, 1, 1, 1, 1):
        use(runtime, cost, user="ada")
    waiting = redis_client.lrange("{e1}:quota:untold", 0, -1)
    crossings.tell_all(runtime)
    assert [(each.level, each.account_id, each.used) for each in rows(runtime)] == [
        (80, acme, 8),
        (90, acme, 9),
        (100, acme, 10),
    ]
    assert [type(each) for each in heard] == [QuotaApproached, QuotaApproached, QuotaReached]
    assert (heard[0].env_id, heard[0].policy, heard[0].quota_id, heard[0].limit) == (1, "api", number, 10)
    # a process that died between storing and taking off the list
    redis_client.rpush("{e1}:quota:untold", *waiting, "nonsense", b"\xff\x00")
    crossings.tell_all(runtime)
    assert (len(rows(runtime)), len(heard), redis_client.llen("{e1}:quota:untold")) == (3, 3, 0)


def test_a_flushed_redis_does_not_announce_a_window_twice(
    runtime: Runtime, limit: Callable[..., int], heard: list[Any], redis_client: redis.Redis
) -> None:
    limit()
    for _ in range(2):
        use(runtime, 10, user="ada")
        crossings.tell_all(runtime)
        redis_client.flushall()
    assert [each.level for each in rows(runtime)] == [80, 90, 100]
    assert len(heard) == 3


def test_a_check_tells_what_it_crossed_within_moments(
    runtime: Runtime, limit: Callable[..., int], heard: list[Any], until: Callable[..., None]
) -> None:
    limit()
    use(runtime, 9, user="ada")
    until(lambda: len(heard) == 2)
    assert [each.level for each in rows(runtime)] == [80, 90]


def test_counted_requests_are_compared_and_announced_too(
    runtime: Runtime,
    limit: Callable[..., int],
    post: Callable[..., Any],
    export: Callable[..., Any],
    now_ns: int,
    clock: FrozenClock,
    heard: list[Any],
    signed_in_client: Browsers,
) -> None:
    limit(counts="requests", amount=12, seconds=86400)
    attributes = {"trackside.user": "ada", "trackside.account": "acme"}
    busy = {**attributes, "http.response.status_code": 429}
    clock.advance(timedelta(minutes=30))
    at = now_ns + 29 * 60 * 10**9
    body = export(
        {"time_unix_nano": at, "counts": [3, 2, 0], "attributes": attributes},
        {"time_unix_nano": at, "counts": [6, 0, 0], "attributes": busy},
    )
    post(body.SerializeToString())
    fold.run(runtime, 1)
    clock.advance(timedelta(minutes=1))
    for _ in range(2):
        jobs.watch(runtime)
    assert [(each.level, each.used, each.amount) for each in rows(runtime)] == [(80, 11, 12), (90, 11, 12)]
    assert len(heard) == 2
    page = signed_in_client("viewer").get("/usage/limits").text
    assert "11 of 12" in page
    assert re.search(r'<td class="num">6</td>', page)  # its 429s
    with runtime.database.session() as session:
        policies = queries.policies(queries.listed(session, 1))
        assert list(requests.used(session, 1, policies, clock.now()).values()) == [11]


def test_crossings_are_kept_thirty_days(runtime: Runtime, limit: Callable[..., int], clock: FrozenClock) -> None:
    limit()
    use(runtime, 10, user="ada")
    crossings.tell_all(runtime)
    with runtime.database.session() as session:
        at = session.scalar(select(func.max(UsageQuotaCrossing.at)))
        assert at is not None
        crossings.forget(session, at + timedelta(days=29))
    assert len(rows(runtime)) == 3
    with runtime.database.session() as session:
        crossings.forget(session, at + timedelta(days=31))
    assert rows(runtime) == []


def test_the_api_makes_edits_lists_and_deletes(
    client: FlaskClient, api_key: Callable[..., str], acme: int, runtime: Runtime
) -> None:
    headers = {"Authorization": f"Bearer {api_key('admin', scopes=['limits:read', 'limits:write'])}"}
    made = client.post("/api/v1/rate-limits", json={"policy": "api", "amount": 10, "seconds": 60}, headers=headers)
    assert made.status_code == 201, made.text
    number, tag = made.json["id"], made.headers["ETag"]  # type: ignore[index]
    of_acme = {"policy": "api", "amount": 5, "seconds": 60, "scope": "account", "account": "acme"}
    assert client.post("/api/v1/rate-limits", json=of_acme, headers=headers).json["account"] == "acme"  # type: ignore[index]
    assert client.post("/api/v1/rate-limits", json=of_acme, headers=headers).status_code == 409
    for wrong in (
        {"amount": 0},
        {"scope": "plan"},
        {"env_id": 2},
        {"amount": True},
        {"seconds": 2**70},
        {"burst": "x"},
    ):
        sent = {"policy": "b", "amount": 10, "seconds": 60, **wrong}
        assert client.post("/api/v1/rate-limits", json=sent, headers=headers).status_code == 422, wrong
    path = f"/api/v1/rate-limits/{number}"
    assert client.patch(path, json={"amount": 20}, headers={**headers, "If-Match": tag}).json["amount"] == 20  # type: ignore[index]
    assert client.patch(path, json={"amount": 30}, headers={**headers, "If-Match": tag}).status_code == 412
    assert client.patch(path, json={"policy": "other"}, headers=headers).status_code == 422
    first = client.get("/api/v1/rate-limits?limit=1", headers=headers).json
    assert first is not None
    rest = client.get(f"/api/v1/rate-limits?limit=1&cursor={first['next']}", headers=headers).json
    assert rest is not None
    assert {each["scope"] for each in first["items"] + rest["items"]} == {"default", "account"}
    use(runtime, 5, account="acme")
    crossings.tell_all(runtime)
    found = client.get("/api/v1/rate-limits/crossings?limit=2", headers=headers).json
    assert found is not None
    assert [(each["level"], each["account"]) for each in found["items"]] == [(100, "acme"), (90, "acme")]
    more = client.get(f"/api/v1/rate-limits/crossings?limit=2&cursor={found['next']}", headers=headers).json
    assert more is not None
    assert [each["level"] for each in more["items"]] == [80]
    assert client.delete(path, headers=headers).status_code == 204
    assert client.get(path, headers=headers).status_code == 404
    other = {"Authorization": f"Bearer {api_key('admin', env='staging', scopes=['limits:read'])}"}
    assert client.get("/api/v1/rate-limits", headers=other).json == {"items": [], "next": None}
    assert client.post("/api/v1/rate-limits", json=of_acme, headers=other).status_code == 403
