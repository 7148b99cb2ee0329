"""What the cards on users' pages tell of endpoints."""

from sqlalchemy.orm import Session

from trackside_modules.usage.queries.endpoints import EndpointRow, named
from trackside_modules.usage.queries.figures import grouped
from trackside_modules.usage.queries.scope import Scope, sums
from trackside_modules.usage.queries.window import Window


def top_endpoints(session: Session, scope: Scope, window: Window, limit: int = 10) -> list[EndpointRow]:
    """Return the endpoints with the most calls; how many users they had is left out."""
    counted = sums(session, scope, window.start, window.until)
    figures = grouped(session, counted, counted.c.endpoint_id)
    first = sorted(figures, key=lambda id_: (-figures[id_].calls, id_))[:limit]
    known = named(session, set(first))
    return [EndpointRow(known[id_], figures[id_], quantiles=figures[id_].quantiles()) for id_ in first]
