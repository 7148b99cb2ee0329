"""Erasing: the person or company goes, the numbers stay without a name.

The row keeps its number, so that aggregates stay whole, and loses everything else. A tombstone, the salted hash of each
of its ids, makes later telemetry count as the unknown user. Modules that keep personal data by user subscribe to
`UserErased` (`AccountErased`) and remove it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, and_, cast, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.customers.kinds import Customer, kind_of
from trackside.customers.models import Account, Tombstone, Upload, User
from trackside.customers.service import hash_of, must_be_alive
from trackside.customers.trail import note
from trackside.events import AccountErased, UserErased, announce

ADDRESS = "address"
"""The kind of tombstones of e-mail addresses: an import that still names one does not bring the person back."""


def erase(session: Session, row: Customer, actor: Actor, *, now: datetime) -> int:
    """Erase an account with all its users, or one user; with them all that was merged into them.

    Returns how many users were erased. Raises Conflict for what is merged or erased already.
    """
    session.refresh(row, with_for_update=True)
    must_be_alive(row)
    if isinstance(row, User):
        users = _erase_users(session, [row.id], now)
    else:
        users = _erase_users(session, session.scalars(select(User.id).where(User.account_id == row.id)).all(), now)
        _erase_account(session, row.id, now)
    # files waiting to be imported may name them too
    session.execute(delete(Upload))
    session.flush()
    session.refresh(row)
    note(session, actor, "erased", kind_of(row).name, row.id, at=now, users=users)
    return users


def _erase_users(session: Session, ids: Sequence[int], now: datetime) -> int:
    if not ids:
        return 0
    theirs = or_(User.id.in_(ids), User.merged_into.in_(ids))
    _bury(session, "user", User.external_id, theirs, now)
    _bury(session, ADDRESS, func.lower(User.email), and_(theirs, User.email != ""), now)
    gone = session.scalars(
        update(User)
        .where(theirs)
        .values(external_id=None, name="", email="", attributes={}, erased_at=now, version=User.version + 1)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    ).all()
    for user_id in gone:
        announce(session, UserErased(now, user_id=user_id))
    return len(gone)


def _erase_account(session: Session, account_id: int, now: datetime) -> None:
    theirs = or_(Account.id == account_id, Account.merged_into == account_id)
    _bury(session, "account", Account.external_id, theirs, now)
    session.execute(
        update(Account)
        .where(theirs)
        .values(external_id=None, name="", plan="", attributes={}, erased_at=now, version=Account.version + 1)
        .execution_options(synchronize_session=False)
    )
    announce(session, AccountErased(now, account_id=account_id))


def _bury(session: Session, kind: str, name: Any, theirs: ColumnElement[bool], now: datetime) -> None:
    """Keep the hash of every id, or address, that is about to go."""
    # two of the erased may share an address
    graves = select(literal(kind), hash_of(name), literal(now)).where(theirs, name.is_not(None)).distinct()
    statement = insert(Tombstone).from_select(["kind", "hash", "erased_at"], graves)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["kind", "hash"], set_={"erased_at": statement.excluded.erased_at}
        )
    )


def erased(session: Session, kind: str, names: Collection[str]) -> set[str]:
    """Return those of `names`, ids of a kind of customer or addresses (`ADDRESS`), that were of who is erased."""
    given = func.unnest(cast(sorted(names), ARRAY(Text))).column_valued("given")
    # PostgreSQL made them lower where they were buried, and does here: Python does otherwise with a few letters
    asked = func.lower(given) if kind == ADDRESS else given
    grave = select(Tombstone.kind).where(Tombstone.kind == kind, Tombstone.hash == hash_of(asked))
    return set(session.scalars(select(given).where(grave.exists()))) if names else set()
