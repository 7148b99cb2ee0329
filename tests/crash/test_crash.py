"""Nothing accepted is lost or counted twice, whatever dies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_an_accepted_request_is_counted_once_whatever_is_killed(pytestconfig: pytest.Config) -> None:
    """Runs `bench/crash.py`; CRASH_SEED repeats an earlier run, CRASHES makes it longer."""
    command = [sys.executable, str(ROOT / "bench" / "crash.py"), "--json"]
    command += ["--crashes", os.environ.get("CRASHES", "15")]
    if seed := os.environ.get("CRASH_SEED"):
        command += ["--seed", seed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\ncrash test: {outcome}", file=sys.stderr)  # which is also shown of a process beside
    assert (outcome["lost"], outcome["doubled"], outcome["missing"], outcome["dead"]) == (0, 0, 0, 0), outcome
    assert (outcome["disagreeing"], outcome["unrolled"], outcome["refused"]) == (0, 0, {}), outcome
    assert sum(outcome["crashes"].values()) >= 10
    assert outcome["requests"] > 100
