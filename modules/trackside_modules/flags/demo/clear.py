"""The demo's flags, taken away again with all that was written of them, and nothing else."""

from sqlalchemy import Table, delete, select, text
from sqlalchemy.orm import Session

from trackside.db import Base
from trackside.runtime import Runtime
from trackside_modules.flags import ruleset
from trackside_modules.flags.demo.story import STORIES, TEAM
from trackside_modules.flags.models import Flag
from trackside_modules.flags.service import dependents

_LAST = ("flags_change", "flags_request", "flags_state")
"""In an order that their references allow, after all other tables that name a flag."""


def clear(runtime: Runtime, session: Session) -> None:
    """Remove the flags that the demo's team made, with their history; one that others need by now stays."""
    keys = [each.key for each in STORIES]
    made = session.execute(select(Flag.id, Flag.key).where(Flag.key.in_(keys), Flag.created_by.in_(TEAM))).all()
    ours = [row_id for row_id, key in made if set(dependents(session, key)) <= set(keys)]
    if not ours:
        return
    rows = ruleset.lock(session)
    session.execute(text("set local trackside.erasing = 'on'"))
    for table in _tables():
        session.execute(delete(table).where(table.c.flag_id.in_(ours)))
    session.execute(delete(Flag).where(Flag.id.in_(ours)), execution_options={"synchronize_session": False})
    session.execute(text("set local trackside.erasing = 'off'"))
    session.expire_all()
    ruleset.bump(session, rows, now=runtime.clock.now())


def _tables() -> list[Table]:
    """Return the tables that name a flag, those that others refer to last."""
    found = [each for each in Base.metadata.tables.values() if each.name.startswith("flags_") and "flag_id" in each.c]
    return sorted(found, key=lambda each: _LAST.index(each.name) if each.name in _LAST else -1)
