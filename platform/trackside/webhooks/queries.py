"""What is shown of webhooks: one function a question."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.webhooks.models import DELIVERED, FAILED, MEMBER, WAITING, Delivery, Endpoint

PAGE = 50

COUNT_BROKEN = select(func.count()).where(Endpoint.paused_at.is_not(None), Endpoint.paused_why != MEMBER)
"""How many endpoints were paused because they took nothing, and wait for somebody."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of what an endpoint was to be told: of the last day, and what waits in all."""

    delivered: int = 0
    failed: int = 0
    waiting: int = 0


def endpoints(session: Session) -> list[Endpoint]:
    """Return all endpoints, by name."""
    return list(session.scalars(select(Endpoint).order_by(Endpoint.name, Endpoint.id)))


def told(session: Session, ids: Sequence[int], now: datetime) -> dict[int, Told]:
    """Return what became of what each of the endpoints `ids` was told."""
    lately = Delivery.happened_at > now - timedelta(days=1)
    query = (
        select(
            Delivery.endpoint_id,
            func.count().filter(Delivery.state == DELIVERED, lately),
            func.count().filter(Delivery.state == FAILED, lately),
            func.count().filter(Delivery.state == WAITING),
        )
        .where(Delivery.endpoint_id.in_(ids))
        .group_by(Delivery.endpoint_id)
    )
    found = {row[0]: Told(*map(int, row[1:])) for row in session.execute(query)}
    return {each: found.get(each, Told()) for each in ids}


def deliveries(
    session: Session, endpoint_id: int, *, state: str = "", before: int | None = None, limit: int = PAGE
) -> list[Delivery]:
    """Return what an endpoint was told, the newest first, in the state `state` where one is given."""
    query = select(Delivery).where(Delivery.endpoint_id == endpoint_id)
    if state:
        query = query.where(Delivery.state == state)
    if before is not None:
        query = query.where(Delivery.id < before)
    return list(session.scalars(query.order_by(Delivery.id.desc()).limit(limit)))
