"""What a process has at hand: settings, modules, clock, database, Redis, events and ports; without Flask.

`create_app` puts one into `app.extensions["trackside"]`; workers, schedulers and commands build their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trackside.clock import Clock, SystemClock
from trackside.db import Database
from trackside.events import EventBus
from trackside.module import resolve
from trackside.ports import Ports
from trackside.redis import RedisClients
from trackside.registry import Registry, load_registry
from trackside.settings import Settings


@dataclass(frozen=True)
class Runtime:
    """Everything that code below the web layer may ask for."""

    settings: Settings
    registry: Registry
    clock: Clock
    database: Database
    redis: RedisClients
    events: EventBus
    ports: Ports
    closers: list[Callable[[], None]] = field(default_factory=list)
    """What to call first when this runtime ends: whoever starts a thread adds its end."""

    def close(self) -> None:
        """Stop what runs beside (`closers`), then give back every connection."""
        for close in self.closers:
            close()
        self.database.dispose()


def build_runtime(settings: Settings, registry: Registry | None = None, clock: Clock | None = None) -> Runtime:
    """Wire a runtime: modules' tables imported, their subscribers and ports connected. Opens no connection."""
    registry = registry or load_registry(settings.disabled_modules)
    registry.import_models()
    events = EventBus()
    ports = Ports()
    database = Database(settings.database_url, events, ports=ports, size=settings.database_pool)
    runtime = Runtime(settings, registry, clock or SystemClock(), database, RedisClients(settings), events, ports)
    for module in registry.modules:
        for kind, ref in module.subscribes.items():
            events.subscribe(kind, partial(_call, ref, runtime))
        for port, ref in module.provides.items():
            runtime.ports.provide(port, partial(_call, ref, runtime))
    return runtime


def _call(ref: str, *args: object) -> Any:
    return resolve(ref)(*args)
