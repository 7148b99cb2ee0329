"""Making, editing and deleting limits: audited, and refused where somebody else was faster."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.service import by_external_id
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside.events import announce
from trackside.text import clean_line
from trackside_modules.usage.models.quota import UsageQuota, UsageQuotaVersion
from trackside_modules.usage.quota.events import QuotasChanged
from trackside_modules.usage.quota.rules import LIMITS_OF_ENVIRONMENT, checked

EDITABLE = ("shared_by", "counts", "kind", "amount", "seconds", "burst")
"""What an edit changes; another name or somebody else is another limit."""


def get(session: Session, env_id: int, quota_id: int, *, lock: bool = False) -> UsageQuota:
    """Return a limit of an environment; raises NotFound."""
    query = select(UsageQuota).where(UsageQuota.env_id == env_id, UsageQuota.id == quota_id)
    found = session.scalar(query.with_for_update() if lock else query) if 0 < quota_id < 1 << 63 else None
    if found is None:
        raise NotFound(f"There is no rate limit {quota_id}.")
    return found


def create(session: Session, actor: Actor, env_id: int, values: Mapping[str, Any], *, now: datetime) -> UsageQuota:
    """Make a limit; `values` as in `UsageQuota`, but `account` and `user` by the id that the API uses.

    Raises InputError for wrong values, Conflict where the policy has a limit for the same already, or there are too
    many.
    """
    made = checked(values)
    whom = _whom(session, made["scope"], values)
    # one at a time, so that neither the number nor the same limit twice slips through
    session.execute(select(UsageQuotaVersion).with_for_update())
    same = select(UsageQuota.id).where(UsageQuota.env_id == env_id, UsageQuota.policy == made["policy"])
    same = same.where(UsageQuota.scope == made["scope"], *(getattr(UsageQuota, n) == v for n, v in whom.items()))
    if session.scalar(same) is not None:
        raise Conflict(f"The policy {made['policy']!r} has a limit for the same already: edit that one.")
    count = session.scalar(select(func.count()).where(UsageQuota.env_id == env_id)) or 0
    if count >= LIMITS_OF_ENVIRONMENT:
        raise Conflict(f"There are {count:,} rate limits, which is the most: delete one first.")
    row = UsageQuota(env_id=env_id, created_at=now, updated_at=now, **made, **whom)
    session.add(row)
    session.flush()
    _changed(session, actor, row, "created", now=now, changes={name: getattr(row, name) for name in EDITABLE})
    return row


def edit(
    session: Session,
    row: UsageQuota,
    actor: Actor,
    values: Mapping[str, Any],
    *,
    now: datetime,
    version: int | None = None,
) -> None:
    """Change what `values` names, if `row` is still at `version` (None: whatever it is at).

    What was used stays used, unless the kind or the window's length changes: then counting begins anew. Raises
    InputError for wrong values or what cannot be edited, StaleVersion after someone else's edit.
    """
    session.refresh(row, with_for_update=True)
    fixed = {name: "Make another limit instead: this cannot be changed." for name in values if name not in EDITABLE}
    if fixed:
        raise InputError(f"{', '.join(sorted(fixed))} cannot be changed.", fixed)
    if version is not None and row.version != version:
        raise StaleVersion()
    before = {name: getattr(row, name) for name in EDITABLE}
    made = checked({"policy": row.policy, "scope": row.scope, **before, **values})
    changes = {name: [before[name], made[name]] for name in EDITABLE if before[name] != made[name]}
    if not changes:
        return
    for name in changes:
        setattr(row, name, made[name])
    row.version += 1
    row.updated_at = now
    session.flush()
    _changed(session, actor, row, "edited", now=now, changes=changes)


def delete(session: Session, row: UsageQuota, actor: Actor, *, now: datetime, version: int | None = None) -> None:
    """Delete a limit, if it is still at `version`; who it was for falls under the next, less specific one."""
    session.refresh(row, with_for_update=True)
    if version is not None and row.version != version:
        raise StaleVersion()
    _changed(session, actor, row, "deleted", now=now, changes={name: getattr(row, name) for name in EDITABLE})
    session.delete(row)
    session.flush()


def tell_changed(session: Session) -> None:
    """Let every process load the limits anew once this is committed."""
    session.execute(update(UsageQuotaVersion).values(version=UsageQuotaVersion.version + 1))


def _whom(session: Session, scope: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return whom the limit is for, as it is stored; raises InputError for an id that nobody has."""
    given = {name: str(values.get(name) or "").strip() for name in ("plan", "account", "user")}
    strange = {name: f"Only a limit for one {name} has this." for name, it in given.items() if it and name != scope}
    if strange:
        raise InputError("; ".join(f"{name}: {what}" for name, what in strange.items()), strange)
    found: dict[str, Any] = {"plan": "", "account_id": None, "user_id": None}
    if scope == "plan":
        found["plan"] = clean_line(given["plan"], "plan", longest=100)
    elif scope in ("account", "user"):
        try:
            found[f"{scope}_id"] = (_account if scope == "account" else _user)(session, given[scope])
        except NotFound as error:
            raise InputError(f"{scope}: {error.message}", {scope: error.message}) from error
    return found


def _account(session: Session, external_id: str) -> int:
    return by_external_id(session, ACCOUNT, external_id).id


def _user(session: Session, external_id: str) -> int:
    return by_external_id(session, USER, external_id).id


def _changed(
    session: Session, actor: Actor, row: UsageQuota, what: str, *, now: datetime, changes: Mapping[str, Any]
) -> None:
    tell_changed(session)
    name = f"{row.policy} ({row.scope})"
    audit(session, actor, f"limit.{what}", "limit", row.id, name, at=now, env_id=row.env_id, changes=changes)
    announce(session, QuotasChanged(now, env_id=row.env_id))
