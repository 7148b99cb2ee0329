"""Who called: users and accounts with the sums of their calls, and how much the busiest of them make.

A page wants one order of ten thousand sums, and what the busiest come to: they come as columns of numbers (see
`crowds`), numpy folds merged users into those that remain, and sorts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, any_, bindparam, func, literal_column, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from trackside.customers.models import UNKNOWN_USER, Account, User
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries.pieces import ask
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.queries.window import Window
from trackside_modules.usage.storage import crowds, tiers
from trackside_modules.usage.storage.hung import numbers, run
from trackside_modules.usage.storage.packs import Ints

Column = ColumnElement[Any] | InstrumentedAttribute[Any]
Kind = Literal["user", "account"]
COLUMNS = crowds.SUMS
SORTS = ("calls", "errors", "refused", "wrong", "slow", "users", "name", "seen", "first")
_NAMED = ("name", "seen", "first")
_BUSIEST = 10
"""Power users are at most one in so many."""

# Composed once: most pages ask them.
_MERGED = select(User.id, User.merged_into).where(User.merged_into.is_not(None))
_ACCOUNTS = select(run(User.id, User.id), run(func.coalesce(User.account_id, 0), User.id)).where(
    User.merged_into.is_(None)
)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Everybody who called, by `ids`: their sums, a row each with the `COLUMNS`."""

    ids: Ints
    sums: Ints
    users: Ints
    """Users that called, of each account; ones where it is users that are counted."""
    unknown: int
    """Calls of nobody known; for accounts, of users without one as well."""

    def column(self, name: str) -> Ints:
        """Return one of the sums."""
        return self.sums[:, COLUMNS.index(name)]

    @property
    def calls(self) -> int:
        """The calls of all of them."""
        return int(self.column("calls").sum())

    @property
    def power(self) -> int:
        """How many of the busiest make half of all these calls; 0 where that takes more than a tenth."""
        running = np.cumsum(np.sort(self.column("calls"))[::-1])
        many = int(np.searchsorted(running, running[-1] / 2)) + 1 if len(running) else 0
        return many if many <= -(-len(running) // _BUSIEST) else 0

    def powerful(self) -> set[int]:
        """Return the ids of those."""
        order = np.argsort(-self.column("calls"), kind="stable")
        return set(self.ids[order[: self.power]].tolist())

    @property
    def top_share(self) -> float | None:
        """The share of these calls that the busiest tenth (at least one) makes; None without calls."""
        calls = np.sort(self.column("calls"))[::-1]
        return float(calls[: -(-len(calls) // _BUSIEST)].sum() / calls.sum()) if len(calls) and calls.sum() else None

    def row(self, place: int) -> dict[str, int]:
        """Return the sums of one of them by name."""
        return dict(zip(COLUMNS, self.sums[place].tolist(), strict=True)) | {"users": int(self.users[place])}


def crowd(session: Session, scope: Scope, window: Window) -> Crowd:
    """Return the users who called in the window; merged ones count for who remains."""
    ids, sums = _sums(session, scope, window)
    remaining = heads(session, ids)
    if remaining is not ids:
        ids, sums = _fold(remaining, sums)
    known = ids != UNKNOWN_USER
    return Crowd(ids[known], sums[known], np.ones_like(ids[known]), int(sums[~known, 0].sum()))


def heads(session: Session, ids: Ints) -> Ints:
    """Return for each user who remains: themselves, or whom they were merged into; the same array where nobody was."""
    merged = dict(session.execute(_MERGED).all())
    return np.array([merged.get(it, it) for it in ids.tolist()], dtype=np.int64) if merged else ids


def accounts_of(session: Session, users: Crowd) -> Crowd:
    """Return the accounts of a crowd of users; users without one are as good as unknown."""
    ids, sums = _fold(accounts(session, users.ids), np.column_stack((users.sums, users.users)))
    nobody = ids == 0
    return Crowd(ids[~nobody], sums[~nobody, :-1], sums[~nobody, -1], users.unknown + int(sums[nobody, 0].sum()))


def _sums(session: Session, scope: Scope, window: Window) -> tuple[Ints, Ints]:
    """Return the ids of users, and a row of sums for each."""
    span = (scope.env_id, window.start, window.until)
    if scope.by_user or scope.status:
        found = among(session, scope, window.start, window.until)
    else:
        mine = UsageEndpoint.env_id == scope.env_id, *scope.of_endpoints()
        whole = not (scope.service or scope.endpoint_id)
        found = crowds.read(
            session, *span, endpoints=None if whole else session.scalars(select(UsageEndpoint.id).where(*mine)).all()
        )
    return found.ids, found.sums


def among(session: Session, scope: Scope, start: datetime, end: datetime) -> crowds.Crowd:
    """Return the users of a scope who called in `[start, end)`, read from the tiers; merged ones are apart."""
    parts = tiers.parts(session, scope.env_id, start, end)
    values = tuple((name, tuple(value)) for name, value in scope.given.items())
    return crowds.taken(ask(session, _of_some, parts, (scope.shape,), values)[0])


def _of_some(parts: Sequence[tiers.Part], scope: Scope) -> Select[*tuple[Any, ...]]:
    whole = not (scope.service or scope.endpoint_id or scope.status)
    return crowds.of_some(scope.env_id, parts, scope.narrow, whole=whole)


def _fold(ids: Ints, sums: Ints) -> tuple[Ints, Ints]:
    """Return each id once, with the sum of its rows."""
    once, places = np.unique(ids, return_inverse=True)
    found = np.zeros((len(once), sums.shape[1]), dtype=np.int64)
    np.add.at(found, places, sums)
    return once, found


def accounts(session: Session, ids: Ints) -> Ints:
    """Return the account of each user, 0 for none."""
    known, accounts = (numbers(value) for value in session.execute(_ACCOUNTS).one())
    places = np.minimum(np.searchsorted(known, ids), max(len(known) - 1, 0))
    return np.where(known[places] == ids, accounts[places], 0) if len(known) else np.zeros_like(ids)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a list of users or accounts is shown, and in which order."""

    kind: Kind = "user"
    sort: str = "-calls"
    """One of `SORTS`; with a `-` the most, or latest, first."""
    q: str = ""
    """Part of a name, id or email."""
    account_id: int | None = None


def ordered(session: Session, them: Crowd, wanted: Wanted) -> Ints:
    """Return the places in the crowd of those that are wanted, in their order."""
    name, down = wanted.sort.removeprefix("-"), wanted.sort.startswith("-")
    places: Ints = np.arange(len(them.ids))
    ranks: Any = None
    if name in _NAMED or wanted.q or wanted.account_id is not None:
        listed = _listed(session, wanted, name)
        order = np.argsort(listed, kind="stable")
        found = np.searchsorted(listed[order], them.ids)
        places = places[np.append(listed[order], -1)[found] == them.ids]
        ranks = order[found[places]]
    if name not in _NAMED:
        ranks = _values(them, name)[places]
    sorted_: Ints = places[np.argsort(-ranks if down else ranks, kind="stable")]
    return sorted_


def _values(them: Crowd, name: str) -> Any:
    calls = np.maximum(them.column("calls"), 1)
    values: dict[str, Any] = {
        "calls": them.column("calls"),
        "errors": them.column("server_errors") / calls,
        "refused": them.column("client_errors") / calls,
        "wrong": them.column("wrong_turns"),
        "slow": them.column("slow"),
        "users": them.users,
    }
    return values[name]


def _listed(session: Session, wanted: Wanted, order: str) -> Ints:
    """Return the ids of all users or accounts that match, in an order of names or times."""
    model = User if wanted.kind == "user" else Account
    name = func.lower(func.coalesce(func.nullif(model.name, ""), model.external_id, ""))
    long_ago: ColumnElement[Any] = literal_column("'-infinity'::timestamptz")  # what was never seen is oldest
    by: dict[str, Column] = {
        "seen": func.coalesce(model.last_seen, long_ago),
        "first": func.coalesce(model.first_seen, long_ago),
    }
    query = select(run(model.id, by.get(order, name))).where(model.merged_into.is_(None))
    if wanted.q:
        columns: list[InstrumentedAttribute[Any]] = [model.external_id, model.name]
        columns += [User.email] if wanted.kind == "user" else []
        query = query.where(or_(*(column.icontains(wanted.q, autoescape=True) for column in columns)))
    if wanted.account_id is not None:
        query = query.where(User.account_id == wanted.account_id)
    return numbers(session.scalar(query))


def known_users(session: Session, ids: Sequence[int]) -> dict[int, User]:
    """Return users with their accounts, by id."""
    query = select(User).where(tiers.one_of(User.id, ids)).options(joinedload(User.account))
    return {it.id: it for it in session.scalars(query)}


def known_accounts(session: Session, ids: Sequence[int]) -> dict[int, Account]:
    """Return accounts by id."""
    return {it.id: it for it in session.scalars(select(Account).where(tiers.one_of(Account.id, ids)))}


def active_days(session: Session, env_id: int, window: Window, ids: Sequence[int]) -> dict[int, int]:
    """Return on how many days of the window, in UTC, each of these users called."""
    spans = tiers.parts(session, env_id, window.start, window.until)
    return {user_id: int(count) for user_id, count in ask(session, _days, spans, (env_id,), (("mine", tuple(ids)),))}


def _days(parts: Sequence[tiers.Part], env_id: int) -> Select[*tuple[Any, ...]]:
    given = any_(bindparam("mine", type_=ARRAY(BigInteger)))
    root = func.coalesce(User.merged_into, User.id)
    mine = select(User.id).where(or_(User.id == given, User.merged_into == given))
    it = tiers.of_user(env_id, parts, lambda table: tiers.among(table.user_id, mine), ()).c
    days = func.count(func.date_trunc("day", it.at).distinct())
    return select(root, days).join(User, User.id == it.user_id).group_by(root)
