"""An interaction as it was after one of its events: what a webhook tells, however much later it is sent."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside_modules.support.history import Event, State, state_of
from trackside_modules.support.lookup.interactions import get, history_of
from trackside_modules.support.models import Interaction, Topic
from trackside_modules.support.queries.lists import Row
from trackside_modules.support.queries.naming import members


def moment(session: Session, number: int, seq: int) -> tuple[Row, Event] | None:
    """Return the interaction `number` as it was after its event `seq`, and that event; None where it was erased.

    Names are those of today. Raises NotFound.
    """
    if get(session, number).erased:
        return None
    events = [each for each in history_of(session, number) if each.seq <= seq]
    if not events or events[-1].seq != seq:
        return None
    return _row(session, number, state_of(events)), events[-1]


def _row(session: Session, number: int, state: State) -> Row:
    names = [column.key for column in Interaction.__table__.columns if hasattr(state, column.key)]
    it = Interaction(id=number, **{name: getattr(state, name) for name in names})
    user = session.get(User, state.user_id) if state.user_id else None
    account = session.get(Account, state.account_id) if state.account_id else None
    path = session.scalar(select(Topic.path).where(Topic.id == state.topic_id)) if state.topic_id else None
    assignee = members(session, [state.assignee_id]).get(state.assignee_id or 0, "")
    return Row(it, user.label if user else "", account.label if account else "", path or "", assignee)
