"""Lists of interactions: a page at a time, each row with what is shown of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    any_,
    case,
    literal,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, load_only

from trackside.auth.models import Member
from trackside.customers.models import Account, User
from trackside.errors import InputError
from trackside_modules.support import words
from trackside_modules.support.models import Interaction, Metric, Topic
from trackside_modules.support.models.interactions import ACTIVE
from trackside_modules.support.queries.filters import Filter, Now, conditions, has_words

MOST = 200
It = Interaction
_RANK = case({name: rank for rank, name in enumerate(words.PRIORITIES)}, value=It.priority)

# what their label is of: what else is known of them is JSON, and dear to read
_USER = load_only(User.name, User.email, User.external_id)
_ACCOUNT = load_only(Account.name, Account.external_id)


@dataclass(frozen=True, slots=True)
class Row:
    """An interaction in a list."""

    interaction: Interaction
    user: str
    """What people call them; empty where there is none."""
    account: str
    topic: str
    """Its path."""
    assignee: str

    @property
    def id(self) -> int:
        """Its number."""
        return self.interaction.id


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    rows: list[Row]
    after: list[str | int | None] | None
    """The key of the next page, for `trackside.api.cursors`; None at the end."""


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: by a column that is never null within it, then by number."""

    title: str
    column: SQLColumnExpression[Any]
    descending: bool = True
    only: ColumnElement[bool] | None = None
    """What has a place in it."""
    moment: bool = True


SORTS: Mapping[str, Sort] = MappingProxyType(
    {
        "updated": Sort("Last activity", It.updated_at),
        "newest": Sort("Newest", It.occurred_at),
        "oldest": Sort("Oldest", It.occurred_at, descending=False),
        "waiting": Sort("Waiting longest", It.waiting_since, descending=False, only=It.waiting_since.is_not(None)),
        "due": Sort(
            "Due first",
            Metric.due_at,
            descending=False,
            only=and_(Metric.interaction_id == It.id, Metric.due_at.is_not(None)),
        ),
        "priority": Sort("Priority", _RANK, only=literal_column(ACTIVE, Boolean), moment=False),
    }
)


def page(
    session: Session,
    asked: Filter,
    *,
    now: datetime,
    sort: str = "updated",
    after: Sequence[str | int | float | bool | None] | None = None,
    limit: int = 50,
) -> Page:
    """Return the interactions `asked` for, in the order `sort`, after the key `after` of the page before.

    Raises InputError for an unknown order or a limit beyond `MOST`.
    """
    order = _order(sort)
    if not 1 <= limit <= MOST:
        raise InputError(f"limit: 1 to {MOST}", {"limit": f"Ask for 1 to {MOST} at a time."})
    query: Select[*tuple[Any, ...]] = select(It.id, order.column.label("place")).where(*conditions(asked, now=now))
    if asked.text:
        query = query.where(has_words(asked.text))
    if order.only is not None:
        query = query.where(order.only)
    if after is not None:
        query = query.where(_beyond(order, after))
    ordering = (order.column.desc(), It.id.desc()) if order.descending else (order.column, It.id)
    found = session.execute(query.order_by(*ordering).limit(limit + 1)).all()
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        rows(session, [each.id for each in found[:limit]]),
        None if last is None else [last.place.isoformat() if order.moment else last.place, last.id],
    )


def counted(asked: Filter, *, now: Now, most: int) -> Select[int]:
    """Return the query of the interactions `asked` for, up to `most`."""
    query = select(It.id).where(*conditions(asked, now=now)).limit(most)
    return query.where(has_words(asked.text)) if asked.text else query


def rows(session: Session, numbers: Sequence[int]) -> list[Row]:
    """Return the interactions `numbers` in that order, as a list shows them."""
    query = (
        select(It, User, Account, Topic.path, Member.name)
        .outerjoin(User, User.id == It.user_id)
        .outerjoin(Account, Account.id == It.account_id)
        .outerjoin(Topic, Topic.id == It.topic_id)
        .outerjoin(Member, Member.id == It.assignee_id)
        .where(It.id == any_(literal(list(numbers), ARRAY(BigInteger))))
        .options(_USER, _ACCOUNT)
        .execution_options(populate_existing=True)
    )
    found = {
        it.id: Row(it, user.label if user else "", account.label if account else "", path or "", name or "")
        for it, user, account, path, name in session.execute(query)
    }
    return [found[number] for number in numbers if number in found]


def _order(sort: str) -> Sort:
    found = SORTS.get(sort)
    if found is None:
        raise InputError(f"sort: choose of {', '.join(SORTS)}", {"sort": f"Choose of {', '.join(SORTS)}."})
    return found


def _beyond(order: Sort, after: Sequence[str | int | float | bool | None]) -> ColumnElement[bool]:
    place, number = after
    value = datetime.fromisoformat(str(place)) if order.moment else place
    here, there = tuple_(order.column, It.id), tuple_(literal(value), literal(number))
    return here < there if order.descending else here > there
