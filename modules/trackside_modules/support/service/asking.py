"""When customers are asked how they were helped: what is set, and a task in the transaction of the solving."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from trackside.errors import InputError
from trackside.jobs import tasks
from trackside.workspace import fact, set_fact
from trackside_modules.support.history import State

ASK = "support.ask"
SETTINGS = "support.csat"
FRESH = timedelta(days=2)
"""A solving longer ago asks nobody."""


@dataclass(frozen=True, slots=True)
class Asking:
    """When customers are asked by themselves."""

    on: bool = True
    after_minutes: int = 0
    """Between the solving and the mail; one that is opened again meanwhile asks nobody."""
    quiet_days: int = 14
    """Who was asked is left in peace for so long."""


def asking(session: Session) -> Asking:
    """Return how customers are asked."""
    kept = fact(session, SETTINGS)
    return Asking(**json.loads(kept)) if kept else Asking()


def set_asking(session: Session, wanted: Asking) -> None:
    """Change it; raises InputError by field."""
    bounds = {"after_minutes": (0, 7 * 24 * 60), "quiet_days": (0, 365)}
    for name, (least, most) in bounds.items():
        if not least <= getattr(wanted, name) <= most:
            problem = f"Between {least} and {most:,}."
            raise InputError(f"{name}: {problem}", {name: problem})
    set_fact(session, SETTINGS, json.dumps(asdict(wanted)))


def arrange(session: Session, number: int, before: State | None, after: State, now: datetime) -> None:
    """Let a task ask the customer of the interaction `number`, where it was solved between those states just now.

    One that was solved when it was logged (`before` is None) asks nobody.
    """
    solved_at = after.solved_at
    if before is None or before.status == "solved" or after.status != "solved":
        return
    if solved_at is None or now - solved_at > FRESH:
        return
    how = asking(session)
    if how.on:
        due = solved_at + timedelta(minutes=how.after_minutes) if how.after_minutes else None
        key = f"{ASK}:{number}"
        tasks.enqueue(session, ASK, {"interaction_id": number}, not_before=due, dedupe_key=key)
