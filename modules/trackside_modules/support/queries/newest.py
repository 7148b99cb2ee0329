"""The newest interactions that hold words, without reading all that hold them.

A row with its words is wide: of a thousand that hold a word nearly each lies on a page of its own, and reading those
pages is what a search takes. So where PostgreSQL guesses that many hold the words, an index of blocks leaves out all
but the newest; only where those were too few, everything is asked. See ADR 0236.
"""

from dataclasses import dataclass

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

PHRASES = 2_000
"""A phrase is looked for in about the newest so many that hold all its words: each of them has to be read for it."""
LATELY = 8_000
"""The newest so many are looked through for what many hold."""
COMMON = 0.02
"""Of all, the share from which on the newest are looked through first; below, the index is the shorter way."""
SLACK = 1.6
"""So many times what is wanted should lie among the newest that are asked: a guess is not exact."""

# A phrase's words without their order, which the index does not know; as they are where something must not be there.
# What is asked here once is a constant after: PostgreSQL would read the words again for each row that it looks at. The
# statements that follow are planned for their words, since a plan for any words is a bad one for most of them; and by
# what a page costs that is in memory, where walking along is not four times as cheap as going straight there.
_SOUGHT = """
select raw, case when raw ~ '!' then raw else regexp_replace(raw, '<(-|\\d+)>', '&', 'g') end,
    case when raw ~ '!' then raw else replace(raw, '&', '|') end, raw ~ '<(-|\\d+)>',
    (select reltuples from pg_class where oid = cast('support_search' as regclass)),
    (select max(interaction_id) from support_search), current_setting('random_page_cost'),
    current_setting('plan_cache_mode'),
    set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true)
from ({}) given
"""
_TYPED = "select cast(websearch_to_tsquery('english', :text) as text) as raw"
_AS_BEFORE = text("select set_config('plan_cache_mode', :plans, true), set_config('random_page_cost', :cost, true)")
_GUESS = text("explain (format json) select from support_search where document @@ cast(:loose as tsquery)")
_LATELY = text("""
select interaction_id from support_search
where interaction_id > :beyond and document @@ cast(:exact as tsquery)
order by interaction_id desc limit :most
""")
_EVER = text("""
with holding as materialized (
    select interaction_id, not :phrase or document @@ cast(:exact as tsquery) as holds from support_search
    where document @@ cast(:loose as tsquery) and interaction_id > :beyond
)
select interaction_id from holding where holds order by interaction_id desc limit :most
""")


@dataclass(frozen=True, slots=True)
class Sought:
    """What people typed, as PostgreSQL asks for it, and how much there is to ask."""

    exact: str
    loose: str
    """Its words in any order."""
    marks: str
    """Any of its words: what is marked in a text."""
    phrase: bool
    every: int
    """How many interactions there are, about."""
    last: int
    """The highest number."""
    page_cost: str
    """What PostgreSQL reckoned with before."""
    plans: str
    """How it made its plans before."""


def sought(session: Session, said: str, by: str = _TYPED) -> Sought:
    """Return how to ask for what was `said`: never an error, whatever people type.

    Plans are made for these words until `done`. `by`: how to make a query of the text, a statement of ours that gives
    `raw`.
    """
    found = session.execute(text(_SOUGHT.format(by)), {"text": said}).one()
    exact, loose, marks, phrase, every, last, cost, plans, *_ = found
    return Sought(exact, loose, marks, phrase, max(int(every or 0), 1), last or 0, cost, plans)


def done(session: Session, it: Sought) -> None:
    """Let PostgreSQL plan as it did before `sought`."""
    session.execute(_AS_BEFORE, {"cost": it.page_cost, "plans": it.plans})


def guess(session: Session, query: str) -> int:
    """Return in how many interactions PostgreSQL expects what a `tsquery` asks for; at least 1."""
    return max(1, int(session.scalar(_GUESS, {"loose": query})[0]["Plan"]["Plan Rows"]))


def newest(session: Session, it: Sought, most: int, enough: int | None = None) -> tuple[list[int], bool]:
    """Return the newest interactions that hold `it`, up to `most`; and whether older ones were not looked at.

    What many hold is found among the newest of all; for what few hold, the index is asked. Nothing is looked for once
    there are `enough`. The second value is only ever true of a phrase: see `PHRASES`.
    """
    guessed = guess(session, it.loose)
    enough = enough or most

    def beyond(number: int, query: TextClause = _EVER) -> list[int]:
        given = {"exact": it.exact, "loose": it.loose, "phrase": it.phrase, "most": most, "beyond": number}
        return list(session.scalars(query, given))

    if guessed >= COMMON * it.every:
        found = beyond(it.last - LATELY, _LATELY)
        if len(found) >= enough:
            return found, False
    if it.phrase:
        start = max(0, it.last - max(LATELY, round(it.last * PHRASES / guessed)))
        found = beyond(start)
        return found, start > 0 and len(found) < most
    reach = SLACK * most * it.last / guessed
    while reach < it.last / 2:
        found = beyond(it.last - round(reach))
        if len(found) >= enough:
            return found, False
        if not found:
            break  # most likely none holds them, which the words' own index tells at once
        reach *= max(2, SLACK * most / len(found))
    return beyond(0), False
