"""Writing what interactions are found by into `support_search` and `support_word`."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.history import Event, Texts, texts_of
from trackside_modules.support.history.texts import MOST
from trackside_modules.support.lookup.interactions import histories_of

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
# whatever was merged into it, and into that, and so on
_FAMILIES = text("""
with recursive family (target, member) as (
    select id, id from unnest(cast(:ids as bigint[])) as given (id)
    union select family.target, it.id from family join support_interaction it on it.merged_into = family.member
)
select target, array_agg(member order by member <> target, member) from family group by target
""")
# a word whose lexeme nobody has; what is a stop word has none, and stays
_FORGET = text("""
delete from support_word it using unnest(cast(:words as text[])) as given (word)
where it.word = given.word and plainto_tsquery('english', given.word) <> ''
    and not exists (select from support_search s where s.document @@ plainto_tsquery('english', given.word))
""")
_MERGED = text("select distinct merged_into from support_interaction where merged_into = any(cast(:ids as bigint[]))")
_WORDS = text("""
insert into support_word (word) select word from unnest(cast(:words as text[])) as given (word) order by word
on conflict do nothing
""")


def write(session: Session, histories: Mapping[int, Sequence[Event]], now: datetime) -> None:
    """Make the words of the interactions in `histories` anew."""
    texts = {number: texts_of(events) for number, events in sorted(histories.items())}
    _documents(session, texts)
    found = sorted(set().union(*map(words_in, texts.values())))
    session.execute(_WORDS, {"words": found})
    absorb(session, session.scalars(_MERGED, {"ids": list(texts)}).all())


def absorb(session: Session, numbers: Collection[int]) -> None:
    """Let the interactions `numbers` be found by their own words and by those of whatever was merged into them."""
    if not numbers:
        return
    families: dict[int, list[int]] = dict(session.execute(_FAMILIES, {"ids": sorted(numbers)}).all())
    members = sorted({each for family in families.values() for each in family})
    texts = {number: texts_of(events) for number, events in histories_of(session, members).items()}
    _documents(session, {target: _joined(texts[each] for each in family) for target, family in families.items()})


def _joined(texts: Iterable[Texts]) -> Texts:
    every = list(texts)
    return Texts(
        "\n".join(each.subject for each in every),
        "\n".join(each.messages for each in every)[:MOST],
        "\n".join(each.notes for each in every)[:MOST],
    )


def words_in(texts: Texts) -> set[str]:
    """Return the words in `texts` that a misspelt one can be compared with: letters alone, lower case."""
    return set(_WORD.findall(f"{texts.subject}\n{texts.messages}\n{texts.notes}".lower()))


def forget(session: Session, words: Collection[str]) -> None:
    """Take out those of `words` that no interaction holds any more."""
    session.execute(_FORGET, {"words": sorted(words)})


def _documents(session: Session, texts: Mapping[int, Texts]) -> None:
    found = {
        "ids": list(texts),
        "subjects": [each.subject for each in texts.values()],
        "messages": [each.messages for each in texts.values()],
        "notes": [each.notes for each in texts.values()],
    }
    session.execute(_DOCUMENTS, found)
