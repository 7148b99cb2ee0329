"""The first-minute checklist: steps of all modules, each ticked by itself once it is done."""

from dataclasses import dataclass

from flask import url_for

from trackside.ask import ask
from trackside.db import db
from trackside.module import Step
from trackside.runtime import Runtime
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.workspace import fact

DISMISSED = "checklist.dismissed"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the checklist, ready to draw."""

    title: str
    url: str
    done: bool
    command: str | None


def checklist() -> list[Item]:
    """Return the steps in order; empty once all are done or a member dismissed the list."""
    if fact(db.session(), DISMISSED):
        return []
    runtime = current_runtime()
    steps = sorted(runtime.registry.each(lambda m: m.steps), key=lambda step: step.order)
    items = [_item(runtime, step) for step in steps]
    return [] if all(item.done for item in items) else items


def _item(runtime: Runtime, step: Step) -> Item:
    done = bool(ask(step.done, runtime, db.session(), otherwise=False))
    filled = {"base_url": runtime.settings.base_url, "env": current_environment().slug}
    return Item(step.title, url_for(step.endpoint), done, step.command.format(**filled) if step.command else None)
