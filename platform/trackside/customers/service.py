"""Making and editing accounts and users. Merging and erasing have files of their own."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.customers.fields import checked, checked_id
from trackside.customers.identity import SALT_KEY
from trackside.customers.kinds import C, Customer, Kind, kind_of
from trackside.customers.models import UNKNOWN_USER, Account, Tombstone
from trackside.customers.trail import note
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside.workspace import WorkspaceFact

TOMBSTONE = timedelta(days=30)
"""How long an erased id cannot be made again, even on purpose: telemetry of theirs may still be on its way."""


def get(session: Session, kind: Kind[C], row_id: int, *, lock: bool = False) -> C:
    """Return the account or user with `row_id`, erased and merged ones too.

    Raises NotFound where there is none; the unknown user is none.
    """
    found = None
    # ids are bigint: what is beyond cannot be there, and would be an error in PostgreSQL
    if UNKNOWN_USER < row_id < 1 << 63:
        query = select(kind.model).where(kind.model.id == row_id)
        found = session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NotFound(f"There is no {kind.name} {row_id}.")
    return found


def by_external_id(session: Session, kind: Kind[C], external_id: str) -> C:
    """Return the account or user that `external_id` stands for, following a merge; raises NotFound."""
    model = kind.model
    found = session.scalar(select(model).where(model.external_id == external_id)) if external_id else None
    if found is None:
        raise NotFound(f"There is no {kind.name} with the id {external_id!r}.")
    return found if found.merged_into is None else get(session, kind, found.merged_into)


def create(
    session: Session,
    kind: Kind[C],
    actor: Actor,
    external_id: str,
    values: Mapping[str, Any],
    *,
    now: datetime,
    source: str = "manual",
) -> C:
    """Make an account or user.

    Raises InputError for wrong values and Conflict where the id is taken, or was erased less than 30 days ago.
    """
    external_id = checked_id(external_id)
    clean = checked(values)
    _lift_tombstone(session, kind.name, external_id, now)
    if session.scalar(select(kind.model.id).where(kind.model.external_id == external_id)) is not None:
        there = by_external_id(session, kind, external_id)
        raise Conflict(f"The {kind.name} {external_id!r} exists already, with the number {there.id}.")
    row = kind.model(external_id=external_id, source=source, created_at=now)
    row.attributes = {}
    _apply(session, row, clean)
    session.add(row)
    session.flush()
    note(session, actor, "created", kind.name, row.id, at=now, source=source)
    return row


def edit(
    session: Session,
    row: Customer,
    actor: Actor,
    values: Mapping[str, Any],
    *,
    now: datetime,
    version: int | None = None,
) -> None:
    """Change the fields in `values`, if `row` is still at `version` (None: whatever it is at).

    Raises InputError for wrong values, StaleVersion after someone else's edit, Conflict for what is merged or erased.
    """
    clean = checked(values)
    session.refresh(row, with_for_update=True)
    must_be_alive(row)
    if version is not None and row.version != version:
        raise StaleVersion()
    changed = _apply(session, row, clean)
    if changed:
        row.version += 1
        session.flush()
        note(session, actor, "edited", kind_of(row).name, row.id, at=now, fields=changed)


def must_be_alive(row: Customer) -> None:
    """Raise Conflict where `row` was erased or merged: nothing can be done to it any more."""
    name = kind_of(row).name
    if row.erased_at is not None:
        raise Conflict(f"This {name} was erased.")
    if row.merged_into is not None:
        raise Conflict(f"This {name} was merged into {name} {row.merged_into}: change that one.")


def hash_of(external_id: Any) -> ColumnElement[bytes]:
    """Return the expression for the salted hash of an id (a value or a column)."""
    salt = select(WorkspaceFact.value).where(WorkspaceFact.key == SALT_KEY).scalar_subquery()
    return func.sha256(func.convert_to(func.concat(salt, external_id), "UTF8"))


def _apply(session: Session, row: Customer, clean: Mapping[str, Any]) -> list[str]:
    """Set the checked values on `row`; return the names of those that changed."""
    changed = []
    for name, value in clean.items():
        if name not in (*kind_of(row).fields, "attributes"):
            raise InputError(fields={name: "is no field of this"})
        column, wanted = ("account_id", _account_id(session, value)) if name == "account" else (name, value)
        if getattr(row, column) != wanted:
            setattr(row, column, wanted)
            changed.append(name)
    return changed


def _account_id(session: Session, external_id: str) -> int | None:
    if not external_id:
        return None
    found = session.execute(
        select(Account.id, Account.merged_into).where(Account.external_id == external_id)
    ).one_or_none()
    if found is None:
        message = f"There is no account {external_id!r}: create it first."
        raise InputError(message, {"account": message})
    account_id: int = found.merged_into or found.id
    return account_id


def _lift_tombstone(session: Session, kind: str, external_id: str, now: datetime) -> None:
    """Let an erased id be made again by whoever asks for it, once its 30 days are over."""
    grave = (Tombstone.kind == kind, Tombstone.hash == hash_of(external_id))
    erased_at = session.scalar(select(Tombstone.erased_at).where(*grave))
    if erased_at is None:
        return
    free = erased_at + TOMBSTONE
    if now < free:
        raise Conflict(
            f"This {kind} was erased on {erased_at:%d %b %Y}; the id can be used again from {free:%d %b %Y} on."
        )
    session.execute(delete(Tombstone).where(*grave))
