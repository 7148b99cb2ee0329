"""Bringing in records of elsewhere, a batch a transaction: what was brought in already stays as it is.

A record becomes the events it would have been, so metrics are true of imported history too; nothing is announced, and
nobody is mailed. One that breaks a rule is told with its line, and the others go in.

While one batch is read and understood here, two others are being written: most of writing is PostgreSQL's work.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeGuard

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import InputError
from trackside.text import clean_line
from trackside_modules.support.clocks.walks import Walk
from trackside_modules.support.history import Event
from trackside_modules.support.importing.records import Broken, Downloaded, Record
from trackside_modules.support.models import Interaction
from trackside_modules.support.service.bringing import bring, index_now, numbers_for
from trackside_modules.support.service.files import attach
from trackside_modules.support.service.histories import FILES, any_of, history, people_of

AT_ONCE = 1000
WRITERS = 2
Sessions = Callable[[], AbstractContextManager[Session]]
"""Gives a session that commits at its end: `Database.session`, or one that is fenced."""
Keep = Callable[[Session, Sequence[tuple[str, bytes]]], list[int]]
"""Keeps files, pairs of name and bytes, and returns their ids."""
Histories = dict[int, Walk]
"""What happened to interactions, by the numbers they get."""


@dataclass(slots=True)
class Outcome:
    """What an import did, or would do."""

    made: int = 0
    known: int = 0
    """Were brought in before, from the same source."""
    broken: int = 0
    problems: list[Broken] = field(default_factory=list)
    """What is wrong with each that is left out, as far as it was not told yet."""

    def refuse(self, line: int, problem: str) -> None:
        """Note what is wrong with one row."""
        self.broken += 1
        self.problems.append(Broken(line, problem))

    def take_problems(self) -> list[Broken]:
        """Return what was not told yet."""
        told, self.problems = self.problems, []
        return told

    @property
    def total(self) -> int:
        """Rows that were read."""
        return self.made + self.known + self.broken


@dataclass(slots=True)
class _Import:
    sessions: Sessions
    source: str
    who: Actor
    now: datetime
    tell: Callable[[Outcome], object]
    going_on: bool
    keep: Keep | None = None
    outcome: Outcome = field(default_factory=Outcome)
    lines: dict[str, int] = field(default_factory=dict)
    """Of the ids that were read."""
    topics: dict[str, int | None] = field(default_factory=dict)


def run(
    sessions: Sessions,
    records: Iterable[Record | Broken],
    *,
    source: str,
    who: Actor,
    now: datetime,
    dry: bool = False,
    going_on: bool = False,
    tell: Callable[[Outcome], object] = lambda _: None,
    keep: Keep | None = None,
) -> Outcome:
    """Bring in `records`, known by `source` and their own id; with `dry` only tell what would become of them.

    `going_on`: it was stopped, and began at this `now` before. What it had brought in counts as made.
    `keep`: where files go that lie beside what is brought in.
    """
    it = _Import(sessions, clean_line(source, "source", longest=50), who, now, tell, going_on, keep)
    following = iter(records)
    batches = iter(lambda: list(islice(following, AT_ONCE)), [])
    if dry:
        for batch in batches:
            with sessions() as session:
                savepoint = session.begin_nested()
                it.outcome.made += len(_prepared(session, it, batch))
                savepoint.rollback()
            tell(it.outcome)
    else:
        _write_all(it, batches)
    return it.outcome


@dataclass(frozen=True, slots=True)
class Seen:
    """A record, and what would become of it."""

    record: Record | Broken
    events: Sequence[Event] = ()
    """What would be written; nothing where it is known, or left out."""
    problem: str = ""
    known: bool = False


def preview(
    session: Session, records: Iterable[Record | Broken], *, source: str, who: Actor, now: datetime
) -> list[Seen]:
    """Return what would become of some `records`; those whom they name are made, until the caller rolls back."""
    given = list(records)
    asked = [each for each in given if isinstance(each, Record)]
    known = known_of(session, source, [each.external_ref for each in asked])
    people = people_of(session, [each for each in asked if each.external_ref not in known], who, now, {})
    found = []
    for record in given:
        try:
            if isinstance(record, Broken):
                found.append(Seen(record, problem=record.problem))
            elif record.external_ref in known:
                found.append(Seen(record, known=True))
            else:
                found.append(Seen(record, history(record, people, source, who, now).events))
        except InputError as error:
            found.append(Seen(record, problem=error.message))
    return found


def _write_all(it: _Import, batches: Iterator[list[Record | Broken]]) -> None:
    try:
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="import") as pool:
            _hand_out(it, batches, pool)
    finally:
        # stopped in the middle too: what was gathered before the index is read by each search
        with it.sessions() as session:
            index_now(session)


def _hand_out(it: _Import, batches: Iterator[list[Record | Broken]], pool: ThreadPoolExecutor) -> None:
    writing: set[Future[tuple[int, int]]] = set()
    for batch in batches:
        with it.sessions() as session:
            found = _prepared(session, it, batch)
            histories = dict(zip(numbers_for(session, len(found)), found, strict=True))
        writing.add(pool.submit(copy_context().run, _write, it, histories))
        if len(writing) > WRITERS:
            writing = _some_done(it, writing)
    while writing:
        writing = _some_done(it, writing)


def _some_done(it: _Import, writing: set[Future[tuple[int, int]]]) -> set[Future[tuple[int, int]]]:
    done, writing = wait(writing, return_when=FIRST_COMPLETED)
    for made, known in (each.result() for each in done):
        it.outcome.made += made
        it.outcome.known += known
    it.tell(it.outcome)
    return writing


def _write(it: _Import, histories: Histories) -> tuple[int, int]:
    """Write a batch, without what somebody else logged meanwhile; return how many were written, and how many not."""
    try:
        with it.sessions() as session:
            _bring(session, it, histories)
    except IntegrityError:
        with it.sessions() as session:
            known = known_of(session, it.source, [_ref(each) for each in histories.values()])
            histories = {number: each for number, each in histories.items() if _ref(each) not in known}
            _bring(session, it, histories)
        return len(histories), len(known)
    return len(histories), 0


def _bring(session: Session, it: _Import, histories: Histories) -> None:
    keep = it.keep
    if keep is None:
        bring(session, histories)
        return
    kept = {number: _with_files(session, keep, each) for number, each in histories.items()}
    bring(session, {number: each for number, (each, _) in kept.items()})
    for number, (_, file_ids) in kept.items():
        attach(session, number, file_ids)


def _with_files(session: Session, keep: Keep, found: Walk) -> tuple[Walk, list[int]]:
    """Return what happened with the files that lie beside it kept, and those files' ids."""
    if not any(FILES in each.data for each in found.events):
        return found, []
    events: list[Event] = []
    every: list[int] = []
    for each in found.events:
        data = dict(each.data)
        if files := data.pop(FILES, ()):
            data["file_ids"] = keep(session, [(file.name, _content(file)) for file in files])
            every += data["file_ids"]
        events.append(msgspec.structs.replace(each, data=data))
    return msgspec.structs.replace(found, events=events), every


