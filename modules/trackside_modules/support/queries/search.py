"""Finding interactions by words: the best first, with what was hit, and a misspelt word understood."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, SQLColumnExpression, func, or_, select, text
from sqlalchemy.orm import Session

from trackside.customers.kinds import ACCOUNT, USER, C, Kind
from trackside.customers.models import Account, User
from trackside_modules.support import words
from trackside_modules.support.models import Interaction, SearchRow
from trackside_modules.support.queries.chips import Asked, ask
from trackside_modules.support.queries.filters import conditions, query_of
from trackside_modules.support.queries.lists import Row, rows

CANDIDATES = 150
"""Of what holds the words the newest so many are ranked: beyond, what is recent matters more than the rank."""
LIKE = 0.45
"""How like an id, address or name must be, by its trigrams: half of a company's addresses are alike by a third."""
_OPEN, _CLOSE = "\ue000", "\ue001"
_WORD = re.compile(r"(?<![\w:@.-])[^\W\d_]{4,24}(?![\w:@.-])")
_HEADLINES = text("""
select given.id,
    ts_headline('english', left(it.subject, 300), query.one, :whole),
    (
        select ts_headline('english', said.body, query.one, :parts)
        from (
            select left(e.data->>'body', 5000) as body, e.seq from support_event e
            where e.interaction_id = given.id and e.kind in ('message', 'note') order by e.seq limit 20
        ) said
        where to_tsvector('english', said.body) @@ query.one
        order by ts_rank(to_tsvector('english', said.body), query.one) desc, said.seq limit 1
    )
from unnest(cast(:ids as bigint[])) as given (id)
join support_interaction it on it.id = given.id
cross join (select cast(case when raw ~ '!' then raw else replace(raw, '&', '|') end as tsquery) as one
    from (select cast(websearch_to_tsquery('english', :text) as text) as raw) given_text) query
""")
_MARKS = f'StartSel="{_OPEN}", StopSel="{_CLOSE}"'
_NEAREST = text("""
select word from support_word where word % :word and abs(length(word) - length(:word)) <= 3
order by similarity(word, :word) desc, word limit 1
""")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text, and whether it was looked for."""

    text: str
    hit: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """An interaction that was found."""

    row: Row
    subject: list[Part]
    said: list[Part]
    """The part of a message or note that holds the words; empty where only the subject does."""


@dataclass(slots=True)
class Found:
    """What a search found."""

    asked: Asked
    hits: list[Hit] = field(default_factory=list)
    more: bool = False
    """Whether there are more than were asked for."""
    corrected: str = ""
    """What was searched for instead, where a word was misspelt."""
    people: list[tuple[str, str]] = field(default_factory=list)
    """Customers that the words may mean, as `("user" or "account", external id)`: chips to offer."""


def find(
    session: Session, typed: str, *, now: datetime, member_id: int | None = None, limit: int = 30, offset: int = 0
) -> Found:
    """Return what is found by `typed`, chips and words; within the newest `CANDIDATES` the best come first."""
    found = Found(ask(session, typed, now=now, member_id=member_id))
    if found.asked.problems:
        return found
    numbers = _matching(session, found.asked, now)
    said = found.asked.text
    if not numbers and said:
        said = correct(session, said)
        if said != found.asked.text:
            found.corrected = said
            numbers = _matching(session, found.asked, now, said)
    if not numbers and found.asked.text:
        found.corrected, numbers = "", _of_people(session, found, now)
    found.more = len(numbers) > offset + limit
    found.hits = _hits(session, numbers[offset : offset + limit], said)
    return found


def correct(session: Session, typed: str) -> str:
    """Return `typed` with each word that no interaction holds replaced by the nearest that one does."""

    def nearest(match: re.Match[str]) -> str:
        word = match[0].lower()
        there = select(SearchRow.interaction_id).where(SearchRow.document.bool_op("@@")(query_of(word))).limit(1)
        if session.scalar(there) is not None:
            return match[0]
        return session.scalar(_NEAREST, {"word": word}) or match[0]

    return _WORD.sub(nearest, typed)


def pieces(marked: str) -> list[Part]:
    """Return text that PostgreSQL marked as parts."""
    found = []
    for at, part in enumerate(re.split(f"[{_OPEN}{_CLOSE}]", marked)):
        if part:
            found.append(Part(part, hit=at % 2 == 1))
    return found


def _matching(session: Session, asked: Asked, now: datetime, said: str | None = None) -> list[int]:
    """Return the numbers of what is asked for, the best first; one that is named by its number leads."""
    text_asked = asked.text if said is None else said
    named = words.number_of(text_asked) if text_asked else None
    holds = conditions(asked.filter, now=now)
    exact = [] if named is None else list(session.scalars(select(Interaction.id).where(Interaction.id == named)))
    if not text_asked:
        newest = select(Interaction.id).where(*holds).order_by(Interaction.updated_at.desc(), Interaction.id.desc())
        return list(session.scalars(newest.limit(CANDIDATES)))
    query = query_of(text_asked)
    # it takes the newest to lie together on both sides; walking through all interactions is never the shorter way
    session.execute(text("set local enable_mergejoin = off"))
    newest_first = (
        select(SearchRow.interaction_id, SearchRow.document)
        .join(Interaction, Interaction.id == SearchRow.interaction_id)
        .where(SearchRow.document.bool_op("@@")(query), *holds)
        .order_by(SearchRow.interaction_id.desc())
        .limit(CANDIDATES)
        .subquery()
    )
    rank = func.ts_rank(newest_first.c.document, query, 1)
    best = select(newest_first.c.interaction_id).order_by(rank.desc(), newest_first.c.interaction_id.desc())
    found = [*exact, *session.scalars(best)]
    session.execute(text("set local enable_mergejoin = on"))
    return list(dict.fromkeys(found))


def _of_people(session: Session, found: Found, now: datetime) -> list[int]:
    """Return the interactions of customers whose id, e-mail address or name is like what was typed."""
    said = found.asked.text.strip()
    session.execute(text(f"set local pg_trgm.similarity_threshold = {LIKE}"))
    whole = (User.email,) if "@" in said else (User.external_id, User.name)
    users = list(session.scalars(_alike(USER, whole, said)))
    accounts = list(session.scalars(_alike(ACCOUNT, (Account.external_id, Account.name), said)))
    session.execute(text("set local pg_trgm.similarity_threshold = 0.3"))
    found.people = [
        *(("user", it.external_id or "") for it in users),
        *(("account", it.external_id or "") for it in accounts),
    ]
    if not found.people:
        return []
    theirs = or_(
        Interaction.user_id.in_([it.id for it in users]), Interaction.account_id.in_([it.id for it in accounts])
    )
    query = select(Interaction.id).where(*conditions(found.asked.filter, now=now), theirs)
    return list(session.scalars(query.order_by(Interaction.updated_at.desc()).limit(CANDIDATES)))


def _alike(kind: Kind[C], columns: Sequence[SQLColumnExpression[Any]], said: str) -> Select[C]:
    model = kind.model
    close = [func.similarity(each, said) for each in columns]
    near = or_(*(each.bool_op("%")(said) for each in columns))
    alive = (model.merged_into.is_(None), model.erased_at.is_(None), model.id > 0)
    return select(model).where(near, *alive).order_by(func.greatest(*close).desc(), model.id).limit(5)


def _hits(session: Session, numbers: Sequence[int], said: str) -> list[Hit]:
    listed = rows(session, numbers)
    if not said:
        return [Hit(each, [Part(each.interaction.subject)], []) for each in listed]
    options = {"whole": f"HighlightAll=true, {_MARKS}", "parts": f"MaxWords=24, MinWords=8, {_MARKS}"}
    marked = {
        number: (subject, body)
        for number, subject, body in session.execute(_HEADLINES, {"ids": list(numbers), "text": said, **options})
    }
    return [Hit(each, pieces(marked[each.id][0]), pieces(marked[each.id][1] or "")) for each in listed]
