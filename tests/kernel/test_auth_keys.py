"""API keys: what lets a program in, and everything that does not."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from trackside.auth import keyform, keyring, keys
from trackside.auth.audit import SYSTEM
from trackside.auth.keyring import KeyRing
from trackside.clock import FrozenClock
from trackside.errors import Conflict, InputError, NotAllowed, NotAuthenticated, TooMany, Unavailable
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings
from trackside.workspace import environment_by_slug

ApiKeys = Callable[..., str]


def environ(key: str = "", **more: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {key}", "REMOTE_ADDR": "192.0.2.1", **more}


@pytest.fixture
def other(runtime: Runtime, clock: FrozenClock) -> Iterator[KeyRing]:
    """The ring of another process on the same servers."""
    elsewhere = build_runtime(runtime.settings, runtime.registry, clock)
    yield KeyRing(elsewhere)
    elsewhere.close()


@pytest.fixture
def ring(runtime: Runtime) -> KeyRing:
    return keyring.build(runtime)


def revoke(runtime: Runtime, key: str) -> None:
    with runtime.database.session() as session:
        keys.revoke(session, SYSTEM, runtime.clock.now(), keys.key_by_public_id(session, key))


@given(st.sampled_from(["production", "eu-west-1"]), st.sampled_from(keyform.KINDS))
def test_a_new_key_is_well_formed_and_found_in_any_text(env: str, kind: str) -> None:
    key = keyform.new_key(env, kind).text
    assert keyform.is_well_formed(key)
    assert keyform.holds_key(f"GET /v1/x?key={key}&y=1")


@given(st.text(max_size=200))
def test_no_other_text_is_a_key(text: str) -> None:
    assert not keyform.is_well_formed(text)


@given(st.data())
def test_one_wrong_character_is_seen_without_a_query(data: st.DataObject) -> None:
    key = keyform.new_key("production", "server").text
    place = data.draw(st.integers(0, len(key) - 1))
    wrong = data.draw(st.sampled_from(keyform.ALPHABET).filter(lambda c: c != key[place]))
    assert not keyform.is_well_formed(key[:place] + wrong + key[place + 1 :])


def test_a_key_says_who_is_asking(ring: KeyRing, api_key: ApiKeys) -> None:
    key = api_key("server", env="staging")
    for given_as in (environ(key), {"HTTP_X_API_KEY": key}, {"HTTP_AUTHORIZATION": f"bearer {key}"}):
        found = ring.authenticate(given_as)
        assert (found.kind, found.environment) == ("server", "staging")


def test_an_ingest_key_may_have_the_form_that_apitallys_sdks_take(
    ring: KeyRing, api_key: ApiKeys, runtime: Runtime
) -> None:
    key = api_key(kind="ingest", apitally=True)
    assert re.fullmatch(r"apt_[a-zA-Z0-9]{24}", key)
    assert ring.authenticate(environ(key)).kind == "ingest"
    with pytest.raises(NotAuthenticated, match="not valid"):
        ring.authenticate(environ(key[:-1] + ("a" if key[-1] != "a" else "b")))
    with pytest.raises(NotAuthenticated, match="not an API key"):
        ring.authenticate(environ(key[:-1]))
    assert keyform.holds_key(f"?token={key}")
    with pytest.raises(InputError):
        api_key(kind="server", apitally=True)
    revoke(runtime, key)
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(key))


def test_one_ring_serves_a_process(runtime: Runtime, ring: KeyRing) -> None:
    assert keyring.build(runtime) is ring


@pytest.mark.parametrize(
    "bad", ["", "ts_", "nonsense", "ts_production_server_x_y_zzzzzz", "\x00", "é" * 50, "\udc80", "x" * 100_000]
)
def test_what_is_no_key_is_refused_without_a_query(ring: KeyRing, bad: str) -> None:
    with mock.patch.object(ring, "refresh", side_effect=AssertionError), pytest.raises(NotAuthenticated):
        ring.authenticate(environ(bad))


def test_a_key_of_ours_with_another_secret_is_refused(ring: KeyRing, api_key: ApiKeys) -> None:
    head = api_key().rsplit("_", 2)[0]
    body = f"{head}_{'0' * 43}"
    with pytest.raises(NotAuthenticated, match="wrong, revoked or expired"):
        ring.authenticate(environ(f"{body}_{keyform.checksum(body)}"))


def test_a_key_in_the_url_is_refused(ring: KeyRing, api_key: ApiKeys) -> None:
    key = api_key()
    for query in (f"key={key}", f"a=b&x={key[:40]}", "key=" + key.replace("_", "%5F"), key):
        with pytest.raises(NotAuthenticated, match="must not be in the URL") as refused:
            ring.authenticate(environ(key, QUERY_STRING=query))
        assert key not in refused.value.message


def test_a_revoked_key_is_dead_at_once_here_and_soon_elsewhere(
    runtime: Runtime, ring: KeyRing, other: KeyRing, api_key: ApiKeys
) -> None:
    key = api_key()
    ring.authenticate(environ(key))
    other.refresh()
    other.authenticate(environ(key))
    revoke(runtime, key)
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(key))
    other.refresh()  # what its thread does every 5 s
    with pytest.raises(NotAuthenticated):
        other.authenticate(environ(key))


def test_redis_tells_other_processes_at_once(runtime: Runtime, other: KeyRing, api_key: ApiKeys) -> None:
    key = api_key()
    other.authenticate(environ(key))
    subscribers = runtime.redis.pubsub
    while not subscribers.pubsub_numsub(keys.CHANNEL)[0][1]:
        pass
    seen = other._version
    revoke(runtime, key)
    while other._version == seen:
        pass
    with pytest.raises(NotAuthenticated):
        other.authenticate(environ(key))


def test_a_key_revoked_by_hand_in_sql_is_seen_too(runtime: Runtime, ring: KeyRing, api_key: ApiKeys) -> None:
    key = api_key()
    ring.authenticate(environ(key))
    with runtime.database.session() as session:
        session.execute(text("update api_key set revoked_at = now()"))
    ring.refresh()
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(key))


def test_an_expired_key_is_refused_without_being_told(
    runtime: Runtime, ring: KeyRing, api_key: ApiKeys, clock: FrozenClock
) -> None:
    key = api_key()
    with runtime.database.session() as session:
        row = keys.key_by_public_id(session, key)
        keys.expire(session, SYSTEM, clock.now(), row, clock.now() + timedelta(hours=1))
    ring.authenticate(environ(key))
    clock.advance(timedelta(hours=1))
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(key))


def test_rotation_leaves_two_live_then_one(
    runtime: Runtime, ring: KeyRing, api_key: ApiKeys, clock: FrozenClock
) -> None:
    old = api_key()
    with runtime.database.session() as session:
        env = environment_by_slug(session, "production")
        row = keys.key_by_public_id(session, old)
        _, new = keys.rotate(session, SYSTEM, clock.now(), env, row, overlap=timedelta(hours=24))
        with pytest.raises(Conflict):
            keys.rotate(session, SYSTEM, clock.now(), env, row)
    assert ring.authenticate(environ(old)).name == ring.authenticate(environ(new)).name
    clock.advance(timedelta(hours=24))
    ring.authenticate(environ(new))
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(old))


def test_a_thousand_bad_keys_a_minute_are_answered_429_before_any_query(
    ring: KeyRing, api_key: ApiKeys, clock: FrozenClock
) -> None:
    good = api_key()
    ring.authenticate(environ(good))
    wrong = keyform.new_key("production", "server").text
    for _ in range(1000):
        with pytest.raises(NotAuthenticated):
            ring.authenticate(environ(wrong))
    with mock.patch.object(ring, "refresh", side_effect=AssertionError), pytest.raises(TooMany):
        ring.authenticate(environ(wrong))
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(wrong, REMOTE_ADDR="192.0.2.2"))
    ring.authenticate(environ(good))
    clock.advance(timedelta(minutes=1))
    with pytest.raises(NotAuthenticated):
        ring.authenticate(environ(wrong))


def test_forwarded_addresses_count_only_behind_a_trusted_proxy(ring: KeyRing) -> None:
    wrong = keyform.new_key("production", "server").text
    for number in range(1000):
        with pytest.raises(NotAuthenticated):
            ring.authenticate(environ(wrong, HTTP_X_FORWARDED_FOR=f"198.51.100.{number}"))
    with pytest.raises(TooMany):
        ring.authenticate(environ(wrong, HTTP_X_FORWARDED_FOR="198.51.100.7"))


def test_keys_go_on_working_while_the_database_is_away(ring: KeyRing, api_key: ApiKeys, runtime: Runtime) -> None:
    key = api_key()
    ring.authenticate(environ(key))
    with mock.patch.object(runtime.database, "session", side_effect=AssertionError):
        ring.authenticate(environ(key))


def test_a_key_of_the_wrong_kind_or_scope_is_told_so(ring: KeyRing, api_key: ApiKeys) -> None:
    ingest = ring.authenticate(environ(api_key("ingest")))
    ingest.check(frozenset({"server", "ingest"}))
    with pytest.raises(NotAllowed, match="takes a key of kind server or client; yours is of kind ingest"):
        ingest.check(frozenset({"server", "client"}))
    admin = ring.authenticate(environ(api_key("admin", scopes=["customers:read"])))
    admin.check(frozenset({"admin"}), "customers:read")
    with pytest.raises(NotAllowed, match="customers:write"):
        admin.check(frozenset({"admin"}), "customers:write")


@pytest.mark.parametrize(("kind", "scopes"), [("admin", []), ("server", ["a:read"]), ("admin", ["b:read"]), ("x", [])])
def test_kinds_and_scopes_fit_together(runtime: Runtime, kind: str, scopes: list[str]) -> None:
    with runtime.database.session() as session, pytest.raises(InputError):
        env = environment_by_slug(session, "production")
        given = {"kind": kind, "name": "x", "scopes": scopes, "known_scopes": ["a:read"]}
        keys.create_key(session, SYSTEM, runtime.clock.now(), env, **given)  # type: ignore[arg-type]


def test_the_last_use_is_written_once_a_minute_not_at_each_call(
    runtime: Runtime, ring: KeyRing, api_key: ApiKeys, clock: FrozenClock
) -> None:
    key = api_key()
    ring.authenticate(environ(key))
    ring.flush()
    with runtime.database.session() as session:
        assert keys.key_by_public_id(session, key).last_used_at == clock.now()


def test_the_database_holds_no_part_of_the_secret(runtime: Runtime, api_key: ApiKeys) -> None:
    secret = api_key().split("_")[4]
    with runtime.database.session() as session:
        for table in ("api_key", "audit_entry"):
            rows = session.execute(text(f"select t::text from {table} t")).scalars().all()
            assert rows
            assert not any(secret in row for row in rows)


def test_who_asks_while_the_keys_are_being_loaded_waits_for_them(
    runtime: Runtime, api_key: ApiKeys, settings: Settings
) -> None:
    key = api_key()
    fresh = KeyRing(build_runtime(settings, runtime.registry))
    with ThreadPoolExecutor(4) as pool, runtime.database.session() as session:
        session.execute(text("lock table api_key in access exclusive mode"))
        asked = [pool.submit(fresh.authenticate, environ(key)) for _ in range(4)]
        assert not wait(asked, timeout=0.3).done
        session.rollback()
        assert {each.result(timeout=90).kind for each in asked} == {"server"}


def test_a_key_that_cannot_be_checked_is_no_wrong_key(runtime: Runtime, api_key: ApiKeys, settings: Settings) -> None:
    key = api_key()
    away = build_runtime(
        replace(settings, database_url=settings.database_url.replace("/test_", "/none_")), runtime.registry
    )
    ring = KeyRing(away)
    for _ in range(3):
        with pytest.raises(Unavailable):
            ring.authenticate(environ(key))
