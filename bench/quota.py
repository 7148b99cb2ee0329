"""How many rate limit checks a second one thread gets, beside the limit of a bare INCR on the same Redis in one run.

.venv/bin/python bench/quota.py [SECONDS]

Each row is run by turns, a slice at a time, so that a busy machine is as unkind to one as to the other.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from trackside import migrate
from trackside.auth import keys
from trackside.auth.audit import SYSTEM
from trackside.embedded.postgres import Postgres
from trackside.embedded.valkey import Valkey
from trackside.redis import connect
from trackside.runtime import Runtime, build_runtime
from trackside.serve import build
from trackside.settings import load_settings
from trackside.testing.servers import Databases
from trackside.workspace import environment_by_slug, seed_workspace
from trackside_modules.usage.quota import door, service

SLICES = 10
LIMITS = {
    "window": {"kind": "window", "amount": 10**9, "seconds": 3600},
    "gcra": {"kind": "gcra", "amount": 10_000, "seconds": 1, "burst": 1_000_000},
}


def prepare(folder: Path, database_url: str, valkey: Valkey) -> tuple[Runtime, str]:
    """Return a runtime with the two limits, and a server key."""
    settings = load_settings(
        {},
        secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",
        database_url=database_url,
        redis_url=valkey.url(),
        data=folder / "data",
        log_level="ERROR",
    )
    engine = create_engine(settings.database_url)
    migrate.upgrade(engine)
    engine.dispose()
    runtime = build_runtime(settings)
    now = runtime.clock.now()
    with runtime.database.session() as session:
        seed_workspace(session)
        env = environment_by_slug(session, "production")
        for name, limit in LIMITS.items():
            whom = {"policy": name, "scope": "default", "shared_by": "account", "counts": "checks"}
            service.create(session, SYSTEM, env.id, {**whom, **limit}, now=now)
        given: dict[str, Any] = {"kind": "server", "name": "bench", "scopes": (), "known_scopes": ()}
        return runtime, keys.create_key(session, SYSTEM, now, env, **given)[1]


def rows(runtime: Runtime, key: str) -> dict[str, Callable[[int], Any]]:
    """Return what is measured: each does its n-th call."""
    client, lane, checker = connect(runtime.settings.redis_live_url), build(runtime), door.build(runtime)

    def through_lane(policy: str) -> Callable[[int], Any]:
        def call(number: int) -> Any:
            body = json.dumps({"policy": policy, "user": f"u{number % 1000}"}).encode()
            environ = {
                "PATH_INFO": "/v1/quota/check",
                "REQUEST_METHOD": "POST",
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_AUTHORIZATION": f"Bearer {key}",
                "REMOTE_ADDR": "127.0.0.1",
                "wsgi.input": io.BytesIO(body),
            }
            return lane(environ, lambda *_: None)

        return call

    def counted(policy: str) -> Callable[[int], Any]:
        return lambda number: checker.answer(1, door.Check(policy=policy, user=f"u{number % 1000}"))

    return {
        "bare INCR": lambda number: client.incr(f"bench:{number % 1000}"),
        "check, window": counted("window"),
        "check, gcra": counted("gcra"),
        "whole lane, window": through_lane("window"),
        "whole lane, gcra": through_lane("gcra"),
    }


def main() -> int:
    """Print checks a second of each."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory() as folder:
        postgres, valkey = Postgres(Path(folder), throwaway=True), Valkey(Path(folder), throwaway=True)
        postgres.start()
        valkey.start()
        try:
            databases = Databases(postgres)
            runtime, key = prepare(Path(folder), databases.url(databases.create()), valkey)
            measured = rows(runtime, key)
            done, spent = dict.fromkeys(measured, 0), dict.fromkeys(measured, 0.0)
            for call in measured.values():
                for number in range(1000):  # every caller is known by then
                    call(number)
            for _ in range(SLICES):
                for name, call in measured.items():
                    begun = time.perf_counter()
                    while (took := time.perf_counter() - begun) < seconds / SLICES / len(measured):
                        call(done[name])
                        done[name] += 1
                    spent[name] += took
            base = done["bare INCR"] / spent["bare INCR"]
            for name in measured:
                rate = done[name] / spent[name]
                print(f"{name:20} {rate:9,.0f}/s  {1e6 / rate:7.1f} us  {rate / base:5.0%} of INCR")
            print(f"answered without a count: {door.build(runtime).degraded}")
            runtime.close()
            databases.close()
        finally:
            valkey.stop()
            postgres.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
