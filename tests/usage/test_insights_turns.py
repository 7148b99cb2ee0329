"""Wrong turns and errors: counts as a plain list has them, and hints a person can use."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside_modules.usage.models import UsageEndpoint, UsageError, UsageErrorHour, UsageSample, UsageVersion
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.queries.window import window
from trackside_modules.usage.reports import error_groups, failing, wrong_turns
from trackside_modules.usage.reports.error_detail import detail
from trackside_modules.usage.reports.hints import SORTS, Counts, Tried, hint
from trackside_modules.usage.reports.nearest import Routes
from trackside_modules.usage.reports.wrong_turns import Wanted
from trackside_modules.usage.storage import reach

NOW = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
STATUS = {401: "unauthorized", 403: "forbidden", 429: "limited"}


def sort_of(status: int, route: str) -> str | None:
    return "nowhere" if route == UNMATCHED else STATUS.get(status)


@pytest.fixture
def calls(session: Session, history: Callable[..., None]) -> list[tuple[Any, ...]]:
    """Count calls of two days; return them as (minute, service, user, status, route)."""
    chance = random.Random(3)
    made = [
        (
            NOW - timedelta(minutes=chance.randrange(1, 48 * 60)),
            chance.choice(["shop", "billing"]),
            chance.randrange(9),
            chance.choice([200, 200, 401, 403, 404, 429, 500]),
            chance.choice(["/orders", UNMATCHED]),
        )
        for _ in range(300)
    ]
    history(made, NOW)
    return made


def plain(made: list[tuple[Any, ...]], **only: Any) -> dict[str, Counter[str]]:
    """Return the turns of each user by sort."""
    found: dict[str, Counter[str]] = {}
    for at, service, user, status, route in made:
        sort = sort_of(status, route)
        if sort and only["start"] <= at and service.startswith(only["service"]) and only["sort"] in (None, sort):
            found.setdefault(f"user{user}" if user else "", Counter())[sort] += 1
    return found


def test_turns_by_user_are_what_a_plain_list_says(session: Session, calls: list[tuple[Any, ...]]) -> None:
    for service in ("", "billing"):
        for sort in (None, *SORTS):
            check_turns(session, calls, service, sort)


def check_turns(session: Session, calls: list[tuple[Any, ...]], service: str, sort: Any) -> None:
    start = NOW.replace(minute=0) - timedelta(hours=30)
    found = wrong_turns.page(session, Wanted(1, start, NOW, service, sort))
    expected = plain(calls, start=start, service=service, sort=sort)
    unknown = expected.pop("", Counter())
    named = {it.who.external_id: {name: getattr(it.counts, name) for name in SORTS} for it in found.rows if it.who}
    assert named == {user: {name: counts[name] for name in SORTS} for user, counts in expected.items()}
    assert {name: getattr(found.unknown.counts, name) for name in SORTS} == {name: unknown[name] for name in SORTS}
    assert found.counts.total == sum(sum(it.values()) for it in expected.values()) + sum(unknown.values())
    assert found.users == len(expected)
    for row in found.rows:
        assert row.who
        assert row.calls == sum(at >= start and f"user{user}" == row.who.external_id for at, _, user, *_ in calls)


def test_first_and_last_turn_are_told_to_the_hour_of_days_past(session: Session, calls: list[tuple[Any, ...]]) -> None:
    start = NOW.replace(hour=0, minute=0) - timedelta(days=3)
    found = wrong_turns.page(session, Wanted(1, start, NOW))
    assert len(found.rows) == 8
    for row in (*found.rows, found.unknown):
        name = row.who.external_id if row.who else "user0"
        mine = sorted(at for at, _, user, status, route in calls if f"user{user}" == name and sort_of(status, route))
        assert row.first
        assert row.last
        assert row.first.replace(minute=0) == mine[0].replace(minute=0)
        assert row.last.replace(minute=0) == mine[-1].replace(minute=0)


@pytest.mark.parametrize("order", wrong_turns.ORDERS)
@pytest.mark.parametrize("by", ["user", "account"])
def test_every_row_is_on_one_page(session: Session, calls: list[tuple[Any, ...]], order: str, by: Any) -> None:
    for number in (1, 2):
        session.add(Account(external_id=f"acme{number}", source="usage"))
    session.flush()
    accounts = list(session.scalars(select(Account.id)))
    for user in session.scalars(select(User).where(User.id != 0)):
        user.account_id = accounts[user.id % 2]
    session.flush()
    wanted = Wanted(1, NOW - timedelta(days=3), NOW, by=by, order=order)
    whole = wrong_turns.page(session, wanted, limit=None)
    rows, after = [], None
    while True:
        some = wrong_turns.page(session, wanted, after, limit=1)
        rows += some.rows
        after = some.next
        if after is None:
            break
    assert [it.who for it in rows] == [it.who for it in whole.rows]
    assert len(rows) == (8 if by == "user" else 2)
    totals = [it.counts.total for it in rows]
    assert order == "-seen" or totals == sorted(totals, reverse=True)
    assert sum(totals) + whole.unknown.counts.total == whole.counts.total


def test_merged_users_are_one_row_and_a_search_finds_them(session: Session, calls: list[tuple[Any, ...]]) -> None:
    wanted = Wanted(1, NOW - timedelta(days=3), NOW)
    before = wrong_turns.page(session, wanted)
    ids = {it.who.external_id: it for it in before.rows if it.who}
    head, merged = ids["user1"], ids["user2"]
    assert head.who
    assert merged.who
    session.execute(update(User).where(User.id == merged.who.id).values(merged_into=head.who.id))
    after = wrong_turns.page(session, wanted)
    assert after.users == before.users - 1
    row = next(it for it in after.rows if it.who is head.who)
    assert row.counts.total == head.counts.total + merged.counts.total
    found = wrong_turns.page(session, Wanted(1, wanted.start, NOW, q="SER1"))
    assert [it.who for it in found.rows] == [head.who]


def test_samples_say_what_was_tried_and_what_is_near(session: Session, history: Callable[..., None]) -> None:
    history([(NOW - HOUR, "shop", 1, 404, UNMATCHED)] * 5 + [(NOW - HOUR, "shop", 2, 200, "/v1/orders")], NOW)
    nowhere = session.scalars(select(UsageEndpoint.id).where(UsageEndpoint.route == UNMATCHED)).one()
    user = session.scalars(select(User.id).where(User.external_id == "user1")).one()
    tried = {
        "endpoint_id": nowhere,
        "user_id": user,
        "status": 404,
        "micros": 9,
        "error": "",
        "message": "",
        "trace": "",
    }
    for path, minutes in (("/v1/order", 31), ("/v1/order", 32), ("/nothing/like/this", 33)):
        session.add(UsageSample(env_id=1, at=NOW - timedelta(minutes=minutes), path=path, **tried))
    session.flush()
    (row,) = wrong_turns.page(session, Wanted(1, NOW - 24 * HOUR, NOW)).rows
    assert [(it.path, it.samples) for it in row.tried] == [("/v1/order", 2), ("/nothing/like/this", 1)]
    assert row.last == NOW - timedelta(minutes=31)
    assert row.hint == "They call GET /v1/order; /v1/orders exists."


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/order", "/v1/orders"),
        ("GET", "/v1/Orders/", None),
        ("GET", "/v1/order/{id}", "/v1/orders/{order_id}"),
        ("GET", "/v1/orders/<n>/itmes", "/v1/orders/:id/items"),
        ("GET", "/wp-login.php", None),
        ("POST", "/v1/custmers", "/v1/customers"),
        ("GET", "/", None),
        ("GET", "/v2/orders", "/v1/orders"),
        ("GET", "/v1/customer/{id}", "/v1/customers"),
        ("GET", "/v1/orders/{id}/items/all", "/v1/orders/:id/items"),
    ],
)
def test_the_nearest_endpoint_is_the_one_misspelt(method: str, path: str, expected: str | None) -> None:
    there = [
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders/{order_id}"),
        ("GET", "/v1/orders/:id/items"),
        ("POST", "/v1/customers"),
        ("GET", UNMATCHED),
    ]
    found = Routes(there).nearest(method, path)
    assert (found and found.route) == expected


def test_a_route_that_is_there_for_another_method_is_said_so() -> None:
    found = Routes([("GET", "/orders"), ("POST", "/orders")]).nearest("DELETE", "/orders")
    assert found is not None
    assert (found.exact, found.methods) == (True, ("GET", "POST"))


def test_a_hint_says_what_is_probably_wrong() -> None:
    routes = Routes([("GET", "/orders")])

    def said(status: int, path: str = "/orders", *, calls: int = 10, known: bool = True, **counts: int) -> str:
        return hint(Counts(**counts), calls, [Tried("DELETE", path, status, 3, NOW)], routes, known=known)

    assert said(404, nowhere=2) == "They call DELETE /orders; it exists for GET only."
    assert said(404, "/x/y", nowhere=2) == "They call DELETE /x/y; nothing like it exists."
    assert "in no sample" in said(404, UNMATCHED, nowhere=2)
    assert "No call of theirs" in said(401, unauthorized=10)
    assert "Some of their calls" in said(401, unauthorized=3)
    assert "Calls without a valid key" in said(401, unauthorized=3, known=False)
    assert said(403, forbidden=3) == "They are not allowed to call DELETE /orders: their role or plan lacks it."
    assert said(429, limited=3).startswith("30% of their calls")
    assert "no call says who" in said(429, limited=3, known=False)
    assert hint(Counts(), 1, [], routes, known=True) == ""


@pytest.fixture
def errors(session: Session, history: Callable[..., None]) -> list[UsageError]:
    """Make two groups of errors: an old one, and one that came with a version."""
    history([(NOW - place * HOUR, "shop", place % 5, 503, "/orders") for place in range(1, 20)], NOW)
    endpoint = session.scalars(select(UsageEndpoint.id)).one()
    users = {it.external_id: it.id for it in session.scalars(select(User))}
    made = []
    for name, first in (("Old", NOW - timedelta(days=9)), ("Fresh", NOW - timedelta(hours=5))):
        it = UsageError(
            env_id=1,
            key=name.encode(),
            service="shop",
            endpoint_id=endpoint,
            status=503,
            error=f"{name}Error",
            message="order <n> is gone",
            calls=99,
            users=reach.pack(()),
            first_seen_at=first,
            last_seen_at=NOW,
        )
        session.add(it)
        session.flush()
        made.append(it)
        for place, numbers in enumerate((["user1"], ["user1", "user2"], ["user3"])):
            packed = reach.pack(users[each] for each in numbers)
            at = NOW.replace(minute=0) - (1 + place) * HOUR
            session.add(UsageErrorHour(env_id=1, error_id=it.id, at=at, calls=place + len(made), users=packed))
    for version, ago in (("1.0", timedelta(days=30)), ("2.0", timedelta(hours=5, minutes=4))):
        session.add(UsageVersion(env_id=1, service="shop", version=version, first_seen_at=NOW - ago))
    session.flush()
    return made


def test_groups_say_how_often_for_whom_and_since_which_version(session: Session, errors: list[UsageError]) -> None:
    wanted = error_groups.Wanted(1, window("24h", NOW))
    found, after = error_groups.groups(session, wanted)
    assert after is None
    shown = [(it.error.error, it.calls, it.users, it.is_new, it.version) for it in found]
    assert shown == [("FreshError", 2 + 3 + 4, 3, True, "2.0"), ("OldError", 1 + 2 + 3, 3, False, "")]
    assert sum(value or 0 for value in found[0].trend) == 9
    assert len(found[0].trend) == 24
    head = session.scalars(select(User.id).where(User.external_id == "user1")).one()
    session.execute(update(User).where(User.external_id == "user3").values(merged_into=head))
    assert [it.users for it in error_groups.groups(session, wanted)[0]] == [2, 2]
    some, after = error_groups.groups(session, wanted, limit=1)
    rest, end = error_groups.groups(session, wanted, after, limit=1)
    assert [it.error.error for it in [*some, *rest]] == ["FreshError", "OldError"]
    assert end is None


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({"only_new": True}, ["FreshError"]),
        ({"q": "oldE"}, ["OldError"]),
        ({"q": "%"}, []),
        ({"status": "4"}, []),
        ({"status": "503", "service": "shop"}, ["FreshError", "OldError"]),
        ({"service": "billing"}, []),
        ({"endpoint_id": -1}, []),
        ({"order": "-first"}, ["FreshError", "OldError"]),
        ({"order": "-seen"}, ["FreshError", "OldError"]),
    ],
)
def test_groups_are_narrowed(session: Session, errors: list[UsageError], only: Any, expected: list[str]) -> None:
    found, _ = error_groups.groups(session, error_groups.Wanted(1, window("24h", NOW), **only))
    assert sorted(it.error.error for it in found) == expected


def test_failing_endpoints_are_counted_exactly(session: Session, calls: list[tuple[Any, ...]]) -> None:
    span = window("24h", NOW)
    found = failing.failing(session, error_groups.Wanted(1, span))
    inside = [it for it in calls if it[0] >= span.start]
    for row in found:
        mine = [it for it in inside if (it[1], it[4]) == (row.endpoint.service, row.endpoint.route)]
        assert row.calls == len(mine)
        assert row.statuses == Counter(it[3] for it in mine if it[3] >= 400)
        assert row.users == len({it[2] for it in mine if it[3] >= 400} - {0})
        assert row.share == row.of(5) / row.calls
    assert len(found) == 4
    assert [it.of(5) for it in found] == sorted((it.of(5) for it in found), reverse=True)
    assert {it.endpoint.service for it in failing.failing(session, error_groups.Wanted(1, span, "shop"))} == {"shop"}


def test_a_group_shows_its_samples_users_and_accounts(session: Session, errors: list[UsageError]) -> None:
    account = Account(external_id="acme", source="usage")
    session.add(account)
    session.flush()
    users = {it.external_id: it for it in session.scalars(select(User))}
    users["user1"].account_id = users["user2"].account_id = account.id
    common = {"endpoint_id": errors[0].endpoint_id, "status": 503, "micros": 9, "error": "", "message": "", "trace": ""}
    for user in (0, users["user2"].id):
        session.add(UsageSample(env_id=1, at=NOW, user_id=user, path="/orders", error_id=errors[0].id, **common))
    session.flush()
    found = detail(session, error_groups.Wanted(1, window("24h", NOW)), errors[0].id)
    assert found is not None
    assert (found.group.calls, found.group.users, len(found.times)) == (6, 3, len(found.group.trend))
    assert [it.user and it.user.external_id for it in found.samples] == ["user2", None]
    assert {it.user.external_id: it.failed for it in found.users} == {"user1": 4, "user2": 4, "user3": 4}
    assert [(it.account and it.account.external_id, it.users) for it in found.accounts] == [("acme", 2), (None, 1)]
    assert [it.version for it in found.versions] == ["2.0"]
    assert detail(session, error_groups.Wanted(2, window("24h", NOW)), errors[0].id) is None
    users["user3"].merged_into = users["user1"].id
    session.flush()
    found = detail(session, error_groups.Wanted(1, window("24h", NOW)), errors[0].id)
    assert found is not None
    assert {it.user.external_id: it.failed for it in found.users} == {"user1": 8, "user2": 4}
