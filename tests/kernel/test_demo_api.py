"""The demo API and its traffic, alone."""

from collections import Counter
from itertools import islice

from flask import Flask
from flask.testing import FlaskClient

from trackside.demo.api import CALLS_PER_SECOND, OUTAGE_EVERY, OUTAGE_LASTS, create_api
from trackside.demo.people import COMPANIES, POWER_USER, callers, people, token
from trackside.demo.traffic import plan


class _Time:
    """Stands still until it is moved; sleeping moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _caller(app: Flask, who: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token(who)}"
    return client


def test_the_demo_has_thirteen_companies_and_some_forty_users_with_ids_of_their_own() -> None:
    everyone = people()
    assert len(COMPANIES) == 13
    assert 36 <= len(everyone) <= 48
    assert len({person.external_id for person in everyone}) == len(everyone)
    assert max(everyone, key=lambda person: person.weight).external_id == POWER_USER
    assert all(person.external_id.isascii() for person in everyone)


def test_the_same_seed_makes_the_same_calls() -> None:
    assert list(islice(plan(7), 500)) == list(islice(plan(7), 500))
    assert list(islice(plan(7), 500)) != list(islice(plan(8), 500))


def test_the_traffic_is_ten_to_twenty_requests_a_second_of_nearly_every_user() -> None:
    calls = list(islice(plan(1), 20_000))
    assert 10 < len(calls) / sum(call.wait for call in calls) < 20
    users = Counter(call.user for call in calls)
    assert set(users) - {""} == {person.external_id for person in callers()}
    assert 0 < users[""] < 400
    assert any(not call.route for call in calls)


def test_a_stranger_is_refused_and_a_greedy_caller_slowed_down() -> None:
    time = _Time()
    app = create_api(clock=time, sleep=lambda _: None)
    assert app.test_client().get("/v1/rates").status_code == 401
    client = _caller(app, POWER_USER)
    answers = [client.get("/v1/rates").status_code for _ in range(20)]
    assert Counter(answers) == {200: int(2 * CALLS_PER_SECOND), 429: 20 - int(2 * CALLS_PER_SECOND)}
    time.sleep(1)
    assert client.get("/v1/rates").status_code == 200


def test_tracking_fails_in_bursts_while_the_carrier_is_away() -> None:
    time = _Time()
    client = _caller(create_api(clock=time, sleep=lambda _: None), "fjord-storefront")

    def failures(start: float) -> int:
        time.now = start
        codes = []
        for _ in range(100):
            time.sleep(0.35)
            codes.append(client.get("/v1/tracking/4711").status_code)
        return sum(code >= 500 for code in codes)

    assert failures(10) < 5
    assert failures(OUTAGE_EVERY - OUTAGE_LASTS) > 25


def test_every_planned_call_meets_the_route_it_says() -> None:
    time = _Time()
    app = create_api(clock=time, sleep=lambda _: None)
    adapter = app.url_map.bind("localhost")
    for call in islice(plan(3), 2_000):
        if call.route:
            rule, _ = adapter.match(call.path, call.method, return_rule=True)
            assert rule.rule == call.route
        else:
            assert not adapter.test(call.path, call.method)