def _content(file: Downloaded) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise InputError(f"{file.path} cannot be read any more ({error.strerror}): begin again.") from error


def _prepared(session: Session, it: _Import, batch: Sequence[Record | Broken]) -> list[Walk]:
    """Return what happened to those of `batch` that are new and right; the others are counted."""
    asked = [each for each in batch if _readable(each, it)]
    known = known_of(session, it.source, [each.external_ref for each in asked])
    again = sum(made_at == it.now for made_at in known.values()) if it.going_on else 0
    it.outcome.made += again
    it.outcome.known += len(known) - again
    fresh = [each for each in asked if each.external_ref not in known]
    people = people_of(session, fresh, it.who, it.now, it.topics)
    found = []
    for record in fresh:
        try:
            found.append(history(record, people, it.source, it.who, it.now))
        except InputError as error:
            it.outcome.refuse(record.line, error.message)
    return found


def _readable(record: Record | Broken, it: _Import) -> TypeGuard[Record]:
    if isinstance(record, Broken):
        it.outcome.refuse(record.line, record.problem)
        return False
    if nul := record.holds_nul():
        it.outcome.refuse(record.line, f"{nul}: holds a NUL character, which no text may")
        return False
    before = it.lines.setdefault(record.external_ref, record.line)
    if before != record.line:
        it.outcome.refuse(record.line, f"the id {record.external_ref!r} is on line {before} already")
        return False
    return True


def known_of(session: Session, source: str, refs: Sequence[str]) -> dict[str, datetime]:
    """Return when those of `refs` were brought in that are here from `source`."""
    query = select(Interaction.external_ref, Interaction.created_at).where(
        Interaction.source == source, Interaction.external_ref == any_of(refs)
    )
    return {str(ref): made_at for ref, made_at in session.execute(query)}


def _ref(found: Walk) -> str:
    return str(found.state.external_ref)
