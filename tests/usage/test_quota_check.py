"""`POST /v1/quota/check`, through the lane: who is limited by what, what is refused, and what happens without Redis."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import event
from sqlalchemy.engine import make_url
from werkzeug.test import Client, TestResponse

from trackside.auth.audit import SYSTEM
from trackside.customers import merge as merging
from trackside.customers import service as customers
from trackside.customers.kinds import ACCOUNT, USER
from trackside.db import psycopg_url
from trackside.embedded.valkey import Valkey
from trackside.runtime import Runtime, build_runtime
from trackside.serve import build
from trackside.settings import Settings
from trackside.testing.servers import session_folder
from trackside_modules.usage.quota import book, door, service
from trackside_modules.usage.quota.breaker import PAUSE

Ask = Callable[..., TestResponse]
HOUR = {"policy": "api", "amount": 100, "seconds": 3600}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, an id is looked up before its first check."""
    for name in ("PATIENCE", "FIRST"):
        monkeypatch.setattr(book, name, 60.0)


@pytest.fixture
def limit(runtime: Runtime) -> Callable[..., int]:
    """Make a limit: 100 per hour unless told otherwise."""

    def make(**given: Any) -> int:
        values = {"scope": "default", "shared_by": "account", "counts": "checks", "kind": "window", **HOUR, **given}
        env_id = values.pop("env_id", 1)
        with runtime.database.session() as session:
            return service.create(session, SYSTEM, env_id, values, now=runtime.clock.now()).id

    return make


@pytest.fixture
def people(runtime: Runtime) -> None:
    """Acme is on the plan business and has Ada and Bob; Carl is on his own."""
    now = runtime.clock.now()
    with runtime.database.session() as session:
        customers.create(session, ACCOUNT, SYSTEM, "acme", {"plan": "business"}, now=now)
        for name, account in (("ada", "acme"), ("bob", "acme"), ("carl", "")):
            customers.create(session, USER, SYSTEM, name, {"account": account}, now=now)


@pytest.fixture
def ask(runtime: Runtime, api_key: Callable[..., str]) -> Ask:
    """Ask the lane, as a gateway does."""
    client, key = Client(build(runtime)), api_key("server")

    def send(body: Any = None, **given: Any) -> TestResponse:
        raw = given.pop("raw", None)
        headers = {"Authorization": f"Bearer {given.pop('key', key)}", "Content-Type": "application/json"}
        headers |= given.pop("headers", {})
        data = raw if raw is not None else json.dumps(body if body is not None else {"policy": "api", **given})
        return client.post("/v1/quota/check", data=data, headers=headers)

    return send


def left(answer: TestResponse) -> int | None:
    assert answer.status_code == 200, answer.text
    found: int | None = answer.json["remaining"]  # type: ignore[index]
    return found


def test_a_grant_and_a_refusal_are_both_answered_200(limit: Callable[..., int], ask: Ask) -> None:
    number = limit(amount=2)
    first = ask(user="someone").json
    assert first is not None
    assert (first["allowed"], first["limit"], first["used"], first["remaining"]) == (True, 2, 1, 1)
    assert first["applies_to"] == {"id": number, "scope": "default", "shared_by": "account"}
    assert 0 < first["reset"] <= 3600
    assert first["degraded"] is first["retry_after"] is None
    ask(user="someone")
    refused = ask(user="someone")
    assert refused.json is not None
    assert refused.status_code == 200
    assert (refused.json["allowed"], refused.json["remaining"]) == (False, 0)
    assert 0 < refused.json["retry_after"] <= 3600
    assert int(refused.headers["Retry-After"]) <= 3600


def test_the_drafts_fields_are_in_headers_and_body(limit: Callable[..., int], ask: Ask) -> None:
    limit()
    answer = ask(user="someone", cost=5)
    assert answer.headers["RateLimit-Policy"] == '"api";q=100;w=3600'
    state, r, t = answer.headers["RateLimit"].split(";")
    assert (state, r) == ('"api"', "r=95")
    assert 0 < int(t.removeprefix("t=")) <= 3600
    assert answer.json is not None
    assert answer.json["fields"] == {
        "RateLimit-Policy": answer.headers["RateLimit-Policy"],
        "RateLimit": answer.headers["RateLimit"],
    }
    limit(policy="rate", kind="gcra", amount=10, seconds=1, burst=20)
    answer = ask(policy="rate", user="someone")
    assert answer.headers["RateLimit-Policy"] == '"rate";q=10;w=1;trackside-burst=20'
    assert answer.headers["RateLimit"] == '"rate";r=19;t=1'


