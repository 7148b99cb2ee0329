"""What was much like this before: offered while somebody writes."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.queries.lists import Row, rows

MOST_WORDS = 5
CANDIDATES = 200
COMMON = 0.01
"""A word that more of the interactions hold tells little: such words are looked for together alone."""
_LIKE = text("""
with common as (
    select word, frequency from pg_stats,
        unnest(cast(cast(most_common_elems as text) as text[]), most_common_elem_freqs) as it (word, frequency)
    where tablename = 'support_search' and attname = 'document' and schemaname = current_schema()
), given as (
    select lexeme, coalesce(frequency, 0) as frequency
    from unnest(to_tsvector('english', :text)) left join common on word = lexeme
    order by frequency nulls first, length(lexeme) desc, lexeme limit :words
), query as (
    select cast(coalesce(
        string_agg(quote_literal(lexeme), ' | ') filter (where frequency <= :common),
        string_agg(quote_literal(lexeme), ' & ')
    ) as tsquery) as one from given
), newest as (
    select s.interaction_id from support_search s, query
    where s.document @@ query.one order by s.interaction_id desc limit :candidates
)
select it.id, similarity(it.subject, :text) + ts_rank(s.document, query.one, 1) as likeness
from newest join support_search s using (interaction_id) join support_interaction it on it.id = newest.interaction_id
cross join query
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
    given = {
        "text": text[:2000],
        "words": MOST_WORDS,
        "common": COMMON,
        "candidates": CANDIDATES,
        "this": but,
        "limit": limit,
    }
    if not text.strip():
        return []
    found = {number: likeness for number, likeness in session.execute(_LIKE, given) if likeness >= least}
    return [Similar(each, found[each.id]) for each in rows(session, list(found))]
