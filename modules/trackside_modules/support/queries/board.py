"""The views beside the list: those that everybody has, those that members saved, and how much waits in each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from trackside_modules.support.models import SavedView
from trackside_modules.support.queries.chips import ask
from trackside_modules.support.queries.filters import NOTHING, Filter
from trackside_modules.support.queries.lists import counted

MOST = 1000
"""Counts stop there: 999+."""


@dataclass(frozen=True, slots=True)
class View:
    """A search with a name."""

    key: str
    """In addresses: `mine`, or `v12` for a saved one."""
    title: str
    query: str
    """As it is typed."""
    sort: str = "updated"
    counts: bool = True
    """Whether its number says that something is to be done."""
    member_id: int | None = None
    """Whose own it is; None: everybody's."""
    saved_id: int | None = None
    number: int | None = None
    """How many there are, `MOST` at most; None where it is not counted."""


BUILTIN = (
    View("mine", "Mine", "assignee:me status:new,open is:awake", sort="waiting"),
    View("unassigned", "Unassigned", "assignee:none status:new,open is:awake", sort="oldest"),
    View("open", "Our turn", "status:new,open is:awake", sort="updated"),
    View("customer", "Waiting for the customer", "status:waiting_customer is:awake"),
    View("dev", "Waiting for development", "status:waiting_dev is:awake"),
    View("loop", "Close the loop", "is:untold"),
    View("snoozed", "Snoozed", "is:open is:snoozed"),
    View("solved", "Solved", "status:solved,closed", counts=False),
    View("all", "All", "", counts=False),
)


def views(session: Session, member_id: int | None, *, now: datetime) -> list[View]:
    """Return every view that the member sees, each with its number; `mine` has one only for a member."""
    every = [*BUILTIN, *saved(session, member_id)]
    filters = {each.key: _filter(session, each, member_id, now) for each in every if each.counts}
    numbers = counts(session, filters, now=now)
    return [replace(each, number=numbers.get(each.key)) for each in every]


def saved(session: Session, member_id: int | None) -> list[View]:
    """Return the saved views that are shared or the member's own, in their order."""
    query = (
        select(SavedView)
        .where(or_(SavedView.member_id.is_(None), SavedView.member_id == member_id))
        .order_by(SavedView.position, SavedView.id)
    )
    return [
        View(f"v{it.id}", it.name, it.query, it.sort, member_id=it.member_id, saved_id=it.id)
        for it in session.scalars(query)
    ]


def view(session: Session, key: str, member_id: int | None) -> View | None:
    """Return the view called `key`, or None where there is none that the member sees."""
    every: Sequence[View] = (*BUILTIN, *saved(session, member_id)) if key.startswith("v") else BUILTIN
    return next((each for each in every if each.key == key), None)


def counts(session: Session, filters: dict[str, Filter], *, now: datetime) -> dict[str, int]:
    """Return how many interactions each filter holds for, `MOST` at most, in one query."""
    asked = {key: each for key, each in filters.items() if each != NOTHING}
    if not asked:
        return dict.fromkeys(filters, 0)
    parts = [
        select(literal(key).label("key"), func.count().label("number")).select_from(
            counted(each, now=now, most=MOST).subquery()
        )
        for key, each in asked.items()
    ]
    return dict.fromkeys(filters, 0) | dict(session.execute(union_all(*parts)).all())


def _filter(session: Session, one: View, member_id: int | None, now: datetime) -> Filter:
    return ask(session, one.query, now=now, member_id=member_id).filter
