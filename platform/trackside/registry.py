"""Which modules there are: the built-in ones, and installed packages that name themselves `trackside.modules`.

A new built-in module is one line in `BUILTIN`. Mistakes in a manifest stop the start with a sentence that names them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TypeVar

from trackside.errors import StartError
from trackside.module import ROLES, Module, resolve

BUILTIN: tuple[str, ...] = (
    "trackside_modules.usage.module:MODULE",
    "trackside_modules.flags.module:MODULE",
    "trackside_modules.support.module:MODULE",
)
"""Every module that comes with Trackside, in the order of the sidebar."""

KERNEL = (
    "trackside.auth.manifest:MODULE",
    "trackside.customers.manifest:MODULE",
    "trackside.jobs.manifest:MODULE",
    "trackside.webhooks.manifest:MODULE",
)
"""The kernel's own rooms, described by the same contract."""

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """The modules that are switched on, in order."""

    modules: tuple[Module, ...]

    def each(self, of: Callable[[Module], Iterable[T]]) -> Iterator[T]:
        """Yield what `of` picks from each module: `registry.each(lambda m: m.jobs)`."""
        for module in self.modules:
            yield from of(module)

    def find(self, name: str) -> Module | None:
        """Return the module called `name`, or None."""
        return next((module for module in self.modules if module.name == name), None)

    def import_models(self) -> None:
        """Import every module's tables, so that mappers and migrations see them all."""
        from importlib import import_module

        for module in self.modules:
            if module.models:
                import_module(module.models)


def load_registry(disabled: frozenset[str] = frozenset()) -> Registry:
    """Return the registry of all built-in and installed modules but those named in `disabled`.

    Raises StartError, naming every mistake, where two modules collide or a permission is used but not declared.
    """
    refs = [*KERNEL, *BUILTIN, *(point.value for point in entry_points(group="trackside.modules"))]
    modules = tuple(module for module in map(resolve, refs) if module.name not in disabled)
    problems = [*_duplicates(modules), *_undeclared(modules), *_unknown_roles(modules)]
    if problems:
        raise StartError("The modules do not fit together: " + "; ".join(problems))
    return Registry(modules)


def _duplicates(modules: tuple[Module, ...]) -> Iterator[str]:
    things = {
        "module": [m.name for m in modules],
        "permission": [p.name for m in modules for p in m.permissions],
        "job": [j.kind for m in modules for j in m.jobs],
        "tick": [t.name for m in modules for t in m.ticks],
        "command": [c for m in modules for c in m.commands],
        "shortcut": [s.key for m in modules for s in m.shortcuts],
        "scope": [s for m in modules for s in m.scopes],
        "sender": [c for m in modules for c in m.senders],
        "webhook": [w.type for m in modules for w in m.webhooks],
        "lane route": [f"{r.method} {r.path}" for m in modules for r in m.lane],
    }
    for kind, names in things.items():
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"{kind} {name!r} is declared twice"


def _undeclared(modules: tuple[Module, ...]) -> Iterator[str]:
    declared = {p.name for m in modules for p in m.permissions}
    kinds = {j.kind for m in modules for j in m.jobs}
    for module in modules:
        users = (module.nav, module.shortcuts, module.cards, module.panels, module.streams)
        for permission in (thing.permission for things in users for thing in things):
            if permission not in declared:
                yield f"{module.name} uses the permission {permission!r}, which no module declares"
        for tick in module.ticks:
            if tick.kind not in kinds:
                yield f"{module.name} schedules the job {tick.kind!r}, which no module declares"


def _unknown_roles(modules: tuple[Module, ...]) -> Iterator[str]:
    for module in modules:
        for permission in module.permissions:
            for role in sorted(permission.roles - set(ROLES)):
                yield f"permission {permission.name!r} names the role {role!r}, which does not exist"
