"""Finding interactions by words: the best first, with what was hit, and a misspelt word understood."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, Text, cast, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session

from trackside.customers.kinds import ACCOUNT, USER, C, Kind
from trackside.customers.models import Account, User
from trackside_modules.support import words
from trackside_modules.support.models import Interaction, SearchRow
from trackside_modules.support.queries.chips import Asked, ask
from trackside_modules.support.queries.filters import Filter, conditions
from trackside_modules.support.queries.lists import Row, rows
from trackside_modules.support.queries.newest import Sought, done, newest, sought
from trackside_modules.support.queries.spelling import LONGEST, SHORTEST, nearest

CANDIDATES = 150
"""Of what holds the words the newest so many are ranked: beyond, what is recent matters more than the rank."""
LIKE = 0.45
"""How like an id, address or name must be, by its trigrams: half of a company's addresses are alike by a third."""
MOST_WORDS = 8
"""So many words of what was typed may be misspelt."""
_OPEN, _CLOSE = "\ue000", "\ue001"
_WORD = re.compile(rf"(?<![\w:@.-])[^\W\d_]{{{SHORTEST},{LONGEST}}}(?![\w:@-]|\.\w)")
_HEADLINES = text("""
select given.id,
    ts_headline('english', left(it.subject, 300), query.one, :whole),
    (
        select ts_headline('english', said.body, query.one, :parts)
        from (
            select it.body, it.seq, to_tsvector('english', it.body) as words from (
                select left(e.data->>'body', 5000) as body, e.seq from support_event e
                where e.interaction_id = given.id and e.kind in ('message', 'note') order by e.seq limit 20
            ) it offset 0
        ) said
        where said.words @@ query.one order by ts_rank(said.words, query.one) desc, said.seq limit 1
    )
from unnest(cast(:ids as bigint[])) as given (id)
join support_interaction it on it.id = given.id
cross join (select cast(:marks as tsquery) as one) query
""")
_MARKS = f'StartSel="{_OPEN}", StopSel="{_CLOSE}"'
_RANKED = text("""
select it.id from unnest(cast(:ids as bigint[])) as given (id)
join support_search s on s.interaction_id = given.id join support_interaction it on it.id = given.id
where it.merged_into is null
order by ts_rank(s.document, cast(:exact as tsquery), 1) desc, it.id desc
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
    partly: bool = False
    """Whether a phrase was looked for among the newest alone that hold its words: see `newest.PHRASES`."""
    people: list[tuple[str, str]] = field(default_factory=list)
    """Customers that the words may mean, as `("user" or "account", external id)`: chips to offer."""


def find(
    session: Session, typed: str, *, now: datetime, member_id: int | None = None, limit: int = 30, offset: int = 0
) -> Found:
    """Return what is found by `typed`, chips and words; within the newest `CANDIDATES` the best come first."""
    found = Found(ask(session, typed, now=now, member_id=member_id))
    if found.asked.problems:
        return found
    said = found.asked.text
    numbers, looked = _matching(session, found, now, said)
    if not numbers and said:
        meant = correct(session, said)
        if meant != said:
            found.corrected = meant
            numbers, looked = _matching(session, found, now, meant)
    if not numbers and said:
        found.corrected, looked, numbers = "", None, _of_people(session, found, now)
    found.more = len(numbers) > offset + limit
    found.hits = _hits(session, numbers[offset : offset + limit], looked)
    return found


def correct(session: Session, typed: str) -> str:
    """Return `typed` with each word that no interaction holds replaced by the nearest that one does.

    Of the first `MOST_WORDS`: each is a question of its own, and who wrote more did not write all of it wrong.
    """

    def meant(match: re.Match[str]) -> str:
        word = match[0].lower()
        # not by `limit 1`: PostgreSQL would read all rows for a word that none of them holds
        looked = sought(session, word)
        there, _ = newest(session, looked, most=1)
        done(session, looked)
        return match[0] if there else nearest(session, word) or match[0]

    return _WORD.sub(meant, typed, count=MOST_WORDS)


def pieces(marked: str) -> list[Part]:
    """Return text that PostgreSQL marked as parts."""
    found = []
    for at, part in enumerate(re.split(f"[{_OPEN}{_CLOSE}]", marked)):
        if part:
            found.append(Part(part, hit=at % 2 == 1))
    return found


def _matching(session: Session, found: Found, now: datetime, said: str) -> tuple[list[int], Sought | None]:
    """Return the numbers of what is asked for, the best first, and what to mark; one named by its number leads."""
    asked = found.asked.filter
    if not said:
        latest = select(Interaction.id).where(*conditions(asked, now=now))
        latest = latest.order_by(Interaction.updated_at.desc(), Interaction.id.desc()).limit(CANDIDATES)
        return list(session.scalars(latest)), None
    named = words.number_of(said)
    exact = [] if named is None else list(session.scalars(select(Interaction.id).where(Interaction.id == named)))
    looked = sought(session, said)
    if replace(asked, text="") == Filter():
        numbers, found.partly = newest(session, looked, CANDIDATES)
        best = session.scalars(_RANKED, {"ids": numbers, "exact": looked.exact}).all()
    else:
        best = _narrowed(session, looked, conditions(asked, now=now))
    done(session, looked)
    return list(dict.fromkeys([*exact, *best])), looked


def _narrowed(session: Session, looked: Sought, holds: Sequence[ColumnElement[bool]]) -> Sequence[int]:
    """Return the newest `CANDIDATES` that hold what is looked for and of which `holds` holds, the best first."""
    place, query = SearchRow.interaction_id, cast(literal(looked.exact, Text), TSQUERY)
    joined = select(place).join(Interaction, Interaction.id == place)
    latest = joined.where(SearchRow.document.bool_op("@@")(query), *holds).order_by(place.desc()).limit(CANDIDATES)
    rank = func.ts_rank(SearchRow.document, query, 1)
    best = joined.where(place.in_(latest), *holds).order_by(rank.desc(), place.desc())
    # it takes the newest to lie together on both sides; walking through all interactions is never the shorter way
    session.execute(text("set local enable_mergejoin = off"))
    numbers = session.scalars(best).all()
    session.execute(text("set local enable_mergejoin = on"))
    return numbers


def _of_people(session: Session, found: Found, now: datetime) -> list[int]:
    """Return the interactions of customers whose id, e-mail address or name is like what was typed."""
    said = found.asked.text.strip()
    session.execute(text(f"set local pg_trgm.similarity_threshold = {LIKE}"))
    session.execute(text(f"set local pg_trgm.word_similarity_threshold = {LIKE}"))
    if "@" in said:
        # what stands before the @ tells people apart, and lets the index leave out most of those of the same company
        own = literal(said.partition("@")[0]).bool_op("<%")(User.email)
        users, accounts = list(session.scalars(_alike(USER, (User.email,), said).where(own))), []
    else:
        users = list(session.scalars(_alike(USER, (User.external_id, User.name), said)))
        accounts = list(session.scalars(_alike(ACCOUNT, (Account.external_id, Account.name), said)))
    session.execute(text("set local pg_trgm.similarity_threshold = 0.3"))
    session.execute(text("set local pg_trgm.word_similarity_threshold = 0.6"))
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


def _hits(session: Session, numbers: Sequence[int], looked: Sought | None) -> list[Hit]:
    listed = rows(session, numbers)
    if looked is None:
        return [Hit(each, [Part(each.interaction.subject)], []) for each in listed]
    options = {"whole": f"HighlightAll=true, {_MARKS}", "parts": f"MaxWords=24, MinWords=8, {_MARKS}"}
    marked = {
        number: (subject, body)
        for number, subject, body in session.execute(
            _HEADLINES, {"ids": list(numbers), "marks": looked.marks, **options}
        )
    }
    return [Hit(each, pieces(marked[each.id][0]), pieces(marked[each.id][1] or "")) for each in listed]
