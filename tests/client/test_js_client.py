"""The JavaScript client: its own tests under node, and a node server that reports to a real Trackside."""

import json
import math
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trackside_modules.usage.storage import histogram

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/js"
CALLS = 400


def _version() -> int:
    node = shutil.which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout if node else ""
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0


pytestmark = pytest.mark.skipif(_version() < 18, reason="node 18 or newer is not installed")


def _node(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        ["node", *arguments], cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests_pass() -> None:
    _node("--test", cwd=CLIENT)


def test_its_buckets_are_the_servers() -> None:
    chance = random.Random(4)
    seconds = [2 ** chance.uniform(-18, 13) for _ in range(5000)] + [2.0**power for power in range(-16, 12)]
    script = (
        "import { indexOf } from './src/histogram.js';"
        "import fs from 'node:fs';"
        "console.log(JSON.stringify(JSON.parse(fs.readFileSync(process.argv[1])).map(indexOf)))"
    )
    told = subprocess.run(
        ["node", "--input-type=module", "-e", script, "/dev/stdin"],
        cwd=CLIENT,
        input=json.dumps(seconds),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == [histogram.index_of(each) for each in seconds]


def test_every_call_is_counted_and_percentiles_are_exact(trackside: Any) -> None:
    durations = sorted(json.loads(_node("tests/client/js_app.js", trackside.url, trackside.key, str(CALLS))))
    tenth, fifth = CALLS // 10, CALLS // 5
    assert trackside.rows() == [
        ("js", "GET", "(unmatched)", 404, "u1", tenth),
        ("js", "GET", "/orders/{id}", 200, "u0", CALLS // 2 - tenth),
        ("js", "GET", "/orders/{id}", 200, "u1", CALLS // 2 - 2 * tenth),
        ("js", "POST", "/orders/{id}", 503, "u0", fifth - tenth),
        ("js", "POST", "/orders/{id}", 503, "u1", tenth),
    ]
    with trackside.runtime.database.pool.connection() as connection:
        packed = connection.execute("select latency, approximate from usage_minute").fetchall()
    merged: histogram.Histogram = {}
    for latency, approximate in packed:
        assert not approximate
        histogram.merge(merged, histogram.unpack(latency))
    for quantile in (0.5, 0.95, 0.99):
        exact = durations[math.ceil(quantile * len(durations)) - 1]
        (estimated,) = histogram.percentiles(merged, quantile)
        assert estimated == pytest.approx(exact, rel=0.022)
