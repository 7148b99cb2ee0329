"""What a report is counted from: one scan of the metrics for each moment, into cells by topic and by day.

A cell is of a topic in the period or in the one before, or of a day of the period; it has how many rows each measure
has in it, and their values. Figures of any cells put together are exact, whatever
is told by: counts are added, and percentiles are of all the values in order.
"""

# ruff: noqa: S608 - the SQL is put together of our own pieces; what is asked for is bound
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from trackside_modules.support.queries.measures import COUNTED, FROM, MEASURES, NO_VALUE, Measure

Key = TypeVar("Key")
Cell = Row[Any]
"""Of a topic: `now` (whether it is of the period) and `topic_id`. Of a day: `day`, and `now` is None. Then two columns
for each measure."""
_FIRST = 3
"""The column of the first measure."""
DAILY = ("volume", "resolution", "first_reply")
"""The measures that are told by day."""
# a year is sorted and hashed in memory
_MEMORY = text("set local work_mem = '64MB'")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which interactions a report is of."""

    start: datetime
    end: datetime
    """Not in it any more."""
    now: datetime
    topic_id: int | None = None
    """This topic, and those below it."""
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
        if self.topic_id is not None:
            parts.append(
                "m.topic_id in (select t.id from support_topic a join support_topic b on b.id = a.id "
                "or starts_with(b.path, a.path || '/') join support_topic t on coalesce(t.merged_into, t.id) = b.id "
                "where a.id = :topic_id)"
            )
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
        values: defaultdict[tuple[Key, str], list[float]] = defaultdict(list)
        for measures, cells in self.found:
            wanted = [(it.name, _FIRST + 2 * at) for at, it in enumerate(measures) if it.name in names]
            for cell in cells if wanted else ():
                of = key(cell)
                if of is None:
                    continue
                for name, column in wanted:
                    counts[of, name] += cell[column]
                    if cell[column + 1]:
                        values[of, name] += cell[column + 1]
        figures: defaultdict[Key, dict[str, Figure]] = defaultdict(dict)
        for (of, name), count in counts.items():
            ordered = sorted(values.get((of, name), ()))
            figures[of][name] = Figure(count, percentile(ordered, 0.5), percentile(ordered, 0.9))
        return figures


def gather(session: Session, asked: Asked, days: Sequence[datetime] = ()) -> Cells:
    """Return the cells of what is `asked`: `day` is the place of the last of `days` that began by then, from 1."""
    session.execute(_MEMORY)
    moments = dict.fromkeys(measure.at for measure in MEASURES.values())
    return Cells([_moment(session, asked, at, days) for at in moments])


def _moment(session: Session, asked: Asked, at: str, days: Sequence[datetime]) -> tuple[Sequence[Measure], list[Cell]]:
    """Return the cells of the measures whose rows belong to a period by `at`."""
    measures = [measure for measure in MEASURES.values() if measure.at == at]
    now, day, sets = (f"{at} >= :start" if at else "true"), "null", "(1, 2)"
    if days and any(measure.name in DAILY for measure in measures):
        day, sets = f"case when {now} then width_bucket({at}, cast(:days as timestamptz[])) end", "(1, 2), (3)"
    period = f"{at} >= :before and {at} < :end" if at else "true"
    asks = measures[0].where if len(measures) == 1 else "true"
    parts = ", ".join(part for measure in measures for part in _parts(measure))
    query = f"""
    select {now} as now, m.topic_id, {day} as day, {parts} from {FROM}
    where {asked.where()} and {period} and {asks} group by grouping sets ({sets})
    """
    return measures, list(session.execute(text(query), asked.values() | {"days": list(days)}))


def _parts(measure: Measure) -> tuple[str, str]:
    """Return the columns of a measure: how many rows, and their values."""
    rows = f"filter (where {measure.where})"
    return f"count(*) {rows}", "null" if measure.value == NO_VALUE else f"array_agg({measure.value}) {rows}"


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the percentile of values in order as PostgreSQL's `percentile_cont`; None of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    under, over = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    return float(under + (over - under) * (place - low))
