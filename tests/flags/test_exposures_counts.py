"""Exposures: exactly who was given what first, and how often it was evaluated."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import Client, TestResponse

from trackside.auth.audit import COMMAND_LINE
from trackside.customers.erase import erase
from trackside.customers.merge import merge
from trackside.customers.models import Account, User
from trackside.runtime import Runtime
from trackside_modules.flags.exposures import jobs, queries
from trackside_modules.flags.exposures.counter import shared
from trackside_modules.flags.exposures.models import Exposure, ExposureBatch, ExposureDay
from trackside_modules.flags.models import Flag

ALL = "/ofrep/v1/evaluate/flags"
TODAY = date(2026, 6, 15)


@pytest.fixture
def web(lane: Client) -> Client:
    return lane


@pytest.fixture
def checkout(flag: Any, change: Any) -> Flag:
    made = flag("checkout", variants={"on": True, "off": False})
    change("checkout", {"enabled": True})
    return made  # type: ignore[no-any-return]


@pytest.fixture
def keys(api_key: Any) -> dict[str, str]:
    return {kind: str(api_key(kind)) for kind in ("server", "client", "ingest")}


@pytest.fixture
def evaluate(web: Client, keys: dict[str, str]) -> Callable[..., TestResponse]:
    def made(context: dict[str, Any], path: str = f"{ALL}/checkout", kind: str = "server") -> TestResponse:
        return web.post(path, data=json.dumps({"context": context}), headers={"X-API-Key": keys[kind]})

    return made


@pytest.fixture
def post(web: Client, keys: dict[str, str]) -> Callable[..., TestResponse]:
    def made(body: Any, kind: str = "server", **more: Any) -> TestResponse:
        data = body if isinstance(body, str) else json.dumps(body)
        headers = {"X-API-Key": keys[kind], "Content-Type": "application/json"}
        return web.post("/v1/flags/exposures", data=data, headers=headers, **more)

    return made


@pytest.fixture
def counted(runtime: Runtime) -> Callable[[], tuple[dict[Any, int], dict[Any, Any]]]:
    """Flush and fold; return evaluations by variant and day, and who was given what first."""

    def made() -> tuple[dict[Any, int], dict[Any, Any]]:
        shared(runtime).flush()
        jobs.fold(runtime)
        with runtime.database.session() as session:
            days = {(it.variant, it.day): it.evaluations for it in session.scalars(select(ExposureDay))}
            names = dict(session.execute(select(User.id, User.external_id)).all())
            first = {(it.variant, names.get(it.user_id)): it for it in session.scalars(select(Exposure))}
        return days, first

    return made


def test_each_evaluation_counts_and_each_user_once(evaluate: Any, counted: Any, checkout: Flag, clock: Any) -> None:
    begun = clock.now()
    for user in ("u_1", "u_2", "u_1"):
        evaluate({"targetingKey": user, "account": "acme"})
    days, first = counted()
    assert days == {("on", TODAY): 3}
    clock.advance(timedelta(hours=1))
    evaluate({"targetingKey": "u_1"})
    evaluate({})
    days, first = counted()
    assert days == {("on", TODAY): 5}
    assert set(first) == {("on", "u_1"), ("on", "u_2")}
    assert {it.first_seen for it in first.values()} == {begun}
    assert len({it.account_id for it in first.values()}) == 1


def test_each_variant_is_kept_with_its_own_beginning(evaluate: Any, counted: Any, checkout: Flag, change: Any) -> None:
    evaluate({"targetingKey": "u_1"})
    change("checkout", {"enabled": False})
    evaluate({"targetingKey": "u_1"})
    days, first = counted()
    assert days == {("on", TODAY): 1, ("off", TODAY): 1}
    assert set(first) == {("on", "u_1"), ("off", "u_1")}


def test_all_at_once_counts_for_client_keys_alone(evaluate: Any, counted: Any, checkout: Flag, flag: Any) -> None:
    flag("banner")
    for kind in ("server", "client", "client"):
        assert evaluate({"targetingKey": "u_1"}, ALL, kind).status_code == 200
    days, first = counted()
    assert days == {("on", TODAY): 2, ("off", TODAY): 2}
    assert len(first) == 2


def test_an_account_alone_is_kept_too_and_nobody_is_not(evaluate: Any, counted: Any, checkout: Flag) -> None:
    evaluate({"account": "acme"})
    evaluate({"account": "acme"})
    evaluate({"account": "other"})
    evaluate({})
    days, first = counted()
    assert days == {("on", TODAY): 4}
    assert len(first) == 1  # by name: both accounts have no user


def test_what_is_wrong_is_no_exposure(evaluate: Any, counted: Any, checkout: Flag) -> None:
    evaluate({"targetingKey": 4})
    evaluate({"targetingKey": "u"}, f"{ALL}/nothing")
    assert counted() == ({}, {})


def test_days_are_by_utc(evaluate: Any, counted: Any, checkout: Flag, clock: Any, runtime: Runtime) -> None:
    evaluate({"targetingKey": "u_1"})
    shared(runtime).flush()
    clock.advance(timedelta(hours=13))
    evaluate({"targetingKey": "u_1"})
    assert counted()[0] == {("on", TODAY): 1, ("on", TODAY + timedelta(days=1)): 1}


def test_a_batch_counts_once_however_often_it_is_sent(post: Any, counted: Any, checkout: Flag) -> None:
    batch = {
        "batch_id": "b1",
        "exposures": [
            {"flag": "checkout", "variant": "on", "user": "u_1", "account": "acme", "count": 3},
            {"flag": "checkout", "variant": "off", "user": "u_2", "ts": "2026-06-14T23:30:00Z"},
            {"flag": "gone", "variant": "on", "user": "u_3"},
        ],
    }
    first, again = post(batch), post({**batch, "exposures": []})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json["accepted"] == 2
    assert [each["index"] for each in first.json["rejected"]] == [2]
    assert (first.json["duplicate"], again.json["duplicate"]) == (False, True)
    assert again.json["accepted"] == 2
    days, seen = counted()
    assert days == {("on", TODAY): 3, ("off", TODAY - timedelta(days=1)): 1}
    assert seen["off", "u_2"].first_seen == datetime(2026, 6, 14, 23, 30, tzinfo=UTC)
    assert post({"exposures": batch["exposures"]}).json["duplicate"] is False
    assert post({"exposures": batch["exposures"]}).json["duplicate"] is True


def test_the_first_time_is_the_earliest_whatever_comes_first(post: Any, counted: Any, checkout: Flag) -> None:
    for ts in ("2026-06-15T10:00:00Z", "2026-06-15T08:00:00Z", "2026-06-15T09:00:00Z"):
        post({"exposures": [{"flag": "checkout", "variant": "on", "user": "u_1", "ts": ts}]})
        counted()
    assert counted()[1]["on", "u_1"].first_seen == datetime(2026, 6, 15, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[]", 422),
        ("{}", 422),
        ('{"exposures": 4}', 422),
        (json.dumps({"exposures": [1] * 10_001}), 422),
        (json.dumps({"exposures": [], "batch_id": "a\u202eb"}), 422),
        (json.dumps({"exposures": [], "pad": "x" * (1 << 20)}), 413),
    ],
)
def test_a_batch_that_is_none_is_refused(post: Any, checkout: Flag, body: str, status: int) -> None:
    assert post(body).status_code == status


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": 2**70},
        {"count": "1"},
        {"ts": "yesterday"},
        {"ts": 10**30},
        {"ts": "0001-01-01T00:00:00Z"},
        {"user": "a\x00b"},
        {"user": "x" * 201},
        {"variant": ""},
        {"flag": "../x"},
    ],
)
def test_a_wrong_exposure_is_refused_by_itself(post: Any, counted: Any, checkout: Flag, wrong: Any) -> None:
    good = {"flag": "checkout", "variant": "on", "user": "u_1"}
    answer = post({"exposures": [good | wrong, good]})
    assert answer.status_code == 202
    assert (answer.json["accepted"], [it["index"] for it in answer.json["rejected"]]) == (1, [0])
    assert counted()[0] == {("on", TODAY): 1}


def test_only_server_and_client_keys_send_exposures(post: Any, checkout: Flag) -> None:
    assert [post({"exposures": []}, kind).status_code for kind in ("server", "client", "ingest")] == [202, 202, 403]


def test_a_batch_that_cannot_be_counted_is_set_aside_and_the_others_count(
    evaluate: Any, counted: Any, checkout: Flag, runtime: Runtime
) -> None:
    evaluate({"targetingKey": "u_1"})
    with runtime.database.session() as session:
        session.add(ExposureBatch(env_id=1, batch=b"bad", received_at=runtime.clock.now(), body=b"no batch"))
    for _ in range(3):
        assert counted()[0] == {("on", TODAY): 1}
    with runtime.database.session() as session:
        assert session.get_one(ExposureBatch, (1, b"bad")).dead_at is not None


def test_who_is_merged_or_erased_is_followed(
    evaluate: Any, counted: Any, checkout: Flag, runtime: Runtime, clock: Any
) -> None:
    evaluate({"targetingKey": "u_1", "account": "acme"})
    counted()
    begun = clock.now()
    clock.advance(timedelta(minutes=5))
    evaluate({"targetingKey": "u_2"})
    counted()
    with runtime.database.session() as session:
        people = {it.external_id: it for it in session.scalars(select(User))}
        merge(session, people["u_1"], people["u_2"], COMMAND_LINE, now=clock.now())
    _, first = counted()
    assert set(first) == {("on", "u_2")}
    assert first["on", "u_2"].first_seen == begun
    with runtime.database.session() as session:
        erase(session, session.get_one(User, people["u_2"].id), COMMAND_LINE, now=clock.now())
    evaluate({"targetingKey": "u_2"})
    days, first = counted()
    assert first == {}
    assert days == {("on", TODAY): 3}


def test_an_erased_account_is_forgotten(evaluate: Any, counted: Any, checkout: Flag, runtime: Runtime) -> None:
    evaluate({"account": "acme"})
    counted()
    with runtime.database.session() as session:
        account = session.scalars(select(Account)).one()
        erase(session, account, COMMAND_LINE, now=runtime.clock.now())
    assert counted()[1] == {}


def test_exposures_answer_what_pages_ask(
    evaluate: Any, counted: Any, checkout: Flag, runtime: Runtime, clock: Any, post: Any
) -> None:
    evaluate({"targetingKey": "u_1", "account": "acme"})
    evaluate({"targetingKey": "u_2", "account": "acme"})
    post({"exposures": [{"flag": "checkout", "variant": "off", "user": "u_1", "ts": "2026-06-14T12:00:00Z"}]})
    counted()
    with runtime.database.session() as session:
        days = queries.by_day(session, 1, checkout.id, TODAY - timedelta(days=7), TODAY)
        assert [(it.day, it.variant, it.evaluations, it.users) for it in days] == [
            (TODAY - timedelta(days=1), "off", 1, 1),
            (TODAY, "on", 2, 2),
        ]
        assert queries.users(session, 1, checkout.id) == {"off": 1, "on": 2}
        assert queries.last_evaluated(session, 1) == {(1, checkout.id): clock.now()}
        assert queries.sparklines(session, 1, [checkout.id], TODAY, 3) == {checkout.id: [0, 1, 2]}
