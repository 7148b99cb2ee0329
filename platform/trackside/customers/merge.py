"""Merging: two ids turn out to be one account or user. The old id resolves to the target from then on, for ever.

The target's own values win; what it lacks it takes from the other. Whatever modules keep by user follows the
`UsersMerged` event (`AccountsMerged` for accounts).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.customers.kinds import C, Customer, kind_of
from trackside.customers.models import Account, User
from trackside.customers.service import must_be_alive
from trackside.customers.trail import note
from trackside.errors import InputError
from trackside.events import AccountsMerged, Event, UsersMerged, announce


@dataclass(frozen=True, slots=True)
class MergePreview:
    """What merging would do, before anyone confirms it."""

    moves: list[tuple[str, int]]
    """What changes hands: `("Users", 12)`."""
    fills: list[tuple[str, str]]
    """Fields the target lacks and takes over, with their values."""
    keeps: list[tuple[str, str, str]]
    """Fields that differ: name, the target's value, which stays, and the other, which is lost."""


def preview(session: Session, row: C, target: C) -> MergePreview:
    """Return what merging `row` into `target` would do; raises like `merge`."""
    _check(row, target)
    model = type(row)
    aliases = session.scalar(select(func.count()).select_from(model).where(model.merged_into == row.id)) or 0
    moves = [("Ids that lead here", aliases + 1)]
    if isinstance(row, Account):
        moves.append(("Users", session.scalar(select(func.count()).where(User.account_id == row.id)) or 0))
    ours, theirs = _values(target), _values(row)
    fills = [(name, value) for name, value in theirs.items() if value and not ours.get(name)]
    keeps = [
        (name, ours[name], value) for name, value in theirs.items() if value and ours.get(name) not in (None, "", value)
    ]
    return MergePreview(moves, fills, keeps)


def merge(session: Session, row: C, target: C, actor: Actor, *, now: datetime) -> None:
    """Merge `row` into `target`.

    Raises InputError when they are the same, Conflict when one of them was merged or erased meanwhile.
    """
    # always in the order of their ids, so that two merges at once wait for each other instead of deadlocking
    for each in sorted((row, target), key=lambda each: each.id):
        session.refresh(each, with_for_update=True)
    _check(row, target)
    model = type(row)
    session.execute(update(model).where(model.merged_into == row.id).values(merged_into=target.id))
    if isinstance(row, Account):
        session.execute(update(User).where(User.account_id == row.id).values(account_id=target.id))
    elif isinstance(target, User):
        target.account_id = target.account_id or row.account_id
        target.email = target.email or row.email
    _fill(target, row)
    row.merged_into = target.id
    row.version += 1
    target.version += 1
    session.flush()
    note(session, actor, "merged", kind_of(row).name, target.id, at=now, merged_id=row.id)
    announce(session, _event(row, target, now))


def _check(row: Customer, target: Customer) -> None:
    if row.id == target.id:
        raise InputError("These are the same: choose another one to merge into.")
    must_be_alive(row)
    must_be_alive(target)


def _values(row: Customer) -> dict[str, str]:
    values: dict[str, Any] = {"name": row.name}
    if isinstance(row, User):
        values |= {"email": row.email, "account": row.account.label if row.account else ""}
    else:
        values["plan"] = row.plan
    return values | row.attributes


def _fill(target: Customer, row: Customer) -> None:
    """Give `target` what it lacks, and the longer history of the two."""
    target.name = target.name or row.name
    target.attributes = row.attributes | target.attributes
    if isinstance(target, Account) and isinstance(row, Account):
        target.plan = target.plan or row.plan
    target.first_seen = min(filter(None, (target.first_seen, row.first_seen)), default=None)
    target.last_seen = max(filter(None, (target.last_seen, row.last_seen)), default=None)


def _event(row: Customer, target: Customer, now: datetime) -> Event:
    if isinstance(row, User):
        return UsersMerged(now, user_id=target.id, merged_id=row.id)
    return AccountsMerged(now, account_id=target.id, merged_id=row.id)
