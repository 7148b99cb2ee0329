"""Writing what interactions are found by into `support_search` and `support_word`."""

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from trackside_modules.support.clocks.walks import Walk
from trackside_modules.support.history import Texts, texts_of
from trackside_modules.support.history.texts import MOST
from trackside_modules.support.lookup.interactions import histories_of

_WORD = re.compile(r"\w{4,}")
_SHORTEST, _LONGEST = 4, 24
_INSERT = text("""
insert into support_search (interaction_id, document)
select number, setweight(to_tsvector('english', subject), 'A') || setweight(to_tsvector('english', messages), 'B')
    || setweight(to_tsvector('english', notes), 'C')
from json_to_recordset(cast(:rows as json)) as given (number bigint, subject text, messages text, notes text)
""")
# a document that is there and the same is not written again: the index is what costs
_REPLACE = text(f"""
{_INSERT.text} on conflict (interaction_id) do update set document = excluded.document
    where support_search.document is distinct from excluded.document
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
# nearly all are there, and to look for them costs less than to begin to write them
_WORDS = text("""
insert into support_word (word)
select word from json_array_elements_text(cast(:words as json)) as given (word)
    where not exists (select from support_word it where it.word = given.word) order by word
on conflict do nothing
""")


def write(session: Session, walks: Mapping[int, Walk], *, new: bool) -> None:
    """Make the words of the interactions in `walks` anew."""
    texts = {number: texts_of(each.events) for number, each in sorted(walks.items())}
    if new:
        _documents(session, _INSERT, texts)
    else:
        _documents(session, _REPLACE, texts)
        absorb(session, session.scalars(_MERGED, {"ids": list(texts)}).all())
    session.execute(_WORDS, {"words": msgspec.json.encode(words_in(texts.values())).decode()})


def absorb(session: Session, numbers: Collection[int]) -> None:
    """Let the interactions `numbers` be found by their own words and by those of whatever was merged into them."""
    if not numbers:
        return
    families: dict[int, list[int]] = dict(session.execute(_FAMILIES, {"ids": sorted(numbers)}).all())
    members = sorted({each for family in families.values() for each in family})
    texts = {number: texts_of(events) for number, events in histories_of(session, members).items()}
    _documents(
        session, _REPLACE, {target: _joined(texts[each] for each in family) for target, family in families.items()}
    )


def _joined(texts: Iterable[Texts]) -> Texts:
    every = list(texts)
    return Texts(
        "\n".join(each.subject for each in every),
        "\n".join(each.messages for each in every)[:MOST],
        "\n".join(each.notes for each in every)[:MOST],
    )


def words_in(texts: Iterable[Texts]) -> set[str]:
    """Return the words in `texts` that a misspelt one can be compared with: letters alone, lower case."""
    # most of a text has been said before: what is left to look at is a tenth
    pieces: set[str] = set()
    for each in texts:
        pieces.update(each.subject.split(), each.messages.split(), each.notes.split())
    found = {each for each in pieces if each.isalpha()}
    found.update(_WORD.findall("\n".join(pieces - found)))
    return {each.lower() for each in found if _SHORTEST <= len(each) <= _LONGEST and each.isalpha()}


def forget(session: Session, words: Collection[str]) -> None:
    """Take out those of `words` that no interaction holds any more."""
    session.execute(_FORGET, {"words": sorted(words)})


def _documents(session: Session, statement: TextClause, texts: Mapping[int, Texts]) -> None:
    found = [
        {"number": number, "subject": each.subject, "messages": each.messages, "notes": each.notes}
        for number, each in texts.items()
    ]
    session.execute(statement, {"rows": msgspec.json.encode(found).decode()})
