"""Forgetting whom flags named: ids of erased users and accounts leave states, proposals and the history.

An erasure announces a number, its ids being gone by then; but each left a tombstone, the hash of it. So every id that
flags name is hashed and looked up. The history keeps what was done, with `(erased)` in the place of the id.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Text, cast, func, select, text
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.customers.models import Tombstone
from trackside.customers.service import hash_of
from trackside_modules.flags import shape
from trackside_modules.flags.models import Change, Flag, Request, State
from trackside_modules.flags.service.work import Work

ERASED = "(erased)"
KINDS = {shape.USER: "user", shape.ACCOUNT: "account"}
Named = tuple[str, str]
"""An attribute, `targetingKey` or `account`, and an id."""


def forget(session: Session, *, now: datetime) -> int:
    """Take every id with a tombstone out of what flags keep, and return how many those were. Safe to repeat."""
    named: set[Named] = set()
    for model in (State.config, Change.before, Change.after, Request.before, Request.after):
        for value in session.scalars(select(model).where(model.is_not(None))):
            named |= set(_named(value))
    gone = _erased(session, named)
    if gone:
        _change(session, gone, now)
        _redact(session, gone)
    return len(gone)


def _erased(session: Session, named: Collection[Named]) -> set[Named]:
    found: set[Named] = set()
    for attribute, kind in KINDS.items():
        ids = [value for each, value in named if each == attribute]
        given = select(func.unnest(cast(ids, ARRAY(Text))).label("id")).subquery()
        hashed = select(given.c.id).join(Tombstone, (Tombstone.kind == kind) & (Tombstone.hash == hash_of(given.c.id)))
        found |= {(attribute, value) for value in session.scalars(hashed)} if ids else set()
    return found


def _change(session: Session, gone: Collection[Named], now: datetime) -> None:
    """Edit the states that name one of `gone`: an override goes, a value of a rule is replaced by one of nobody."""
    with Work.on(session, SYSTEM, "Somebody was erased", now=now, approved=True) as work:
        rows = select(State, Flag).join(Flag, Flag.id == State.flag_id).execution_options(populate_existing=True)
        for state, flag in session.execute(rows).all():
            if set(_named(state.config)) & set(gone):
                kept = [it for it in state.config["overrides"] if (it["attribute"], it["value"]) not in gone]
                work.state(flag, state.env_id, _without({**state.config, "overrides": kept}, gone), "edited")


def _redact(session: Session, gone: Collection[Named]) -> None:
    session.flush()
    session.execute(text("set local trackside.erasing = 'on'"))
    for model in (Change, Request):
        for row in session.scalars(select(model).execution_options(populate_existing=True)):
            for side in ("before", "after"):
                value = getattr(row, side)
                if value is not None and set(_named(value)) & set(gone):
                    setattr(row, side, _without(value, gone))
    session.flush()
    session.execute(text("set local trackside.erasing = 'off'"))


def _named(value: Any) -> Iterator[Named]:
    """Yield the ids of users and accounts in a config: of overrides, and of conditions on either attribute."""
    if isinstance(value, dict):
        attribute = value.get("attribute")
        if isinstance(attribute, str) and attribute in KINDS:
            texts = [value.get("value"), *(value.get("values") or ())]
            yield from ((attribute, each) for each in texts if isinstance(each, str))
        for each in value.values():
            yield from _named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)


def _without(value: Any, gone: Collection[Named]) -> Any:
    if isinstance(value, list):
        return [_without(each, gone) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: _without(each, gone) for name, each in value.items()}
    attribute = made.get("attribute")
    if isinstance(attribute, str) and attribute in KINDS:
        if isinstance(made.get("value"), str) and (attribute, made["value"]) in gone:
            made["value"] = ERASED
        if isinstance(made.get("values"), list):
            made["values"] = [ERASED if (attribute, each) in gone else each for each in value["values"]]
    return made


def purge(session: Session, flag_ids: Collection[int]) -> None:
    """Delete flags with their states, requests and history, as if they had never been: the demo's alone."""
    session.execute(text("set local trackside.erasing = 'on'"))
    for table in ("change", "request", "state"):
        session.execute(text(f"delete from flags_{table} where flag_id = any(:ids)"), {"ids": list(flag_ids)})  # noqa: S608
    session.execute(text("delete from flags_flag where id = any(:ids)"), {"ids": list(flag_ids)})
    session.execute(text("set local trackside.erasing = 'off'"))