@pytest.mark.usefixtures("people")
def test_the_most_specific_limit_counts_alone(limit: Callable[..., int], ask: Ask) -> None:
    limit(amount=10)
    assert left(ask(user="ada", cost=0)) == 10
    limit(scope="plan", plan="business", amount=20)
    assert left(ask(user="ada", cost=0)) == 20
    limit(scope="account", account="acme", amount=30)
    assert left(ask(user="ada", cost=0)) == 30
    limit(scope="user", user="ada", amount=40)
    assert left(ask(user="ada", cost=0)) == 40
    assert left(ask(user="bob", cost=0)) == 30
    assert left(ask(account="acme", cost=0)) == 30
    assert left(ask(user="carl", cost=0)) == 10


@pytest.mark.usefixtures("people")
def test_users_of_an_account_share_its_count_or_have_their_own(limit: Callable[..., int], ask: Ask) -> None:
    limit()
    assert left(ask(user="ada")) == 99
    assert left(ask(user="bob")) == 98
    assert left(ask(account="acme")) == 97
    assert left(ask(user="carl")) == 99
    limit(policy="each", shared_by="user")
    assert left(ask(policy="each", user="ada")) == 99
    assert left(ask(policy="each", user="bob")) == 99


def test_ids_that_nobody_has_count_each_by_itself(limit: Callable[..., int], ask: Ask) -> None:
    limit()
    assert left(ask(user="x")) == 99
    assert left(ask(user="y")) == 99
    assert left(ask(account="x")) == 99
    assert left(ask(user="x ")) == 98


def test_redis_holds_no_name(limit: Callable[..., int], ask: Ask, redis_client: redis.Redis) -> None:
    limit(amount=1)
    ask(user="grace@example.com")
    ask(user="grace@example.com")
    held = b"".join(redis_client.dump(key) or b"" for key in redis_client.scan_iter("{e*quota*"))
    assert held
    assert b"grace" not in held


def test_who_gets_known_keeps_what_was_used(
    limit: Callable[..., int], ask: Ask, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit()
    assert left(ask(user="dora")) == 99
    with runtime.database.session() as session:
        customers.create(session, USER, SYSTEM, "dora", {}, now=runtime.clock.now())
    for name in ("FRESH", "STALE"):
        monkeypatch.setattr(book, name, 0.0)
    assert left(ask(user="dora")) == 98


@pytest.mark.usefixtures("people")
def test_a_merge_takes_the_limit_along(limit: Callable[..., int], ask: Ask, runtime: Runtime) -> None:
    limit()
    limit(scope="account", account="acme", amount=500)
    with runtime.database.session() as session:
        now = runtime.clock.now()
        other = customers.create(session, ACCOUNT, SYSTEM, "acme-eu", {}, now=now)
        merging.merge(session, customers.by_external_id(session, ACCOUNT, "acme"), other, SYSTEM, now=now)
    limit(policy="other")  # any change makes the book load anew
    assert left(ask(account="acme-eu")) == 499
    assert left(ask(account="acme")) == 498


def test_a_policy_without_a_limit_for_somebody_does_not_limit_them(
    limit: Callable[..., int], ask: Ask, people: None
) -> None:
    limit(scope="plan", plan="business")
    answer = ask(user="carl").json
    assert answer is not None
    assert (answer["allowed"], answer["limit"], answer["remaining"]) == (True, None, None)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"policy": "api"}, "user"),
    ({"policy": "api", "user": "a", "account": "b"}, "account"),
    ({"user": "a"}, "body"),
    ({"policy": "api", "user": ""}, "user"),
    ({"policy": "api", "user": "a\u202eb"}, "user"),
    ({"policy": "api", "user": "a" * 201}, "user"),
    ({"policy": "api", "user": 7}, "user"),
    ({"policy": "api", "user": "a", "cost": -1}, "cost"),
    ({"policy": "api", "user": "a", "cost": True}, "cost"),
    ({"policy": "api", "user": "a", "cost": 1.5}, "cost"),
    ({"policy": "api", "user": "a", "cost": "1"}, "cost"),
    ({"policy": "api", "user": "a", "cost": 2**70}, "cost"),
    ({"policy": "api", "user": "a", "cost": 101}, "cost"),
    ({"policy": "api", "user": "a", "env_id": 2}, "env_id"),
]


