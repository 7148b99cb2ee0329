"""CPU of one flag check in the application's process: trackside-client beside its peers, in one run.

50 flags are loaded; the one asked for is on for 25 % of the users whose plan is one of two. Our checks count each
exposure, and answer again what they answered before: "first" empties that before each turn, and pays for reading it, as
the client does each few seconds. GrowthBook is asked by contexts built beforehand, LaunchDarkly by its file source,
Unleash by a bootstrap, all without a server and without events, and OpenFeature by its own in-memory provider, whose
evaluator hashes as ours does.
The second half goes through OpenFeature's client: our provider beside its own.
Each measurement is a fresh process that asks for the same users in turn, and takes the process's CPU time, threads
included, of the fastest tenth of its turns; the kinds alternate over the rounds, whose median is printed.

    python bench/flags_inproc.py            # about half a minute; the first time it installs the peers into .venv/bench

The peers and their versions are the extra `bench` of clients/python, locked in requirements/bench.lock.
"""

import argparse
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from middleware import ROOT, install

USERS, TURNS, FLAGS, ASKED = 200, 60, 50, "flag-7"
PLANS, PERCENT = ["pro", "team"], 25
MOST_SECONDS = 100.0
Check = Callable[[], Any]
"""Asks for every user once; returns how many the flag is on for."""


def users() -> list[dict[str, Any]]:
    """Return who is asked for: all of a plan that the rule names, so that each check goes to its bucket."""
    return [{"targetingKey": f"user-{number}", "plan": "pro"} for number in range(USERS)]


def trackside_flags() -> Any:
    """Return our native client over a bootstrap."""
    from trackside_client.flags.client import Flags

    everyone = [["on", 100_000]]
    rule = {"id": "r1", "when": [{"attribute": "plan", "op": "in", "values": PLANS}]}
    flag = {
        "type": "boolean",
        "salt": "5f2c9a7be1d04c33",
        "variants": {"on": True, "off": False},
        "off": "off",
        "rules": [{**rule, "serve": {"rollout": PERCENT * 1000, "split": everyone}}],
        "serve": {"rollout": 0, "split": everyone},
    }
    flags = {f"flag-{number}": flag for number in range(FLAGS)}
    document = {"schema": 1, "environment": "bench", "version": 1, "flags": flags, "segments": {}}
    return Flags(mode="offline", bootstrap=_file(document))


def trackside() -> Check:
    """Ask our native API, which counts each exposure."""
    boolean, asked = trackside_flags().boolean, users()
    return lambda: sum([boolean(ASKED, False, user) for user in asked])


def trackside_user() -> Check:
    """Ask the same by `flags.user(...)`, made beforehand as GrowthBook's contexts are."""
    flags = trackside_flags()
    asked = [flags.user(user["targetingKey"], plan=user["plan"]) for user in users()]
    return lambda: sum([user.boolean(ASKED, False) for user in asked])


def trackside_first() -> Check:
    """Ask our native API when nothing of any user is at hand, as in the first moment after each flush."""
    flags, asked = trackside_flags(), users()
    boolean, taken = flags.boolean, flags._tally.take

    def check() -> int:
        taken()
        return sum([boolean(ASKED, False, user) for user in asked])

    return check


def growthbook() -> Check:
    """Ask GrowthBook, one prebuilt instance a user."""
    from growthbook import GrowthBook

    rule = {"condition": {"plan": {"$in": PLANS}}, "force": True, "coverage": PERCENT / 100, "hashAttribute": "id"}
    features = {f"flag-{number}": {"defaultValue": False, "rules": [rule]} for number in range(FLAGS)}
    asked = [
        GrowthBook(attributes={"id": user["targetingKey"], "plan": user["plan"]}, features=features) for user in users()
    ]
    return lambda: sum([user.is_on(ASKED) for user in asked])


def launchdarkly() -> Check:
    """Ask LaunchDarkly by its file source; contexts are built beforehand."""
    import ldclient
    from ldclient.config import Config
    from ldclient.integrations import Files

    weights = [{"variation": 0, "weight": PERCENT * 1000}, {"variation": 1, "weight": 100_000 - PERCENT * 1000}]
    clause = {"attribute": "plan", "op": "in", "values": PLANS, "contextKind": "user", "negate": False}
    flag = {
        "version": 1,
        "on": True,
        "salt": "5f2c9a7b",
        "variations": [True, False],
        "offVariation": 1,
        "fallthrough": {"variation": 1},
        "rules": [{"id": "r1", "clauses": [clause], "rollout": {"contextKind": "user", "variations": weights}}],
        "targets": [],
        "prerequisites": [],
    }
    flags = {f"flag-{number}": {**flag, "key": f"flag-{number}"} for number in range(FLAGS)}
    source = Files.new_data_source(paths=[str(_file({"flags": flags}))])
    client = ldclient.LDClient(Config("sdk-key", update_processor_class=source, send_events=False), start_wait=5)
    builders = [(ldclient.Context.builder(user["targetingKey"]), user["plan"]) for user in users()]
    asked = [builder.set("plan", plan).build() for builder, plan in builders]
    return lambda: sum([client.variation(ASKED, user, False) for user in asked])


