"""Users and accounts by what they call: the two tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.db import db
from trackside.errors import NotAllowed
from trackside.web.policy import allowed, require
from trackside_modules.usage.queries import people as reading
from trackside_modules.usage.queries.people import Crowd, Kind, Wanted
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters, choice, number, skip, text
from trackside_modules.usage.web.base import blueprint

PAGE = 50
RANGE = "7d"
_SORTS = tuple(sign + name for name in reading.SORTS for sign in ("", "-"))
_WORDS = {"user": "users", "account": "accounts"}


@dataclass(frozen=True, slots=True)
class Row:
    """A user or account with the sums of their calls."""

    who: Any
    calls: int
    client_errors: int
    server_errors: int
    wrong_turns: int
    slow: int
    users: int
    before: int | None
    power: bool
    days: int | None

    @property
    def erased(self) -> bool:
        """Whether who called was erased since: what they did stays, without a name."""
        return self.who.erased_at is not None


_SUMS: tuple[str, ...] = ("calls", "server_errors", "client_errors", "wrong_turns", "slow")
_SHARED: export.Columns[Row] = (
    ("id", lambda row: row.who.id),
    ("external_id", lambda row: row.who.external_id),
    ("name", lambda row: row.who.name),
)
_COUNTS: export.Columns[Row] = (
    ("calls", lambda row: row.calls),
    ("calls_before", lambda row: row.before),
    ("server_errors", lambda row: row.server_errors),
    ("client_errors", lambda row: row.client_errors),
    ("wrong_turns", lambda row: row.wrong_turns),
    ("slow", lambda row: row.slow),
    ("power_user", lambda row: row.power),
    ("first_seen", lambda row: row.who.first_seen),
    ("last_seen", lambda row: row.who.last_seen),
)
_COLUMNS: dict[Kind, export.Columns[Row]] = {
    "user": (
        *_SHARED,
        ("account", lambda row: row.who.account.external_id if row.who.account else None),
        *_COUNTS,
        ("active_days", lambda row: row.days),
    ),
    "account": (*_SHARED, ("plan", lambda row: row.who.plan), ("users", lambda row: row.users), *_COUNTS),
}


@blueprint.get("/users")
@require("usage.view")
def users() -> ResponseReturnValue:
    """List the users who called."""
    return _page("user")


@blueprint.get("/accounts")
@require("usage.view")
def accounts() -> ResponseReturnValue:
    """List the accounts whose users called."""
    return _page("account")


def _page(kind: Kind) -> ResponseReturnValue:
    session, asked = db.session(), ask_filters(RANGE)
    wanted = Wanted(kind, choice("sort", _SORTS, "-calls"), text("q"), number("account") if kind == "user" else None)
    start, form = skip(), export.asked()
    if form and not allowed("customers.export"):
        raise NotAllowed("Your role does not include: Export accounts and users. An admin can change your role.")
    them, before = _crowds(session, asked, kind)
    places = reading.ordered(session, them, wanted).tolist()
    if form:
        rows = _rows(session, asked, kind, (them, before), places[: export.MOST])
        return export.send(_WORDS[kind], form, _COLUMNS[kind], rows)
    account = session.get(Account, wanted.account_id) if wanted.account_id is not None else None
    return render_template(
        "usage/people.html",
        asked=asked,
        kind=kind,
        wanted=wanted,
        account=account,
        them=them,
        before=before,
        rows=list(_rows(session, asked, kind, (them, before), places[start : start + PAGE])),
        found=len(places),
        start=start,
        next=start + PAGE if len(places) > start + PAGE else None,
    )


def _crowds(session: Session, asked: Asked, kind: Kind) -> tuple[Crowd, Crowd | None]:
    """Return who called in the range, and in the one before where they are compared."""
    scope = Scope(asked.env.id, asked.service)
    found = [reading.crowd(session, scope, asked.span)]
    if asked.compare:
        found.append(reading.crowd(session, scope, asked.span.previous()))
    if kind == "account":
        found = [reading.accounts_of(session, each) for each in found]
    return found[0], found[1] if asked.compare else None


def _rows(
    session: Session, asked: Asked, kind: Kind, crowds: tuple[Crowd, Crowd | None], places: list[int]
) -> Iterator[Row]:
    them, before = crowds
    ids = [int(them.ids[place]) for place in places]
    known: dict[int, User] | dict[int, Account] = (
        reading.known_users(session, ids) if kind == "user" else reading.known_accounts(session, ids)
    )
    days = reading.active_days(session, asked.env.id, asked.span, ids) if kind == "user" else {}
    was = dict(zip(before.ids.tolist(), before.column("calls").tolist(), strict=True)) if before else None
    power = them.powerful()
    for place, id_ in zip(places, ids, strict=True):
        if id_ in known:
            old = None if was is None else was.get(id_, 0)
            yield Row(known[id_], **them.row(place), before=old, power=id_ in power, days=days.get(id_))