RAW: list[tuple[str, int]] = [
    ('{"policy":"api","user":"a","cost":NaN}', 400),
    ('{"policy":"api","user":"a","cost":1e400}', 422),
    ("[" * 10_000, 422),
    ("[]", 422),
    ("", 400),
    ('{"policy":"api","user":"a","user":"b"}', 422),
    ('{"policy":"api","user":"a\\u0000"}', 422),
    ('{"policy":"api","user":"a\\ud800"}', 400),
    ('{"policy":"' + "a" * 20_000 + '"}', 413),
]


def test_wrong_input_is_refused_named_and_never_counted(
    limit: Callable[..., int], ask: Ask, redis_client: redis.Redis
) -> None:
    limit()
    for body, field in BAD:
        answer = ask(body)
        assert (answer.status_code, answer.content_type) == (422, "application/problem+json"), answer.text
        assert answer.json is not None
        assert field in answer.json["errors"], (body, answer.json)
    for raw, status in RAW:
        answer = ask(raw=raw)
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), (raw, answer.text)
    assert list(redis_client.scan_iter("{e*quota*")) == []


def test_an_unknown_policy_is_a_404_with_a_code_of_its_own(limit: Callable[..., int], ask: Ask) -> None:
    limit(env_id=2)  # another environment's is as good as none
    answer = ask(user="a")
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["code"] == "unknown-policy"


def test_other_types_methods_and_keys_are_refused(
    ask: Ask, runtime: Runtime, limit: Callable[..., int], api_key: Callable[..., str]
) -> None:
    limit()
    assert ask(user="a", headers={"Content-Type": "text/plain"}).status_code == 415
    for kind, scopes in (("ingest", ()), ("client", ()), ("admin", ("limits:write",))):
        assert ask(user="a", key=api_key(kind, scopes=scopes)).status_code == 403
    assert ask(user="a", key="nonsense").status_code == 401
    assert Client(build(runtime)).get("/v1/quota/check").status_code == 405


def test_a_limit_on_counted_requests_is_not_asked_about(limit: Callable[..., int], ask: Ask) -> None:
    limit(counts="requests")
    answer = ask(user="a")
    assert answer.status_code == 422
    assert answer.json is not None
    assert "policy" in answer.json["errors"]


