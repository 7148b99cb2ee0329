"""The first-minute checklist: steps of all modules, each ticked by itself once it is done."""

from dataclasses import dataclass

from flask import url_for
from sqlalchemy import exists, select

from trackside.ask import ask_values
from trackside.db import db
from trackside.module import Step
from trackside.runtime import Runtime
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.workspace import WorkspaceFact

DISMISSED = "checklist.dismissed"
WAS_DISMISSED = select(exists().where(WorkspaceFact.key == DISMISSED))
"""Whether a member dismissed the list."""
_DISMISSED = f"{__name__}:WAS_DISMISSED"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the checklist, ready to draw."""

    title: str
    url: str
    done: bool
    command: str | None


def checklist() -> list[Item]:
    """Return the steps in order; empty once all are done or a member dismissed the list."""
    runtime = current_runtime()
    steps = sorted(runtime.registry.each(lambda m: m.steps), key=lambda step: step.order)
    found = ask_values((_DISMISSED, *(step.done for step in steps)), db.session())
    if found.get(_DISMISSED) or all(found.get(step.done) for step in steps):
        return []
    return [_item(runtime, step, bool(found.get(step.done))) for step in steps]


def _item(runtime: Runtime, step: Step, done: bool) -> Item:
    filled = {"base_url": runtime.settings.base_url, "env": current_environment().slug}
    return Item(step.title, url_for(step.endpoint), done, step.command.format(**filled) if step.command else None)
