"""What the pages ask of the counts; every figure is a sum of rows that one can look at."""

from trackside_modules.usage.queries.cards import top_endpoints
from trackside_modules.usage.queries.endpoints import EndpointRow
from trackside_modules.usage.queries.figures import Figures, lately, series, summed, total, unknown_share
from trackside_modules.usage.queries.names import has_usage, services, waiting, warnings
from trackside_modules.usage.queries.rows import NEWEST, SORTS, CountedRow, Place, counted_rows
from trackside_modules.usage.queries.scope import Scope, everyone, everyone_of

__all__ = [
    "NEWEST",
    "SORTS",
    "CountedRow",
    "EndpointRow",
    "Figures",
    "Place",
    "Scope",
    "counted_rows",
    "everyone",
    "everyone_of",
    "has_usage",
    "lately",
    "series",
    "services",
    "summed",
    "top_endpoints",
    "total",
    "unknown_share",
    "waiting",
    "warnings",
]
