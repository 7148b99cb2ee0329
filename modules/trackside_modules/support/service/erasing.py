"""Forgetting a customer: the words of their interactions go, what was counted stays.

Messages, notes, subjects, comments, links' titles, frozen contexts, files and what is found by them are emptied;
times, kinds, topics, statuses and ratings stay, so that reports of the past stay true. An erased event is never
changed again, and the interaction says that it was erased.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import delete, or_, select, text
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.customers.models import Account, User
from trackside.events import announce
from trackside_modules.support.events import InteractionsErased
from trackside_modules.support.history import texts_of
from trackside_modules.support.lookup.interactions import histories_of
from trackside_modules.support.models import File, FrozenContext, Interaction
from trackside_modules.support.service import searching, sending
from trackside_modules.support.service.work import Work

ERASED = "(erased)"
AT_ONCE = 500
_REDACT = text("""
update support_event set data = case kind
    when 'created' then data || jsonb_build_object('subject', cast(:erased as text), 'tags', '[]'::jsonb)
    when 'message' then data - 'file_ids' || '{"body": ""}'
    when 'note' then data - 'file_ids' || '{"body": ""}'
    when 'subject' then jsonb_build_object('to', cast(:erased as text))
    when 'tags' then '{"add": [], "remove": []}'
    when 'link' then data || '{"title": ""}'
    when 'csat' then data - 'comment'
    when 'imported' then '{}'
    else data end
where interaction_id = any(:ids)
    and kind in ('created', 'message', 'note', 'subject', 'tags', 'link', 'csat', 'imported')
""")
_ABOVE = text("""
with recursive above (id) as (
    select id from unnest(cast(:ids as bigint[])) as given (id)
    union select it.merged_into from above join support_interaction it on it.id = above.id
    where it.merged_into is not null
)
select id from above
""")


def follow(session: Session, *, now: datetime) -> int:
    """Do what erased and merged customers leave to do; return how many interactions it was. Safe to repeat."""
    return _follow_merged(session, now) + erase(session, _of_the_erased(session), now=now)


def erase(session: Session, numbers: Collection[int], *, now: datetime) -> int:
    """Take the words out of the interactions `numbers`."""
    ids = sorted(set(numbers))
    if not ids:
        return 0
    gone = _words(session, ids)
    session.execute(text("set local trackside.erasing = 'on'"))
    session.execute(_REDACT, {"ids": ids, "erased": ERASED})
    session.execute(text("set local trackside.erasing = 'off'"))
    session.execute(delete(FrozenContext).where(FrozenContext.interaction_id.in_(ids)))
    files = _files(session, ids)
    sending.forget(session, ids)
    for number in ids:
        _mark(session, number, now)
    # whatever they were merged into is found by their words too
    searching.absorb(session, session.scalars(_ABOVE, {"ids": ids}).all())
    searching.forget(session, gone)
    announce(session, InteractionsErased(now, tuple(ids), files))
    return len(ids)


def purge(session: Session, numbers: Iterable[int]) -> None:
    """Delete interactions as if they had never been: the demo's alone."""
    ids = list(numbers)
    session.execute(text("set local trackside.erasing = 'on'"))
    for table in ("event", "context", "link", "search", "file", "metric", "csat"):
        session.execute(text(f"delete from support_{table} where interaction_id = any(:ids)"), {"ids": ids})  # noqa: S608
    session.execute(delete(Interaction).where(Interaction.id.in_(ids)))
    session.execute(text("set local trackside.erasing = 'off'"))


def _of_the_erased(session: Session) -> list[int]:
    """Return the interactions of erased users, and those of erased accounts that had no user."""
    query = (
        select(Interaction.id)
        .outerjoin(User, User.id == Interaction.user_id)
        .outerjoin(Account, Account.id == Interaction.account_id)
        .where(Interaction.erased.is_(False), or_(User.erased_at.is_not(None), Account.erased_at.is_not(None)))
        .order_by(Interaction.id)
        .limit(AT_ONCE)
    )
    return list(session.scalars(query))


def _follow_merged(session: Session, now: datetime) -> int:
    """Give the interactions of merged customers to those who stand for them now."""
    query = (
        select(Interaction.id, User.merged_into, Account.merged_into)
        .outerjoin(User, User.id == Interaction.user_id)
        .outerjoin(Account, Account.id == Interaction.account_id)
        .where(or_(User.merged_into.is_not(None), Account.merged_into.is_not(None)))
        .order_by(Interaction.id)
        .limit(AT_ONCE)
    )
    found = session.execute(query).all()
    for number, user_id, account_id in found:
        with Work.on(session, number, SYSTEM, now=now, merged=True) as work:
            state = work.state
            work.add(
                "customer",
                {"user_id": user_id or state.user_id, "account_id": account_id or state.account_id},
                quiet=True,
            )
    return len(found)


def _words(session: Session, ids: list[int]) -> set[str]:
    return searching.words_in(texts_of(events) for events in histories_of(session, ids).values())


def _mark(session: Session, number: int, now: datetime) -> None:
    with Work.on(session, number, SYSTEM, now=now, merged=True) as work:
        if not work.state.erased:
            work.add("erased", quiet=True)


def _files(session: Session, ids: list[int]) -> tuple[str, ...]:
    """Delete the files of the interactions `ids`; return the digests that no other interaction has."""
    digests = set(session.scalars(select(File.sha256).where(File.interaction_id.in_(ids))))
    session.execute(delete(File).where(File.interaction_id.in_(ids)))
    kept = set(session.scalars(select(File.sha256).where(File.sha256.in_(digests)))) if digests else set()
    return tuple(sorted(digests - kept))
