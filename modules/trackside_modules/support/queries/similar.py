"""What was much like this before: offered while somebody writes."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.queries.lists import Row, rows
from trackside_modules.support.queries.newest import done, newest, sought

MOST_WORDS = 5
CANDIDATES = 200
ENOUGH = 50
"""Older ones are not looked for beyond so many."""
COMMON = 0.01
"""A word that more of the interactions hold tells little: such words are looked for together alone."""
# what PostgreSQL knows no share of is rare, and tells most
_QUERY = f"""
with common as (
    select word, frequency from pg_stats,
        unnest(cast(cast(most_common_elems as text) as text[]), most_common_elem_freqs) as it (word, frequency)
    where tablename = 'support_search' and attname = 'document' and schemaname = current_schema()
), given as (
    select quote_literal(lexeme) as word, coalesce(frequency, 0) as frequency
    from unnest(to_tsvector('english', :text)) left join common on word = lexeme
    order by frequency nulls first, length(lexeme) desc, lexeme limit {MOST_WORDS}
)
select coalesce(string_agg(word, ' | ') filter (where frequency <= {COMMON}), string_agg(word, ' & '), '') as raw
from given
"""  # noqa: S608 - numbers of ours
_LIKE = text("""
select it.id, similarity(it.subject, :text) + ts_rank(s.document, cast(:query as tsquery), 1) as likeness
from unnest(cast(:ids as bigint[])) as given (id)
join support_search s on s.interaction_id = given.id join support_interaction it on it.id = given.id
where it.merged_into is null and not it.erased and it.status <> 'spam' and it.id is distinct from :this
order by likeness desc, it.id desc limit :limit
""")


@dataclass(frozen=True, slots=True)
class Similar:
    """An interaction that is much like the text."""

    row: Row
    likeness: float
    """Of words and of letters together: the more the liker."""


def similar(
    session: Session, text: str, *, but: int | None = None, limit: int = 5, least: float = 0.25
) -> list[Similar]:
    """Return interactions like `text` (a subject, with or without a message), the likest first, without `but`."""
    text = text[:2000]
    if not text.strip():
        return []
    looked = sought(session, text, _QUERY)
    numbers, _ = newest(session, looked, CANDIDATES, ENOUGH)
    given = {"ids": numbers, "query": looked.exact, "text": text, "this": but, "limit": limit}
    found = {number: likeness for number, likeness in session.execute(_LIKE, given) if likeness >= least}
    done(session, looked)
    return [Similar(each, found[each.id]) for each in rows(session, list(found))]
