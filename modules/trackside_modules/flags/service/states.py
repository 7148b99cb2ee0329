"""Changing how a flag is rolled out in an environment: `change` is the one way."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.service.work import Work

Edit = Mapping[str, Any] | Callable[[shape.Config], Mapping[str, Any]]
"""The parts of the config that change, or a function from the config to its new parts."""


def get(session: Session, key: str) -> Flag:
    """Return the flag `key`, archived or not; raises NotFound."""
    found = session.scalar(select(Flag).where(Flag.key == key)) if "\0" not in key else None
    if found is None:
        raise NotFound(f"There is no flag {key!r}.")
    return found


def change(
    session: Session,
    env_id: int,
    key: str,
    edit: Edit,
    *,
    who: Actor,
    now: datetime,
    reason: str = "",
    if_version: int | None = None,
    what: str = "edited",
    approved: bool = False,
    exact: bool = False,
) -> State:
    """Change the state of a flag in an environment, if it is still at `if_version` (None: whatever it is at).

    Raises InputError naming what is wrong, StaleVersion after someone else's edit, Conflict for an archived flag,
    `ApprovalNeeded` where a second member must agree; nothing is changed then.
    """
    with Work.on(session, who, reason, now=now, env_ids=[env_id], approved=approved) as work:
        flag = living(session, key)
        state = session.get_one(State, (env_id, flag.id), populate_existing=True)
        must_be(state.version, if_version)
        return work.state(flag, env_id, edited(state.config, edit, exact=exact), what)


def living(session: Session, key: str) -> Flag:
    """Return the flag `key` as it is now; raises Conflict where it is archived."""
    flag = get(session, key)
    session.refresh(flag)
    if flag.archived_at is not None:
        raise Conflict(f"The flag {key!r} is archived: restore it first.")
    return flag


def must_be(version: int, wanted: int | None) -> None:
    """Raise StaleVersion unless `version` is the `wanted` one (None: any)."""
    if wanted is not None and version != wanted:
        raise StaleVersion(
            f"Someone changed this meanwhile: it is at version {version}, and your change is based on {wanted}. "
            "Load it again and repeat your change."
        )


def edited(config: Mapping[str, Any], edit: Edit, *, exact: bool = False) -> shape.Config:
    """Return `config` with `edit` in it; raises InputError for parts that no config has.

    New weights move no more users than they must (`shape.settled`), unless it is `exact`.
    """
    parts = edit(dict(config)) if callable(edit) else edit
    strange = {name: "There is no such field." for name in parts if name not in shape.CONFIG}
    if strange:
        raise InputError(f"There is no field {', '.join(strange)}.", strange)
    after = {**config, **{name: shape.listed(each) for name, each in parts.items()}}
    return after if exact else shape.settled(config, after)
