"""Crash Trackside at random while clients post usage, then compare what it holds with what it accepted.

    .venv/bin/python bench/crash.py --seconds 60 --seed 4711

    .venv/bin/python bench/crash.py --crashes 250

It starts a `trackside up --no-demo` of its own in a temporary folder, posts OTLP batches as clients do (three in ten
about the past, up to 200 days ago, some twice), and meanwhile kills web, the workers of fold and roll-up, the
postmaster, single backends and Valkey (SIGKILL), and empties Valkey (FLUSHALL). At the end every accepted request must
be counted once, on its day, in every family of counts, as the tiers stand and after the roll-up is through. Exit code 1
where that is not so. 250 crashes take about ten minutes.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import crash_check
import psycopg
import structlog
from crash_kills import Crasher
from crash_load import Client, Ledger, run_cumulative, run_deltas

from trackside.db import psycopg_url
from trackside.runtime import Runtime, build_runtime
from trackside.settings import load_settings
from trackside.testing.running import Up, up

DELTA_CLIENTS = 3
DRAIN_SECONDS = 90
_KEY = "select max(id) from api_key where name = 'crash'"
_WAITING = "select count(*) from usage_inbox where applied_at is null and dead_at is null"
_DEAD = "select count(*) from usage_inbox where dead_at is not null"
_NAMES = "select batch from usage_inbox where applied_at is not null"


@dataclass
class Outcome:
    """What came of it; `lost` and `doubled` are requests."""

    seed: int
    seconds: float
    crashes: dict[str, int]
    missed: dict[str, int]
    batches: int
    requests: int
    repeats: int
    retries: int
    refused: dict[str, int]
    lost: int
    doubled: int
    disagreeing: int
    """Sums by endpoint or of a user, and histograms, that do not agree with the calls by user."""
    unrolled: int
    """Hours and days that the roll-up did not get through in the end."""
    missing: int
    """Accepted batches that are not in the inbox as applied."""
    dead: int
    """Batches that the fold set aside."""
    drained_after: float
    """Seconds from the last post to an empty inbox."""

    @property
    def is_whole(self) -> bool:
        """Whether every accepted request is counted once and no correct batch was refused."""
        wrong = self.lost or self.doubled or self.disagreeing or self.unrolled
        return not (wrong or self.missing or self.dead or self.refused)


def run(running: Up, seconds: float, crashes: int | None, seed: int) -> Outcome:
    """Load and crash `running` for `seconds`, or until so many crashes are done, and say what came of it."""
    settings = load_settings({"TRACKSIDE_DATA": str(running.data)})
    runtime = build_runtime(settings)
    crash_check.prepare(runtime)
    database, luck = psycopg_url(settings.database_url), Random(seed)
    key = running.json("key", "create", "--env", "production", "--kind", "ingest", "--name", "crash")["key"]
    with psycopg.connect(database) as connection:
        ledger = Ledger(_number(connection, _KEY))
    quiet, still, give_up = threading.Event(), threading.Event(), threading.Event()
    crasher = Crasher(running.process.pid, running.data, settings.redis_url, luck)
    started = time.monotonic()
    with ThreadPoolExecutor(DELTA_CLIENTS + 2) as pool:

        def connect(luck: Random) -> Client:
            return Client(running.url, key, ledger, luck, give_up)

        for number in range(DELTA_CLIENTS):
            pool.submit(_loudly, run_deltas, connect, ledger, seed + 100 * number, quiet)
        pool.submit(_loudly, run_cumulative, connect, ledger, seed - 1, quiet)
        pool.submit(_loudly, crash_check.ring, runtime, quiet)
        timer = threading.Timer(seconds, still.set)
        timer.daemon = True
        timer.start()
        crasher.run(still, crashes)
        quiet.set()
        enough = threading.Timer(DRAIN_SECONDS, give_up.set)
        enough.daemon = True
        enough.start()
    spent, drained = time.monotonic() - started, _drain(database)
    outcome = Outcome(seed, round(spent, 1), {}, {}, 0, 0, 0, 0, {}, 0, 0, 0, 0, 0, 0, drained)
    _compare(runtime, ledger, outcome)
    outcome.unrolled = _roll(runtime)
    _compare(runtime, ledger, outcome)
    return _told(database, ledger, crasher, outcome)


def _loudly(work: object, *arguments: object) -> None:
    try:
        work(*arguments)  # type: ignore[operator]
    except Exception as error:
        print(f"a client of the test failed: {error!r}", file=sys.stderr, flush=True)
        raise


def _drain(database: str) -> float:
    """Wait until the inbox is empty; return the seconds that took."""
    started = time.monotonic()
    while time.monotonic() < started + DRAIN_SECONDS:
        try:
            with psycopg.connect(database, connect_timeout=2) as connection:
                if _number(connection, _WAITING) == 0:
                    break
        except psycopg.OperationalError:
            pass  # still on its way up
        time.sleep(0.2)
    return round(time.monotonic() - started, 1)


def _roll(runtime: Runtime) -> int:
    """Ring until the roll-up is through; return how many buckets it left."""
    stopping = threading.Event()
    ringing = threading.Thread(target=crash_check.ring, args=(runtime, stopping), daemon=True)
    ringing.start()
    ends = time.monotonic() + DRAIN_SECONDS
    while (left := crash_check.unrolled(runtime)) and time.monotonic() < ends:
        time.sleep(0.5)
    stopping.set()
    ringing.join()
    return left


def _compare(runtime: Runtime, ledger: Ledger, outcome: Outcome) -> None:
    """Add what differs from the ledger as the tiers stand now."""
    held, wrong = crash_check.held(runtime, env_id=1)
    for line in wrong[:5]:
        print(line, file=sys.stderr, flush=True)
    lost, doubled = ledger.cells - held, held - ledger.cells
    for word, cells in (("lost", lost), ("doubled", doubled)):
        for cell, calls in list(cells.items())[:5]:
            print(f"{word}: {cell} {calls}", file=sys.stderr, flush=True)
    outcome.lost, outcome.doubled = max(outcome.lost, lost.total()), max(outcome.doubled, doubled.total())
    outcome.disagreeing = max(outcome.disagreeing, len(wrong))


def _told(database: str, ledger: Ledger, crasher: Crasher, outcome: Outcome) -> Outcome:
    with psycopg.connect(database) as connection:
        names = Counter(bytes(name) for (name,) in connection.execute(_NAMES))
        outcome.dead = _number(connection, _DEAD)
    outcome.crashes, outcome.missed = dict(crasher.done), dict(crasher.missed)
    outcome.batches, outcome.requests = len(ledger.accepted), ledger.cells.total()
    outcome.repeats, outcome.retries, outcome.refused = ledger.repeats, ledger.retries, dict(ledger.refused)
    outcome.missing = sum(1 for name in ledger.accepted if names[name] != 1)
    return outcome


def _number(connection: "psycopg.Connection[tuple[object, ...]]", query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row
    return int(str(row[0]))


def main() -> int:
    """Run it as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="how long to go on (default: 60, or 1200 with --crashes)")
    parser.add_argument("--crashes", type=int, help="stop after so many crashes, if that is earlier")
    parser.add_argument("--seed", type=int, default=None, help="repeats the same choices; default: a random one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with (
        tempfile.TemporaryDirectory(prefix="trackside-crash-") as folder,
        up(Path(folder) / "data", "--no-demo") as running,
    ):
        outcome = run(running, given.seconds or (1200.0 if given.crashes else 60.0), given.crashes, seed)
    if given.json:
        print(json.dumps(asdict(outcome)))
    else:
        _print(outcome)
    return 0 if outcome.is_whole else 1


def _print(outcome: Outcome) -> None:
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(outcome.crashes.items()))
    print(f"seed {outcome.seed}, {outcome.seconds} s, {sum(outcome.crashes.values())} crashes: {kinds}")
    print(f"accepted {outcome.batches:,} batches with {outcome.requests:,} requests", end="; ")
    print(f"{outcome.repeats:,} posted again, {outcome.retries:,} retries; drained after {outcome.drained_after} s")
    print(f"lost {outcome.lost}, counted twice {outcome.doubled}, missing batches {outcome.missing}", end=", ")
    print(f"disagreeing sums {outcome.disagreeing}, buckets left to roll {outcome.unrolled}", end=", ")
    print(f"set aside {outcome.dead}, refused {outcome.refused or 0}")


if __name__ == "__main__":
    sys.exit(main())
