"""Writing what interactions are found by into `support_search` and `support_word`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.history import Event, Texts, texts_of

_WORD = re.compile(r"[^\W\d_]{4,24}")
_DOCUMENTS = text("""
insert into support_search (interaction_id, document)
select given.id, setweight(to_tsvector('english', given.subject), 'A')
    || setweight(to_tsvector('english', given.messages), 'B')
    || setweight(to_tsvector('english', given.notes), 'C')
from unnest(cast(:ids as bigint[]), cast(:subjects as text[]), cast(:messages as text[]), cast(:notes as text[]))
    as given (id, subject, messages, notes)
on conflict (interaction_id) do update set document = excluded.document
""")
# whatever is merged into another: its words count there, those merged into it included
_ABSORB = text("""
with recursive family (target, member) as (
    select id, id from unnest(cast(:ids as bigint[])) as given (id)
    union select family.target, it.id from family join support_interaction it on it.merged_into = family.member
), joined as (
    select family.target, (string_agg(search.document::text, ' ' order by family.member))::tsvector as document
    from family join support_search search on search.interaction_id = family.member and family.member <> family.target
    group by family.target
)
update support_search it set document = it.document || joined.document
from joined where joined.target = it.interaction_id
""")
_MERGED = text("select distinct merged_into from support_interaction where merged_into = any(cast(:ids as bigint[]))")
_WORDS = text("""
insert into support_word (word) select word from unnest(cast(:words as text[])) as given (word) order by word
on conflict do nothing
""")


def write(session: Session, histories: Mapping[int, Sequence[Event]], now: datetime) -> None:
    """Make the words of the interactions in `histories` anew."""
    texts = {number: texts_of(events) for number, events in sorted(histories.items())}
    found = {
        "ids": list(texts),
        "subjects": [each.subject for each in texts.values()],
        "messages": [each.messages for each in texts.values()],
        "notes": [each.notes for each in texts.values()],
    }
    session.execute(_DOCUMENTS, found)
    session.execute(_WORDS, {"words": sorted(set().union(*map(words_in, texts.values())))})
    absorb(session, _targets(session, texts))


def absorb(session: Session, numbers: Sequence[int]) -> None:
    """Let the interactions `numbers` be found by the words of those merged into them too."""
    if numbers:
        session.execute(_ABSORB, {"ids": sorted(numbers)})


def _targets(session: Session, numbers: Iterable[int]) -> list[int]:
    """Return those of `numbers` into which others were merged."""
    return list(session.scalars(_MERGED, {"ids": list(numbers)}))


def words_in(texts: Texts) -> set[str]:
    """Return the words in `texts` that a misspelt one can be compared with: letters alone, lower case."""
    return set(_WORD.findall(f"{texts.subject}\n{texts.messages}\n{texts.notes}".lower()))
