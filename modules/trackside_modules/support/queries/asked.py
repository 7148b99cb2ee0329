"""A list as programs ask for it: as the page shows it, by rank where words are searched for, else in an order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from trackside_modules.support.queries import chips, lists, search
from trackside_modules.support.queries.filters import Filter
from trackside_modules.support.queries.lists import Row

ORDER = "updated"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of what was asked for."""

    rows: list[Row]
    after: list[str | int | None] | None
    """The key of the next page; None at the end."""
    corrected: str = ""
    """What was searched for instead, where no interaction holds the words."""
    partly: bool = False
    """Whether a phrase was looked for among the newest alone that hold its words."""


def listing(
    session: Session,
    typed: str,
    *,
    now: datetime,
    sort: str = "",
    after: Sequence[str | int | float | bool | None] | None = None,
    limit: int = 50,
) -> Listing:
    """Return the interactions that `typed` asks for, after the key `after` of the page before.

    Words without an order are searched as on the page: the best first, misspelt ones understood, customers too; in an
    order, all that hold them, or what they were meant to be.

    Raises InputError for a chip that means nothing, an unknown order, a wrong limit.
    """
    asked = chips.ask(session, typed, now=now)
    wanted = asked.must("q")
    if asked.text and not sort:
        offset = int(after[0] or 0) if after else 0
        found = search.find(session, typed, now=now, limit=limit, offset=offset)
        following: list[str | int | None] | None = [offset + limit] if found.more else None
        return Listing([hit.row for hit in found.hits], following, found.corrected if found.hits else "", found.partly)
    return ordered(session, wanted, now=now, sort=sort or ORDER, after=after, limit=limit)


def ordered(
    session: Session,
    wanted: Filter,
    *,
    now: datetime,
    sort: str,
    after: Sequence[str | int | float | bool | None] | None = None,
    limit: int = 50,
) -> Listing:
    """Return a page of `wanted` in an order; where none holds its words, of what they were meant to be."""

    def page(asked: Filter) -> lists.Page:
        return lists.page(session, asked, now=now, sort=sort, after=after, limit=limit)

    found = page(wanted)
    if wanted.text and not found.rows:
        meant = search.correct(session, wanted.text)
        if meant != wanted.text and (other := page(replace(wanted, text=meant))).rows:
            return Listing(other.rows, other.after, meant)
    return Listing(found.rows, found.after)
