"""What the cards of users and accounts tell, and how a customer stands: sums of a plain list."""

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.module import Subject
from trackside.runtime import Runtime
from trackside_modules.usage import contrib
from trackside_modules.usage.models import UsageEndpoint, UsageSample
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.queries import everyone, everyone_of
from trackside_modules.usage.reports import lately

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_cards_and_standings_are_sums_of_what_was_called_merged_users_included(
    runtime: Runtime,
    session: Session,
    history: Callable[..., None],
    signed_in_client: Callable[..., FlaskClient],
) -> None:
    now, chance = runtime.clock.now() + timedelta(minutes=17), random.Random(5)
    runtime.clock.advance(timedelta(minutes=17))  # type: ignore[attr-defined]
    calls = [
        (
            now
            - timedelta(
                minutes=chance.randrange(1, 59 * 24 * 60) if chance.random() < 0.7 else chance.randrange(1, 900)
            ),
            "shop",
            chance.randrange(5),
            chance.choice([200, 404, 429, 503]),
            chance.choice(["/orders", UNMATCHED]),
        )
        for _ in range(400)
    ]
    history(calls, now)
    users = {it.external_id: it for it in session.scalars(select(User))}
    session.add(account := Account(external_id="acme", source="usage"))
    session.flush()
    users["user1"].account_id = users["user3"].account_id = account.id
    session.execute(update(User).where(User.id == users["user2"].id).values(merged_into=users["user1"].id))
    common = {"env_id": 1, "user_id": users["user2"].id, "micros": 9, "path": "", "trace": "", "message": "gone"}
    for ago, status, error in ((3, 503, "KeyError"), (2, 404, ""), (1, 500, "")):
        end = session.scalars(select(UsageEndpoint.id)).first()
        session.add(UsageSample(at=now - ago * HOUR, endpoint_id=end, status=status, error=error, **common))
    session.commit()

    start = now.replace(minute=0) - 23 * HOUR
    for kind, id_, theirs in (("user", users["user1"].id, {1, 2}), ("account", account.id, {1, 2, 3})):
        mine = [it for it in calls if it[2] in theirs]
        day = [it for it in mine if it[0] >= start]
        card = contrib.last_day(runtime, session, Subject(kind, id_, 1))  # type: ignore[arg-type]
        assert card is not None
        assert json.loads(json.dumps(card)) == card
        assert card["calls"] == sum(card["hours"]) == len(day)
        assert card["server_errors"] == sum(it[3] >= 500 for it in day)
        assert card["client_errors"] == sum(400 <= it[3] < 500 for it in day)
        assert card["wrong_turns"] == sum(it[3] == 429 or it[4] == UNMATCHED for it in day)
        assert [it["error"] or it["status"] for it in card["errors"]] == [500, "KeyError"]
        assert card["errors"][0]["user"] == ("user2" if kind == "account" else "")
        check_standing(session, mine, kind, id_, now)
        page = signed_in_client("viewer").get(f"/{kind}s/{id_}").text
        assert "KeyError" in page
        assert "could not be loaded" not in page


def check_standing(session: Session, mine: list[tuple[Any, ...]], kind: str, id_: int, now: Any) -> None:
    ids = everyone(id_) if kind == "user" else everyone_of(id_)
    for days in (7, 30):
        found = lately.last_days(session, 1, ids, now, days)
        start = now.replace(hour=0, minute=0) - (days - 1) * DAY
        shown = [it for it in mine if it[0] >= start]
        by_day = Counter(it[0].date() for it in shown)
        assert [it.calls for it in found.each] == [by_day[(start + place * DAY).date()] for place in range(days)]
        assert found.total.calls == len(shown)
        assert found.active == len(by_day)
        assert found.total.server_errors == sum(it[3] >= 500 for it in shown)
        assert found.before == sum(start - days * DAY <= it[0] < now - days * DAY for it in mine)
        assert found.p95_ms is not None
        assert abs(found.p95_ms / 50 - 1) < 0.03


def test_nobody_has_no_card_no_calls_and_no_trend(runtime: Runtime, session: Session) -> None:
    assert contrib.last_day(runtime, session, Subject("account", 99, 1)) is None
    found = lately.last_days(session, 1, everyone(0), runtime.clock.now())
    assert (found.trend, found.active, found.p95_ms) == (None, 0, None)
