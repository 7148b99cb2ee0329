"""What a change in an environment takes."""

from datetime import datetime

from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import NotFound
from trackside.workspace import Environment
from trackside_modules.flags import ruleset
from trackside_modules.flags.models import FlagsEnvironment


def demand_approval(session: Session, env_id: int, *, demanded: bool, who: Actor, now: datetime) -> FlagsEnvironment:
    """Demand that a second member approves each change in an environment, or no more; raises NotFound."""
    rows = ruleset.lock(session, [env_id])
    if not rows:
        raise NotFound("There is no such environment.")
    row, slug = rows[0], session.get_one(Environment, env_id).slug
    if row.demands_approval != demanded:
        row.demands_approval = demanded
        changes = {"demands_approval": [not demanded, demanded]}
        audit(session, who, "environment.edited", "environment", env_id, slug, at=now, env_id=env_id, changes=changes)
        session.flush()
    return row
