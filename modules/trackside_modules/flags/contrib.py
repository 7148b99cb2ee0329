"""What flags add to other rooms: a user's variants, marks on every chart, palette hits, a step of the checklist."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import url_for
from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.module import Mark, Subject
from trackside.runtime import Runtime
from trackside.web.palette import PaletteHit
from trackside.web.policy import allowed
from trackside.workspace import Environment
from trackside_modules.flags.models import Flag
from trackside_modules.flags.queries import history, seeing

MOST_SHOWN = 200
MOST_HITS = 6
FLAG_MADE = select(exists().where(Flag.created_by.not_like("% (demo)")))
"""Whether there is a flag that the demo did not make."""
VERBS = {"step": "went a step further", "created": "made", "reverted": "taken back", "applied": "changed"}


def variants(runtime: Runtime, session: Session, subject: Subject) -> Mapping[str, Any] | None:
    """Return which variant of each flag a user or account gets now, as plain values; None where there is no flag.

    Flags that give everybody their variant for off are only counted.
    """
    env = session.get_one(Environment, subject.env_id)
    user = session.get(User, subject.id) if subject.kind == "user" else None
    account = session.get(Account, subject.id) if subject.kind == "account" else None
    if user is not None and user.account_id:
        account = session.get(Account, user.account_id)
    context = seeing.context_of(user, account)
    whom = (user.external_id if user else account.external_id if account else None) or ""
    if not whom:
        return None
    results = seeing.evaluate_all(session, env.id, context, runtime.clock.now())
    if not results:
        return None
    flags = _ids(session)
    live = [each for each in results if each.variant is not None and each.reason != "DISABLED" and each.key in flags]
    return {
        "environment": env.name,
        "whom": whom,
        "off": len(results) - len(live),
        "rows": [
            {"flag": each.key, "flag_id": flags[each.key], "variant": each.variant, "reason": each.reason}
            for each in sorted(live, key=lambda each: (each.reason in {"STATIC", "DEFAULT"}, each.key))[:MOST_SHOWN]
        ],
        "more": max(len(live) - MOST_SHOWN, 0),
    }


def _ids(session: Session) -> dict[str, int]:
    return dict(session.execute(select(Flag.key, Flag.id).where(Flag.archived_at.is_(None))).all())


def marks(_runtime: Runtime, session: Session, env_id: int, start: datetime, end: datetime) -> list[Mark]:
    """Return a mark for each change of a flag in `[start, end)`; it opens that change in the flag's history."""
    found = history.between(session, env_id, start, end, limit=50)
    ids = {each.flag_id for each in found}
    keys = dict(session.execute(select(Flag.id, Flag.key).where(Flag.id.in_(ids))).all()) if ids else {}
    return [
        Mark(
            each.at,
            "flag",
            " ".join((keys.get(each.flag_id, "A flag"), VERBS.get(each.what, each.what)))
            + (f": {each.reason}" if each.reason else ""),
            url_for("flags.history", flag_id=each.flag_id, _anchor=f"change-{each.id}"),
        )
        for each in found
    ]


def palette(_runtime: Runtime, session: Session, _env_id: int, text: str) -> list[PaletteHit]:
    """Return flags whose key or name holds `text`, those that begin with it first."""
    if not allowed("flags.view"):
        return []
    query = (
        select(Flag.id, Flag.key, Flag.name)
        .where(Flag.archived_at.is_(None))
        .where(or_(Flag.key.icontains(text, autoescape=True), Flag.name.icontains(text, autoescape=True)))
        .order_by(Flag.key.istartswith(text, autoescape=True).desc(), Flag.key)
        .limit(MOST_HITS)
    )
    return [
        PaletteHit(key, url_for("flags.show", flag_id=row_id), "flags", "Flag" if name == key else name)
        for row_id, key, name in session.execute(query)
    ]
