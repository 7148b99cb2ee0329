"""What the pages, the API and the commands read: filtered, sorted, by cursor."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic

import msgspec
from sqlalchemy import ColumnElement, Select, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from trackside.customers.kinds import C, Customer, Kind
from trackside.customers.models import SOURCES, UNKNOWN_USER, Account, User
from trackside.errors import InputError

PAGE = 50
EXPORT_CHUNK = 1000
# Takes the place of "never", so that one comparison of (value, id) finds where a page goes on.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = frozenset({"seen", "first", "created"})


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows, and in which order; all of it stands in the URL."""

    q: str = ""
    """Part of an id, email or name."""
    account_id: int | None = None
    plan: str = ""
    source: str = ""
    sort: str = "-seen"
    cursor: str = ""

    @property
    def narrows(self) -> bool:
        """Whether anything is filtered at all: an empty list then means no match, not no data."""
        return bool(self.q or self.account_id is not None or self.plan or self.source)


@dataclass(frozen=True, slots=True)
class Page(Generic[C]):
    """Some rows, and the cursor of the next ones."""

    rows: list[C]
    next: str | None


def listed(session: Session, kind: Kind[C], wanted: Filter, limit: int = PAGE) -> Page[C]:
    """Return the accounts or users that `wanted` describes; merged and erased ones are never listed.

    Raises InputError for a sort, source or cursor that does not exist.
    """
    order, down = _order(kind, wanted.sort)
    model = kind.model
    query = _narrowed(kind, wanted)
    if wanted.cursor:
        after = _decode(wanted.cursor, wanted.sort)
        place = tuple_(order, model.id)
        query = query.where(place < after if down else place > after)
    query = query.order_by(*(each.desc() if down else each.asc() for each in (order, model.id))).limit(limit + 1)
    if model is User:
        query = query.options(joinedload(User.account))
    found = session.execute(query.add_columns(order)).all()
    last = found[limit - 1] if len(found) > limit else None
    return Page([row for row, _ in found[:limit]], _encode(wanted.sort, last[1], last[0].id) if last else None)


def every(session: Session, kind: Kind[C], wanted: Filter) -> Iterator[C]:
    """Yield all rows that `wanted` describes, a chunk of memory at a time."""
    while True:
        page = listed(session, kind, wanted, EXPORT_CHUNK)
        yield from page.rows
        if page.next is None:
            return
        for row in page.rows:
            session.expunge(row)
        wanted = replace(wanted, cursor=page.next)


def attribute_names(session: Session, kind: Kind[C], wanted: Filter) -> list[str]:
    """Return the names of all attributes of the rows that `wanted` describes, sorted: the columns of an export."""
    rows = _narrowed(kind, wanted).with_only_columns(func.jsonb_object_keys(kind.model.attributes).label("name"))
    return sorted(session.scalars(select(rows.subquery().c.name).distinct()))


def user_counts(session: Session, account_ids: Sequence[int]) -> dict[int, int]:
    """Return how many users each account has; erased and merged ones do not count."""
    query = (
        select(User.account_id, func.count())
        .where(User.account_id.in_(account_ids), User.merged_into.is_(None), User.erased_at.is_(None))
        .group_by(User.account_id)
    )
    return {account_id: count for account_id, count in session.execute(query) if account_id is not None}


def plans(session: Session) -> list[str]:
    """Return the plans there are, for the filter."""
    query = select(Account.plan).where(Account.plan != "").distinct().order_by(Account.plan).limit(100)
    return list(session.scalars(query))


def aliases(session: Session, row: Customer) -> list[str]:
    """Return the ids that resolve to `row` because they were merged into it."""
    model = type(row)
    query = select(model.external_id).where(model.merged_into == row.id, model.external_id.is_not(None))
    return [each for each in session.scalars(query.order_by(model.external_id)) if each is not None]


def _narrowed(kind: Kind[C], wanted: Filter) -> Select[C]:
    model = kind.model
    query = select(model).where(model.merged_into.is_(None), model.erased_at.is_(None))
    if model is User:
        query = query.where(User.id != UNKNOWN_USER)
    if wanted.q:
        query = query.where(_search(kind, wanted.q))
    if wanted.account_id is not None:
        query = query.where(User.account_id == wanted.account_id)
    if wanted.plan:
        query = query.where(Account.plan == wanted.plan)
        if model is User:
            query = query.join(Account, User.account_id == Account.id)
    if wanted.source:
        if wanted.source not in SOURCES:
            message = f"choose one of {', '.join(SOURCES)}"
            raise InputError(f"source: {message}", {"source": message})
        query = query.where(model.source == wanted.source)
    return query


def _search(kind: Kind[C], text: str) -> ColumnElement[bool]:
    """Match anywhere in id, email or name; the trigram index answers from three characters on."""
    columns: tuple[InstrumentedAttribute[Any], ...] = (kind.model.external_id, kind.model.name)
    if kind.model is User:
        columns += (User.email,)
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _order(kind: Kind[C], sort: str) -> tuple[ColumnElement[Any], bool]:
    """Return the expression that `sort` orders by, never null, and whether it goes down."""
    model = kind.model
    orders: dict[str, ColumnElement[Any]] = {
        "seen": func.coalesce(model.last_seen, NEVER),
        "first": func.coalesce(model.first_seen, NEVER),
        "created": func.coalesce(model.created_at, NEVER),
        "name": func.lower(func.coalesce(func.nullif(model.name, ""), model.external_id)),
        "id": func.coalesce(model.external_id, ""),
    }
    if kind.model is Account:
        orders["plan"] = func.coalesce(Account.plan, "")
    if kind.model is User:
        orders["email"] = func.lower(User.email)
    key = sort.removeprefix("-")
    if key not in orders:
        message = f"choose one of {', '.join(orders)}, with a leading - for descending"
        raise InputError(f"sort: {message}", {"sort": message})
    return orders[key], sort.startswith("-")


def _encode(sort: str, value: datetime | str, row_id: int) -> str:
    """Return the opaque place of a row in the order `sort`."""
    return urlsafe_b64encode(msgspec.json.encode((sort, value, row_id))).rstrip(b"=").decode()


def _decode(cursor: str, sort: str) -> ColumnElement[Any]:
    """Return the place that `cursor` stands for; raises InputError for one that was not made for this order."""
    place: str | datetime = ""
    row_id = 0
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        made_for, value, row_id = msgspec.json.decode(raw, type=tuple[str, str, int])
        place = datetime.fromisoformat(value) if sort.removeprefix("-") in _TIMES else value
        fits = made_for == sort and 0 <= row_id < 1 << 63 and "\0" not in value
        fits = fits and (isinstance(place, str) or place.tzinfo is not None)
    except (ValueError, msgspec.MsgspecError):
        fits = False
    if not fits:
        message = "is not a cursor of this list: leave it out to start at the beginning"
        raise InputError(f"cursor {message}", {"cursor": message})
    return tuple_(literal(place), literal(row_id))
