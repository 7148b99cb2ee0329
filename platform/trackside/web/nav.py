"""The sidebar: modules' entries that the signed-in member may open, with counts where action is due."""

from dataclasses import dataclass

from flask import request, url_for

from trackside.ask import ask
from trackside.db import db
from trackside.module import NavItem, Shortcut
from trackside.runtime import Runtime
from trackside.web.current import current_runtime
from trackside.web.policy import allowed


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the sidebar, ready to draw."""

    label: str
    url: str
    icon: str
    group: str
    active: bool
    count: int


def entries() -> list[Entry]:
    """Return the entries of the signed-in member, in a fixed order."""
    runtime = current_runtime()
    items = [item for item in runtime.registry.each(lambda m: m.nav) if allowed(item.permission)]
    return [_entry(runtime, item) for item in sorted(items, key=lambda item: item.order)]


def shortcuts() -> list[Shortcut]:
    """Return what the signed-in member may begin by a key, in the modules' order."""
    return [each for each in current_runtime().registry.each(lambda m: m.shortcuts) if allowed(each.permission)]


def _entry(runtime: Runtime, item: NavItem) -> Entry:
    blueprint = item.endpoint.partition(".")[0]
    siblings = [i for i in runtime.registry.each(lambda m: m.nav) if i.endpoint.partition(".")[0] == blueprint]
    here = request.endpoint or ""
    others = {i.endpoint for i in siblings if i is not item}
    mine = here.partition(".")[0] == blueprint and here not in others and (not others or item.rest)
    active = here == item.endpoint or mine
    return Entry(item.label, url_for(item.endpoint), item.icon, item.group, active, _count(runtime, item))


def _count(runtime: Runtime, item: NavItem) -> int:
    return int(ask(item.count, runtime, db.session(), otherwise=0)) if item.count else 0
