"""One piece of work on one interaction: events are appended, and everything made of them follows, in one transaction.

    with Work.on(session, number, who, now=now, if_version=version) as work:
        work.add("note", body=body)

It locks the interaction, so pieces of work on it follow each other. At its end the state is made of all events anew,
the caches are written (see `caches`) and what happened is announced.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import Conflict, NotFound, StaleVersion
from trackside_modules.support import words
from trackside_modules.support.history import Event, State, fold, state_of
from trackside_modules.support.lookup.interactions import FIELDS, history_of
from trackside_modules.support.models import EventRow, Interaction, Tracker, WorkItem
from trackside_modules.support.service import announcing, asking, caches, rows, sending


@dataclass(slots=True)
class Work:
    """A piece of work: see the module."""

    session: Session
    who: Actor
    now: datetime
    interaction_id: int
    events: list[Event]
    """Everything that happened, the new ones last."""
    state: State
    """After all of `events`."""
    added: list[tuple[Event, State | None]] = field(default_factory=list)
    """What this work appended, each with the state before it; None before it was created."""

    @classmethod
    @contextmanager
    def on(
        cls,
        session: Session,
        number: int,
        who: Actor,
        *,
        now: datetime,
        if_version: int | None = None,
        merged: bool = False,
    ) -> Iterator["Work"]:
        """Lock the interaction `number` and yield work on it; what was merged away is worked on with `merged` alone.

        Raises NotFound, StaleVersion where it is not at `if_version`, Conflict where it was merged.
        """
        row = locked(session, number)
        if if_version is not None and row.version != if_version:
            raise StaleVersion(
                f"Something happened to {row.ref} since you opened it: look at what is new, then send yours again."
            )
        if row.merged_into is not None and not merged:
            raise Conflict(f"{row.ref} was merged into {words.ref(row.merged_into)}: go on there.")
        events = history_of(session, number)
        work = cls(session, who, now, number, events, state_of(events))
        yield work
        work.finish()

    def add(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        user_id: int | None = None,
        at: datetime | None = None,
        quiet: bool = False,
        **more: Any,
    ) -> Event:
        """Append an event of `kind` with `data` and `more`.

        With `user_id` it was that customer, with `quiet` Trackside itself; else whoever does the work.
        """
        by = Actor("") if quiet or user_id is not None else self.who
        event = Event(
            seq=self.state.version + 1,
            at=max(at or self.now, self.events[-1].at),
            kind=kind,
            data={**(data or {}), **more},
            recorded_at=self.now,
            member_id=by.member_id,
            user_id=user_id,
            key_id=by.key_id,
        )
        self.take(event)
        if kind == "link" and event.data["kind"] == "url" and _is_shipped(self.session, event.data["ref"]):
            # customers have it already: this one is to be told at once
            self.add("shipped", kind="url", ref=event.data["ref"], quiet=True)
        return event

    def take(self, event: Event) -> None:
        """Append `event` as it is."""
        self.added.append((event, copy(self.state)))
        self.events.append(event)
        fold(self.state, event)

    def finish(self) -> None:
        """Write what was appended, and all that is made of it."""
        if self.added:
            append(self.session, self.interaction_id, [event for event, _ in self.added])
            caches.write(self.session, {self.interaction_id: self.events})
            sending.arrange(self.session, self.interaction_id, [event for event, _ in self.added])
            asking.arrange(self.session, self.interaction_id, self.added[0][1], self.state, self.now)
            announcing.tell(self.session, self.interaction_id, self.added, self.state)


def _is_shipped(session: Session, ref: str) -> bool:
    of_each = select(Tracker.id)  # the index begins with the tracker
    shipped = exists().where(WorkItem.tracker_id.in_(of_each), WorkItem.ref == ref, WorkItem.shipped_at.is_not(None))
    return bool(session.scalar(select(shipped)))


def locked(session: Session, number: int) -> Interaction:
    """Return the interaction `number` as it is now, locked; raises NotFound."""
    found = None
    if 0 < number < 1 << 63:
        query = select(Interaction).where(Interaction.id == number).with_for_update()
        found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFound(f"There is no interaction {words.ref(number)}.")
    return found


def append(session: Session, number: int, events: list[Event]) -> None:
    """Write `events` of the interaction `number`."""
    rows.insert(session, EventRow, [event_row(number, event) for event in events])


def event_row(number: int, event: Event) -> dict[str, Any]:
    """Return `event` of the interaction `number` as a row."""
    return {"interaction_id": number, **{name: getattr(event, name) for name in FIELDS}}
