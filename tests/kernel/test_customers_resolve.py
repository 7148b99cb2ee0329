"""Ids in telemetry become rows: once, whoever asks, and never for the erased."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from trackside.customers.identity import clean, refusal
from trackside.customers.resolve import resolve_accounts, resolve_users, touch_users
from trackside.db import psycopg_url

Connection = psycopg.Connection[tuple[Any, ...]]
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
ROLLED_BACK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture
def connection(shared_engine: Engine) -> Iterator[Connection]:
    """Give a psycopg connection whose work is undone at the end."""
    url = psycopg_url(shared_engine.url.render_as_string(hide_password=False))
    with psycopg.connect(url) as made:
        yield made
        made.rollback()


def test_the_same_id_is_always_the_same_user(connection: Connection) -> None:
    first = resolve_users(connection, {"ada": None, "bob": None})
    assert resolve_users(connection, {"ada": None, "bob": None}) == first
    assert first["ada"] != first["bob"]
    assert 0 not in first.values()


@ROLLED_BACK
@given(batches=st.lists(st.lists(st.text(max_size=8), max_size=6), max_size=4))
def test_any_id_resolves_the_same_way_every_time(connection: Connection, batches: list[list[str]]) -> None:
    seen: dict[str, int] = {}
    for batch in batches:
        found = resolve_users(connection, dict.fromkeys(batch))
        assert set(found) == set(batch)
        for raw, user in found.items():
            key = clean(raw)
            assert user == (0 if key is None else seen.setdefault(key, user))
    assert len(set(seen.values())) == len(seen)
    connection.rollback()


@pytest.mark.parametrize("raw", ["", "  ", "a\x00b", "a\nb", "\ud800", "a\u202eb", "\u2066x", "x" * 201])
def test_ids_that_cannot_be_told_apart_or_stored_count_as_unknown(connection: Connection, raw: str) -> None:
    assert refusal(raw)
    assert resolve_users(connection, {raw: raw}) == {raw: 0}
    assert resolve_accounts(connection, [raw]) == {raw: None}


@pytest.mark.parametrize("raw", ["أحمد", "דוד", "李", "a b", "'; drop table account; --", "<b>", "x" * 200])
def test_ids_of_every_script_are_taken(connection: Connection, raw: str) -> None:
    assert resolve_users(connection, {raw: None})[raw] > 0


def test_a_user_is_linked_to_the_account_it_comes_with(connection: Connection) -> None:
    user = resolve_users(connection, {"ada": None})["ada"]
    resolve_users(connection, {"ada": "acme"})
    acme = resolve_accounts(connection, ["acme"])["acme"]
    assert _account(connection, user) == acme
    resolve_users(connection, {"ada": "other"})
    assert _account(connection, user) == acme, "the first account stays until someone moves the user"


def test_a_merged_id_resolves_to_its_target(connection: Connection) -> None:
    users = resolve_users(connection, {"old": None, "new": None})
    connection.execute("update customer_user set merged_into = %s where id = %s", (users["new"], users["old"]))
    assert resolve_users(connection, {"old": "acme"}) == {"old": users["new"]}
    assert _account(connection, users["new"]) == resolve_accounts(connection, ["acme"])["acme"]


def test_two_processes_make_one_row(database_url: str) -> None:
    ids = [f"user-{n}" for n in range(500)]

    def fold(order: list[str]) -> dict[str, int]:
        with psycopg.connect(psycopg_url(database_url)) as connection:
            return resolve_users(connection, {each: f"account-{hash(each) % 7}" for each in order})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(fold, [ids, ids[::-1], ids[250:] + ids[:250], ids]))
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0].values())) == 500


def test_last_seen_only_goes_forward_and_first_seen_back(connection: Connection) -> None:
    user = resolve_users(connection, {"ada": "acme"})["ada"]
    for at in (NOON, NOON - timedelta(hours=1), NOON + timedelta(hours=1), NOON):
        touch_users(connection, {user: (at, at), 0: (at, at)})
    expected = (NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    query = "select first_seen, last_seen from {} where id = %s"
    assert connection.execute(query.format("customer_user"), (user,)).fetchone() == expected
    assert connection.execute(query.format("account"), (_account(connection, user),)).fetchone() == expected
    assert connection.execute(query.format("customer_user"), (0,)).fetchone() == (None, None)


def test_what_was_seen_from_long_ago_till_now_moves_both_ends(connection: Connection) -> None:
    user = resolve_users(connection, {"ada": "acme"})["ada"]
    spans = ((NOON, NOON), (NOON - timedelta(days=60), NOON + timedelta(hours=1)))
    for span in spans:
        touch_users(connection, {user: span})
    query = "select first_seen, last_seen from {} where id = %s"
    assert connection.execute(query.format("customer_user"), (user,)).fetchone() == spans[1]
    assert connection.execute(query.format("account"), (_account(connection, user),)).fetchone() == spans[1]


def _account(connection: Connection, user: int) -> int | None:
    row = connection.execute("select account_id from customer_user where id = %s", (user,)).fetchone()
    assert row
    found: int | None = row[0]
    return found
