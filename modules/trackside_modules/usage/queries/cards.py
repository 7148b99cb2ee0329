"""What the cards on users' pages tell of endpoints."""

from sqlalchemy.orm import Session

from trackside_modules.usage.queries.endpoints import EndpointRow, named
from trackside_modules.usage.queries.figures import by_endpoint
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.queries.window import Window


def top_endpoints(session: Session, scope: Scope, window: Window, limit: int = 10) -> list[EndpointRow]:
    """Return the endpoints with the most calls; how many users they had is left out."""
    figures = by_endpoint(session, scope, window)
    first = sorted(figures, key=lambda id_: (-figures[id_].calls, id_))[:limit]
    known = named(session, set(first))
    return [EndpointRow(known[id_], figures[id_], quantiles=figures[id_].quantiles()) for id_ in first]
