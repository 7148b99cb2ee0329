"""What the pages ask of the counts; every figure is a sum of rows that one can look at."""

from trackside_modules.usage.queries.figures import (
    EndpointRow,
    Figures,
    Scope,
    active_users,
    by_hour,
    everyone,
    of_users,
    series,
    top_endpoints,
    total,
    unknown_share,
)
from trackside_modules.usage.queries.names import has_usage, services, waiting, warnings
from trackside_modules.usage.queries.rows import NEWEST, SORTS, MinuteRow, Place, minute_rows

__all__ = [
    "NEWEST",
    "SORTS",
    "EndpointRow",
    "Figures",
    "MinuteRow",
    "Place",
    "Scope",
    "active_users",
    "by_hour",
    "everyone",
    "has_usage",
    "minute_rows",
    "of_users",
    "series",
    "services",
    "top_endpoints",
    "total",
    "unknown_share",
    "waiting",
    "warnings",
]
