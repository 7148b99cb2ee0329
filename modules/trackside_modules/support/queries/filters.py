"""Which interactions are asked for: as values that pages, commands and saved views share."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Boolean, ColumnElement, and_, exists, false, func, literal_column, not_, or_, select
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.sql.expression import cast, literal

from trackside_modules.support import words
from trackside_modules.support.models import Interaction, Link, SearchRow
from trackside_modules.support.models.interactions import ACTIVE

ENGLISH = cast(literal("english"), REGCONFIG)
It = Interaction
Now = datetime | ColumnElement[datetime]
"""The time it is, or the parameter that will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions that all hold; an empty one holds for everything that was not merged away."""

    text: str = ""
    """Words, as people type them for a search: `"key rotation" -webhook`."""
    status: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    direction: str = ""
    source: str = ""
    topic_ids: tuple[int, ...] | None = None
    """See `lookup.topics.below`; empty: those without a topic."""
    assignee_ids: tuple[int | None, ...] = ()
    """None: nobody's."""
    user_ids: tuple[int, ...] | None = None
    account_ids: tuple[int, ...] | None = None
    tags: tuple[str, ...] = ()
    """All of them."""
    links: tuple[tuple[str, str], ...] = ()
    """By kind and ref: `("flag", "new-auth")`."""
    since: datetime | None = None
    """Occurred at or after."""
    before: datetime | None = None
    """Occurred before."""
    snoozed: bool | None = None
    """Out of sight now, or not; None: either."""
    waiting: bool = False
    """Whose customer waits for us."""
    untold: bool = False
    """Whose linked work was delivered, and the customer not told."""
    reopened: bool = False
    merged: bool = False
    """With those that were merged away."""
    without: tuple["Filter", ...] = ()
    """None of these holds."""
    extra: tuple[ColumnElement[bool], ...] = field(default=(), compare=False)
    """Conditions of other rooms on `Interaction`: service levels, say."""


NOTHING = Filter(user_ids=())
"""What holds for none."""


def conditions(asked: Filter, *, now: Now) -> list[ColumnElement[bool]]:
    """Return `asked` as conditions on `Interaction`; one on words refers to `SearchRow`, see `with_words`."""
    found: list[ColumnElement[bool]] = []
    if active(asked):
        found.append(literal_column(ACTIVE, Boolean))
    elif not asked.merged:
        found.append(It.merged_into.is_(None))
    found += _own(asked, now)
    for other in asked.without:
        inner = [*_own(other, now), *([has_words(other.text)] if other.text else [])]
        found.append(not_(func.coalesce(and_(*inner), false())))
    return found


def has_words(text: str) -> ColumnElement[bool]:
    """Return the condition that an interaction holds the words of `text`."""
    return exists().where(SearchRow.interaction_id == It.id, SearchRow.document.bool_op("@@")(query_of(text)))


def query_of(text: str) -> ColumnElement[object]:
    """Return `text` as a query of PostgreSQL: never an error, whatever people type."""
    return func.websearch_to_tsquery(ENGLISH, text)


def _own(asked: Filter, now: Now) -> list[ColumnElement[bool]]:
    return [*_fields(asked), *_people(asked), *_moments(asked, now), *asked.extra]


def _fields(asked: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, values in (
        (It.status, asked.status),
        (It.kind, asked.kind),
        (It.channel, asked.channel),
        (It.priority, asked.priority),
        (It.direction, (asked.direction,) if asked.direction else ()),
        (It.source, (asked.source,) if asked.source else ()),
    ):
        if values:
            found.append(column == values[0] if len(values) == 1 else column.in_(values))
    if asked.tags:
        found.append(It.tags.contains(list(asked.tags)))
    if asked.topic_ids is not None:
        found.append(It.topic_id.in_(asked.topic_ids) if asked.topic_ids else It.topic_id.is_(None))
    for kind, ref in asked.links:
        found.append(It.id.in_(select(Link.interaction_id).where(Link.kind == kind, Link.ref == ref)))
    return found


def _people(asked: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if asked.assignee_ids:
        members = [each for each in asked.assignee_ids if each is not None]
        mine = It.assignee_id.in_(members) if members else false()
        found.append(or_(mine, It.assignee_id.is_(None)) if None in asked.assignee_ids else mine)
    if asked.user_ids is not None:
        found.append(It.user_id.in_(asked.user_ids))
    if asked.account_ids is not None:
        found.append(It.account_id.in_(asked.account_ids))
    return found


def _moments(asked: Filter, now: Now) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if asked.since is not None:
        found.append(It.occurred_at >= asked.since)
    if asked.before is not None:
        found.append(It.occurred_at < asked.before)
    if asked.snoozed is True:
        found.append(It.snooze_until > now)
    elif asked.snoozed is False:
        found.append(or_(It.snooze_until.is_(None), It.snooze_until <= now))
    if asked.waiting:
        found.append(It.waiting_since.is_not(None))
    if asked.reopened:
        found.append(It.reopens > 0)
    if asked.untold:
        loop = select(Link.interaction_id).where(Link.shipped_at.is_not(None), Link.told_at.is_(None))
        found.append(It.id.in_(loop))
    return found


def active(asked: Filter) -> bool:
    """Whether `asked` holds for active interactions alone: they have an index of their own."""
    return bool(asked.status) and set(asked.status) <= set(words.ACTIVE) and not asked.merged