def unleash() -> Check:
    """Ask Unleash by a bootstrap."""
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    strategy = {
        "name": "flexibleRollout",
        "parameters": {"rollout": str(PERCENT), "stickiness": "default", "groupId": "g"},
        "constraints": [{"contextName": "plan", "operator": "IN", "values": PLANS}],
    }
    features = [
        {"name": f"flag-{number}", "type": "release", "enabled": True, "strategies": [strategy]}
        for number in range(FLAGS)
    ]
    cache = FileCache("bench", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict({"version": 1, "features": features})
    client = UnleashClient(
        "http://127.0.0.1:1/api", "bench", disable_metrics=True, disable_registration=True, cache=cache
    )
    client.initialize_client(fetch_toggles=False)
    asked = [{"userId": user["targetingKey"], "properties": {"plan": user["plan"]}} for user in users()]
    return lambda: sum([client.is_enabled(ASKED, user) for user in asked])


def in_memory() -> Check:
    """Ask OpenFeature with its own in-memory provider."""
    from mmh3 import mmh3_32_uintdigest
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    plans, threshold = frozenset(PLANS), -(-((PERCENT * 1000) << 32) // 100_000)

    def evaluator(flag: Any, context: Any) -> Any:
        drawn = mmh3_32_uintdigest(f"5f2c9a7be1d04c33:{context.targeting_key}".encode(), 0)
        variant = "on" if context.attributes.get("plan") in plans and drawn < threshold else "off"
        return FlagResolutionDetails(value=flag.variants[variant], reason=Reason.SPLIT, variant=variant)

    flag: Any = InMemoryFlag("off", {"on": True, "off": False}, context_evaluator=evaluator)
    return _openfeature(InMemoryProvider({f"flag-{number}": flag for number in range(FLAGS)}))


def openfeature_trackside() -> Check:
    """Ask OpenFeature with our provider, which counts each exposure."""
    from trackside_client.openfeature import TracksideProvider

    return _openfeature(TracksideProvider(flags=trackside_flags()))


def _openfeature(provider: Any) -> Check:
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    api.set_provider_and_wait(provider) if hasattr(api, "set_provider_and_wait") else api.set_provider(provider)
    client = api.get_client()
    asked = [EvaluationContext(user["targetingKey"], {"plan": user["plan"]}) for user in users()]
    return lambda: sum([client.get_boolean_value(ASKED, False, user) for user in asked])


KINDS: dict[str, Callable[[], Check]] = {
    "trackside-client": trackside,
    "trackside-client, by user": trackside_user,
    "trackside-client, first": trackside_first,
    "growthbook, prebuilt": growthbook,
    "openfeature in-memory": in_memory,
    "launchdarkly": launchdarkly,
    "unleash": unleash,
    "openfeature with trackside": openfeature_trackside,
}
OURS = {"trackside-client", "trackside-client, by user", "trackside-client, first", "openfeature with trackside"}


def _file(document: Any) -> Path:
    path = Path(tempfile.mkdtemp()) / "flags.json"
    path.write_text(json.dumps(document))
    return path


def measure(kind: str) -> float:
    """Return microseconds of CPU a check, from the fastest tenth of the turns: whatever else runs only adds."""
    logging.disable(logging.CRITICAL)
    check = KINDS[kind]()
    on = sum(check() for _ in range(3)) / 3 / USERS
    if not 0.15 < on < 0.35:
        raise SystemExit(f"{kind} is on for {on:.0%} of the users, not for about {PERCENT} %: nothing to compare")
    gc.collect()
    gc.freeze()
    times = []
    for _ in range(TURNS):
        began = time.process_time_ns()
        check()
        times.append((time.process_time_ns() - began) / USERS / 1000)
    return statistics.quantiles(times, n=10)[0]


def rounds(python: Path, most: int) -> dict[str, list[float]]:
    """Return each kind's figures, one a round, in as many rounds as fit."""
    environ = os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src"), "PYTHONHASHSEED": "0"}
    kinds = list(KINDS)
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    began = time.monotonic()
    for number in range(most):
        if number and (time.monotonic() - began) * (number + 1) / number > MOST_SECONDS:
            break
        for kind in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
            command = [str(python), __file__, "--measure", kind]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
            if done.returncode:
                raise SystemExit(f"{kind} could not be measured:\n{done.stderr[-2000:]}")
            found[kind].append(float(done.stdout.split()[-1]))
    return found


def show(found: dict[str, list[float]]) -> None:
    """Print the table."""
    medians = {kind: statistics.median(figures) for kind, figures in found.items()}
    ours, fastest = medians["trackside-client"], min(each for kind, each in medians.items() if kind not in OURS)
    print(
        f"{len(found['trackside-client'])} rounds of {TURNS} x {USERS} checks; microseconds of CPU a check, "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    print(f"{'':<30}{'median':>9}{'from':>9}{'to':>9}{'times ours':>12}")
    for kind, figures in found.items():
        line = f"{kind:<30}{medians[kind]:>9.2f}{min(figures):>9.2f}{max(figures):>9.2f}"
        print(f"{line}{medians[kind] / ours:>12.1f}")
    print(f"the fastest peer takes {fastest / ours:.1f} times as long as trackside-client")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what a flag check costs in the process.")
    parser.add_argument("--rounds", type=int, default=5, help="at most; fewer where they would take too long")
    parser.add_argument("--python", type=Path, help="an environment that has the peers already")
    parser.add_argument("--measure", choices=list(KINDS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure), flush=True)
        os._exit(0)
    show(rounds(options.python or install(), options.rounds))


if __name__ == "__main__":
    main()
