"""Ratings: who is asked, and what a link can do once."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM, Actor
from trackside.clock import FrozenClock
from trackside.errors import Conflict, InputError, NotFound
from trackside_modules.support import service
from trackside_modules.support.models import Interaction, Metric, RatingLink
from trackside_modules.support.service import asking, csat
from trackside_modules.support.service.asking import Asking
from trackside_modules.support.service.work import Work

Log = Callable[..., Interaction]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def solved(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> Callable[..., int]:
    """Log an interaction, and solve it."""

    def make(**given: object) -> int:
        number = log(**given).id
        service.set_status(session, number, "solved", who=ada, now=clock.now())
        return number

    return make


def test_one_click_rates_then_one_comment_says_why(
    session: Session, clock: FrozenClock, solved: Callable[..., int]
) -> None:
    number = solved()
    token = csat.make_link(session, number, who=SYSTEM, now=clock.now())
    csat.rate(session, token, 4, now=clock.now())
    csat.comment(session, token, "Quick\u202e, thank you", now=clock.now())
    said = [event for event in service.history_of(session, number) if event.kind == "csat"]
    assert [dict(event.data) for event in said] == [{"score": 4}, {"score": 4, "comment": "Quick, thank you"}]
    assert said[0].user_id == service.get(session, number).user_id
    assert session.get_one(Metric, number, populate_existing=True).csat_score == 4
    assert service.get(session, number).status == "solved"


def test_a_link_is_dead_once_used(session: Session, clock: FrozenClock, solved: Callable[..., int]) -> None:
    token = csat.make_link(session, solved(), who=SYSTEM, now=clock.now())
    csat.rate(session, token, 1, now=clock.now())
    with pytest.raises(NotFound):
        csat.rate(session, token, 5, now=clock.now())
    csat.comment(session, token, "", now=clock.now())
    with pytest.raises(NotFound):
        csat.comment(session, token, "And another thing", now=clock.now())


def test_a_forged_an_old_and_a_merged_link_say_the_same(
    session: Session, ada: Actor, clock: FrozenClock, solved: Callable[..., int]
) -> None:
    number, other = solved(), solved()
    token = csat.make_link(session, number, who=SYSTEM, now=clock.now())
    moved = csat.make_link(session, other, who=SYSTEM, now=clock.now())
    service.merge(session, other, number, who=ada, now=clock.now())
    later = clock.now() + 31 * DAY
    for forged, at in (("x" * 43, clock.now()), ("\ud800", clock.now()), (token, later), (moved, clock.now())):
        with pytest.raises(NotFound, match="was used, has expired or was never valid"):
            csat.find(session, forged, at)


def test_a_score_is_one_of_five_and_a_comment_needs_one(
    session: Session, clock: FrozenClock, solved: Callable[..., int]
) -> None:
    token = csat.make_link(session, solved(), who=SYSTEM, now=clock.now())
    for score in (0, 6, -1):
        with pytest.raises(InputError):
            csat.rate(session, token, score, now=clock.now())
    with pytest.raises(InputError):
        csat.comment(session, token, "Well", now=clock.now())
    csat.rate(session, token, 3, now=clock.now())
    with pytest.raises(InputError):
        csat.comment(session, token, "x" * 2001, now=clock.now())
    with pytest.raises(NotFound):
        csat.comment(session, token, "late", now=clock.now() + 25 * HOUR)


def test_a_token_is_kept_as_its_hash_alone(session: Session, clock: FrozenClock, solved: Callable[..., int]) -> None:
    token = csat.make_link(session, solved(), who=SYSTEM, now=clock.now())
    kept = session.scalars(select(RatingLink.token_digest)).one()
    assert token.encode() not in kept
    assert len(kept) == 32


def test_a_customer_is_asked_once_and_soon(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, solved: Callable[..., int]
) -> None:
    address = "dev@customer.example"
    number = solved()
    assert csat.recipient(session, number, clock.now()) == address
    assert csat.recipient(session, log().id, clock.now()) is None  # not solved
    assert csat.recipient(session, solved(user="u_42"), clock.now()) is None  # no address
    assert csat.recipient(session, number, clock.now() + 3 * DAY) is None  # long ago
    token = csat.make_link(session, number, who=SYSTEM, now=clock.now())
    assert csat.recipient(session, number, clock.now()) is None  # asked already
    assert csat.recipient(session, solved(), clock.now()) is None  # asked about another one just now
    csat.rate(session, token, 5, now=clock.now())
    with pytest.raises(Conflict):
        csat.make_link(session, number, who=ada, now=clock.now())


def test_nobody_is_asked_where_it_is_off(session: Session, clock: FrozenClock, solved: Callable[..., int]) -> None:
    asking.set_asking(session, Asking(on=False))
    assert csat.recipient(session, solved(), clock.now()) is None
    with pytest.raises(InputError):
        asking.set_asking(session, Asking(quiet_days=-1))


def test_a_rating_that_an_import_brought_counts_as_asked_for_when_it_was_given(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    with Work.on(session, log().id, ada, now=clock.now()) as work:
        work.add("csat", score=5)
        work.add("csat", score=2)
    found = session.get_one(Metric, work.interaction_id, populate_existing=True)
    assert (found.csat_score, found.csat_asked_at, found.csat_at) == (2, clock.now(), clock.now())
