"""What a report is counted from: one scan for each moment and source, into cells by topic and by day.

A cell is of a topic in the period or in the one before, or of a day of the period; it has how many rows each measure
has in it, and their values. Figures of any cells put together are exact, whatever is told by: counts are added, and
percentiles are of all the values in order.
"""

# ruff: noqa: S608 - the SQL is put together of our own pieces; what is asked for is bound
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from sys import byteorder
from typing import Any, TypeVar

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from trackside_modules.support.queries.measures import COUNTED, MEASURES, NO_VALUE, Measure

Key = TypeVar("Key")
Cell = Row[Any]
"""Of a topic: `now` (whether it is of the period) and `topic_id`. Of a day: `day`, and `now` is None. Then two columns
for each measure."""
_FIRST = 3
"""The column of the first measure."""
NO_TOPIC = 0
"""What is asked for where a topic is to be missing."""
DAILY = ("volume", "resolution", "first_reply")
"""The measures that are told by day."""
# a year is sorted and hashed in memory
_MEMORY = text("set local work_mem = '64MB'")


_ALONE = "select t.id from support_topic t where coalesce(t.merged_into, t.id) = :topic_id"
_BELOW = """
    select t.id from support_topic a join support_topic b on b.id = a.id or starts_with(b.path, a.path || '/')
    join support_topic t on coalesce(t.merged_into, t.id) = b.id where a.id = :topic_id
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which interactions a report is of."""

    start: datetime
    end: datetime
    """Not in it any more."""
    now: datetime
    topic_id: int | None = None
    """This topic, and those below it; `NO_TOPIC`: what has none."""
    alone: bool = False
    """Without those below it."""
    kind: str = ""
    channel: str = ""
    account_id: int | None = None

    @property
    def before(self) -> datetime:
        """When the period before began: it is as long."""
        return self.start - (self.end - self.start)

    def where(self) -> str:
        """Return the SQL of what narrows it, besides the period."""
        parts = [COUNTED]
        parts += ["m.kind = :kind"] if self.kind else []
        parts += ["m.channel = :channel"] if self.channel else []
        parts += ["m.account_id = :account_id"] if self.account_id is not None else []
        if self.topic_id == NO_TOPIC:
            parts.append("m.topic_id is null")
        elif self.topic_id is not None:
            parts.append(f"m.topic_id in ({_ALONE if self.alone else _BELOW})")
        return " and ".join(parts)

    def values(self) -> dict[str, Any]:
        """Return what its SQL is bound to."""
        return {
            "start": self.start,
            "end": self.end,
            "before": self.before,
            "now": self.now,
            "topic_id": self.topic_id,
            "kind": self.kind,
            "channel": self.channel,
            "account_id": self.account_id,
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure in a period: how many rows, and of their values the exact percentiles."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None


NOTHING = Figure()


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells of a period and of the one before, by the measures they have."""

    found: Sequence[tuple[Sequence[Measure], Sequence[Cell]]]

    def figures(self, names: Collection[str], key: Callable[[Cell], Key | None]) -> dict[Key, dict[str, Figure]]:
        """Return the figures `names` of all cells that have the same `key`; of none where it is None."""
        counts: defaultdict[tuple[Key, str], int] = defaultdict(int)
        values: defaultdict[tuple[Key, str], array[int]] = defaultdict(lambda: array("q"))
        for measures, cells in self.found:
            wanted = [(it.name, _FIRST + 2 * at) for at, it in enumerate(measures) if it.name in names]
            for cell in cells if wanted else ():
                of = key(cell)
                if of is None:
                    continue
                for name, column in wanted:
                    counts[of, name] += cell[column]
                    if cell[column + 1]:
                        values[of, name].frombytes(cell[column + 1])
        figures: defaultdict[Key, dict[str, Figure]] = defaultdict(dict)
        for (of, name), count in counts.items():
            ordered = in_order(values[of, name]) if (of, name) in values else ()
            figures[of][name] = Figure(count, percentile(ordered, 0.5), percentile(ordered, 0.9))
        return figures

    def values(self, name: str) -> Sequence[int]:
        """Return all values of the measure `name` in the period, in order."""
        packed = array("q")
        for measures, cells in self.found:
            for at, measure in enumerate(measures):
                for cell in cells if measure.name == name else ():
                    if cell.now and cell[_FIRST + 2 * at + 1]:
                        packed.frombytes(cell[_FIRST + 2 * at + 1])
        return in_order(packed)


def in_order(packed: "array[int]") -> Sequence[int]:
    """Return numbers as PostgreSQL sent them, the highest byte first, in order."""
    if byteorder == "little":
        packed.byteswap()
    return sorted(packed)


def gather(session: Session, asked: Asked, days: Sequence[datetime] = ()) -> Cells:
    """Return the cells of what is `asked`: `day` is the place of the last of `days` that began by then, from 1."""
    session.execute(_MEMORY)
    together: defaultdict[tuple[str, str], list[Measure]] = defaultdict(list)
    for measure in MEASURES.values():
        together[measure.at, measure.source].append(measure)
    return Cells([(measures, _moment(session, asked, measures, days)) for measures in together.values()])


def _moment(session: Session, asked: Asked, measures: Sequence[Measure], days: Sequence[datetime]) -> list[Cell]:
    """Return the cells of `measures`, whose rows belong to a period by the same moment."""
    at = measures[0].at
    now, day, sets = (f"{at} >= :start" if at else "true"), "null", "(1, 2)"
    if days and any(measure.name in DAILY for measure in measures):
        day, sets = f"case when {now} then width_bucket({at}, cast(:days as timestamptz[])) end", "(1, 2), (3)"
    period = f"{at} >= :before and {at} < :end" if at else "true"
    asks = measures[0].where if len(measures) == 1 else "true"
    parts = ", ".join(part for measure in measures for part in _parts(measure))
    query = f"""
    select {now} as now, m.topic_id, {day} as day, {parts} from {measures[0].source}
    where {asked.where()} and {period} and {asks} group by grouping sets ({sets})
    """
    return list(session.execute(text(query), asked.values() | {"days": list(days)}))


def _parts(measure: Measure) -> tuple[str, str]:
    """Return the columns of a measure: how many rows, and their values, eight bytes each: arrays are slow to read."""
    rows = f"filter (where {measure.where})"
    packed = f"string_agg(int8send(({measure.value})::bigint), '') {rows}"
    return f"count(*) {rows}", "null" if measure.value == NO_VALUE else packed


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the percentile of values in order as PostgreSQL's `percentile_cont`; None of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    under, over = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    return float(under + (over - under) * (place - low))
