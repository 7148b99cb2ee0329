"""Who else looks at a thread and writes in it is said, for seconds; without Valkey nothing is said."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from redis import Redis

from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.support import presence

Browsers = Callable[..., FlaskClient]


@pytest.fixture
def grace(signed_in_client: Browsers) -> FlaskClient:
    """A browser of somebody else who works there."""
    return signed_in_client("developer")


def test_the_others_are_named_and_oneself_is_not(
    desk: FlaskClient, grace: FlaskClient, logged: Callable[..., int]
) -> None:
    number = logged()
    assert desk.post(f"/support/{number}/here").text.strip() == ""

    seen = grace.post(f"/support/{number}/here").text
    assert "is looking" in seen
    assert "is writing" not in seen
    assert "is looking" in desk.post(f"/support/{number}/here", data={"writing": "yes"}).text
    assert "is writing" in grace.post(f"/support/{number}/here").text
    assert "is writing" in grace.post(f"/support/{number}/here").text
    assert desk.post(f"/support/{logged()}/here").text.strip() == ""


def test_who_left_is_not_there_any_more(
    desk: FlaskClient, grace: FlaskClient, logged: Callable[..., int], clock: FrozenClock, redis_client: Redis
) -> None:
    number = logged()
    desk.post(f"/support/{number}/here", data={"writing": "yes"})
    clock.advance(presence.LASTS)

    assert grace.post(f"/support/{number}/here").text.strip() == ""
    assert 0 < redis_client.ttl(f"{{support}}:here:{number}") <= presence.LASTS.total_seconds()


def test_without_valkey_nothing_is_said_and_nobody_waits(
    runtime: Runtime, desk: FlaskClient, logged: Callable[..., int], clock: FrozenClock
) -> None:
    number = logged()
    away = Redis(port=1, socket_connect_timeout=0.2)
    runtime.redis.__dict__["live"] = away

    answer = desk.post(f"/support/{number}/here", data={"writing": "yes"})
    assert (answer.status_code, answer.text.strip()) == (200, "")
    assert presence._quiet[away] == clock.monotonic() + presence.QUIET
    assert desk.get(f"/support/{number}").status_code == 200


def test_nonsense_in_valkey_is_nobody(redis_client: Redis, clock: FrozenClock) -> None:
    redis_client.hset("{support}:here:7", mapping={"x": "y", "2": "", "3": "99999999999:1", "4": "-1:1"})
    assert [(each.member_id, each.writing) for each in presence.note(redis_client, clock, 7, 1, writing=False)] == [
        (3, True)
    ]


def test_a_thread_that_is_not_there_and_more_than_is_asked_for_are_refused(
    desk: FlaskClient, logged: Callable[..., int]
) -> None:
    assert desk.post("/support/999/here").status_code == 404
    assert desk.post(f"/support/{logged()}/here", data={"body": "x"}).status_code == 422
