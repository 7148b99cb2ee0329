"""What cheap requests may not cost, and what is left of somebody who was erased or merged."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from trackside.auth.audit import SYSTEM
from trackside.auth.principal import KeyPrincipal
from trackside.clock import FrozenClock
from trackside.customers.erase import erase
from trackside.customers.merge import merge
from trackside.customers.models import Account, User
from trackside.errors import Unavailable
from trackside.lane import LaneRequest
from trackside.module import Subject
from trackside.runtime import Runtime
from trackside_modules.usage import contrib, jobs
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest import lane
from trackside_modules.usage.ingest.otlp import json_values, normalise, wire

EMPTY = b"\x0a\x00"
"""A resource, scope, metric or point with nothing in it, in two bytes."""


def within(field: int, content: bytes) -> bytes:
    size, place = b"", len(content)
    while place > 0x7F:
        size, place = size + bytes([place & 0x7F | 0x80]), place >> 7
    return bytes([field << 3 | 2]) + size + bytes([place]) + content


def histogram(points: bytes) -> bytes:
    """Return a request with one histogram of these points."""
    metric = within(1, b"http.server.request.duration") + within(9, points + b"\x10\x01")
    return within(1, within(2, within(2, metric)))


def test_a_million_empty_messages_are_refused(post: Callable[..., Any]) -> None:
    assert post(EMPTY * (wire.MOST_MESSAGES + 1)).status.startswith("413")
    assert post(histogram(EMPTY * (wire.MOST_MESSAGES + 1))).status.startswith("413")


def test_more_points_than_are_counted_at_once_are_refused_as_too_large(post: Callable[..., Any]) -> None:
    answer = post(histogram(EMPTY * (normalise.MOST_POINTS + 1)))
    assert answer.status.startswith("413")
    assert b"several requests" in answer.body


def test_a_point_cannot_be_a_megabyte(post: Callable[..., Any]) -> None:
    point = within(1, within(9, EMPTY * 200_000))
    assert post(histogram(point)).status.startswith("400")


def test_millions_of_empty_objects_are_refused(post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MOST_OBJECTS", 100)
    assert post(b'{"resourceMetrics":[' + b"{}," * 100 + b"{}]}", "application/json").status.startswith("413")


def test_groups_and_cut_lengths_are_malformed(post: Callable[..., Any]) -> None:
    for body in (b"\x0b\x0c", b"\x0a\x05a", b"\x0a", b"\x80" * 11, b"\x02\x00", b"\x09\x00"):
        assert post(body).status.startswith("400"), body


def test_a_large_body_waits_for_its_turn(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "LARGE_AT_ONCE", 0)
    monkeypatch.setattr(lane, "_PATIENCE", 0)
    none_left, large = lane.metrics(runtime), b" " * (2 << 20) + b"{}"
    for extra in ({"CONTENT_LENGTH": str(len(large))}, {"HTTP_TRANSFER_ENCODING": "chunked"}):
        environ = {"CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(large), **extra}
        with pytest.raises(Unavailable) as caught:
            none_left(LaneRequest(environ, "/v1/metrics", KeyPrincipal(7, 1, "ingest")))
        assert caught.value.retry_after


@pytest.fixture
def calls(post: Callable[..., Any], export: Callable[..., Any], now_ns: int) -> Callable[..., None]:
    """Send calls of a user: `calls("ann", 3)`."""

    def send(user: str, count: int, account: str = "acme", temporality: int = 1) -> None:
        who = {"trackside.user": user, "trackside.account": account}
        point = {"time_unix_nano": now_ns, "counts": [count, 0, 0], "attributes": who}
        answer = post(export(point, temporality=temporality).SerializeToString())
        assert answer.status == "200 OK"

    return send


def user(runtime: Runtime, external_id: str) -> int:
    with runtime.database.session() as session:
        found = session.scalar(select(User.id).where(User.external_id == external_id))
    assert found is not None
    return found


def everything_stored(runtime: Runtime) -> bytes:
    """Return all rows of every table of ours, as bytes."""
    found = []
    with runtime.database.session() as session:
        names = session.scalars(text("select tablename from pg_tables where schemaname = 'public'")).all()
        for name in names:
            rows = session.scalars(text(f"select t::text from {name} t")).all()
            found += [str(row).encode() for row in rows]
    return b"\n".join(found)


def names(stored: bytes, word: bytes) -> bool:
    """Whether `word` is there, as text or inside of bytes, which PostgreSQL writes in hex."""
    return word in stored or word.hex().encode() in stored


def test_an_erased_user_is_named_in_no_table_and_no_live_key(
    runtime: Runtime, calls: Callable[..., None], redis_client: Any
) -> None:
    calls("ann-of-acme", 3)
    calls("ann-of-acme", 5, temporality=2)
    calls("bob-of-acme", 2)
    fold.run(runtime, 1)
    assert names(everything_stored(runtime), b"ann-of-acme")
    with runtime.database.session() as session:
        row = session.get_one(User, user(runtime, "ann-of-acme"))
        erase(session, row, SYSTEM, now=runtime.clock.now())
    stored = everything_stored(runtime)
    assert not names(stored, b"ann-of-acme")
    assert names(stored, b"bob-of-acme")
    for key in redis_client.scan_iter():
        assert b"ann-of-acme" not in key + redis_client.dump(key)


def test_what_waits_while_a_user_is_erased_counts_as_nobody_and_goes_too(
    runtime: Runtime, calls: Callable[..., None], clock: FrozenClock
) -> None:
    calls("ann-of-acme", 3)
    fold.run(runtime, 1)
    calls("ann-of-acme", 4)
    with runtime.database.session() as session:
        row = session.get_one(User, user(runtime, "ann-of-acme"))
        erase(session, row, SYSTEM, now=runtime.clock.now())
    fold.run(runtime, 1)
    clock.advance(timedelta(hours=1))
    jobs.tidy(runtime)
    assert not names(everything_stored(runtime), b"ann-of-acme")
    with runtime.database.session() as session:
        nobody = session.scalar(text("select sum(calls) from usage_minute where user_id = 0"))
    assert nobody == 4


def test_after_a_merge_the_target_shows_the_calls_of_both(
    runtime: Runtime, calls: Callable[..., None], signed_in_client: Callable[..., FlaskClient]
) -> None:
    calls("ann", 3)
    calls("ann2", 4, account="other")
    fold.run(runtime, 1)
    target, other = user(runtime, "ann"), user(runtime, "ann2")
    with runtime.database.session() as session:
        merge(session, session.get_one(User, other), session.get_one(User, target), SYSTEM, now=runtime.clock.now())
    with runtime.database.session() as session:
        accounts = dict(session.execute(select(Account.external_id, Account.id)).all())
        card = contrib.last_day(runtime, session, Subject("user", target, 1))
        acme = contrib.last_day(runtime, session, Subject("account", accounts["acme"], 1))
        rest = contrib.last_day(runtime, session, Subject("account", accounts["other"], 1))
    assert card is not None
    assert acme is not None
    assert (card["calls"], acme["calls"], rest) == (7, 7, None)
    rows = signed_in_client("viewer").get(f"/usage/rows?range=24h&user={target}").text
    assert rows.count("<tr") == 3  # the head and a row of each
