"""The sidebar: modules' entries that the signed-in member may open, with counts where action is due."""

from dataclasses import dataclass

from flask import current_app, request
from flask_login import current_user

from trackside.ask import ask_values
from trackside.db import db
from trackside.module import NavItem, Shortcut
from trackside.web.current import current_runtime
from trackside.web.links import link
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


@dataclass(frozen=True, slots=True)
class _Line:
    """An entry of the sidebar and what is around it, the same for every page."""

    item: NavItem
    blueprint: str
    others: frozenset[str]
    """The endpoints of its blueprint that are entries of their own."""

    def is_open(self, endpoint: str) -> bool:
        """Whether the page at `endpoint` is below this entry."""
        if endpoint == self.item.endpoint:
            return True
        below = endpoint.partition(".")[0] == self.blueprint and endpoint not in self.others
        return below and (not self.others or self.item.rest)


def entries() -> list[Entry]:
    """Return the entries of the signed-in member, in a fixed order; their counts are one statement."""
    lines = [line for line in _lines() if allowed(line.item.permission)]
    counted = [line.item.count for line in lines if line.item.count]
    given = {"member": getattr(current_user, "id", None), "now": current_runtime().clock.now()}
    counts = ask_values(counted, db.session(), **given)
    here = request.endpoint or ""
    return [
        Entry(
            line.item.label,
            link(line.item.endpoint),
            line.item.icon,
            line.item.group,
            line.is_open(here),
            int(counts.get(line.item.count or "") or 0),
        )
        for line in lines
    ]


def shortcuts() -> list[Shortcut]:
    """Return what the signed-in member may begin by a key, in the modules' order."""
    return [each for each in current_runtime().registry.each(lambda m: m.shortcuts) if allowed(each.permission)]


def _lines() -> list[_Line]:
    """Return every line in its order: found once an app."""
    found: list[_Line] | None = current_app.extensions.get("trackside.sidebar")
    if found is None:
        items = sorted(current_runtime().registry.each(lambda m: m.nav), key=lambda item: item.order)
        found = current_app.extensions["trackside.sidebar"] = [_line(item, items) for item in items]
    return found


def _line(item: NavItem, items: list[NavItem]) -> _Line:
    blueprint = item.endpoint.partition(".")[0]
    others = {it.endpoint for it in items if it is not item and it.endpoint.partition(".")[0] == blueprint}
    return _Line(item, blueprint, frozenset(others))
