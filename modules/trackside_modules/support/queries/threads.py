"""One interaction with everything that happened to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from trackside.auth.models import ApiKey, Member
from trackside.customers.models import User
from trackside_modules.support.history import Event
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import EventRow, File, FrozenContext, Link
from trackside_modules.support.queries.lists import Row, rows

MOST = 2000
"""Events that are shown of one interaction, the latest."""
_FAMILY = text("""
with recursive family (id) as (
    select cast(:number as bigint)
    union select it.id from family join support_interaction it on it.merged_into = family.id
)
select id from family
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened, to this interaction or to one that was merged into it."""

    number: int
    """Of the interaction it happened to."""
    event: Event
    who: str
    """What people call whoever did it; `Trackside` where nobody did."""


@dataclass(frozen=True, slots=True)
class Thread:
    """An interaction, as it is read."""

    row: Row
    entries: list[Entry]
    """In the order in which they happened."""
    absorbed: list[int]
    """Numbers of those merged into it."""
    links: list[Link]
    files: Mapping[int, File]
    context: Mapping[str, Any] | None
    """Frozen when it was logged: see `service.contexts`; None where nothing was, or it was erased."""


def thread(session: Session, number: int) -> Thread:
    """Return the interaction `number` and all that happened; raises NotFound."""
    get(session, number)
    family = list(session.scalars(_FAMILY, {"number": number}))
    frozen = session.get(FrozenContext, number)
    links = select(Link).where(Link.interaction_id == number).order_by(Link.linked_at, Link.ref)
    files = select(File).where(File.interaction_id.in_(family))
    return Thread(
        rows(session, [number])[0],
        _entries(session, family),
        sorted(set(family) - {number}),
        list(session.scalars(links)),
        {each.id: each for each in session.scalars(files)},
        frozen.data if frozen else None,
    )


def name_of(session: Session, number: int, event: Event) -> str:
    """Return what people call whoever did `event`."""
    query = select(EventRow).where(EventRow.interaction_id == number, EventRow.seq == event.seq)
    row = session.scalars(query).one()
    return _Names(session, [row]).of(row)


def _entries(session: Session, family: list[int]) -> list[Entry]:
    query = (
        select(EventRow)
        .where(EventRow.interaction_id.in_(family))
        .order_by(EventRow.at.desc(), EventRow.id.desc())
        .limit(MOST)
    )
    found = list(reversed(session.scalars(query).all()))
    names = _Names(session, found)
    return [
        Entry(
            it.interaction_id,
            Event(it.seq, it.at, it.kind, it.data, it.recorded_at, it.member_id, it.user_id, it.key_id),
            names.of(it),
        )
        for it in found
    ]


class _Names:
    """Who did what, as people call them."""

    def __init__(self, session: Session, events: Iterable[EventRow]) -> None:
        members = {each.member_id for each in events if each.member_id}
        users = {each.user_id for each in events if each.user_id}
        keys = {each.key_id for each in events if each.key_id}
        self._members = dict(session.execute(select(Member.id, Member.name).where(Member.id.in_(members))).all())
        self._users = {it.id: it.label for it in session.scalars(select(User).where(User.id.in_(users)))}
        self._keys = dict(session.execute(select(ApiKey.id, ApiKey.name).where(ApiKey.id.in_(keys))).all())

    def of(self, event: EventRow) -> str:
        """Return whoever did `event`."""
        if event.user_id is not None:
            return self._users.get(event.user_id, "A customer")
        if event.member_id is not None:
            return self._members.get(event.member_id, "A former member")
        if event.key_id is not None:
            return f"key {self._keys.get(event.key_id, event.key_id)}"
        return "The customer" if event.data.get("side") == "customer" else "Trackside"