def test_known_callers_cost_no_query(limit: Callable[..., int], ask: Ask, people: None, runtime: Runtime) -> None:
    limit()
    ask(user="ada")
    seen = list[Any]()
    event.listen(runtime.database.engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    door.build(runtime).book.close()  # its thread looks for changes; the checks themselves must not
    runtime.database.pool.close()
    for _ in range(20):
        ask(user="ada")
    assert left(ask(user="ada")) == 78
    assert not [each for each in seen if "usage_quota" in each or "customer" in each]


def test_invented_ids_cost_a_bounded_number_of_queries(
    limit: Callable[..., int], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit()
    asked, found = list[int](), book.lookup.who
    monkeypatch.setattr(book.lookup, "who", lambda r, keys: asked.append(len(keys)) or found(r, keys))
    monkeypatch.setattr(book, "QUERIES", 5)
    monkeypatch.setattr(book, "MOST_UNKNOWN", 50)
    mine = book.Book(runtime)
    for number in range(2000):
        mine.who("user", f"invented{number}")
    assert 1 <= len(asked) <= 5
    assert len(mine._unknown) <= 50
    assert len(mine._asked) <= book.AT_ONCE
    mine.close()


@pytest.fixture
def deaf(runtime: Runtime, settings: Settings, request: pytest.FixtureRequest) -> Any:
    """A runtime whose Redis does not answer."""
    given = replace(settings, redis_live_url="redis://127.0.0.1:1/0", **getattr(request, "param", {}))
    made = build_runtime(given, runtime.registry, runtime.clock)
    yield made
    made.close()


@pytest.mark.parametrize("deaf", [{}, {"quota_fail_open": False}], indirect=True)
def test_without_redis_it_is_granted_or_refused_as_set_and_told(
    deaf: Runtime, limit: Callable[..., int], api_key: Callable[..., str]
) -> None:
    limit()
    headers = {"Authorization": f"Bearer {api_key('server')}"}
    client = Client(build(deaf))
    for _ in range(3):
        answer = client.post("/v1/quota/check", json={"policy": "api", "user": "a"}, headers=headers)
        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["allowed"] is deaf.settings.quota_fail_open
        assert (answer.json["degraded"], answer.json["limit"]) == ("redis", 100)
        assert answer.headers["Trackside-Degraded"] == "redis"
        assert "RateLimit" not in answer.headers
        assert ("Retry-After" in answer.headers) is not deaf.settings.quota_fail_open
    assert [each.value for each in door.gauges(deaf)] == [3]


def test_a_redis_that_hangs_delays_one_check_and_not_the_next(
    settings: Settings, runtime: Runtime, limit: Callable[..., int], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit()
    with session_folder() as folder:
        server = Valkey(folder, throwaway=True)
        server.start()
        given = replace(settings, redis_live_url=server.url(), quota_timeout_ms=2000)
        other = build_runtime(given, runtime.registry, clock)
        mine = door.build(other)
        check = door.Check(policy="api", user="a")
        assert mine.answer(1, check).degraded is None
        redis.Redis.from_url(server.url()).execute_command("CLIENT", "PAUSE", "600000", "ALL")
        take, taken = mine._counters.take, []
        monkeypatch.setattr(mine._counters, "take", lambda *a, **k: (taken.append(a), take(*a, **k))[1])
        assert [mine.answer(1, check).degraded for _ in range(50)] == ["redis"] * 50
        assert len(taken) == 1, "only the first waited"
        server.stop()
        server.start()
        clock.advance(timedelta(seconds=PAUSE + 0.1))
        assert mine.answer(1, check).degraded is None
        other.close()
        server.stop()


def test_a_flushed_redis_begins_anew_without_an_error(
    limit: Callable[..., int], ask: Ask, redis_client: redis.Redis
) -> None:
    limit()
    assert left(ask(user="a", cost=60)) == 40
    redis_client.flushall()
    redis_client.script_flush()
    assert left(ask(user="a")) == 99


def test_a_database_that_hangs_holds_up_one_check_in_a_while(
    limit: Callable[..., int], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit()
    mine = door.build(runtime)
    monkeypatch.setattr(book, "PATIENCE", 0.05)
    monkeypatch.setattr(book, "STUCK", -1.0)  # from its first moment on, since the clock stands still
    held, ask, waited = threading.Event(), mine.book._ask, []
    monkeypatch.setattr(book.lookup, "who", lambda *_: held.wait(180) and {})
    monkeypatch.setattr(mine.book, "_ask", lambda key: (waited.append(ask(key)), waited[-1])[1])
    found = [mine.answer(1, door.Check(policy="api", user=f"new{n}")) for n in range(60)]
    assert [(each.allowed, each.degraded) for each in found] == [(True, None)] * len(waited) == [(True, None)] * 60
    assert sum(each is not None for each in waited) < 10, "those that waited for an answer"
    held.set()


def test_without_a_database_what_is_known_is_used_and_nothing_fails(
    limit: Callable[..., int],
    ask: Ask,
    people: None,
    runtime: Runtime,
    databases: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit()
    limit(scope="plan", plan="business", amount=7)
    assert left(ask(user="ada")) == 6
    monkeypatch.setattr(book, "PATIENCE", 0.05)
    with psycopg.connect(psycopg_url(databases.url("postgres")), autocommit=True) as admin:
        name = make_url(runtime.settings.database_url).database
        admin.execute(f'alter database "{name}" allow_connections false')  # type: ignore[call-overload]
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            assert left(ask(user="ada")) == 5
            assert left(ask(user="never seen before")) == 99
        finally:
            admin.execute(f'alter database "{name}" allow_connections true')  # type: ignore[call-overload]
