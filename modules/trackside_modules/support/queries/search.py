"""Finding interactions by words: the best first, with what was hit, and a misspelt word understood."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, func, literal, or_, select, text
from sqlalchemy.orm import Session

from trackside.customers.kinds import ACCOUNT, USER, C, Kind
from trackside.customers.models import Account, User
from trackside_modules.support import words
from trackside_modules.support.models import Interaction, SearchRow
from trackside_modules.support.queries.chips import Asked, ask
from trackside_modules.support.queries.filters import Filter, conditions, query_of
from trackside_modules.support.queries.lists import Row, rows

CANDIDATES = 150
"""Of what holds the words the newest so many are ranked: beyond, what is recent matters more than the rank."""
PHRASES = 4_000
"""A phrase is looked for in about the newest so many that hold all its words: each of them has to be read for it."""
LATELY = 8_000
"""The newest so many are looked through for what many hold."""
COMMON = 0.02
"""Of all, the share from which on the newest are looked through first; below, the index is the shorter way."""
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
            select it.body, it.seq, to_tsvector('english', it.body) as words from (
                select left(e.data->>'body', 5000) as body, e.seq from support_event e
                where e.interaction_id = given.id and e.kind in ('message', 'note') order by e.seq limit 20
            ) it offset 0
        ) said
        where said.words @@ query.one order by ts_rank(said.words, query.one) desc, said.seq limit 1
    )
from unnest(cast(:ids as bigint[])) as given (id)
join support_interaction it on it.id = given.id
cross join (select cast(case when raw ~ '!' then raw else replace(raw, '&', '|') end as tsquery) as one
    from (select cast(websearch_to_tsquery('english', :text) as text) as raw) given_text) query
""")
_MARKS = f'StartSel="{_OPEN}", StopSel="{_CLOSE}"'
# what a phrase is of, without their order, which the index does not know; as it is where something must not be there
_LOOSE = text("""
select case when raw ~ '!' then raw else regexp_replace(raw, '<(-|\\d+)>', '&', 'g') end, raw ~ '<(-|\\d+)>'
from (select cast(websearch_to_tsquery('english', :text) as text) as raw) given
""")
_GUESS = text("explain (format json) select from support_search where document @@ cast(:loose as tsquery)")
_ALL = text("select reltuples from pg_class where oid = cast('support_search' as regclass)")
_LATELY = text("""
select interaction_id from support_search
where interaction_id > (select max(interaction_id) from support_search) - :back
    and document @@ websearch_to_tsquery('english', :text)
order by interaction_id desc limit :most
""")
_EVER = text("""
with holding as materialized (
    select interaction_id from support_search where document @@ cast(:loose as tsquery)
        and interaction_id > (select max(interaction_id) from support_search) - :back
)
select it.interaction_id from holding it
where not :phrase or (
    select s.document @@ websearch_to_tsquery('english', :text) from support_search s
    where s.interaction_id = it.interaction_id
)
order by it.interaction_id desc limit :most
""")
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
        found.corrected, said, numbers = "", "", _of_people(session, found, now)
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
        latest = select(Interaction.id).where(*holds).order_by(Interaction.updated_at.desc(), Interaction.id.desc())
        return list(session.scalars(latest.limit(CANDIDATES)))
    plain = replace(asked.filter, text="") == Filter()
    newest: Select[int] | Sequence[int] = _newest_of(text_asked, holds)
    if plain:
        newest = _newest_of_words(session, text_asked)
    rank = func.ts_rank(SearchRow.document, query_of(text_asked), 1)
    best = (
        select(SearchRow.interaction_id)
        .join(Interaction, Interaction.id == SearchRow.interaction_id)
        .where(SearchRow.interaction_id.in_(newest), *holds)
        .order_by(rank.desc(), SearchRow.interaction_id.desc())
    )
    # it takes the newest to lie together on both sides; walking through all interactions is never the shorter way
    session.execute(text("set local enable_mergejoin = off"))
    found = [*exact, *session.scalars(best)]
    session.execute(text("set local enable_mergejoin = on"))
    return list(dict.fromkeys(found))


def _newest_of(said: str, holds: Sequence[ColumnElement[bool]]) -> Select[int]:
    """Return the query of the newest `CANDIDATES` that hold what was `said` and of which `holds` holds."""
    place = SearchRow.interaction_id
    found = select(place).join(Interaction, Interaction.id == place)
    holding = SearchRow.document.bool_op("@@")(query_of(said))
    return found.where(holding, *holds).order_by(place.desc()).limit(CANDIDATES)


def _newest_of_words(session: Session, said: str) -> Sequence[int]:
    """Return the newest `CANDIDATES` that hold what was `said`.

    What many hold is found among the newest of all; for what few hold, the index is asked for all that hold its words.
    PostgreSQL guesses well how many those are, but, left alone, walks through everything for a phrase of common words.
    """
    loose, phrase = session.execute(_LOOSE, {"text": said}).one()
    every = max(session.scalar(_ALL) or 0, 1)
    guessed = session.scalar(_GUESS, {"loose": loose})[0]["Plan"]["Plan Rows"]
    given = {"text": said, "loose": loose, "phrase": phrase, "most": CANDIDATES, "back": 1 << 62}
    if guessed >= COMMON * every:
        found = session.scalars(_LATELY, given | {"back": LATELY}).all()
        if len(found) == CANDIDATES:
            return found
    if phrase and guessed > PHRASES:
        given["back"] = round(every * PHRASES / guessed)
    return session.scalars(_EVER, given).all()


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
