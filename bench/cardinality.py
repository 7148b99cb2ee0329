"""What a million distinct routes, or users, in one hour cost: memory of the door and the fold, and nothing lost.

    .venv/bin/python bench/cardinality.py [--events 1000000] [--step 100000]

A throw-away PostgreSQL and Valkey; events of one hour in batches of 1,000 go through the lane's own handler and are
folded in this process, every one with a route (then: a user) of its own. Printed after each step: calls counted, names
kept, and the process's memory, which must stay flat once the cap is reached.
"""

import argparse
import io
import json
import resource
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from trackside import migrate
from trackside.auth.principal import KeyPrincipal
from trackside.embedded.postgres import Postgres
from trackside.embedded.valkey import Valkey
from trackside.lane import LaneRequest
from trackside.runtime import Runtime, build_runtime
from trackside.settings import load_settings
from trackside.workspace import environments, seed_workspace
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest.events import door

BATCH = 1000
_COUNTED = "select sum(calls) from usage_minute where env_id = %s"
NAMES = {
    "route": "select count(*) from usage_endpoint where env_id = %s",
    "user": "select count(distinct user_id) from usage_minute where env_id = %s",
}


def resident() -> float:
    """Return this process's memory now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def body(kind: str, start: int, now: int) -> bytes:
    """Return a batch whose events each name a route or user that no other has."""
    common = {"ts": now, "method": "GET", "route": "/orders", "status": 200, "duration_ms": 9.5, "service": kind}
    # letters: a number in a path would be taken for an id, and every route for the same one
    name = str.maketrans("0123456789", "abcdefghij")
    events = [{**common, kind: f"/{str(each).translate(name)}"} for each in range(start, start + BATCH)]
    return json.dumps({"events": events}).encode()


def run(runtime: Runtime, env_id: int, kind: str, events: int, step: int) -> None:
    """Send `events` distinct names of `kind` and print a line a step."""
    handle, key = door.events(runtime), KeyPrincipal(1, env_id, "ingest")
    print(f"{kind + 's sent':>12} {'counted':>10} {'kept':>8} {'MiB':>6} {'s':>6}")
    began = time.monotonic()
    for start in range(0, events, BATCH):
        content = body(kind, start, int(runtime.clock.now().timestamp() * 1000))
        environ = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(content))}
        handle(LaneRequest({**environ, "wsgi.input": io.BytesIO(content)}, "/v1/events", key))
        if (start // BATCH) % 20 == 19:
            while fold.run(runtime, env_id):
                pass
        if (start + BATCH) % step == 0:
            while fold.run(runtime, env_id):
                pass
            with runtime.database.pool.connection() as connection:
                counted = connection.execute(_COUNTED, (env_id,)).fetchone()
                kept = connection.execute(NAMES[kind], (env_id,)).fetchone()
            assert counted is not None
            assert kept is not None
            took = time.monotonic() - began
            print(
                f"{start + BATCH:12,} {int(counted[0] or 0):10,} {kept[0]:8,} {resident():6.0f} {took:6.0f}", flush=True
            )


def main() -> None:
    """Run both kinds, each in an environment of its own."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--step", type=int, default=100_000)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="trackside-bench-") as folder, ExitStack() as held:
        postgres, valkey = Postgres(Path(folder), throwaway=True), Valkey(Path(folder), throwaway=True)
        for server in (postgres, valkey):
            server.start()
            held.callback(server.stop)
        settings = load_settings(
            {},
            secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",
            database_url=postgres.url(),
            redis_url=valkey.url(),
            data=Path(folder) / "data",
            log_level="ERROR",
        )
        runtime = build_runtime(settings)
        migrate.upgrade(runtime.database.engine)
        with runtime.database.session() as session:
            seed_workspace(session)
            numbers = [env.id for env in environments(session)][:2]
        for env_id, kind in zip(numbers, NAMES, strict=True):
            run(runtime, env_id, kind, given.events, given.step)
        runtime.close()


if __name__ == "__main__":
    main()
