"""Changes that a second member must agree to: proposed, approved by another, applied. Never by the one who proposed.

open --approve--> approved --apply--> applied
  |-- refuse --> refused      |-- what it was based on has changed --> stale
  |-- withdraw --> withdrawn
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.auth.models import ApiKey
from trackside.errors import Conflict, NotAllowed, NotFound, StaleVersion
from trackside.text import clean_line
from trackside_modules.flags import ruleset
from trackside_modules.flags.models import Flag, Request, State
from trackside_modules.flags.service.definitions import must_be_editable
from trackside_modules.flags.service.fields import checked
from trackside_modules.flags.service.states import Edit, edited, living, must_be
from trackside_modules.flags.service.work import LONGEST_REASON, Work, plain

PENDING = ("open", "approved")


def get(session: Session, env_id: int | None, request_id: int, *, lock: bool = False) -> Request:
    """Return a change request of an environment (None: of any); raises NotFound."""
    query = select(Request).where(Request.id == request_id).execution_options(populate_existing=True)
    if env_id is not None:
        query = query.where(Request.env_id == env_id)
    found = session.scalar(query.with_for_update() if lock else query) if 0 < request_id < 1 << 63 else None
    if found is None:
        raise NotFound(f"There is no change request {request_id}.")
    return found


def propose(
    session: Session,
    env_id: int,
    key: str,
    edit: Edit,
    *,
    who: Actor,
    now: datetime,
    reason: str,
    if_version: int | None = None,
    what: str = "edited",
) -> Request:
    """Propose a change of a flag's state; it is checked now, as if it were made, and once more when it is applied.

    Raises InputError for what makes no sense, or no reason; Conflict where it would change nothing.
    """
    reason = _reason(reason)
    ruleset.lock(session, [env_id])
    flag = living(session, key)
    state = session.get_one(State, (env_id, flag.id), populate_existing=True)
    must_be(state.version, if_version)
    before, after = dict(state.config), edited(state.config, edit)
    if after == before:
        raise Conflict("This would change nothing.")
    with Work.on(session, who, reason, now=now, env_ids=[env_id], approved=True, dry=True) as work:
        work.state(flag, env_id, after, what)
    return _add(session, flag, env_id, (before, after), state.version, who=who, now=now, reason=reason, what=what)


def propose_definition(
    session: Session,
    key: str,
    values: Mapping[str, Any],
    *,
    who: Actor,
    now: datetime,
    reason: str,
    if_version: int | None = None,
) -> Request:
    """Propose a change of the flag itself, in all environments; as `propose` otherwise."""
    must_be_editable(values)
    reason, values = _reason(reason), checked(session, values)
    ruleset.lock(session)
    flag = living(session, key)
    must_be(flag.version, if_version)
    before = {name: plain(getattr(flag, name)) for name in values}
    after = {name: plain(value) for name, value in values.items()}
    if after == before:
        raise Conflict("This would change nothing.")
    with Work.on(session, who, reason, now=now, approved=True, dry=True) as work:
        work.define(flag, values, "edited")
    return _add(session, flag, None, (before, after), flag.version, who=who, now=now, reason=reason, what="edited")


def approve(session: Session, request_id: int, *, who: Actor, now: datetime, note: str = "") -> Request:
    """Agree to an open request; raises NotAllowed for the one who made it, Conflict where it is not open."""
    row = _decided(session, request_id, who, note, now)
    row.status = "approved"
    _audit(session, who, row, "approved", now)
    return row


def refuse(session: Session, request_id: int, *, who: Actor, now: datetime, note: str = "") -> Request:
    """Turn an open request down, with a note that says why; raises as `approve`."""
    row = _decided(session, request_id, who, note, now)
    row.status = "refused"
    _audit(session, who, row, "refused", now)
    return row


def withdraw(session: Session, request_id: int, *, who: Actor, now: datetime) -> Request:
    """Take back a request that was not applied; only who made it may."""
    row = get(session, None, request_id, lock=True)
    _must_be(row, PENDING)
    if not is_own(session, row, who):
        raise NotAllowed("Only who proposed a change can withdraw it; refuse it instead.")
    row.status = "withdrawn"
    _audit(session, who, row, "withdrawn", now)
    return row


def apply(session: Session, request_id: int, *, who: Actor, now: datetime) -> Request:
    """Make the change of an approved request.

    Raises StaleVersion where the flag has changed since it was proposed, InputError where it makes no sense any more.
    """
    row = get(session, None, request_id)
    here = [row.env_id] if row.env_id is not None else None
    with Work.on(session, who, row.reason, now=now, env_ids=here, approved=True, request_id=request_id) as work:
        # every change holds the environment's lock, and makes what was based on less stale: so this one is current
        row = get(session, None, request_id, lock=True)
        _must_be(row, ("approved",))
        flag = living(session, session.get_one(Flag, row.flag_id).key)
        if row.env_id is None:
            work.define(flag, _columns(row.after), row.what)
        else:
            work.state(flag, row.env_id, row.after, row.what)
        row.status, row.applied_at = "applied", now
    _audit(session, who, row, "applied", now)
    return row


def _decided(session: Session, request_id: int, who: Actor, note: str, now: datetime) -> Request:
    row = get(session, None, request_id, lock=True)
    _must_be(row, ("open",))
    member_id = behind(session, who.member_id, who.key_id)
    if member_id is None:
        raise NotAllowed(
            "Only a member can decide on a change request, or a key that a member made: nobody stands behind this one."
        )
    if is_own(session, row, who):
        raise NotAllowed("You proposed this yourself, or by a key of yours: another member must decide.")
    row.note = clean_line(" ".join(note.split()), "note", longest=LONGEST_REASON, empty=True)
    row.decided_at, row.decided_by, row.decided_member_id = now, who.name, member_id
    return row


def is_own(session: Session, row: Request, who: Actor) -> bool:
    """Whether `who` proposed it: the same member, whichever of their keys was used for either, or the same key."""
    member_id = behind(session, who.member_id, who.key_id)
    if member_id is not None:
        return behind(session, row.member_id, row.key_id) == member_id
    return row.member_id is None and row.key_id == who.key_id and row.who == who.name


def behind(session: Session, member_id: int | None, key_id: int | None) -> int | None:
    """Return the member who acts, or who made the key that does; None for what was made from the shell."""
    if member_id is not None or key_id is None:
        return member_id
    return session.scalar(select(ApiKey.created_by).where(ApiKey.id == key_id))


def _must_be(row: Request, statuses: tuple[str, ...]) -> None:
    if row.status == "stale":
        raise StaleVersion("The flag has changed since this was proposed: it must be proposed again.")
    if row.status not in statuses:
        raise Conflict(f"This change request is {row.status}: it takes one that is {' or '.join(statuses)}.")


def _reason(text: str) -> str:
    return clean_line(" ".join(text.split()), "reason", longest=LONGEST_REASON)


def _columns(after: Mapping[str, Any]) -> dict[str, Any]:
    end = after.get("expected_end")
    return {**after, "expected_end": datetime.fromisoformat(end)} if end else dict(after)


def _add(
    session: Session,
    flag: Flag,
    env_id: int | None,
    sides: tuple[dict[str, Any], dict[str, Any]],
    version: int,
    *,
    who: Actor,
    now: datetime,
    reason: str,
    what: str,
) -> Request:
    row = Request(
        env_id=env_id,
        flag_id=flag.id,
        what=what,
        before=sides[0],
        after=sides[1],
        version=version,
        reason=reason,
        status="open",
        made_at=now,
        who=who.name,
        member_id=who.member_id,
        key_id=who.key_id,
        note="",
    )
    session.add(row)
    session.flush()
    _audit(session, who, row, "proposed", now)
    return row


def _audit(session: Session, who: Actor, row: Request, what: str, now: datetime) -> None:
    key = session.get_one(Flag, row.flag_id).key
    changes = {"reason": row.reason, **({"note": row.note} if row.note else {})}
    audit(
        session,
        who,
        f"change-request.{what}",
        "change-request",
        row.id,
        key,
        at=now,
        env_id=row.env_id,
        changes=changes,
    )
    session.flush()
