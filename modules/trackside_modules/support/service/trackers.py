"""Work items: trackers that tell of them, links they make, and what comes back once work is with customers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, case, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import Conflict, NotFound
from trackside.settings import Settings
from trackside.text import clean_line
from trackside.webhooks import signing
from trackside_modules.support.lookup.interactions import get as interaction
from trackside_modules.support.models import Link, Tracker, WorkItem, WorkNews
from trackside_modules.support.models.trackers import MERGED, RELEASED
from trackside_modules.support.service import changes, fields
from trackside_modules.support.service.histories import any_of
from trackside_modules.support.service.messages import standing
from trackside_modules.support.tracking import Item, Release, Told

PURPOSE = "tracker"
PATH = "/hooks/support/work/"
OVERLAP = timedelta(hours=24)
KEEP = timedelta(days=90)
"""How long it is known that a delivery came; older ones are not taken."""
SLACK = timedelta(seconds=10)
"""A host dates a merge a moment after the commit that it makes."""
KEEP_WORK = timedelta(days=400)
"""How long work is known that fixes nothing and that nobody linked."""
AT_ONCE = 1000
_IN_TABLES = {"synchronize_session": False}
_CONCERNS = or_(WorkItem.numbers != [], exists().where(Link.kind == "url", Link.ref == WorkItem.ref))
"""Whether somebody waits for it: it fixes something, or is linked."""
_NOT_KNOWN = (
    "no work is known on a branch called {name!r}, nor its commit ({sha}). Let pushes be posted too, publish a release,"
    " or let a script name the commits"
)
MOST = 20
SHIPS_ON = {MERGED: "once it is merged", RELEASED: "with the next release"}


@dataclass(slots=True)
class News:
    """What became of one delivery."""

    duplicate: bool = False
    linked: list[int] = field(default_factory=list)
    shipped: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    why: str = ""
    """Why it delivered nothing, where one could wonder."""


def get(session: Session, tracker_id: int) -> Tracker:
    """Return a tracker; raises NotFound."""
    found = session.get(Tracker, tracker_id, populate_existing=True) if tracker_id < 1 << 63 else None
    if found is None:
        raise NotFound("There is no such tracker.")
    return found


def add(session: Session, name: str, ships_on: str, key: str, *, who: Actor, now: datetime) -> tuple[Tracker, str]:
    """Let a tracker tell us; return it and its secret, to be shown this once. Raises InputError, Conflict."""
    fields.one_of(ships_on, SHIPS_ON, "ships_on")
    if (session.scalar(select(func.count()).select_from(Tracker)) or 0) >= MOST:
        raise Conflict(f"There are {MOST} trackers already: remove one.")
    made = Tracker(name=clean_line(name, "name"), ships_on=ships_on, salt=signing.new_salt(), created_at=now)
    session.add(made)
    session.flush()
    audit(session, who, "support_tracker.created", "support_tracker", made.id, made.name, at=now)
    return made, signing.secret_of(key, made.salt, PURPOSE)


def rotate(session: Session, tracker_id: int, key: str, *, who: Actor, now: datetime) -> tuple[Tracker, str]:
    """Make another secret; the one before is good for a day."""
    found = get(session, tracker_id)
    found.old_salt, found.old_until, found.salt = found.salt, now + OVERLAP, signing.new_salt()
    audit(session, who, "support_tracker.rotated", "support_tracker", found.id, found.name, at=now)
    session.flush()
    return found, signing.secret_of(key, found.salt, PURPOSE)


def remove(session: Session, tracker_id: int, *, who: Actor, now: datetime) -> None:
    """Hear a tracker no more; links that it made stay."""
    found = get(session, tracker_id)
    audit(session, who, "support_tracker.removed", "support_tracker", found.id, found.name, at=now)
    session.delete(found)
    session.flush()


def address_of(settings: Settings, tracker_id: int) -> str:
    """Return where a tracker posts."""
    return f"{settings.base_url.rstrip('/')}{PATH}{tracker_id}"


def secrets_of(it: Tracker, key: str, now: datetime) -> list[str]:
    """Return the secrets by which what it posts may be signed."""
    salts = [it.salt]
    if it.old_salt is not None and it.old_until is not None and now < it.old_until:
        salts.append(it.old_salt)
    return [signing.secret_of(key, salt, PURPOSE) for salt in salts]


def take(session: Session, it: Tracker, delivery_id: str, told: Told, *, now: datetime) -> News:
    """Let what a tracker told become links and deliveries; told again, it changes nothing.

    That it came before is known by `delivery_id` for as long as it is kept. Beyond, news that say when they are from
    are refused; and a release delivers what was on its branch when it was made, however late it is told.
    """
    if told.at is not None and told.at < now - KEEP:
        return News(duplicate=True)
    row = insert(WorkNews).values(tracker_id=it.id, delivery_id=delivery_id, received_at=now, event=told.event[:80])
    once = row.on_conflict_do_nothing(index_elements=[WorkNews.tracker_id, WorkNews.delivery_id])
    news_id = session.scalar(once.returning(WorkNews.id))
    if news_id is None:
        return News(duplicate=True)
    it.heard_at = now
    news = News(why=told.why)
    who = Actor(it.name)
    ready = [each for each in _known(session, it, told.items, now) if _is_out(it, each)]
    _link(session, told.items, news, who, now)
    if told.released is not None:
        ready += _delivered(session, it, told.released, news, now)
    _ship(session, ready, news, who, now)
    kept = session.get_one(WorkNews, news_id)
    kept.linked, kept.shipped, kept.unknown, kept.why = news.linked, news.shipped, news.unknown, news.why
    session.flush()
    return news


def forget(session: Session, *, now: datetime) -> None:
    """Forget deliveries of long ago, and work of long ago that fixes nothing and that nobody linked."""
    session.execute(delete(WorkNews).where(WorkNews.received_at < now - KEEP))
    idle = (func.coalesce(WorkItem.merged_at, WorkItem.made_at) < now - KEEP_WORK, ~_CONCERNS)
    session.execute(delete(WorkItem).where(*idle), execution_options=_IN_TABLES)


@dataclass(frozen=True, slots=True)
class _Ready:
    work: WorkItem
    shipped: bool = False
    """Whether it was said to be with customers."""


def _known(session: Session, it: Tracker, items: Sequence[Item], now: datetime) -> Iterator[_Ready]:
    """Yield the work that is of use as it is kept, made where it is new.

    All that comes to the default branch is: members may link it later, and a release may be made of it. What was done
    and is not any more waits for no release.
    """
    if undone := {each.ref for each in items if each.undone}:
        again = (WorkItem.tracker_id == it.id, WorkItem.ref == any_of(undone), WorkItem.shipped_at.is_(None))
        nowhere = update(WorkItem).where(*again).values(merged_at=None, branches={}, tips={})
        session.execute(nowhere, execution_options=_IN_TABLES)
    passing = {each.ref for each in items if each.passing and not each.numbers}
    linked = set(session.scalars(select(Link.ref).where(Link.kind == "url", Link.ref == any_of(passing))))
    kept = [each for each in items if each.ref not in passing or each.ref in linked]
    found = {each.ref: each for each in _written(session, [_row(it, each, now) for each in kept])}
    shipped = {each.ref for each in kept if each.shipped}
    yield from (_Ready(work, ref in shipped) for ref, work in found.items())


def _row(it: Tracker, item: Item, now: datetime) -> dict[str, Any]:
    on = {item.branch: min(item.at or now, now).isoformat()} if item.on_branch else {}
    return {
        "tracker_id": it.id,
        "ref": item.ref,
        "repo": item.repo,
        "sha": item.sha,
        "numbers": list(item.numbers),
        "made_at": now,
        "merged_at": now if item.merged else None,
        "branches": on,
        "tips": on if item.tip else {},
    }


def _written(session: Session, rows: Iterable[dict[str, Any]]) -> Iterator[WorkItem]:
    """Write work as it is told, and yield it as it is; what was known of it stays, in an order that locks nobody."""
    joined: dict[str, dict[str, Any]] = {}
    for row in rows:  # a statement takes each only once
        same = joined.setdefault(row["ref"], row)
        same["numbers"] = list(dict.fromkeys(same["numbers"] + row["numbers"]))
    waiting = sorted(joined.values(), key=lambda row: row["ref"])
    for start in range(0, len(waiting), AT_ONCE):
        insertion = insert(WorkItem).values(waiting[start : start + AT_ONCE])
        new = insertion.excluded
        said = WorkItem.numbers.contains(new.numbers)
        insertion = insertion.on_conflict_do_update(
            index_elements=[WorkItem.tracker_id, WorkItem.ref],
            set_={
                "numbers": case((said, WorkItem.numbers), else_=WorkItem.numbers + new.numbers),
                "sha": func.coalesce(func.nullif(new.sha, ""), WorkItem.sha),
                "merged_at": func.coalesce(WorkItem.merged_at, new.merged_at),
                "branches": new.branches + WorkItem.branches,
                "tips": new.tips + WorkItem.tips,
            },
        )
        found = session.scalars(insertion.returning(WorkItem), execution_options={"populate_existing": True})
        yield from found.all()


def _delivered(session: Session, it: Tracker, told: Release, news: News, now: datetime) -> Sequence[_Ready]:
    """Return the work that customers have by a release, as far as that can be known, and had not before.

    What nobody waits for is marked at once: a first release may have a year's commits.
    """
    inside = _inside(session, it, told, now)
    if inside is None:
        news.why = _NOT_KNOWN.format(name=told.name[:80], sha=told.sha[:12] or "not told")
        return ()
    new = (WorkItem.tracker_id == it.id, WorkItem.repo == told.repo, WorkItem.shipped_at.is_(None), inside)
    awaited = select(WorkItem).where(*new, _CONCERNS).order_by(WorkItem.id).with_for_update()
    found = session.scalars(awaited).all()
    session.execute(update(WorkItem).where(*new, ~_CONCERNS).values(shipped_at=now), execution_options=_IN_TABLES)
    return [_Ready(each, shipped=True) for each in found]


def _inside(session: Session, it: Tracker, told: Release, now: datetime) -> ColumnElement[bool] | None:
    """Return the condition by which work is in a release; None where that cannot be known."""
    if told.commits:
        return WorkItem.sha == any_of(told.commits)
    ends = _ends(session, it, told)
    branch = _branch_of(session, it, told, ends)
    if branch is None:
        return None
    end = ends.get(branch) or min(told.until or now, now) + SLACK
    came: ColumnElement[datetime] = WorkItem.branches[branch].astext.cast(DateTime(timezone=True))
    return came < end


def _ends(session: Session, it: Tracker, told: Release) -> dict[str, datetime]:
    """Return before when came, to each branch, what the commit of a release is made of; empty where it is not known.

    Within a push it is not known what lies before it: what came with it waits for the next release.
    """
    ends: dict[str, datetime] = {}
    of = (WorkItem.tracker_id == it.id, WorkItem.repo == told.repo, WorkItem.sha == told.sha.lower())
    for branches, tips in session.execute(select(WorkItem.branches, WorkItem.tips).where(*of)) if told.sha else ():
        for name, at in branches.items():  # a request and its commit are two pieces of work
            end = datetime.fromisoformat(at) + (SLACK if name in tips else timedelta())
            ends[name] = max(ends.get(name, end), end)
    return ends


def _branch_of(session: Session, it: Tracker, told: Release, ends: dict[str, datetime]) -> str | None:
    """Return the branch of a release; None where that may be a branch without work, or a tag set anywhere."""
    known = exists().where(
        WorkItem.tracker_id == it.id, WorkItem.repo == told.repo, WorkItem.branches.has_key(told.branch)
    )
    if told.branch == "" or (told.branch and session.scalar(select(known))):
        return told.branch
    if ends:
        return min(ends)  # the default branch first
    return "" if told.branch is None else None


def _is_out(it: Tracker, ready: _Ready) -> bool:
    """Whether customers have it; they do for ever, also where it is said only now that it fixes something more."""
    merged = ready.work.merged_at is not None and it.ships_on == MERGED
    return ready.shipped or merged or ready.work.shipped_at is not None


def _link(session: Session, items: Iterable[Item], news: News, who: Actor, now: datetime) -> None:
    # in the order of their numbers, so that two deliveries at once never wait for each other
    for number, item in sorted(((n, each) for each in items for n in each.numbers), key=lambda pair: pair[0]):
        target = _target(session, number)
        if target is None:
            if number not in news.unknown:
                news.unknown.append(number)
        elif session.get(Link, (target, "url", item.ref)) is None:
            changes.link(session, target, "url", item.ref, who=who, now=now, title=item.title)
            news.linked.append(target)
            if session.get_one(Link, (target, "url", item.ref), populate_existing=True).shipped_at is not None:
                news.shipped.append(target)


def _ship(session: Session, ready: Sequence[_Ready], news: News, who: Actor, now: datetime) -> None:
    works = {each.work.ref: each.work for each in ready}
    # beside what it says it fixes: what members linked to it
    by_hand = select(Link.interaction_id, Link.ref).where(
        Link.kind == "url", Link.ref == any_of(works), Link.shipped_at.is_(None)
    )
    pairs = {(number, ref) for ref, work in works.items() for number in work.numbers}
    pairs |= {(number, ref) for number, ref in session.execute(by_hand)}
    for work in works.values():
        work.shipped_at = work.shipped_at or now
    for number, work in ((number, works[ref]) for number, ref in sorted(pairs)):
        target = _target(session, number)
        linked = None if target is None else session.get(Link, (target, "url", work.ref), populate_existing=True)
        if target is not None and linked is not None and linked.shipped_at is None:
            changes.ship(session, target, "url", work.ref, who=who, now=now)
            news.shipped.append(target)


def _target(session: Session, number: int) -> int | None:
    """Return the interaction that `number` stands for today, None where there is none."""
    try:
        found = standing(session, number)
    except NotFound:
        return None
    return None if interaction(session, found).erased else found
