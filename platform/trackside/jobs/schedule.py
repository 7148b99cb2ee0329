"""`trackside schedule`: ticks, each claimed in PostgreSQL, so that two schedulers do no harm.

A tick belongs to a slot: the start of its period since 1970, in UTC. Whoever inserts `(name, slot)` first has it. After
an outage only the current slot is open, so at most one missed tick is caught up. A durable tick writes its task in the
transaction of the claim; one that is not durable only rings.
"""

import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
import structlog
from sqlalchemy import and_, delete, func, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trackside.jobs import bells, sweep
from trackside.jobs.models import TickClaim
from trackside.jobs.tasks import enqueue
from trackside.module import Tick
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
SWEEP_EVERY = 5.0
FORGET_EVERY = 60.0
LONGEST_WAIT = 15.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEPT_CLAIMS = 3
"""Claims kept of each tick, in periods: the last is what the schedule page shows."""


def slot_of(tick: Tick, at: datetime) -> datetime:
    """Return the start of the period of `tick` that `at` falls into."""
    return at - (at - EPOCH) % tick.every


def claim(session: Session, tick: Tick, slot: datetime) -> bool:
    """Take `slot` of `tick`; False where someone has it already."""
    statement = insert(TickClaim).values(name=tick.name, slot=slot).on_conflict_do_nothing()
    return session.execute(statement.returning(TickClaim.name)).one_or_none() is not None


def forget_claims(session: Session, ticks: list[Tick], now: datetime) -> None:
    """Delete claims that are no longer needed."""
    old = [and_(TickClaim.name == tick.name, TickClaim.slot < now - KEPT_CLAIMS * tick.every) for tick in ticks]
    gone = and_(TickClaim.name.not_in([tick.name for tick in ticks]), TickClaim.claimed_at < func.now() - timedelta(7))
    session.execute(delete(TickClaim).where(or_(*old, gone)))


@dataclass
class _Due:
    """When the scheduler's own chores are next."""

    sweep: float = 0.0
    forget: float = 0.0


class Scheduler:
    """Rings the ticks of a runtime's modules, and sweeps."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.ticks = list(runtime.registry.each(lambda m: m.ticks))
        self._rung: dict[str, datetime] = {}
        """The last slot of each tick that we know to be taken: no need to ask PostgreSQL each second."""
        self._due = _Due()

    def step(self) -> None:
        """Do all that is due now. Raises SQLAlchemyError where the database is away."""
        now, monotonic = self.runtime.clock.now(), self.runtime.clock.monotonic()
        self._ring(now)
        if monotonic >= self._due.sweep:
            sweep.sweep(self.runtime)
            self._due.sweep = monotonic + SWEEP_EVERY
        if monotonic >= self._due.forget:
            sweep.forget(self.runtime)
            with self.runtime.database.session() as session:
                forget_claims(session, self.ticks, now)
            self._due.forget = monotonic + FORGET_EVERY

    def wait(self) -> float:
        """Return the seconds until something is due: a tick's next period, or a sweep."""
        now = self.runtime.clock.now()
        ticks = [(slot_of(tick, now) + tick.every - now).total_seconds() for tick in self.ticks]
        return max(0.01, min([*ticks, self._due.sweep - self.runtime.clock.monotonic(), SWEEP_EVERY]))

    def _ring(self, now: datetime) -> None:
        open_ticks = [(tick, slot) for tick in self.ticks if self._rung.get(tick.name) != (slot := slot_of(tick, now))]
        if not open_ticks:
            return
        with self.runtime.database.session() as session:
            mine = [(tick, slot) for tick, slot in open_ticks if claim(session, tick, slot)]
            for tick, _ in mine:
                if tick.durable:
                    enqueue(session, tick.kind, dedupe_key=f"tick:{tick.name}")
        self._rung.update({tick.name: slot for tick, slot in open_ticks})
        for tick, slot in mine:
            if not tick.durable:
                bells.ring(self.runtime, tick.kind, slot=str(int(slot.timestamp() * 1000)), ttl=_ttl(tick))


def _ttl(tick: Tick) -> timedelta:
    """Return how long a bell without a task stays good: a few periods, since the next one says the same."""
    return min(max(3 * tick.every, timedelta(seconds=30)), timedelta(hours=1))


def serve(runtime: Runtime) -> None:
    """Ring until SIGTERM or SIGINT; PostgreSQL or Redis away is waited for, and said once."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    scheduler, back_off = Scheduler(runtime), 0.0
    ready = False
    while not stop.is_set():
        try:
            scheduler.step()
        except SQLAlchemyError as error:
            if not back_off:
                log.warning("schedule.database_away", error=type(error).__name__)
            back_off = min(back_off * 2 or 0.5, LONGEST_WAIT)
            stop.wait(back_off)
            continue
        if back_off:
            back_off = 0.0
            log.info("schedule.database_back")
        if not ready:
            ready = True
            click.echo("READY schedule")
        stop.wait(scheduler.wait())
