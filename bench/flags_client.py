"""How long after its commit a toggle is what local-evaluation clients answer.

    python bench/flags_client.py [--clients 50] [--toggles 20]

It starts PostgreSQL, Valkey, `trackside web` and `trackside stream` of its own on 127.0.0.1; the clients are `Flags` in
this one process, each with a thread and a stream of its own, so what they cost each other is part of what it tells.
"""

import argparse
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from flags_stream import trackside

KEY = "flag-7"


def measure(given: dict[str, str], url: str, key: str, clients: int, toggles: int) -> list[float]:
    """Return the seconds from each toggle's commit to each client's new answer."""
    from trackside.auth.audit import COMMAND_LINE
    from trackside.runtime import build_runtime
    from trackside.settings import load_settings
    from trackside_client.flags import Flags
    from trackside_modules.flags import service

    told: list[float] = []
    all_told = threading.Event()

    def note(_change: object) -> None:
        told.append(time.perf_counter())
        if len(told) == clients:
            all_told.set()

    delays: list[float] = []
    with ExitStack() as stack:
        runtime = build_runtime(load_settings(given))
        stack.callback(runtime.close)
        followers = [stack.enter_context(Flags(url, key, wait=10, exposures=False)) for _ in range(clients)]
        while not all(each.status.is_streaming for each in followers):
            time.sleep(0.05)
        time.sleep(1)
        for each in followers:
            each.listen(note)
        for number in range(toggles):
            on = bool(number % 2)
            told.clear()
            all_told.clear()
            with runtime.database.session() as session:
                edit = {"enabled": on}
                service.change(session, 1, KEY, edit, who=COMMAND_LINE, now=runtime.clock.now(), reason="bench")
            committed = time.perf_counter()
            if not all_told.wait(20):
                raise RuntimeError(f"{len(told)} of {clients} clients heard of it within 20 s")
            delays += [max(0.0, each - committed) for each in told]
            time.sleep(0.1)
    return sorted(delays)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how fast a toggle reaches clients that evaluate locally.")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--toggles", type=int, default=20)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="trackside-bench-") as folder,
        trackside(Path(folder)) as (given, ports, _workers, key),
    ):
        url = f"http://127.0.0.1:{ports['web']}"
        delays = measure(given, url, key, options.clients, options.toggles)
    p50, p99 = statistics.median(delays), delays[int(len(delays) * 0.99) - 1]
    print(
        f"{options.clients} clients, {options.toggles} toggles: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms", end=""
    )
    print(f", at most {delays[-1] * 1e3:.0f} ms   (aim: 250 ms)")


if __name__ == "__main__":
    main()
