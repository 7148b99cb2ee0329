"""Who changed a customer: one line of the audit log for each change, with numbers and field names, never their values.

The audit log cannot be altered, so nothing personal goes into it: an erased user would live on there.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit


def note(
    session: Session, actor: Actor, action: str, kind: str, row_id: int | None, *, at: datetime, **details: object
) -> None:
    """Write that `actor` did `action` to the account or user (`kind`) numbered `row_id`; None: to many at once."""
    what = "many" if row_id is None else row_id
    audit(session, actor, f"{kind}.{action}", kind, what, f"{kind} {what}", at=at, changes=details)
